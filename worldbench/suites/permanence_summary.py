"""From rows to metrics: what ``permanence`` concludes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from worldbench.schema import MetricResult, Scalar, Trial
from worldbench.suite import Row, Summary
from worldbench.suites.means import mean_of, skill_between
from worldbench.suites.permanence import HEADLINE, is_headline
from worldbench.suites.permanence_measures import MEASURES
from worldbench.suites.permanence_rollouts import PATHS
from worldbench.suites.quad_summary import QuadRows

if TYPE_CHECKING:
    from worldbench.suites.permanence import Permanence

FACTORS = (
    "tier",
    "motion",
    "hidden",
    "distractors",
    "lookalike",
    "camera",
    "occluders",
    "distribution",
)
"""What the headline is broken down by; ``hidden`` in frames."""

_FLOORS = ("copy_last", "context_mean", "memoryless")

_ROLLOUT_METRICS: dict[str, tuple[str, dict[str, Scalar], str, bool, bool]] = {
    "zone": ("rollout_accuracy", {}, "", True, True),
    "emerged": ("emergence_rate", {}, "", True, True),
    "emergence_error": ("emergence_error", {}, "frames", False, False),
    "position_error": ("position_error", {}, "object diameters", False, False),
    "colour": ("identity_accuracy", {"attribute": "colour"}, "", True, True),
    "shape": ("identity_accuracy", {"attribute": "shape"}, "", True, True),
    "phantom": ("phantom_rate", {}, "", False, True),
}
"""By measure: metric, factors, unit, whether higher is better, whether confined to [0, 1]."""

assert set(_ROLLOUT_METRICS) == set(MEASURES)


def summarise(rows: Sequence[Row], trials: Mapping[str, Trial], suite: "Permanence") -> Summary:
    """Turns the rows of all trials into metrics; all rows are kept."""
    asked = [row for row in rows if row["role"] in ("rollout", "surprise")]
    read = [row for row in rows if row["role"] == "readout"]
    skipped = [row for row in rows if row["role"] == "skipped"]
    if not asked:
        first = str(skipped[0]["reason"]) if skipped else "there are no trials"
        return Summary((_unasked(f"no trial could be asked: {first}"),), tuple(rows))
    operator = next(str(row["operator"]) for row in asked if row["role"] == "rollout")
    quads = QuadRows(asked, trials, "pair_accuracy", HEADLINE, operator)
    metrics = [
        *quads.accuracies(FACTORS),
        *quads.controls(),
        *_skills(read, suite),
        *quads.operators(),
        *_rollouts(read),
        *quads.trivial(),
        _coverage(asked, skipped, trials),
    ]
    return Summary(tuple(metrics), tuple(rows))


def _unasked(reason: str) -> MetricResult:
    return MetricResult(
        name="pair_accuracy",
        factors=dict(HEADLINE),
        higher_is_better=True,
        headline=True,
        status="skipped",
        reason=reason,
    )


def _coverage(
    asked: Sequence[Row], skipped: Sequence[Row], trials: Mapping[str, Trial]
) -> MetricResult:
    """Returns the share of the headline's trials in whose run the adapter has a legal context."""
    counted = {trial.id for trial in trials.values() if is_headline(trial)}
    rows = [row for row in asked if row["role"] == "rollout" and row["trial"] in counted]
    rows += [row for row in skipped if row["trial"] in counted]
    return mean_of("asked", rows, lambda row: float(row["role"] == "rollout"), HEADLINE)


def _skills(read: Sequence[Row], suite: "Permanence") -> list[MetricResult]:
    """Returns how far rollouts tell A from D, between floor and ceiling, per space."""
    spaces = list(dict.fromkeys(str(row["space"]) for row in read))
    if not spaces:
        why = (
            "it foresees neither pixels nor latents that it encodes: there is no rollout to read"
            if suite.rollouts != 0
            else "rollouts were not asked for: suite.rollouts=0"
        )
        return [_skill_result("own", status="skipped", reason=why)]
    return [
        _skill(space, [r for r in read if r["space"] == space and r["contrast"] == "D"])
        for space in spaces
    ]


def _skill_result(space: str, **found: Any) -> MetricResult:
    return MetricResult(
        name="rollout_skill", factors={"extractor": space}, higher_is_better=True, **found
    )


def _skill(space: str, rows: Sequence[Row]) -> MetricResult:
    """Skill of A-against-D accuracy: the best floor is 0, the real future is 1.

    See :func:`worldbench.suites.means.skill_between`.
    """
    if not rows:
        return _skill_result(space, status="skipped", reason="no presence quad was rolled out")
    by_path = {name: np.array([row[f"{name}.zone"] for row in rows], float) for name in PATHS}
    clusters = [str(row["cluster"]) for row in rows]
    floor = max(_FLOORS, key=lambda name: float(by_path[name].mean()))
    told = skill_between(
        by_path["model"], by_path[floor], by_path["ceiling"], clusters, between=floor
    )
    return _skill_result(space, **told)


def _rollouts(read: Sequence[Row]) -> list[MetricResult]:
    """Returns every measure of every path, per space and contrast, and the read-outs' R²."""
    found = []
    for space in dict.fromkeys(str(row["space"]) for row in read):
        rows = [row for row in read if row["space"] == space]
        for measure, (name, own, unit, better, bounded) in _ROLLOUT_METRICS.items():
            contrasts = ("D", "B") if measure in ("zone", "phantom") else (None,)
            for contrast in contrasts:
                some = [r for r in rows if contrast is None or r["contrast"] == contrast]
                told = {**own, **({"against": contrast} if contrast else {})}
                for path in PATHS:
                    if path == "memoryless" and measure in ("colour", "shape"):
                        continue  # it foretells where something is, not what
                    found.append(
                        mean_of(
                            name,
                            some,
                            lambda row, key=f"{path}.{measure}": row[key],  # type: ignore[misc]
                            {"extractor": space, "future": path, **told},
                            better=better,
                            unit=unit,
                            bounded=bounded,
                        )
                    )
        found.append(
            MetricResult(
                name="readout_r2",
                factors={"extractor": space, "clips": "training, held out in turn"},
                value=float(rows[0]["readout_r2"]),
                higher_is_better=True,
            )
        )
    return found
