"""Inputs of the conformance kit: clips that move."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def moving_clips(batch: int, frames: int, size: tuple[int, int]) -> Float[Tensor, "b t 3 h w"]:
    """Makes clips of smooth random textures that pan, each its own way.

    Returns:
        ``b t 3 h w``, float32 in [0, 1], the same on every call.
    """
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 3, size[0] // 8 + 2, size[1] // 8 + 2, generator=generator)
    texture = functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    clips = []
    for item in range(batch):
        steps = [texture[item].roll((t * (item + 1), -t), dims=(-2, -1)) for t in range(frames)]
        clips.append(torch.stack(steps))
    return torch.stack(clips)
