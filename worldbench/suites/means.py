"""A metric that is a mean over rows, with the interval that its scenes or source videos give it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from worldbench.schema import MetricResult, Scalar
from worldbench.stats import cluster_mean
from worldbench.suite import Row

Value = Callable[[Row], float | None]


def mean_of(
    name: str,
    rows: Sequence[Row],
    value: Value,
    factors: Mapping[str, Scalar],
    *,
    headline: bool = False,
    better: bool = True,
    unit: str = "",
    bounded: bool = True,
    reason: str | None = None,
) -> MetricResult:
    """Returns a mean over rows with its clustered interval; skipped where no row has a value.

    Args:
        name: Of the metric.
        rows: What it is taken over.
        value: A row's value; None where it has none.
        factors: Of the metric.
        headline: Whether adapters are ranked on it.
        better: Whether higher is better.
        unit: Of the values.
        bounded: Whether values are confined to [0, 1].
        reason: What there is to say beside the value.
    """
    told = [(float(v), str(row["cluster"])) for row in rows if (v := value(row)) is not None]
    common = {
        "name": name,
        "factors": dict(factors),
        "unit": unit,
        "higher_is_better": better,
        "headline": headline,
    }
    if not told:
        why = "no trial of this kind was asked" if not rows else "no trial has such a value"
        return MetricResult(**common, status="skipped", reason=why)
    values, clusters = np.array([v for v, _ in told]), [c for _, c in told]
    found = cluster_mean(values, clusters, bounded=bounded)
    return MetricResult(
        **common,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        clusters=found.clusters,
        reason=reason,
    )
