"""The Fréchet distance as a metric that is fed in batches, in several processes, without end."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics.block_frechet import TwoBlockSets
from worldbench.metrics.capped_features import CappedFeatureMetric
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.features import Extractor
from worldbench.metrics.frechet import NO_ERROR, FrechetReport, frechet_distance, frechet_report
from worldbench.metrics.samples import Span


class FrechetVideoDistance(CappedFeatureMetric):
    """Fréchet distance between rollouts and real clips, as a ``torchmetrics.Metric``.

    ``compute()`` is FD_n, a float64 scalar; ``report()`` adds FD∞, its interval and the noise
    floor. State, ids and clusters: :class:`worldbench.metrics.features.FeatureMetric`. Above
    ``rows`` rows of a set it keeps moments in blocks, and the blocks are the report's clusters:
    :class:`worldbench.metrics.capped_features.CappedFeatureMetric`.

    Args:
        extractor: Maps a video to features. Without it ``update`` takes features.
        ddof: Covariances of FD_n divide by n − ddof: 1, or 0 as some presets have it.
        **kwargs: As for :class:`worldbench.metrics.capped_features.CappedFeatureMetric`.

    Example:
        >>> import torch
        >>> metric = FrechetVideoDistance()
        >>> features = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        >>> metric.update(features, real=True)
        >>> metric.update(features + 1, real=False)
        >>> round(float(metric.compute()), 5)
        4.0
    """

    def __init__(self, extractor: Extractor | None = None, *, ddof: int = 1, **kwargs: Any) -> None:
        super().__init__(extractor, **kwargs)
        self.ddof = ddof

    def compute(self) -> Float[Tensor, ""]:
        """FD_n in squared feature units, float64 ``[]``."""
        blocks = self.blocks()
        if blocks is not None:
            value = blocks.distance(self.ddof)
        else:
            rollout, real = self.collect()
            value = frechet_distance(rollout.features, real.features, ddof=self.ddof)
        return torch.tensor(value, dtype=torch.float64, device=self.device)

    def report(self) -> FrechetReport:
        """The distance with FD∞, interval, sizes, rank, noise floor and card."""
        with self.synced():
            blocks = self.blocks()
            if blocks is not None:
                return _block_report(blocks, self.card, self.seed, self.ddof)
            rollout, real = self.collect()
        return frechet_report(
            rollout.features,
            real.features,
            rollout.clusters,
            real.clusters,
            card=self.card,
            seed=self.seed,
            ddof=self.ddof,
        )


def _block_report(
    sets: TwoBlockSets, card: ExtractorCard | None, seed: int, ddof: int
) -> FrechetReport:
    """:func:`worldbench.metrics.frechet.frechet_report` from moments."""
    limit, rank, (n, m) = sets.infinity(seed), sets.rank(), sets.sizes
    whole = rank == sets.dim
    span, reason = (sets.span(limit) if whole else Span()), limit.reason
    if limit.value is not None and not whole:
        reason = NO_ERROR.format(rank=rank, dim=sets.dim)
    return FrechetReport(
        value=sets.distance(ddof),
        infinity=limit.value,
        standard_error=span.standard_error,
        low=span.low,
        high=span.high,
        reason=reason,
        n=n,
        m=m,
        dim=sets.dim,
        rank=rank,
        clusters=sets.blocks,
        noise_floor=sets.noise_floor(seed),
        card=card.label if card else None,
    )
