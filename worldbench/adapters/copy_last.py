"""The floor: nothing ever moves again."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard, digest


class CopyLast:
    """Repeats the last context frame over the whole horizon.

    Args:
        name: The name shown on the board.
    """

    def __init__(self, name: str = "copy_last") -> None:
        self.card = AdapterCard(
            name=name,
            revision=digest(["copy_last", 1]),
            family="baseline",
            summary="repeats the last context frame",
            capabilities=("generates",),
            parameters=0,
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
        """Returns ``samples`` identical rollouts; seeds, actions and prompt change nothing."""
        last = context[:, None, -1:]
        return last.expand(-1, samples, horizon, -1, -1, -1).clone()
