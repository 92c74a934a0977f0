"""The strongest baseline that learns nothing: what moves keeps moving."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

from worldbench.schema import AdapterCard, digest

_SMALLEST_SIDE = 16  # DIS matches 8×8 patches over a pyramid; below this it has nothing to match


class LinearFlow:
    """Extrapolates dense optical flow at constant velocity.

    The flow from the last context frame back to the one before it gives each pixel of the last
    frame a velocity v (OpenCV's DIS: Kroeger et al. 2016, arXiv 1603.03590). For future step k the
    last frame is splatted forward to x + k·v(x), faster pixels in front of slower ones (as in
    softmax splatting, Niklaus & Liu 2020, arXiv 2003.05534, with importance k·|v| up to 20 pixels:
    of things that have moved further none is in front); holes that open behind a moving object are
    filled by sampling the last frame at x − k·v(x).

    Args:
        name: The name shown on the board.
    """

    def __init__(self, name: str = "linear_flow") -> None:
        self.card = AdapterCard(
            name=name,
            revision=digest(["linear_flow", 1, "DIS medium, finest scale 0, splat |v|"]),
            family="baseline",
            summary="DIS optical flow at constant velocity",
            capabilities=("generates",),
            parameters=0,
            min_context=2,
            licence="Apache-2.0",
        )

    def generate(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        *,
        samples: int,
        seeds: Sequence[int],
        actions: Tensor | None = None,
        prompt: Sequence[str] | None = None,
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Returns ``samples`` identical rollouts; seeds, actions and prompt change nothing.

        Raises:
            ValueError: If the context has fewer than two frames or frames are under 16 pixels.
        """
        if context.shape[1] < 2 or min(context.shape[-2:]) < _SMALLEST_SIDE:
            raise ValueError(
                f"linear_flow needs a context of ≥ 2 frames of ≥ {_SMALLEST_SIDE} pixels a side, "
                f"got {tuple(context.shape)}"
            )
        # All on the CPU: DIS runs there, and scatter_add on CUDA adds in no fixed order.
        previous, last = context[:, -2:].cpu().unbind(dim=1)
        velocity = _velocity(previous, last)
        steps = [_advance(last, velocity * k) for k in range(1, horizon + 1)]
        rollout = torch.stack(steps, dim=1)[:, None].to(context.device)
        return rollout.expand(-1, samples, -1, -1, -1, -1).clone()


def _velocity(
    previous: Float[Tensor, "b 3 h w"], last: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """Returns the velocity of every pixel of ``last`` in pixels per frame, (x, y)."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    fields = []
    for before, after in zip(_grey(previous), _grey(last), strict=True):
        fields.append(-dis.calc(after, before, None))
    flow = torch.from_numpy(np.stack(fields)).permute(0, 3, 1, 2)
    return flow.to(device=last.device, dtype=last.dtype)


def _grey(frames: Float[Tensor, "b 3 h w"]) -> list[np.ndarray]:
    pixels = (frames.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in pixels]


def _advance(
    frame: Float[Tensor, "b 3 h w"], displacement: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 3 h w"]:
    moved, coverage = _splat(frame, displacement)
    # Where less than a whole pixel arrived, what stood behind the moving thing fills up.
    share = coverage.clamp(max=1)
    return (share * moved + (1 - share) * _sample(frame, -displacement)).clamp(0, 1)


def _splat(
    frame: Float[Tensor, "b 3 h w"], displacement: Float[Tensor, "b 2 h w"]
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 1 h w"]]:
    """Moves every pixel to x + d(x) bilinearly; returns colours and the coverage received."""
    b, _, h, w = frame.shape
    x, y = _grid(displacement)
    importance = displacement.norm(dim=1).clamp(max=20).exp()
    colour = frame.new_zeros(b, 3, h * w)
    total = frame.new_zeros(b, 1, h * w)
    coverage = frame.new_zeros(b, 1, h * w)
    for dx in (0, 1):
        for dy in (0, 1):
            column, row = x.floor() + dx, y.floor() + dy
            share = (1 - (x - column).abs()) * (1 - (y - row).abs())
            inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            share = torch.where(inside, share, torch.zeros_like(share)).flatten(1)[:, None]
            index = (row.clamp(0, h - 1) * w + column.clamp(0, w - 1)).long().flatten(1)[:, None]
            weight = share * importance.flatten(1)[:, None]
            colour.scatter_add_(2, index.expand(-1, 3, -1), weight * frame.flatten(2))
            total.scatter_add_(2, index, weight)
            coverage.scatter_add_(2, index, share)
    moved = colour / total.clamp_min(torch.finfo(frame.dtype).tiny)
    return moved.view_as(frame), coverage.view(b, 1, h, w)


def _sample(
    frame: Float[Tensor, "b 3 h w"], offset: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 3 h w"]:
    h, w = frame.shape[-2:]
    x, y = _grid(offset)
    grid = torch.stack([(2 * x + 1) / w - 1, (2 * y + 1) / h - 1], dim=-1)
    return grid_sample(frame, grid, padding_mode="border", align_corners=False)


def _grid(offset: Float[Tensor, "b 2 h w"]) -> tuple[Tensor, Tensor]:
    h, w = offset.shape[-2:]
    columns = torch.arange(w, device=offset.device, dtype=offset.dtype)
    rows = torch.arange(h, device=offset.device, dtype=offset.dtype)[:, None]
    return offset[:, 0] + columns, offset[:, 1] + rows
