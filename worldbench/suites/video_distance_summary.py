"""From rows to metrics: the statistics of ``video_distance``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frechet import frechet_influence, frechet_report
from worldbench.metrics.gaussian import SAMPLES_PER_DIM
from worldbench.metrics.kernel import kernel_influence, kernel_report
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row, Summary
from worldbench.suites.means import mean_of

FRAME_METRICS = (("psnr", "dB"), ("ssim", ""))
"""Metrics of single frames, and their units."""

FRAMES: tuple[tuple[str, dict[str, Scalar]], ...] = (
    ("", {}),
    ("_first", {"frame": "first"}),
    ("_last", {"frame": "last"}),
)
"""Over which frames they are taken: the suffix of the rows' column, and the factors."""

UNITS = {
    "frechet_inf": "squared feature units",
    "frechet": "squared feature units",
    "kernel": "squared MMD",
}
"""The distances, in the order of the record, and their units."""

_KEPT = ("trial", "cluster", "role", "sample", "psnr", "ssim")


@dataclass(frozen=True)
class Sets:
    """Two sets of clips to compare.

    Attributes:
        rollouts: Features of one side.
        reference: Features of the other.
        clusters: Source video of each rollout.
        reference_clusters: The same for the reference.
    """

    rollouts: Float[Tensor, "n k"]
    reference: Float[Tensor, "m k"]
    clusters: list[str]
    reference_clusters: list[str]

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        column: str,
        reference: Sequence[Clip],
        reference_features: Float[Tensor, "m k"],
    ) -> "Sets":
        """Takes one side from a column of the rows."""
        return cls(
            torch.tensor([row[column] for row in rows], dtype=torch.float64),
            reference_features,
            [str(row["cluster"]) for row in rows],
            [clip.cluster for clip in reference],
        )

    def result(self, name: str, factors: dict[str, Scalar], **found: Any) -> MetricResult:
        """Returns a metric of these sets, with what was found."""
        return MetricResult(
            name=name,
            factors=factors,
            n=len(self.rollouts),
            clusters=len({*self.clusters, *self.reference_clusters}),
            unit=UNITS[name],
            higher_is_better=False,
            **found,
        )


def summarise(
    rows: Sequence[Row],
    reference: Sequence[Clip],
    reference_features: Float[Tensor, "m k"],
    card: ExtractorCard,
) -> Summary:
    """Turns rollout rows and the reference's features into metrics and kept rows."""
    kept = kept_rows(rows, _KEPT, reference)
    sets = Sets.of(rows, "features", reference, reference_features)
    measured = distances(sets, {"extractor": card.label}, headline=True, kept=kept)
    return Summary((*measured, *_frame_metrics(rows)), tuple(kept))


def kept_rows(rows: Sequence[Row], names: Sequence[str], reference: Sequence[Clip]) -> list[Row]:
    """Returns the rows of the record: some columns of the rollouts, then the reference."""
    return [{name: row[name] for name in names} for row in rows] + [
        {"trial": clip.id, "cluster": clip.cluster, "role": "reference", "sample": 0}
        for clip in reference
    ]


def distances(
    sets: Sets, factors: dict[str, Scalar], *, headline: bool, kept: list[Row] | None
) -> list[MetricResult]:
    """Measures all distances, and writes influence values into the kept rows if there are any."""
    return [
        *_frechet(sets, factors, headline, kept),
        _kernel(sets, factors, headline, kept),
    ]


def _frechet(
    sets: Sets, factors: dict[str, Scalar], headline: bool, kept: list[Row] | None
) -> list[MetricResult]:
    report = frechet_report(sets.rollouts, sets.reference, sets.clusters, sets.reference_clusters)
    # FD_n is biased by its own n, so no interval can be put around it: it belongs to FD∞.
    plain = sets.result("frechet", factors, value=report.value, reason=report.reason)
    if report.infinity is None:
        reason = str(report.reason)
        if report.n < SAMPLES_PER_DIM * report.dim:
            reason += "; more clips, or fewer suite.components, would define it"
        limit = sets.result(
            "frechet_inf", factors, headline=headline, status="skipped", reason=reason
        )
        return [limit, plain]
    limit = sets.result(
        "frechet_inf",
        factors,
        headline=headline,
        value=report.infinity,
        low=report.low,
        high=report.high,
    )
    if report.low is not None and kept is not None:
        influence = frechet_influence(sets.rollouts, sets.reference)
        _keep_influence(kept, "frechet_inf", *influence)
    return [limit, plain]


def _kernel(
    sets: Sets, factors: dict[str, Scalar], headline: bool, kept: list[Row] | None
) -> MetricResult:
    both = (sets.rollouts, sets.reference, sets.clusters, sets.reference_clusters)
    report = kernel_report(*both)
    if report.low is not None and kept is not None:
        _keep_influence(kept, "kernel", *kernel_influence(*both))
    # Clips of one video look alike and stand in both halves: only pairs of clips from different
    # videos keep the estimate unbiased. With one clip per video it is the plain U-statistic.
    between = report.between_clusters
    return sets.result(
        "kernel",
        factors,
        value=report.value if between is None else between,
        low=report.low,
        high=report.high,
        reason=report.reason,
        headline=headline,  # unbiased at any n, so it ranks where frechet_inf is not defined
    )


def _keep_influence(kept: list[Row], metric: str, x: Tensor, y: Tensor) -> None:
    """Writes influence values into the kept rows, scaled so that estimate − θ ≈ their mean."""
    total = len(x) + len(y)
    scaled = torch.cat([x * (total / len(x)), y * (total / len(y))])
    for row, value in zip(kept, scaled.tolist(), strict=True):
        row[f"{metric}.influence"] = value


def _frame_metrics(rows: Sequence[Row]) -> list[MetricResult]:
    return [
        mean_of(
            name,
            rows,
            lambda row, column=name + suffix: float(row[column]),  # type: ignore[misc]
            factors,
            unit=unit,
            bounded=False,
        )
        for name, unit in FRAME_METRICS
        for suffix, factors in FRAMES
    ]
