"""From rows to metrics: the statistics of ``video_distance``."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frechet import frechet_influence, frechet_report
from worldbench.metrics.gaussian import SAMPLES_PER_DIM
from worldbench.metrics.kernel import kernel_influence, kernel_report
from worldbench.schema import MetricResult
from worldbench.stats import cluster_mean
from worldbench.suite import Row, Summary

_FRAME_METRICS = (("psnr", "dB"), ("ssim", ""))
_KEPT = ("trial", "cluster", "role", "sample", "psnr", "ssim")


def summarise(
    rows: Sequence[Row],
    reference: Sequence[Clip],
    reference_features: Float[Tensor, "m k"],
    card: ExtractorCard,
) -> Summary:
    """Turns rollout rows and the reference's features into metrics and kept rows."""
    rollouts = torch.tensor([row["features"] for row in rows], dtype=torch.float64)
    clusters = [str(row["cluster"]) for row in rows]
    reference_clusters = [clip.cluster for clip in reference]
    kept = [{name: row[name] for name in _KEPT} for row in rows]
    kept += [
        {"trial": clip.id, "cluster": clip.cluster, "role": "reference", "sample": 0}
        for clip in reference
    ]
    sets = (rollouts, reference_features, clusters, reference_clusters)
    metrics = [*_frechet(*sets, card, kept), _kernel(*sets, card, kept), *_frame_metrics(rows)]
    return Summary(tuple(metrics), tuple(kept))


def _frechet(
    rollouts: Float[Tensor, "n k"],
    reference: Float[Tensor, "m k"],
    clusters: list[str],
    reference_clusters: list[str],
    card: ExtractorCard,
    kept: list[Row],
) -> list[MetricResult]:
    report = frechet_report(rollouts, reference, clusters, reference_clusters, card=card)
    common = {
        "factors": {"extractor": card.label},
        "n": report.n,
        "clusters": len({*clusters, *reference_clusters}),
        "unit": "squared feature units",
        "higher_is_better": False,
    }
    # FD_n is biased by its own n, so no interval can be put around it: it belongs to FD∞.
    plain = MetricResult(name="frechet", value=report.value, reason=report.reason, **common)
    if report.infinity is None:
        reason = str(report.reason)
        if report.n < SAMPLES_PER_DIM * report.dim:
            reason += "; more clips, or fewer suite.components, would define it"
        limit = MetricResult(
            name="frechet_inf", headline=True, status="skipped", reason=reason, **common
        )
        return [limit, plain]
    limit = MetricResult(
        name="frechet_inf",
        headline=True,
        value=report.infinity,
        low=report.low,
        high=report.high,
        **common,
    )
    if report.low is not None:
        _keep_influence(kept, "frechet_inf", *frechet_influence(rollouts, reference))
    return [limit, plain]


def _kernel(
    rollouts: Float[Tensor, "n k"],
    reference: Float[Tensor, "m k"],
    clusters: list[str],
    reference_clusters: list[str],
    card: ExtractorCard,
    kept: list[Row],
) -> MetricResult:
    report = kernel_report(rollouts, reference, clusters, reference_clusters, card=card)
    if report.low is not None:
        influence = kernel_influence(rollouts, reference, clusters, reference_clusters)
        _keep_influence(kept, "kernel", *influence)
    # Clips of one video look alike and stand in both halves: only pairs of clips from different
    # videos keep the estimate unbiased. With one clip per video it is the plain U-statistic.
    between = report.between_clusters
    return MetricResult(
        name="kernel",
        factors={"extractor": card.label},
        value=report.value if between is None else between,
        low=report.low,
        high=report.high,
        n=len(rollouts),
        clusters=len({*clusters, *reference_clusters}),
        unit="squared MMD",
        higher_is_better=False,
        reason=report.reason,
        headline=True,  # unbiased at any n, so it ranks where frechet_inf is not defined
    )


def _keep_influence(kept: list[Row], metric: str, x: Tensor, y: Tensor) -> None:
    """Writes influence values into the kept rows, scaled so that estimate − θ ≈ their mean."""
    total = len(x) + len(y)
    scaled = torch.cat([x * (total / len(x)), y * (total / len(y))])
    for row, value in zip(kept, scaled.tolist(), strict=True):
        row[f"{metric}.influence"] = value


def _frame_metrics(rows: Sequence[Row]) -> list[MetricResult]:
    clusters = [str(row["cluster"]) for row in rows]
    results = []
    for name, unit in _FRAME_METRICS:
        for column, factors in (
            (name, {}),
            (f"{name}_first", {"frame": "first"}),
            (f"{name}_last", {"frame": "last"}),
        ):
            values = np.array([row[column] for row in rows], dtype=np.float64)
            mean = cluster_mean(values, clusters, bounded=False)
            results.append(
                MetricResult(
                    name=name,
                    factors=factors,
                    value=mean.value,
                    low=mean.low,
                    high=mean.high,
                    n=mean.n,
                    clusters=mean.clusters,
                    unit=unit,
                    higher_is_better=True,
                )
            )
    return results
