"""From per-trial scores to ranks: compare all pairs, adjust over the whole family, count losses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from worldbench.stats.significance import holm, paired_differences, sign_flip


@dataclass(frozen=True)
class Comparison:
    """Two adapters on one metric.

    Attributes:
        a: First adapter.
        b: Second adapter.
        metric: Name of the metric, with its factors where they matter.
        difference: Score of a minus score of b.
        p: Two-sided p of the difference, unadjusted.
        adjusted: p adjusted for the family; None until :func:`adjust` has seen the whole family.
        n: Number of shared trials.
        clusters: Number of clusters they came from.
        higher_is_better: Direction of the metric.
    """

    a: str
    b: str
    metric: str
    difference: float
    p: float
    adjusted: float | None
    n: int
    clusters: int
    higher_is_better: bool

    @property
    def better(self) -> str | None:
        """The adapter with the better score, significant or not; None if they are equal."""
        if self.difference == 0.0:
            return None
        return self.a if (self.difference > 0.0) == self.higher_is_better else self.b


def pairwise(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str],
    *,
    metric: str,
    higher_is_better: bool,
    draws: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
    """Compares every pair of adapters on the trials both answered, by cluster sign-flip.

    Args:
        scores: Adapter → trial id → score.
        clusters: Cluster by trial id.
        metric: Name of the metric.
        higher_is_better: Its direction.
        draws: Draws of :func:`worldbench.stats.sign_flip`.
        seed: Seed of the draws.

    Returns:
        One comparison per pair, adapters in sorted order, ``adjusted`` still None. A pair without
        shared trials cannot be compared and is left out.

    Raises:
        ValueError: If a shared trial has no cluster, or a score is not finite.
    """
    comparisons = []
    for a, b in combinations(sorted(scores), 2):
        trials, differences = paired_differences(scores[a], scores[b])
        if not trials:
            continue
        missing = [trial for trial in trials if trial not in clusters]
        if missing:
            raise ValueError(f"clusters has no cluster for trial {missing[0]!r}")
        labels = [clusters[trial] for trial in trials]
        p = sign_flip(differences, labels, draws=draws, seed=seed)
        mean = math.fsum(differences) / len(trials)
        comparisons.append(
            Comparison(a, b, metric, mean, p, None, len(trials), len(set(labels)), higher_is_better)
        )
    return comparisons


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Fills ``adjusted`` by Holm over everything given: all adapter pairs × headline metrics.

    Args:
        comparisons: The whole family, any number of metrics.

    Returns:
        The same comparisons in the same order.

    Raises:
        ValueError: If some p is not in [0, 1].
    """
    adjusted = holm(np.array([comparison.p for comparison in comparisons], dtype=np.float64))
    return [
        replace(comparison, adjusted=float(p))
        for comparison, p in zip(comparisons, adjusted, strict=True)
    ]


def ranks(
    names: Sequence[str], comparisons: Sequence[Comparison], alpha: float = 0.05
) -> dict[str, int]:
    """Ranks adapters on one metric: 1 + the number of adapters significantly better.

    Adapters that cannot be told apart share a rank, and so do those never compared; show coverage
    beside ranks.

    Args:
        names: The adapters to rank.
        comparisons: Adjusted comparisons of one metric among them.
        alpha: A difference is significant if its adjusted p ≤ alpha.

    Returns:
        Rank by adapter.

    Raises:
        ValueError: If comparisons are not adjusted, mix metrics or name an unknown adapter.
    """
    metrics = sorted({comparison.metric for comparison in comparisons})
    if len(metrics) > 1:
        raise ValueError(f"comparisons mix metrics {metrics}; rank one metric at a time")
    better_than: dict[str, set[str]] = {name: set() for name in names}
    for comparison in comparisons:
        for name in (comparison.a, comparison.b):
            if name not in better_than:
                raise ValueError(f"comparisons name {name!r}, which is not among names")
        if comparison.adjusted is None:
            raise ValueError("comparisons are not adjusted; pass them through adjust first")
        winner = comparison.better
        if winner is not None and comparison.adjusted <= alpha:
            loser = comparison.b if winner == comparison.a else comparison.a
            better_than[loser].add(winner)
    return {name: 1 + len(winners) for name, winners in better_than.items()}


def rank_adapters(
    scores: Mapping[str, Mapping[str, float]],
    clusters: Mapping[str, str],
    *,
    metric: str,
    higher_is_better: bool,
    alpha: float = 0.05,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[dict[str, int], list[Comparison]]:
    """Ranks adapters on a metric that is a family by itself: pairwise, adjust, ranks.

    Several headline metrics form one family: call :func:`pairwise` for each, :func:`adjust` once
    on all, then :func:`ranks` for each.

    Args:
        scores: Adapter → trial id → score.
        clusters: Cluster by trial id.
        metric: Name of the metric.
        higher_is_better: Its direction.
        alpha: Significance threshold on adjusted p.
        draws: Draws of each test.
        seed: Seed of the draws.

    Returns:
        Rank by adapter, and the adjusted comparisons.

    Raises:
        ValueError: As :func:`pairwise`.
    """
    compared = pairwise(
        scores, clusters, metric=metric, higher_is_better=higher_is_better, draws=draws, seed=seed
    )
    comparisons = adjust(compared)
    return ranks(sorted(scores), comparisons, alpha), comparisons
