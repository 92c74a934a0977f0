"""What is trained: a module, its optimisers, and the average of its weights that is released."""

import copy
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldbench_models.training.recipe import Plan, Recipe

_LONGEST_GRADIENT = 1.0


class Learner:
    """A recipe's module in training.

    Args:
        recipe: The model.
        size: Its size.
        seed: Of its first weights.
        steps: Optimiser steps in all, which learning rates and averages depend on.
        device: Where it trains.
        autocast: Whether passes run in bf16.
    """

    def __init__(
        self,
        recipe: Recipe,
        size: str,
        seed: int,
        *,
        steps: int,
        device: torch.device,
        autocast: bool,
    ) -> None:
        self.recipe, self.size, self.steps = recipe, size, steps
        self.device, self.autocast = device, autocast
        self.objective = recipe.objective(size, seed).to(device)
        self.averaged = copy.deepcopy(self.objective).requires_grad_(False)
        self.teacher = recipe.teacher(self.averaged)
        self.optimisers = recipe.optimisers(self.objective)
        self._bases = [[g["lr"] for g in o.param_groups] for o in self.optimisers]

    @property
    def learning_rate(self) -> float:
        """The first optimiser's learning rate in the last step."""
        return float(self.optimisers[0].param_groups[0]["lr"])

    def step(
        self,
        loss_of: nn.Module,
        clips: UInt8[Tensor, "b t h w 3"],
        generator: torch.Generator,
        step: int,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Takes one optimiser step.

        Args:
            loss_of: The objective as it is to be called: compiled, or shared by processes.
            clips: This process's clips.
            generator: Of everything that chance decides in this step.
            step: Steps done before.

        Returns:
            The loss, and the gradient's norm before it was clipped to 1.
        """
        draws = self.recipe.draws(self.size, len(clips), generator)
        with torch.autocast(self.device.type, torch.bfloat16, self.autocast):
            loss = loss_of(clips, *draws, *self._taught(clips, draws))
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), _LONGEST_GRADIENT)
        factor = self.recipe.learning_rate_factor(step, self.steps)
        for optimiser, bases in zip(self.optimisers, self._bases, strict=True):
            for group, base in zip(optimiser.param_groups, bases, strict=True):
                group["lr"] = base * factor
            optimiser.step()
            optimiser.zero_grad()
        self._average(self.recipe.ema(step, self.steps))
        return loss.detach(), norm

    def compile(self) -> None:
        """Compiles the teacher; the objective is compiled where it is called."""
        if self.teacher is not None:
            self.teacher.compile()

    @torch.no_grad()
    def _taught(
        self, clips: UInt8[Tensor, "b t h w 3"], draws: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return () if self.teacher is None else self.teacher(clips, *draws)

    @torch.no_grad()
    def _average(self, kept: float) -> None:
        average: list[Tensor] = list(self.averaged.parameters())
        current: list[Tensor] = list(self.objective.parameters())
        torch._foreach_lerp_(average, current, 1 - kept)

    @torch.no_grad()
    def finite(self) -> bool:
        """Says whether all weights are finite."""
        norms = torch._foreach_norm(list(self.objective.parameters()))
        return bool(torch.isfinite(torch.stack(norms)).all())

    def states(self) -> dict[str, Any]:
        """Returns all that a resumed run needs."""
        return {
            "objective": self.objective.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
        }

    def load(self, states: dict[str, Any]) -> None:
        """Takes up what :meth:`states` returned."""
        self.objective.load_state_dict(states["objective"])
        self.averaged.load_state_dict(states["averaged"])
        for optimiser, state in zip(self.optimisers, states["optimisers"], strict=True):
            optimiser.load_state_dict(state)


def planned(recipe: Recipe, size: str, steps: int | None, batch_size: int | None) -> Plan:
    """Returns a size's usual plan with what was asked for instead."""
    usual = recipe.plan(size)
    return Plan(steps or usual.steps, batch_size or usual.batch_size)
