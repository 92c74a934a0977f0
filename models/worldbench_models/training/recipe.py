"""What a model brings to the training loop, which knows nothing else of it."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor, nn


@dataclass(frozen=True)
class Plan:
    """How long a model trains unless it is told otherwise.

    Attributes:
        steps: Optimiser steps.
        batch_size: Clips per step over all processes.
    """

    steps: int
    batch_size: int


@dataclass(frozen=True)
class Release:
    """What is kept of a trained model.

    Attributes:
        state: Weights by name.
        header: What the weights' file says of itself: shape, format, licence.
    """

    state: dict[str, Tensor]
    header: dict[str, Any]


@runtime_checkable
class Recipe(Protocol):
    """A model that can be trained."""

    def plan(self, size: str) -> Plan:
        """Returns how long a model of this size trains.

        Raises:
            UsageError: If there is no such size.
        """
        ...

    def objective(self, size: str, seed: int) -> nn.Module:
        """Makes the module that is trained, its weights drawn from the seed.

        Its ``forward(clips, *draws)`` takes stored clips and returns the loss.
        """
        ...

    def teacher(self, averaged: nn.Module) -> nn.Module | None:
        """Makes the module by which the averaged weights teach; None where clips are all there is.

        In each step its ``forward(clips, *draws)`` is called without gradient, and the tensors that
        it returns follow the draws in the call of the objective.
        """
        ...

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draws what chance decides in a step, on the generator's device."""
        ...

    def optimisers(self, objective: nn.Module) -> list[torch.optim.Optimizer]:
        """Makes the optimisers, with the learning rates that the factor multiplies."""
        ...

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Returns the factor on all learning rates when ``step`` steps are done."""
        ...

    def ema(self, step: int, steps: int) -> float:
        """Returns the decay of the averaged weights, which are the ones that are released."""
        ...

    def clip_flops(self, size: str) -> int:
        """Counts the floating-point operations of a forward pass of one clip, as it is released."""
        ...

    def training_flops(self, size: str) -> float:
        """Counts the operations that training takes per clip, on average over a batch.

        Passes forward and backward; neither the optimiser's nor work done twice to save memory.
        """
        ...

    def heldout(self, objective: nn.Module, clips: UInt8[Tensor, "n t h w 3"]) -> dict[str, Any]:
        """Measures averaged weights on clips that are never trained on; numbers and lists."""
        ...

    def release(self, objective: nn.Module, size: str) -> Release:
        """Returns what is kept of the averaged weights."""
        ...
