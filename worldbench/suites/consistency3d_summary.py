"""From rows to metrics: what ``consistency3d`` concludes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from worldbench.metrics.reprojection import MIN_GAP
from worldbench.metrics.tsed import THRESHOLDS
from worldbench.schema import MetricResult, Scalar, Trial
from worldbench.suite import Row, Summary
from worldbench.suites.consistency3d import HEADLINE, is_headline
from worldbench.suites.correspondence_recall import ANGLES
from worldbench.suites.means import mean_of, skill_between
from worldbench.suites.quad_summary import QuadRows
from worldbench.suites.view_families import POSED, UNPOSED

FACTORS = ("hidden", "objects", "distribution")
"""What the headline is broken down by beside the violation; ``hidden`` in frames."""

FUTURES = ("model", "floor", "ceiling")

_OUTSIDE: dict[str, Scalar] = {"condition": "occluded", "hide": "outside"}
"""Where the camera turns away and comes back: a memory of frames is enough."""

TURNING = ("static_orbit", POSED, UNPOSED)
"""Views that TSED is taken over: while a camera does not turn, a video that stays still satisfies
epipolar geometry exactly (x ↦ x lies on every line through the epipole)."""

_PAPER = 2.0  # TSED's threshold, pixels at 256-equivalent


def summarise(rows: Sequence[Row], trials: Mapping[str, Trial]) -> Summary:
    """Turns the rows of all trials into metrics; all rows are kept."""
    by_role: dict[str, list[Row]] = {}
    for row in rows:
        by_role.setdefault(str(row["role"]), []).append(row)
    metrics = [
        *_quads(by_role, trials),
        *_anchored(by_role, trials),
        *_tsed(by_role.get("tsed", []), trials),
        *_geometry(by_role.get("geometry", [])),
        *_correspondence(by_role.get("correspondence", [])),
    ]
    return Summary(tuple(metrics), tuple(rows))


def _quads(by_role: Mapping[str, list[Row]], trials: Mapping[str, Trial]) -> list[MetricResult]:
    asked = [*by_role.get("rollout", []), *by_role.get("surprise", [])]
    skipped = [row for row in by_role.get("skipped", []) if "view" not in _factors(row, trials)]
    if not asked:
        first = str(skipped[0]["reason"]) if skipped else "the data has no matched quads"
        return [
            MetricResult(
                name="rigidity_accuracy",
                factors=dict(HEADLINE),
                higher_is_better=True,
                headline=True,
                status="skipped",
                reason=f"no trial could be asked: {first}",
            )
        ]
    operator = next(str(row["operator"]) for row in asked if row["role"] == "rollout")
    quads = QuadRows(asked, trials, "rigidity_accuracy", HEADLINE, operator)
    counted = {trial.id for trial in trials.values() if is_headline(trial)}
    own = [row for row in asked if row["role"] == "rollout" and row["trial"] in counted]
    own += [row for row in skipped if row["trial"] in counted]
    return [
        *quads.accuracies(("violation", *FACTORS)),
        mean_of(
            "rigidity_accuracy",
            quads.where(_OUTSIDE),
            _of("outcome"),
            {**_OUTSIDE, "operator": operator},
        ),
        *quads.controls(both_possible=False),
        *quads.operators(),
        *quads.trivial(),
        *quads.trivial_at(_OUTSIDE),
        mean_of("asked", own, lambda row: float(row["role"] == "rollout"), HEADLINE),
    ]


def _anchored(by_role: Mapping[str, list[Row]], trials: Mapping[str, Trial]) -> list[MetricResult]:
    rows, paths = by_role.get("anchored", []), by_role.get("path", [])
    found = []
    for school in dict.fromkeys(str(row["space"]) for row in paths):
        own = [row for row in rows if row["space"] == school]
        told: dict[str, Scalar] = {"extractor": school}
        found.append(_skill(_by_trial(own), told))
        for family in _levels(own, lambda row: _factors(row, trials).get("view")):
            some = [row for row in own if _factors(row, trials).get("view") == family]
            found.append(_skill(_by_trial(some), {**told, "view": family}))
        for gap in _levels(own, lambda row: row["gap"]):
            some = [row for row in own if row["gap"] == gap]
            found.append(_skill(some, {**told, "gap": gap}))
        for future in FUTURES:
            found.append(
                mean_of(
                    "anchored_similarity",
                    _by_trial(own),
                    _of(future),
                    {**told, "future": future},
                    bounded=False,
                )
            )
        for future in ("model", "ceiling"):
            found.append(
                mean_of(
                    "path_speed",
                    [row for row in paths if row["space"] == school],
                    _of(f"{future}.speed"),
                    {**told, "future": future},
                    bounded=False,
                    unit="of the camera's",
                )
            )
    return found


def _by_trial(rows: Sequence[Row]) -> list[Row]:
    """Returns one row per view: means over its gaps."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row["trial"]), []).append(row)
    means: list[Row] = []
    for trial, some in found.items():
        means.append(
            {
                "trial": trial,
                "cluster": some[0]["cluster"],
                **{f: float(np.mean([row[f] for row in some])) for f in FUTURES},
            }
        )
    return means


def _skill(rows: Sequence[Row], factors: Mapping[str, Scalar]) -> MetricResult:
    common = {"name": "anchored_skill", "factors": dict(factors), "higher_is_better": True}
    if not rows:
        why = "nothing of the context is seen again, displaced enough"
        return MetricResult(**common, status="skipped", reason=why)
    model, floor, ceiling = (np.array([row[name] for row in rows], float) for name in FUTURES)
    clusters = [str(row["cluster"]) for row in rows]
    if (gap := float(ceiling.mean() - floor.mean())) < MIN_GAP:
        why = f"the real future beats copy_last by {gap:.3f}; less than {MIN_GAP} measures nothing"
        return MetricResult(**common, status="skipped", reason=why, n=len(rows))
    told = skill_between(model, floor, ceiling, clusters, between="copy_last")
    return MetricResult(**common, **told)


def _tsed(rows: Sequence[Row], trials: Mapping[str, Trial]) -> list[MetricResult]:
    if not rows:
        return []
    found = []
    told: dict[str, Scalar]
    turning = [row for row in rows if _factors(row, trials).get("view") in TURNING]
    for threshold in THRESHOLDS:
        for future in FUTURES:
            found.append(
                mean_of(
                    "tsed",
                    turning,
                    _of(f"{future}.{threshold:g}"),
                    {"future": future, "threshold": threshold},
                )
            )
    for family in _levels(rows, lambda row: _factors(row, trials).get("view")):
        some = [row for row in rows if _factors(row, trials).get("view") == family]
        for future in FUTURES:
            told = {"future": future, "threshold": _PAPER, "view": family}
            found.append(mean_of("tsed", some, _of(f"{future}.{_PAPER:g}"), told))
    for future in ("model", "ceiling"):
        told = {"future": future}
        found.append(mean_of("enough_matches", rows, _of(f"{future}.enough"), told))
        found.append(
            mean_of(
                "sampson_error",
                rows,
                _of(f"{future}.sampson"),
                told,
                better=False,
                bounded=False,
                unit="px at 256",
            )
        )
    return found


def _geometry(rows: Sequence[Row]) -> list[MetricResult]:
    found = []
    for space in dict.fromkeys(str(row["space"]) for row in rows):
        for future in FUTURES:
            own = [r for r in rows if r["space"] == space and r["future"] == future]
            if not own:
                continue
            told: dict[str, Scalar] = {"extractor": space, "future": future}
            for fit in ("raw", "fitted"):
                for measure in ("delta1", "delta2", "delta3", "abs_rel"):
                    shares = measure != "abs_rel"
                    found.append(
                        mean_of(
                            "depth",
                            own,
                            _of(f"depth.{fit}.{measure}"),
                            {**told, "measure": measure, "scale": fit},
                            better=shares,
                            bounded=shares,
                        )
                    )
            for measure in ("rotation", "direction"):
                found.append(
                    mean_of(
                        "pose",
                        own,
                        _of(f"pose.{measure}"),
                        {**told, "measure": measure},
                        better=False,
                        bounded=False,
                        unit="degrees",
                    )
                )
    return found


def _correspondence(rows: Sequence[Row]) -> list[MetricResult]:
    found = []
    for low, high in pairwise(ANGLES):
        own = [row for row in rows if row["angle"] == low]
        if rows:
            told: dict[str, Scalar] = {"angle": f"{low}–{high}°"}
            for name, who in (("recall", "latents"), ("chance", "chance")):
                found.append(
                    mean_of("correspondence_recall", own, _of(name), {**told, "scorer": who})
                )
    return found


def _of(name: str) -> Callable[[Row], float | None]:
    def value(row: Row) -> float | None:
        return row.get(name)

    return value


def _factors(row: Row, trials: Mapping[str, Trial]) -> Mapping[str, Scalar]:
    return trials[str(row["trial"])].factors


def _levels(rows: Iterable[Row], level: Callable[[Row], Scalar | None]) -> list[Scalar]:
    found = {value for row in rows if (value := level(row)) is not None}
    return sorted(found, key=lambda value: (str(type(value)), value))
