"""Frames on their way into a network: resized as a preset says, nothing else."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldbench.metrics.presets import Framing, Resize


def framed(video: Float[Tensor, "b t 3 h w"], framing: Framing) -> Float[Tensor, "b t 3 s s"]:
    """Resizes every frame.

    Args:
        video: Values in [0, 1].
        framing: The resizings.

    Returns:
        float32 in [0, 1].
    """
    b, t = video.shape[:2]
    frames = video.flatten(0, 1)
    if framing.loading is not None:
        loaded = resized(frames, framing.loading)
        # Whoever keeps loaded videos as bytes truncates, after a product that rounds in float32.
        frames = (loaded * 255).to(torch.uint8).float()
        frames = resized(frames, framing.resize) / 255
    else:
        frames = resized(frames, framing.resize)
    return frames.reshape(b, t, *frames.shape[1:])


def resized(frames: Float[Tensor, "n 3 h w"], resize: Resize) -> Float[Tensor, "n 3 s s"]:
    """Resizes frames bilinearly, with half-pixel centres."""
    height, width = frames.shape[-2:]
    side = resize.side
    size = (side, side)
    if resize.fit == "cover":
        scale = side / min(height, width)
        tall, wide = math.ceil(height * scale), math.ceil(width * scale)
        size = (side, wide) if height < width else (tall, side)
    if size != (height, width):
        frames = functional.interpolate(
            frames, size, mode="bilinear", align_corners=False, antialias=resize.antialias
        )
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return frames[..., top : top + side, left : left + side]
