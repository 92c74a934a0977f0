"""Baselines without motion: one picture, repeated over the whole horizon."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard, digest


class Still(ABC):
    """Repeats one picture made from the context.

    Args:
        name: The name shown on the board.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.card = AdapterCard(
            name=name,
            revision=digest([self.kind, 1]),
            family="baseline",
            summary=self.summary,
            capabilities=("generates",),
            parameters=0,
            licence="Apache-2.0",
        )

    @abstractmethod
    def picture(self, context: Float[Tensor, "b c 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Returns the picture that is repeated."""

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
        """Returns ``samples`` identical rollouts; seeds, actions and prompt change nothing."""
        picture = self.picture(context)[:, None, None]
        return picture.expand(-1, samples, horizon, -1, -1, -1).clone()


class CopyLast(Still):
    """Repeats the last context frame: the floor of every future."""

    kind = "copy_last"
    summary = "repeats the last context frame"

    def __init__(self, name: str = "copy_last") -> None:
        super().__init__(name)

    def picture(self, context: Float[Tensor, "b c 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Returns the last frame."""
        return context[:, -1]


class ContextMean(Still):
    """Repeats the mean of the context frames: the future without time."""

    kind = "context_mean"
    summary = "repeats the mean of the context frames"

    def __init__(self, name: str = "context_mean") -> None:
        super().__init__(name)

    def picture(self, context: Float[Tensor, "b c 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Returns the mean over time."""
        return context.mean(dim=1)
