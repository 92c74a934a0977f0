"""How far apart several rollouts of one context are, on the scale of real clips' variety."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldbench.errors import DataError


def sample_diversity(
    rollouts: Float[Tensor, "n d"], contexts: Int[Tensor, " n"], real: Float[Tensor, "m d"]
) -> Float[Tensor, " c"]:
    """Share of the real clips' variance that the rollouts of one context have among themselves.

    tr Cov(rollouts of a context) / tr Cov(real clips), both unbiased. 0 for a model that always
    answers alike, 1 for one whose answers ignore their context and vary as real clips do. A real
    future given its context lies between: more is no better by itself, so it is shown beside the
    distances and not ranked.

    Args:
        rollouts: Features of every rollout.
        contexts: The context of each; at least two rollouts share one.
        real: Features of real clips.

    Returns:
        One share per context, float64, in the order of the contexts' numbers.

    Raises:
        DataError: If a context has one rollout alone, or real clips do not vary.
    """
    numbers, rows = torch.unique(contexts, return_inverse=True)
    counts = torch.bincount(rows).double()
    if bool((counts < 2).any()):
        raise DataError(
            "diversity needs several rollouts of every context",
            seen=f"one of context {int(numbers[int(counts.argmin())])}",
            accepted="at least 2 samples",
            fix="suite.samples=4",
        )
    whole = float(real.double().var(dim=0).sum()) if len(real) > 1 else 0.0
    if whole <= 0:
        raise DataError(
            "real clips without variety give no scale for that of rollouts",
            seen=f"{len(real)} clips with equal features",
            accepted="at least 2 different clips",
        )
    x = rollouts.double()
    means = x.new_zeros(len(numbers), x.shape[1]).index_add_(0, rows, x) / counts[:, None]
    spread = (x - means[rows]).square().sum(dim=1)
    totals = spread.new_zeros(len(numbers)).index_add_(0, rows, spread)
    return totals / (counts - 1) / whole
