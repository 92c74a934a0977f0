"""Noise from seeds, drawn on the CPU: the same on every device."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.schema import seed_of
from worldbench_models.dit.sampler import DrawNoise


def drawn(shape: tuple[int, ...], seed: int) -> Float[Tensor, "..."]:
    """Returns standard normal noise of a seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rollout_noise(seeds: Sequence[int], samples: int, device: torch.device) -> DrawNoise:
    """Returns what draws a window's noise for ``samples`` rollouts of each seed, one by one.

    Each is keyed by (seed, sample, window), so none depends on how many others there are.
    """

    def draw(window: int, shape: tuple[int, int, int, int]) -> Tensor:
        keys = [[seed, k, window] for seed in seeds for k in range(samples)]
        noise = [drawn(shape, seed_of("rollout", *key)) for key in keys]
        return torch.stack(noise).to(device)

    return draw
