"""Kernel distance (squared maximum mean discrepancy) between two sets of features.

KID for images (Bińkowski et al. 2018) averages over random subsets; the full U-statistic costs one
pass over all pairs, has no randomness and the smallest variance. It is unbiased at every n, which
makes it the distance to read when there are too few clips for a Fréchet distance.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.features import Extractor, FeatureMetric
from worldbench.metrics.polynomial import PairMeans, PolynomialKernel, second_order_variance
from worldbench.metrics.samples import MIN_CLUSTERS, Labels, Span, error_bar, two_samples


def kernel_distance(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> float:
    """Unbiased squared maximum mean discrepancy with a polynomial kernel.

    Mean of k over all pairs i ≠ j within x, plus the same within y, minus twice the mean over all
    pairs between them (Gretton et al. 2012, eq. 3), for any n and m, in float64 and in blocks.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        degree: Degree of the kernel; the defaults are KID's.
        gamma: Scale of the dot product; ``None`` is 1/D.
        coef0: Offset.

    Returns:
        The distance; around zero, of either sign, when the distributions coincide.

    Raises:
        DataError: If widths differ, a set has fewer than two rows, or values are not finite.
        UsageError: If the kernel is not positive definite.
    """
    return PairMeans.of(two_samples(x, y), PolynomialKernel(degree, gamma, coef0)).distance


def kernel_influence(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """How much each sample moves the kernel distance: its Hájek projection.

    In the convention *estimate − θ ≈ mean ψx + mean ψy*: ψx = 2(E k(x, X′) − E k(x, Y)), centred,
    and ψy with the roles exchanged. Differences of ψ between two adapters give paired tests.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        clusters_x: Cluster of each row of ``x``, as for :func:`kernel_report`: pairs within a
            cluster are left out.
        clusters_y: The same for ``y``.
        degree: Degree of the kernel.
        gamma: Scale of the dot product; ``None`` is 1/D.
        coef0: Offset.

    Returns:
        ψ of every row of ``x`` and of every row of ``y``; both have mean zero.

    Raises:
        DataError: As :func:`kernel_distance`.
        UsageError: As :func:`kernel_distance`.
    """
    sets = two_samples(x, y, clusters_x, clusters_y)
    return PairMeans.of(sets, PolynomialKernel(degree, gamma, coef0)).influence


@dataclass(frozen=True, slots=True)
class KernelReport:
    """A kernel distance with what is needed to judge it.

    Attributes:
        value: The full U-statistic.
        between_clusters: The same over pairs from different clusters only, which stays unbiased
            when rows of a cluster depend on each other; without clusters it is ``value``.
        standard_error: Clustered standard error of ``between_clusters``.
        low: Lower end of its 95 % interval.
        high: Upper end.
        reason: Why there is no interval.
        n: Rollouts.
        m: Real clips.
        dim: Width D of the features.
        clusters: Clusters in the set that has fewer.
        kernel: The kernel.
        card: Label of the extractor card.
    """

    value: float
    between_clusters: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str | None
    n: int
    m: int
    dim: int
    clusters: int
    kernel: PolynomialKernel
    card: str | None


def kernel_report(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
    *,
    kernel: PolynomialKernel | None = None,
    card: ExtractorCard | None = None,
) -> KernelReport:
    """Kernel distance with a clustered 95 % interval for the population value.

    The squared standard error is the larger of the first-order variance (Hájek projection, summed
    by cluster) and the second-order one, which alone remains when the distributions coincide; see
    :func:`worldbench.metrics.samples.error_bar`. In simulations with 50 to 100 samples the nominal
    95 % interval covered the population value in 99–100 % of runs for equal distributions and in
    92–97 % for distinct ones, clustered or not.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        clusters_x: Scene or source video of each row of ``x``; by default each row is its own.
        clusters_y: The same for ``y``; a label found in both sets is one cluster.
        kernel: The kernel; degree 3, γ = 1/D, c₀ = 1 by default.
        card: Identity of the features.

    Returns:
        The report; fewer than 8 clusters in a set leave the interval ``None`` with a reason, and
        a single cluster ``between_clusters`` as well.

    Raises:
        DataError: As :func:`kernel_distance`.
    """
    kernel = kernel or PolynomialKernel()
    sets = two_samples(x, y, clusters_x, clusters_y)
    clusters, span, reason = sets.smallest_count, Span(), None
    means = PairMeans.of(sets, kernel) if clusters > 1 else None
    if means is None or clusters < MIN_CLUSTERS:
        reason = f"only {clusters} clusters in a set, {MIN_CLUSTERS} needed"
    else:
        first = sets.variance(*means.influence)
        second = second_order_variance(sets, kernel, means)
        span = error_bar(means.distance, first, second, clusters)
    return KernelReport(
        value=PairMeans.of(two_samples(x, y), kernel).distance,
        between_clusters=means.distance if means is not None else None,
        standard_error=span.standard_error,
        low=span.low,
        high=span.high,
        reason=reason,
        n=len(x),
        m=len(y),
        dim=x.shape[1],
        clusters=clusters,
        kernel=kernel,
        card=card.label if card else None,
    )


class KernelVideoDistance(FeatureMetric):
    """Kernel distance between rollouts and real clips, as a ``torchmetrics.Metric``.

    ``compute()`` is the full U-statistic, a float64 scalar; ``report()`` adds the interval.

    Args:
        extractor: Maps a video to features. Without it ``update`` takes features.
        kernel: The kernel; degree 3, γ = 1/D, c₀ = 1 by default.
        **kwargs: As for :class:`worldbench.metrics.features.FeatureMetric`.
    """

    def __init__(
        self,
        extractor: Extractor | None = None,
        *,
        kernel: PolynomialKernel | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(extractor, **kwargs)
        self.kernel = kernel or PolynomialKernel()

    def compute(self) -> Float[Tensor, ""]:
        """Unbiased squared MMD, float64 ``[]``."""
        rollout, real = self.collect()
        sets = two_samples(rollout.features, real.features)
        value = PairMeans.of(sets, self.kernel).distance
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def report(self) -> KernelReport:
        """The distance with its interval, sizes, kernel and card."""
        with self.synced():
            rollout, real = self.collect()
        return kernel_report(
            rollout.features,
            real.features,
            rollout.clusters,
            real.clusters,
            kernel=self.kernel,
            card=self.card,
        )
