"""A recipe as small as recipes get: it learns the mean colour of a noised clip."""

from typing import Any

import torch
from torch import Tensor, nn

from worldbench_models.training.recipe import Plan, Release


class Mean(nn.Module):
    """Predicts every value of a clip by one number, under noise."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([start]))

    def forward(self, clips: Tensor, noise: Tensor) -> Tensor:
        shown = clips.float().mean(dim=(1, 2, 3, 4)) / 255 + 0.1 * noise
        return (shown - self.value).square().mean()


class TinyRecipe:
    """Trains :class:`Mean`."""

    def __init__(self, learning_rate: float = 0.05, poison: int | None = None) -> None:
        self.learning_rate, self.poison = learning_rate, poison

    def plan(self, size: str) -> Plan:
        return Plan(12, 4)

    def objective(self, size: str, seed: int) -> nn.Module:
        return Mean(float(seed))

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randn(batch, generator=generator),)

    def optimisers(self, objective: nn.Module) -> list[torch.optim.Optimizer]:
        return [torch.optim.AdamW(objective.parameters(), self.learning_rate)]

    def learning_rate_factor(self, step: int, steps: int) -> float:
        return float("nan") if step == self.poison else 1.0

    def ema(self, step: int, steps: int) -> float:
        return 0.5

    def clip_flops(self, size: str) -> int:
        return 100

    def training_flops(self, size: str) -> float:
        return 300

    def teacher(self, averaged: nn.Module) -> None:
        return None

    def heldout(self, objective: nn.Module, clips: Tensor) -> dict[str, Any]:
        return {"value": float(objective.value), "clips": len(clips)}  # type: ignore[arg-type]

    def release(self, objective: nn.Module, size: str) -> Release:
        header = {"shape": {}, "frames": 2, "fps": 8.0, "resolution": [16, 16]}
        return Release(dict(objective.state_dict()), header)
