"""Noise that all clips of a trial share, so that their differences cancel it (design §4)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.schema import seed_of


class TrialNoise:
    """The noise bank bound to a batch, as :class:`worldbench.adapter.NoiseBank` asks.

    Standard normal noise keyed by (trial id, level, index); sign −1 gives minus the same draw.

    Args:
        ids: Trial id of each item of the batch; items of one id get the same noise.
        device: Where the noise is wanted. It is drawn on the CPU, so it is the same everywhere.
    """

    def __init__(self, ids: Sequence[str], device: str | torch.device = "cpu") -> None:
        self.ids, self.device = tuple(ids), torch.device(device)

    def draw(
        self, shape: tuple[int, ...], *, level: float, index: int, sign: int
    ) -> Float[Tensor, "b ..."]:
        """Returns noise ``b *shape``; the same key gives the same noise in any batch.

        Raises:
            ValueError: If the sign is neither 1 nor −1.
        """
        if sign not in (1, -1):
            raise ValueError(f"sign must be 1 or -1, got {sign}")
        drawn: dict[str, Tensor] = {}
        for name in self.ids:
            if name not in drawn:
                seed = seed_of("noise", name, float(level), int(index))
                generator = torch.Generator().manual_seed(seed)
                drawn[name] = torch.randn(shape, generator=generator)
        return sign * torch.stack([drawn[name] for name in self.ids]).to(self.device)
