"""Means over rows with the intervals that scenes or source videos give, and skills of means."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float64

from worldbench.schema import MetricResult, Scalar
from worldbench.stats import Skill, cluster_mean, cluster_standard_error, normal_interval, skill
from worldbench.suite import Row

Value = Callable[[Row], float | None]
Place = Callable[..., Skill]
"""Says where a value lies between a floor and a ceiling: :func:`worldbench.stats.skill`, or a
stricter rule with its arguments."""


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
    absent: str = "no trial of this kind was asked",
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
        absent: Why there is none where there are no rows.
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
        why = "no trial has such a value" if rows else absent
        return MetricResult(**common, status="skipped", reason=why)
    values, clusters = np.array([v for v, _ in told]), [c for _, c in told]
    found = cluster_mean(values, clusters, bounded=bounded)
    return MetricResult(**common, **asdict(found), reason=reason)


def mean_row(samples: Sequence[Row]) -> Row:
    """Returns the mean of rows of numbers; None wherever one of them has none."""
    found: Row = {}
    for name in samples[0]:
        values = [row[name] for row in samples]
        found[name] = None if None in values else math.fsum(values) / len(values)
    return found


def skill_between(
    model: Float64[np.ndarray, " n"],
    floor: Float64[np.ndarray, " n"],
    ceiling: Float64[np.ndarray, " n"],
    clusters: Sequence[str],
    *,
    between: str,
    place: Place = skill,
) -> dict[str, Any]:
    """Returns where a mean lies between a floor's (0) and a ceiling's (1), as fields of a metric.

    Its error follows from paired influence values of the three on the same scenes.

    Args:
        model: Values; higher is better.
        floor: Of the same trials.
        ceiling: Likewise.
        clusters: Scene or source video of each.
        between: What the floor is called where a skill is undefined.
        place: What says where a mean lies, given the standard error of ceiling − floor.
    """
    centred = [values - values.mean() for values in (model, floor, ceiling)]
    gap = float(ceiling.mean() - floor.mean())
    error = cluster_standard_error(centred[2] - centred[1], clusters)
    placed = place(
        float(model.mean()), float(floor.mean()), float(ceiling.mean()), standard_error=error
    )
    counts = {"n": len(model), "clusters": len(set(clusters))}
    if placed.value is not None and gap < 0:
        worse = f"{float(ceiling.mean()):.4g}) is worse than the floor ({float(floor.mean()):.4g})"
        placed = Skill(None, f"the ceiling ({worse}")
    if placed.value is None:
        why = f"undefined between {between} and the real future: {placed.reason}"
        return {"status": "skipped", "reason": why, **counts}
    influence = (centred[0] - centred[1] - placed.value * (centred[2] - centred[1])) / gap
    found = normal_interval(
        placed.value, cluster_standard_error(influence, clusters), len(model), counts["clusters"]
    )
    return {"value": found.value, "low": found.low, "high": found.high, **counts}
