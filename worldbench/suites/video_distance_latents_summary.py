"""From rows of read-out features to metrics: ``video_distance`` of predictors of latents."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row, Summary
from worldbench.suites.video_distance_estimators import Estimator, Sets
from worldbench.suites.video_distance_readout import readout_label
from worldbench.suites.video_distance_summary import FRAME_METRICS, FRAMES, kept_rows

_KEPT = ("trial", "cluster", "role", "sample", "readout_error")


def summarise_latents(
    rows: Sequence[Row], reference: Sequence[Clip], card: ExtractorCard, estimator: Estimator
) -> Summary:
    """Turns rows of read-out features into metrics and kept rows.

    What needs pixels is skipped with the reason. The distances have a column of their own and are
    not ranked: each adapter is read by its own read-out. Beside them: what the read-out makes of
    the true futures (``path``: ``ceiling``, disjoint real clips) and of still ones (``floor``), and
    how much of the features it reads off clips it was not fitted on; if nothing, there is no
    distance to tell.
    """
    reference, real = read_reference(rows, reference)
    label = readout_label(card)
    kept = kept_rows(rows, _KEPT, reference)
    metrics = _without_pixels(card, label, estimator)
    metrics += read_distances(rows, (reference, real), label, estimator, kept=kept)
    return Summary(tuple(metrics), tuple(kept))


def read_reference(
    rows: Sequence[Row], reference: Sequence[Clip]
) -> tuple[list[Clip], Float[Tensor, "m k"]]:
    """Returns the reference clips that were read together with rows, in their own order."""
    read = {str(row["reference_clip"]): row["reference"] for row in rows}
    clips = [clip for clip in reference if clip.id in read]
    return clips, torch.tensor([read[clip.id] for clip in clips], dtype=torch.float64)


def read_distances(
    rows: Sequence[Row],
    real: tuple[list[Clip], Float[Tensor, "m k"]],
    label: str,
    estimator: Estimator,
    *,
    column: str = "features",
    kept: list[Row] | None = None,
) -> list[MetricResult]:
    """Measures what was read off latents: of the model, of the true futures and of still ones.

    Args:
        rows: One per trial; ``column`` holds what was read off the model's latents.
        real: The reference, clips and what was read off theirs.
        label: What the space is called.
        estimator: Which distances.
        column: Of the rows.
        kept: Rows that take up influence values.
    """
    paths: tuple[tuple[str, dict[str, Scalar]], ...] = (
        (column, {}),
        ("ceiling", {"path": "ceiling"}),
        ("floor", {"path": "floor"}),
    )
    first = rows[0]
    r2 = float(first["readout_r2"])
    metrics = []
    for name, path in paths:
        factors = {"extractor": label, **path}
        if r2 > 0:
            sets = Sets.of(rows, name, *real)
            metrics += estimator(sets, factors, headline=False, kept=None if path else kept)
        else:
            why = f"the read-out finds nothing in these latents: R² {r2:.3f} on clips held out"
            metrics += _skipped(factors, dict.fromkeys(estimator.units, why), estimator, ranked=())
    explained = MetricResult(
        name="readout_r2",
        factors={"extractor": label, "clips": "training, held out in turn"},
        value=r2,
        n=first["readout_clips"],
        clusters=first["readout_clusters"],
        higher_is_better=True,
    )
    return [*metrics, explained]


def _without_pixels(card: ExtractorCard, label: str, estimator: Estimator) -> list[MetricResult]:
    why = "it foresees latents, not pixels"
    seen = {name: f"{why}: see {name}[{label}]" for name in estimator.units}
    skipped = _skipped({"extractor": card.label}, seen, estimator, ranked=estimator.ranked)
    return skipped + [
        MetricResult(
            name=name,
            factors=factors,
            unit=unit,
            higher_is_better=True,
            status="skipped",
            reason=why,
        )
        for name, unit in FRAME_METRICS
        for _, factors in FRAMES
    ]


def _skipped(
    factors: dict[str, Scalar],
    reasons: dict[str, str],
    estimator: Estimator,
    ranked: Sequence[str],
) -> list[MetricResult]:
    return [
        MetricResult(
            name=name,
            factors=factors,
            unit=estimator.units[name],
            higher_is_better=False,
            headline=name in ranked,
            status="skipped",
            reason=why,
        )
        for name, why in reasons.items()
    ]
