"""From rows of views to metrics: anchored reprojection and epipolar geometry, then read-outs.

What is said of several futures has the model's own number once more, alone, so that it has a column
of its own on the board.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worldbench.metrics.reprojection import anchored_skill
from worldbench.metrics.tsed import THRESHOLDS
from worldbench.schema import MetricResult, Scalar, Trial
from worldbench.suite import Row
from worldbench.suites.anchored import CARRIED, LATENTS
from worldbench.suites.means import mean_of, skill_between
from worldbench.suites.readout_summary import FUTURES, OWN_COLUMNS, of_readouts, of_recall, value_of
from worldbench.suites.view_families import POSED, UNPOSED

TURNING = ("static_orbit", POSED, UNPOSED)
"""Views that TSED is taken over: while a camera does not turn, a video that stays still satisfies
epipolar geometry exactly (x ↦ x lies on every line through the epipole)."""

_READABLE = 0.25
"""Error of the real future's speed up to which speeds say something."""

_PAPER = 2.0  # TSED's threshold, pixels at 256-equivalent

By = Mapping[str, list[Row]]


def of_views(by_role: By, trials: Mapping[str, Trial]) -> list[MetricResult]:
    """Turns rows of views into metrics.

    Args:
        by_role: Rows by role.
        trials: All trials, by id.
    """
    return [
        *_anchored(by_role, trials),
        *_tsed(by_role.get("tsed", []), trials),
        *of_readouts(by_role.get("geometry", [])),
        *of_recall(by_role.get("correspondence", [])),
        *_not_measured(by_role.get("unmeasured", [])),
    ]


def _not_measured(rows: Sequence[Row]) -> list[MetricResult]:
    """Returns why latents whose grid cannot be laid over the pictures have no score."""
    found = []
    for space, reason in dict.fromkeys((str(row["space"]), str(row["reason"])) for row in rows):
        names = ("anchored_skill",) if space == LATENTS else tuple(OWN_COLUMNS.values())
        found += [
            MetricResult(
                name=name,
                factors={"extractor": space},
                higher_is_better=not name.endswith("_error"),
                unit="degrees" if name.endswith("_error") else "",
                status="skipped",
                reason=f"{reason}; data.size=native renders clips at the model's own size",
            )
            for name in names
        ]
    return found


def _anchored(by_role: By, trials: Mapping[str, Trial]) -> list[MetricResult]:
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
        found += _similarities(_by_trial(own), told)
        found += _speeds([row for row in paths if row["space"] == school], told)
    return found


def _similarities(rows: Sequence[Row], factors: Mapping[str, Scalar]) -> list[MetricResult]:
    """Returns the similarity of each future, and of latents carried along where there are any."""
    told = (*FUTURES, CARRIED) if any(CARRIED in row for row in rows) else FUTURES
    return [
        mean_of(
            "anchored_similarity",
            rows,
            value_of(future),
            {**factors, "future": future},
            bounded=False,
        )
        for future in told
    ]


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
    found.append(found[0].model_copy(update={"factors": dict(factors)}))
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
                **{
                    f: float(np.mean([row[f] for row in some]))
                    for f in (*FUTURES, CARRIED)
                    if f in some[0]
                },
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
    told = skill_between(model, floor, ceiling, clusters, between="copy_last", place=anchored_skill)
    return MetricResult(**common, **told)


def _tsed(rows: Sequence[Row], trials: Mapping[str, Trial]) -> list[MetricResult]:
    # Where the real future has too few matches a view measures nothing, whoever is asked.
    found: list[MetricResult] = []
    for family in _levels(rows, lambda row: _factors(row, trials).get("view")):
        asked = [row for row in rows if _factors(row, trials).get("view") == family]
        own = [row for row in asked if row["ceiling.status"] == "ok"]
        states = ", ".join(sorted({str(row["ceiling.status"]) for row in asked}))
        why = f"the real future of none of {len(asked)} views can be measured: {states}"
        measure = _Epipolar(own, why)
        # A fitted matrix rewards whatever agrees with itself: never in a cell with a true one.
        geometry = "estimated" if family == UNPOSED else "true"
        told: dict[str, Scalar] = {"geometry": geometry}
        if family not in TURNING:
            told["view"] = str(family)
        else:
            found += [
                measure.share("model", _PAPER, told).model_copy(update={"factors": told}),
                measure.sampson("model", told),
            ]
        for threshold in THRESHOLDS:
            for future in FUTURES:
                found.append(measure.share(future, threshold, {**told, "threshold": threshold}))
        for future in FUTURES:
            cell: dict[str, Scalar] = {**told, "future": future}
            found.append(measure.enough(future, cell))
            found.append(measure.sampson(future, cell))
    return found


@dataclass(frozen=True)
class _Epipolar:
    """Rows of views whose real future could be measured.

    Attributes:
        rows: The rows.
        absent: Why there are none.
    """

    rows: Sequence[Row]
    absent: str

    def share(self, future: str, threshold: float, factors: Mapping[str, Scalar]) -> MetricResult:
        """Returns TSED: a future without matches, or without a geometry, keeps to no line.

        The real future has both here.
        """
        key = f"{future}.{threshold:g}"
        told = {**factors, "future": future}
        if self.rows and all(row[key] is None for row in self.rows):
            states = ", ".join(sorted({str(row[f"{future}.status"]) for row in self.rows}))
            return MetricResult(
                name="tsed",
                factors=told,
                higher_is_better=True,
                status="skipped",
                reason=f"not one view could be measured: {states}",
                n=len(self.rows),
            )
        return mean_of("tsed", self.rows, lambda row: row[key] or 0.0, told, absent=self.absent)

    def enough(self, future: str, factors: Mapping[str, Scalar]) -> MetricResult:
        """Returns the share of pairs of frames with enough matches."""
        value = value_of(f"{future}.enough")
        return mean_of("enough_matches", self.rows, value, factors, absent=self.absent)

    def sampson(self, future: str, factors: Mapping[str, Scalar]) -> MetricResult:
        """Returns how far matches are from their lines."""
        return mean_of(
            "sampson_error",
            self.rows,
            value_of(f"{future}.sampson"),
            factors,
            better=False,
            bounded=False,
            unit="px at 256",
            absent=self.absent,
        )


def _factors(row: Row, trials: Mapping[str, Trial]) -> Mapping[str, Scalar]:
    return trials[str(row["trial"])].factors


def _levels(rows: Iterable[Row], level: Callable[[Row], Scalar | None]) -> list[Scalar]:
    found = {value for row in rows if (value := level(row)) is not None}
    return sorted(found, key=lambda value: (str(type(value)), value))
