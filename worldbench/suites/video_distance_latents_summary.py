"""From rows of read-out features to metrics: ``video_distance`` of predictors of latents."""

from collections.abc import Sequence

import torch

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row, Summary
from worldbench.suites.video_distance_readout import readout_label
from worldbench.suites.video_distance_summary import (
    FRAME_METRICS,
    FRAMES,
    UNITS,
    Sets,
    distances,
    kept_rows,
)

_KEPT = ("trial", "cluster", "role", "sample", "readout_error")
_RANKED = ("frechet_inf", "kernel")


def summarise_latents(
    rows: Sequence[Row], reference: Sequence[Clip], card: ExtractorCard
) -> Summary:
    """Turns rows of read-out features into metrics and kept rows.

    What needs pixels is skipped with the reason. The distances have a column of their own and are
    not ranked: each adapter is read by its own read-out. Beside them: what the read-out makes of
    the true futures (``path``: ``ceiling``, disjoint real clips) and of still ones (``floor``), and
    how much of the features it reads off clips it was not fitted on; if nothing, there is no
    distance to tell.
    """
    # A clip of each side was read together; the reference keeps its own order.
    read = {str(row["reference_clip"]): row["reference"] for row in rows}
    reference = [clip for clip in reference if clip.id in read]
    real = torch.tensor([read[clip.id] for clip in reference], dtype=torch.float64)
    label = readout_label(card)
    kept = kept_rows(rows, _KEPT, reference)
    metrics = _without_pixels(card, label)
    paths: tuple[tuple[str, dict[str, Scalar]], ...] = (
        ("features", {}),
        ("ceiling", {"path": "ceiling"}),
        ("floor", {"path": "floor"}),
    )
    first = rows[0]
    r2 = float(first["readout_r2"])
    for column, path in paths:
        factors = {"extractor": label, **path}
        if r2 > 0:
            sets = Sets.of(rows, column, reference, real)
            metrics += distances(sets, factors, headline=False, kept=None if path else kept)
        else:
            why = f"the read-out finds nothing in these latents: R² {r2:.3f} on clips held out"
            metrics += _skipped(factors, dict.fromkeys(UNITS, why), ranked=())
    explained = MetricResult(
        name="readout_r2",
        factors={"extractor": label, "clips": "training, held out in turn"},
        value=r2,
        n=first["readout_clips"],
        clusters=first["readout_clusters"],
        higher_is_better=True,
    )
    return Summary((*metrics, explained), tuple(kept))


def _without_pixels(card: ExtractorCard, label: str) -> list[MetricResult]:
    why = "it foresees latents, not pixels"
    seen = {name: f"{why}: see {name}[{label}]" for name in UNITS}
    return _skipped({"extractor": card.label}, seen, ranked=_RANKED) + [
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
    factors: dict[str, Scalar], reasons: dict[str, str], ranked: Sequence[str]
) -> list[MetricResult]:
    return [
        MetricResult(
            name=name,
            factors=factors,
            unit=UNITS[name],
            higher_is_better=False,
            headline=name in ranked,
            status="skipped",
            reason=why,
        )
        for name, why in reasons.items()
    ]
