"""Optical flow between neighbouring frames, and pictures sampled along it."""

from itertools import pairwise

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

SMALLEST_SIDE = 16
"""DIS matches 8 × 8 patches over a pyramid; below this it has nothing to match."""

NAME = "DIS medium, finest scale 0"


def optical_flow(
    grey: UInt8[np.ndarray, "t h w"],
) -> tuple[Float[np.ndarray, "steps h w 2"], Float[np.ndarray, "steps h w 2"]]:
    """Dense flow from every frame to the next, and from every next one back.

    Kroeger et al. 2016 (arXiv 1603.03590), by OpenCV.

    Args:
        grey: At least two frames with sides of at least 16 pixels.

    Returns:
        Both in pixels, (x, y); forward at the pixels of the earlier frame, backward of the later.
    """
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    pairs = list(pairwise(grey))
    forward = np.stack([dis.calc(a, b, None) for a, b in pairs])
    backward = np.stack([dis.calc(b, a, None) for a, b in pairs])
    return forward, backward


def sampled(
    pictures: Float[Tensor, "n c h w"], flow: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n c h w"]:
    """Samples pictures bilinearly where the flow points, at the border where that is outside."""
    x, y = _targets(flow)
    h, w = flow.shape[-2:]
    grid = torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], dim=-1)
    return grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def seen_again(
    forward: Float[Tensor, "n 2 h w"], backward: Float[Tensor, "n 2 h w"]
) -> Bool[Tensor, "n h w"]:
    """Says which pixels are found again: the flow back from where they went leads home.

    |f + b(x + f)|² < 0.01 (|f|² + |b|²) + 0.5 (Sundaram et al. 2010), and x + f is inside.
    """
    x, y = _targets(forward)
    h, w = forward.shape[-2:]
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    back = sampled(backward, forward)
    apart = (forward + back).square().sum(dim=1)
    lengths = forward.square().sum(dim=1) + back.square().sum(dim=1)
    return inside & (apart < 0.01 * lengths + 0.5)


def _targets(flow: Float[Tensor, "n 2 h w"]) -> tuple[Tensor, Tensor]:
    h, w = flow.shape[-2:]
    columns = torch.arange(w, device=flow.device, dtype=flow.dtype)
    rows = torch.arange(h, device=flow.device, dtype=flow.dtype)[:, None]
    return flow[:, 0] + columns, flow[:, 1] + rows
