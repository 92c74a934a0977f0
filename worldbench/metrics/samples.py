"""Two samples of features, with the clusters that say which rows are not independent.

The Fréchet and the kernel distance ask the same of their data: float64, finite, equal width, one
cluster numbering over both sets (a rollout and the real future of the same clip share a cluster),
random halves that keep clusters whole, and an interval from influence values summed by cluster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import stdtrit
from torch import Tensor

from worldbench.errors import DataError

MIN_CLUSTERS = 8
"""Below this many clusters in either set a clustered standard error is not worth printing."""

Labels = Sequence[str] | Sequence[int] | Int[Tensor, " _"]


@dataclass(frozen=True, slots=True)
class TwoSamples:
    """Two checked sets of features under one cluster numbering.

    Attributes:
        x: Features of the rollouts, float64.
        y: Features of the real clips (the reference), float64.
        cluster_x: Cluster of every row of ``x``, in ``0 … clusters-1``.
        cluster_y: The same for ``y``; equal numbers are equal clusters.
        clusters: Number of clusters over both sets.
    """

    x: Float[Tensor, "n d"]
    y: Float[Tensor, "m d"]
    cluster_x: Int[Tensor, " n"]
    cluster_y: Int[Tensor, " m"]
    clusters: int

    @property
    def smallest_count(self) -> int:
        """Number of distinct clusters in the set that has fewer of them."""
        return min(len(set(labels.tolist())) for labels in (self.cluster_x, self.cluster_y))

    def totals(
        self, psi_x: Float[Tensor, " n"], psi_y: Float[Tensor, " m"]
    ) -> Float[Tensor, " clusters"]:
        """Adds ψx/n and ψy/m up by cluster."""
        totals = self.x.new_zeros(self.clusters)
        totals.index_add_(0, self.cluster_x, psi_x / len(psi_x))
        return totals.index_add_(0, self.cluster_y, psi_y / len(psi_y))

    def variance(self, psi_x: Float[Tensor, " n"], psi_y: Float[Tensor, " m"]) -> float:
        """First-order variance of an estimate from its influence values.

        With *estimate − θ ≈ mean ψx + mean ψy* it is the sum over clusters of
        (Σψx/n + Σψy/m)², times C/(C−1).
        """
        totals = self.totals(psi_x, psi_y)
        return float(totals.square().sum()) * self.clusters / max(self.clusters - 1, 1)

    def half(self, generator: torch.Generator) -> Bool[Tensor, " clusters"]:
        """Draws a random half of the clusters, balanced in rows of ``x`` and of ``y``.

        Clusters of equal size are shuffled, paired, and each pair is parted by a coin.

        Returns:
            True for the clusters of the first half.
        """
        in_x = torch.bincount(self.cluster_x, minlength=self.clusters).cpu()
        in_y = torch.bincount(self.cluster_y, minlength=self.clusters).cpu()
        size = in_x * (int(in_y.max()) + 1) + in_y
        shuffled = torch.randperm(self.clusters, generator=generator)
        order = shuffled[size[shuffled].argsort(stable=True)]
        coins = torch.rand((self.clusters + 1) // 2, generator=generator) < 0.5
        first = torch.empty(self.clusters, dtype=torch.bool)
        first[order[::2]] = coins
        first[order[1::2]] = ~coins[: self.clusters // 2]
        return first.to(self.x.device)


def two_samples(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m e"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
) -> TwoSamples:
    """Checks two sets of features and numbers their clusters together.

    Args:
        x: Features of the rollouts, any floating dtype.
        y: Features of the real clips, of the same width.
        clusters_x: Scene or source video of each row of ``x``; without it every row is its own.
        clusters_y: The same for ``y``. A label found in both sets is one cluster.

    Returns:
        The sets in float64 under one numbering, which does not depend on the order of rows.

    Raises:
        DataError: If widths differ, a set has fewer than two rows or values that are not finite,
            or there is not one label per row.
    """
    if x.shape[1] != y.shape[1]:
        raise DataError(
            "the two sets have features of different width",
            seen=f"{x.shape[1]} and {y.shape[1]}",
            fix="extract both with the same extractor",
        )
    for name, rows in (("first", x), ("second", y)):
        if len(rows) < 2:
            raise DataError(
                f"the {name} set is too small for a distance",
                seen=f"{len(rows)} sample(s)",
                accepted="at least 2 samples in each set",
            )
        bad = (~rows.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if bad:
            raise DataError(
                f"the {name} set has features that are NaN or infinite",
                seen=f"{len(bad)} of {len(rows)} rows, first at {bad[:5]}",
                fix="look at these clips and at the extractor's precision",
            )
    labels_x, labels_y = _labels(clusters_x, len(x), "x"), _labels(clusters_y, len(y), "y")
    number = {label: i for i, label in enumerate(sorted({*labels_x, *labels_y}))}
    return TwoSamples(
        x=x.double(),
        y=y.double(),
        cluster_x=torch.tensor([number[label] for label in labels_x], device=x.device),
        cluster_y=torch.tensor([number[label] for label in labels_y], device=x.device),
        clusters=len(number),
    )


def _labels(clusters: Labels | None, rows: int, name: str) -> list[tuple[str, str, int | str]]:
    if clusters is None:
        return [("row", name, row) for row in range(rows)]
    values: list[int | str]
    values = clusters.tolist() if isinstance(clusters, Tensor) else list(clusters)
    if len(values) != rows:
        raise DataError(
            f"clusters_{name} must have one label per sample",
            seen=f"{len(values)} labels for {rows} samples",
        )
    # 7 is not "7", but NumPy's 7 is Python's.
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    return [("cluster", type(value).__name__, value) for value in plain]


@dataclass(frozen=True, slots=True)
class Span:
    """An estimate's standard error and its 95 % interval; all ``None`` where undefined."""

    standard_error: float | None = None
    low: float | None = None
    high: float | None = None


def error_bar(centre: float, first: float, second: float, clusters: int) -> Span:
    """A 95 % interval for a distance that may be degenerate.

    A squared distance has a first-order variance that vanishes as the two distributions meet; what
    is left is the variance of a quadratic form. The plug-in first-order variance exceeds the true
    one by twice that second-order part on average, so the larger of the two is used: it is safe at
    P = Q and, away from it, equal to the usual standard error.

    Args:
        centre: The (nearly) unbiased estimate on which the interval is centred.
        first: Plug-in variance from influence values, :meth:`TwoSamples.variance`.
        second: Variance of the quadratic term, 2 tr V², V the covariance of the mean difference.
        clusters: Number of clusters in the smaller set; Student's t has one degree less.
    """
    error = math.sqrt(max(first, second))
    reach = float(stdtrit(clusters - 1, 0.975)) * error
    return Span(error, centre - reach, centre + reach)
