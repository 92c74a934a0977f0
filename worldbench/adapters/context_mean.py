"""A baseline without time: the future looks like the average of the past."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard, digest


class ContextMean:
    """Repeats the mean of the context frames over the whole horizon.

    Args:
        name: The name shown on the board.
    """

    def __init__(self, name: str = "context_mean") -> None:
        self.card = AdapterCard(
            name=name,
            revision=digest(["context_mean", 1]),
            family="baseline",
            summary="repeats the mean of the context frames",
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
        mean = context.mean(dim=1)[:, None, None]
        return mean.expand(-1, samples, horizon, -1, -1, -1).clone()
