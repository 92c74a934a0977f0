"""The ceiling: what really happened."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard, Trial, digest


class RealFuture:
    """Answers every trial with its true future.

    Suites score it like any rollout, so the ceiling passes through the same decoding, features and
    finite samples as the models do.

    Args:
        name: The name shown on the board.
    """

    def __init__(self, name: str = "real_future") -> None:
        self.card = AdapterCard(
            name=name,
            revision=digest(["real_future", 1]),
            family="oracle",
            summary="the true future",
            capabilities=("replays",),
            parameters=0,
            licence="Apache-2.0",
        )

    def require(self, trials: Sequence[Trial], samples: int) -> None:
        """Accepts every trial: each has a future."""

    def replay(
        self,
        trials: Sequence[Trial],
        future: Float[Tensor, "b t 3 h w"],
        *,
        fps: float,
        samples: int,
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Returns the true future, ``samples`` times."""
        return future[:, None].expand(-1, samples, -1, -1, -1, -1).clone()
