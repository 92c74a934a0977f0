"""Intervals for means of clustered trials and for estimators known by their influence values."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from worldbench.stats.clusters import BLOCK_VALUES, cluster_totals


@dataclass(frozen=True)
class Interval:
    """An estimate and how sure it is.

    Attributes:
        value: The estimate.
        low: Lower end; None, as ``high``, where no interval can be formed (a single cluster).
        high: Upper end.
        n: Number of trials.
        clusters: Number of clusters they came from.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    clusters: int


def normal_quantile(level: float) -> float:
    """Two-sided standard normal quantile, e.g. 1.96 for a level of 0.95.

    Raises:
        ValueError: If level is not strictly between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    from scipy.special import ndtri  # only here: pair scores are wanted where there is no SciPy

    return float(ndtri(0.5 + level / 2.0))


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion (Wilson 1927), which keeps a width at 0 and 100 %.

    Args:
        successes: Number of successes, 0 ≤ successes ≤ n.
        n: Number of independent observations.
        level: Coverage wanted.

    Returns:
        The interval, within [0, 1]; ``clusters`` is n.

    Raises:
        ValueError: If n < 1, successes are outside 0…n or level is outside (0, 1).
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n = {n}, got {successes}")
    z2 = normal_quantile(level) ** 2
    share = successes / n
    centre = (successes + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (n * share * (1 - share) + z2 / 4)) / (n + z2)
    # At the ends the formula is exactly 0 or 1; the branches keep rounding from saying otherwise.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(share, low, high, n, n)


def cluster_mean(
    values: Float[np.ndarray, " n"],
    clusters: Sequence[Hashable],
    *,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    bounded: bool = True,
) -> Interval:
    """Mean over trials with a percentile interval from a bootstrap of whole clusters.

    Each draw takes as many clusters as there are, with replacement, and divides the sum of their
    values by the number of their trials, so clusters of unequal size weigh as they do in the mean.
    Percentile intervals are too narrow with few clusters. Measured on normal data with clusters of
    one to five trials (1 500 simulations), 95 % covers .83 with 5 clusters, .89 with 10, .92 with
    20 and .93 with 40.

    Args:
        values: One score per trial.
        clusters: One label per trial.
        draws: Bootstrap draws.
        seed: Seed of the draws; the result does not depend on the order of trials or on labels.
        level: Coverage wanted.
        bounded: Whether scores are confined to [0, 1], so that a constant 0 or a constant 1 is the
            end of the scale: the interval is then Wilson's on the number of clusters, since a
            bootstrap of constants has no width. Pass False for differences, skills and distances.

    Returns:
        The interval; its ends are None when there is one cluster. A constant score elsewhere than
        at the end of a bounded scale has width 0.

    Raises:
        ValueError: If values are empty or not finite, lengths differ, draws < 1 or level is outside
            (0, 1).
    """
    totals = cluster_totals("values", values, clusters)
    normal_quantile(level)  # refuses a bad level on every path
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    n, groups = len(clusters), len(totals)
    mean = math.fsum(float(value) for value in values) / n
    if groups == 1:
        return Interval(mean, None, None, n, 1)
    first = float(values[0])
    if bounded and first in (0.0, 1.0) and bool(np.all(values == first)):
        edge = wilson(int(first) * groups, groups, level)
        return Interval(mean, edge.low, edge.high, n, groups)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(_resampled_means(totals, draws, seed), [tail, 1.0 - tail])
    return Interval(mean, float(low), float(high), n, groups)


def _resampled_means(
    totals: list[tuple[float, int]], draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    # Clusters with the same sum and size are interchangeable: drawing how many come from each kind
    # is the same bootstrap, and pair scores have a handful of kinds whatever the number of scenes.
    kinds = list(Counter(totals).items())
    sums = np.array([total for (total, _), _ in kinds])
    sizes = np.array([float(size) for (_, size), _ in kinds])
    shares = np.array([count for _, count in kinds]) / len(totals)
    generator = np.random.default_rng(seed)
    block = max(1, BLOCK_VALUES // len(kinds))
    means = []
    for start in range(0, draws, block):
        drawn = generator.multinomial(len(totals), shares, size=min(block, draws - start))
        counts = drawn.astype(np.float64)
        means.append((counts @ sums) / (counts @ sizes))
    return np.concatenate(means)


def cluster_standard_error(
    influence: Float[np.ndarray, " n"], clusters: Sequence[Hashable]
) -> float | None:
    """Clustered standard error of an estimator known by its influence values.

    The convention of this package: ``estimate − θ ≈ (1/n) Σ_i ψ_i`` with n the number of values
    given and E ψ = 0. For a mean, ψ_i = x_i − x̄. An estimator of two samples of n and m items
    (``≈ Σψ_i/n + Σφ_j/m``) passes all N = n + m values, rescaled: ψ_i·N/n and φ_j·N/m.
    The result is ``sqrt(G/(G−1) · Σ_c (Σ_{i∈c} ψ_i)²) / n`` over G clusters (Liang & Zeger 1986);
    values are not centred again.

    Args:
        influence: ψ, one per trial, in the unit of the estimate.
        clusters: One label per trial.

    Returns:
        The standard error, in the unit of the estimate; None when there is one cluster.

    Raises:
        ValueError: If influence is empty or not finite, or lengths differ.
    """
    totals = cluster_totals("influence", influence, clusters)
    groups = len(totals)
    if groups == 1:
        return None
    squares = math.fsum(total * total for total, _ in totals)
    return math.sqrt(squares * groups / (groups - 1)) / len(clusters)


def normal_interval(
    value: float, se: float | None, n: int, clusters: int, level: float = 0.95
) -> Interval:
    """Symmetric normal interval, value ± z·se.

    Args:
        value: The estimate.
        se: Its standard error; None, where it could not be formed, gives an interval without ends.
        n: Number of trials.
        clusters: Number of clusters.
        level: Coverage wanted.

    Raises:
        ValueError: If value or se is not finite, se is negative, or level is outside (0, 1).
    """
    z = normal_quantile(level)
    if not math.isfinite(value):
        raise ValueError(f"value must be finite, got {value}")
    if se is None:
        return Interval(value, None, None, n, clusters)
    if not (math.isfinite(se) and se >= 0.0):
        raise ValueError(f"se must be finite and not negative, got {se}")
    return Interval(value, value - z * se, value + z * se, n, clusters)


def share_interval(
    value: float, se: float | None, n: int, clusters: int, level: float = 0.95
) -> Interval:
    """Interval of a share that is no plain mean, such as an area under a ROC curve.

    ``value ± z·se`` where that stays in [0, 1]; else the same on the logit scale, whose ends do
    (se there is ``se / (value·(1 − value))``); at 0 or 1, where se says nothing, Wilson's interval
    of as many equal clusters.

    Args:
        value: The estimate, in [0, 1].
        se: Its standard error; None, where it could not be formed, gives an interval without ends.
        n: Number of trials.
        clusters: Number of clusters.
        level: Coverage wanted.

    Raises:
        ValueError: If value is not in [0, 1], se is negative or not finite, or level is outside
            (0, 1).
    """
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a share must be in [0, 1], got {value}")
    plain = normal_interval(value, se, n, clusters, level)
    if se is None or plain.low is None or plain.high is None:
        return plain
    if value in (0.0, 1.0):
        edge = wilson(int(value) * clusters, clusters, level)
        return Interval(value, edge.low, edge.high, n, clusters)
    if plain.low >= 0.0 and plain.high <= 1.0:
        return plain
    middle, half = logit(value), normal_quantile(level) * se / (value * (1.0 - value))
    return Interval(value, float(expit(middle - half)), float(expit(middle + half)), n, clusters)
