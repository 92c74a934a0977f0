"""From rows to metrics: the statistics of ``video_distance``."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row, Summary
from worldbench.suites.means import mean_of
from worldbench.suites.video_distance_estimators import Estimator, Sets

FRAME_METRICS = (("psnr", "dB"), ("ssim", ""))
"""Metrics of single frames, and their units."""

FRAMES: tuple[tuple[str, dict[str, Scalar]], ...] = (
    ("", {}),
    ("_first", {"frame": "first"}),
    ("_last", {"frame": "last"}),
)
"""Over which frames they are taken: the suffix of the rows' column, and the factors."""

_KEPT = ("trial", "cluster", "role", "sample", "psnr", "ssim")


def summarise(
    rows: Sequence[Row],
    reference: Sequence[Clip],
    reference_features: Float[Tensor, "m ..."],
    card: ExtractorCard,
    estimator: Estimator,
) -> Summary:
    """Turns rollout rows and the reference's features into metrics and kept rows."""
    kept = kept_rows(rows, _KEPT, reference)
    sets = Sets.of(rows, "features", reference, reference_features)
    measured = estimator(sets, {"extractor": card.label}, headline=True, kept=kept)
    return Summary((*measured, *_frame_metrics(rows)), tuple(kept))


def kept_rows(rows: Sequence[Row], names: Sequence[str], reference: Sequence[Clip]) -> list[Row]:
    """Returns the rows of the record: some columns of the rollouts, then the reference."""
    return [{name: row[name] for name in names} for row in rows] + [
        {"trial": clip.id, "cluster": clip.cluster, "role": "reference", "sample": 0}
        for clip in reference
    ]


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
