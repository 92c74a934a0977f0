"""JEDi, the JEPA Embedding Distance: a quadratic kernel distance in V-JEPA features.

Luo et al. 2024 (arXiv 2410.05203): squared maximum mean discrepancy with the kernel (a·b / D)²,
times 100. The published code takes means over all pairs, those of a clip with itself among them,
which adds a bias of E k(x, x)/n − E k(x, x′)/n of either set; the unbiased estimate beside it
leaves them out and alone has an interval. The two have names of their own and never mix.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.features import Extractor, FeatureMetric
from worldbench.metrics.kernel import kernel_report
from worldbench.metrics.polynomial import PairMeans, PolynomialKernel
from worldbench.metrics.samples import Labels, TwoSamples, two_samples

KERNEL = PolynomialKernel(degree=2, gamma=None, coef0=0.0)
"""γ = 1/D, no offset."""

SCALE = 100.0
"""What published values are multiplied by."""


def jedi_distance(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, unbiased: bool = False
) -> float:
    """JEDi of two sets of features.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        unbiased: Leave out pairs of a clip with itself. The default is the published estimate.

    Returns:
        100 × the squared kernel distance; ≥ 0 as published, of either sign when unbiased.

    Raises:
        DataError: If widths differ, a set has fewer than two rows, or values are not finite.
    """
    sets = two_samples(x, y)
    means = PairMeans.of(sets, KERNEL)
    return SCALE * (means.distance if unbiased else _with_own_pairs(sets, means))


def _with_own_pairs(sets: TwoSamples, means: PairMeans) -> float:
    """Puts the pairs of a row with itself back into the means within either set."""
    value = means.distance
    for rows, within in ((sets.x, means.grand[0, 0]), (sets.y, means.grand[1, 1])):
        own = (rows.square().mean(dim=1) ** KERNEL.degree).mean()
        value += float(own - within) / len(rows)
    return value


@dataclass(frozen=True, slots=True)
class JEDiReport:
    """JEDi with what is needed to judge it, all × 100.

    Attributes:
        value: The published, biased estimate.
        unbiased: Without pairs of a clip with itself, nor of one cluster with itself.
        standard_error: Clustered standard error of ``unbiased``.
        low: Lower end of its 95 % interval.
        high: Upper end.
        reason: Why there is no interval.
        n: Rollouts.
        m: Real clips.
        dim: Width D of the features.
        clusters: Clusters in the set that has fewer.
        card: Label of the extractor card.
    """

    value: float
    unbiased: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str | None
    n: int
    m: int
    dim: int
    clusters: int
    card: str | None


def jedi_report(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
    *,
    card: ExtractorCard | None = None,
) -> JEDiReport:
    """JEDi with the unbiased estimate and its clustered 95 % interval for the population value.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        clusters_x: Scene or source video of each row of ``x``; by default each row is its own.
        clusters_y: The same for ``y``; a label found in both sets is one cluster.
        card: Identity of the features.

    Raises:
        DataError: As :func:`jedi_distance`.
    """
    found = kernel_report(x, y, clusters_x, clusters_y, kernel=KERNEL, card=card)

    def scaled(value: float | None) -> float | None:
        return None if value is None else SCALE * value

    return JEDiReport(
        value=jedi_distance(x, y),
        unbiased=scaled(found.between_clusters),
        standard_error=scaled(found.standard_error),
        low=scaled(found.low),
        high=scaled(found.high),
        reason=found.reason,
        n=found.n,
        m=found.m,
        dim=found.dim,
        clusters=found.clusters,
        card=found.card,
    )


class JEPAEmbeddingDistance(FeatureMetric):
    """JEDi between rollouts and real clips, as a ``torchmetrics.Metric``.

    ``compute()`` is the published, biased estimate × 100; ``report()`` adds the unbiased one with
    its interval.

    Args:
        extractor: Maps a video to V-JEPA features. Without it ``update`` takes features.
        unbiased: Let ``compute()`` leave out pairs of a clip with itself.
        **kwargs: As for :class:`worldbench.metrics.features.FeatureMetric`.
    """

    def __init__(
        self, extractor: Extractor | None = None, *, unbiased: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(extractor, **kwargs)
        self.unbiased = unbiased

    def compute(self) -> Float[Tensor, ""]:
        """JEDi, float64 ``[]``."""
        rollout, real = self.collect()
        value = jedi_distance(rollout.features, real.features, unbiased=self.unbiased)
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def report(self) -> JEDiReport:
        """JEDi, its unbiased twin with interval, sizes and card."""
        with self.synced():
            rollout, real = self.collect()
        return jedi_report(
            rollout.features, real.features, rollout.clusters, real.clusters, card=self.card
        )
