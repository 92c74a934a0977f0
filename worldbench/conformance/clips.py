"""Inputs of the conformance kit: clips that move, and noise keyed as suites key it."""

import hashlib
from collections.abc import Sequence

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


class KeyedNoise:
    """Standard normal noise keyed by (trial id, level, index); the sign flips it.

    Args:
        trials: Ids of the batch, in order.
    """

    def __init__(self, trials: Sequence[str]) -> None:
        self.trials = tuple(trials)

    def draw(
        self, shape: tuple[int, ...], *, level: float, index: int, sign: int
    ) -> Float[Tensor, "b ..."]:
        """Returns noise ``b *shape``; the same key gives the same noise in any batch."""
        noise = []
        for trial in self.trials:
            text = f"{trial}|{level}|{index}".encode()
            seed = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
            generator = torch.Generator().manual_seed(seed)
            noise.append(torch.randn(shape, generator=generator))
        return sign * torch.stack(noise)
