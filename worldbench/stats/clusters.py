"""Groups trials into clusters and checks what comes in; shared by every clustered statistic."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
from jaxtyping import Float

BLOCK_VALUES = 1 << 21
"""Values held at once by a resampling block (16 MiB in float64), whatever the draws asked for."""


def finite(name: str, values: Float[np.ndarray, "..."]) -> list[float]:
    """Returns the values as one flat list of Python floats, for exact sums by ``math.fsum``.

    Args:
        name: The argument's name, for the message.
        values: Any shape.

    Raises:
        ValueError: If there are no values, or some are not finite.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size == 0:
        raise ValueError(f"{name} is empty; at least one value is needed")
    bad = int(np.count_nonzero(~np.isfinite(flat)))
    if bad:
        raise ValueError(f"{name} has {bad} of {flat.size} values that are not finite")
    return [float(value) for value in flat]


def cluster_totals(
    name: str, values: Float[np.ndarray, " n"], clusters: Sequence[Hashable]
) -> list[tuple[float, int]]:
    """Sums values by cluster.

    Sums are exactly rounded and the result is sorted by content, so it depends neither on the order
    of the trials nor on how clusters are named; neither does a seeded resampling built on it.

    Args:
        name: What the values are called by the caller, for messages.
        values: One per trial.
        clusters: One label per trial, in the same order.

    Returns:
        A sorted list of (sum of values, number of trials), one per cluster.

    Raises:
        ValueError: If values are empty or not finite, or the lengths differ.
    """
    flat = finite(name, values)
    if len(flat) != len(clusters):
        raise ValueError(f"{name} has {len(flat)} values but clusters has {len(clusters)} labels")
    members: dict[Hashable, list[float]] = {}
    for value, label in zip(flat, clusters, strict=True):
        members.setdefault(label, []).append(value)
    return sorted((math.fsum(group), len(group)) for group in members.values())
