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

_READABLE = 0.25
"""Error of the real future's speed up to which speeds say something."""

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
        *quads.accuracies(("violation", *FACTORS), others=False),
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
        found += _speeds([row for row in paths if row["space"] == school], told)
    return found


def _speeds(rows: Sequence[Row], factors: Mapping[str, Scalar]) -> list[MetricResult]:
    """Returns by how much the speed of paths is off, if that of the real future is not."""
    found = [
        mean_of(
            "path_speed_error",
            rows,
            lambda row, key=f"{future}.speed": None if row[key] is None else abs(row[key] - 1),  # type: ignore[misc]
            {**factors, "future": future},
            better=False,
            bounded=False,
            unit="of the camera's",
        )
        for future in ("model", "ceiling")
    ]
    real = found[1].value
    if real is None or real <= _READABLE:
        return found
    why = f"speed cannot be read here: that of the real future is off by {real:.2f}"
    return [
        MetricResult(
            name="path_speed_error",
            factors=dict(one.factors),
            higher_is_better=False,
            status="skipped",
            reason=why,
            n=one.n,
        )
        for one in found
    ]


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
    # Where the real future has too few matches a view measures nothing, whoever is asked.
    known = [row for row in rows if row["ceiling.status"] == "ok"]
    found: list[MetricResult] = []
    for family in _levels(rows, lambda row: _factors(row, trials).get("view")):
        own = [row for row in known if _factors(row, trials).get("view") == family]
        # A fitted matrix rewards whatever agrees with itself: never in a cell with a true one.
        geometry = "estimated" if family == UNPOSED else "true"
        told: dict[str, Scalar] = {"geometry": geometry}
        if family not in TURNING:
            told["view"] = str(family)
        for threshold in THRESHOLDS:
            for future in FUTURES:
                found.append(_share(own, future, threshold, {**told, "threshold": threshold}))
        for future in FUTURES:
            cell: dict[str, Scalar] = {**told, "future": future}
            found.append(mean_of("enough_matches", own, _of(f"{future}.enough"), cell))
            found.append(
                mean_of(
                    "sampson_error",
                    own,
                    _of(f"{future}.sampson"),
                    cell,
                    better=False,
                    bounded=False,
                    unit="px at 256",
                )
            )
    return found


def _share(
    rows: Sequence[Row], future: str, threshold: float, factors: Mapping[str, Scalar]
) -> MetricResult:
    """Returns TSED: where the real future has matches, a future without any keeps to no line."""
    key = f"{future}.{threshold:g}"
    told = {**factors, "future": future}
    if rows and all(row[key] is None for row in rows):
        states = ", ".join(sorted({str(row[f"{future}.status"]) for row in rows}))
        return MetricResult(
            name="tsed",
            factors=told,
            higher_is_better=True,
            status="skipped",
            reason=f"not one view could be measured: {states}",
            n=len(rows),
        )
    return mean_of("tsed", rows, lambda row: row[key] or 0.0, told)


def _geometry(rows: Sequence[Row]) -> list[MetricResult]:
    found = []
    for space in dict.fromkeys(str(row["space"]) for row in rows):
        for future in (*FUTURES, "usual"):
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
