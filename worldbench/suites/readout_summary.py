"""From rows of views to metrics: what is read off latents, and what the training mean guesses."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product

from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row
from worldbench.suites.correspondence_recall import ANGLES
from worldbench.suites.means import mean_of
from worldbench.suites.view_rows import TRAINING_MEAN

FUTURES = ("model", "floor", "ceiling")

_DELTAS = ("delta1", "delta2", "delta3")

OWN_COLUMNS = {
    "depth.raw.delta1": "depth_delta1",
    "pose.rotation": "rotation_error",
    "pose.direction": "direction_error",
}
"""What of read-outs has a column of its own, and is told beside what the training mean guesses."""


def of_readouts(rows: Sequence[Row]) -> list[MetricResult]:
    """Tells how near depth and pose come that are read off each future, and off nothing at all."""
    found = []
    for space in dict.fromkeys(str(row["space"]) for row in rows):
        told: dict[str, Scalar] = {"extractor": space}
        by_future = {
            future: [r for r in rows if r["space"] == space and r["future"] == future]
            for future in (*FUTURES, TRAINING_MEAN)
        }
        nobody = {str(row["trial"]): row for row in by_future[TRAINING_MEAN]}
        if by_future["model"]:
            for key, name in OWN_COLUMNS.items():
                found.append(_read(name, by_future["model"], key, told))
        for future, own in by_future.items():
            if not own:
                continue
            cell: dict[str, Scalar] = {**told, "future": future}
            for fit, measure in product(("raw", "fitted"), (*_DELTAS, "abs_rel")):
                factors = {**cell, "measure": measure, "scale": fit}
                found.append(_read("depth", own, f"depth.{fit}.{measure}", factors))
            for measure in ("rotation", "direction"):
                found.append(_read("pose", own, f"pose.{measure}", {**cell, "measure": measure}))
            if future != TRAINING_MEAN:
                found += _gains(own, nobody, cell)
    return found


def _read(name: str, rows: Sequence[Row], key: str, factors: Mapping[str, Scalar]) -> MetricResult:
    shares = key.rsplit(".", 1)[-1] in _DELTAS
    unit = "degrees" if key.startswith("pose") else ""
    return mean_of(name, rows, value_of(key), factors, better=shares, bounded=shares, unit=unit)


def _gains(
    rows: Sequence[Row], nobody: Mapping[str, Row], factors: Mapping[str, Scalar]
) -> list[MetricResult]:
    """Returns by how much a future is read better than the training mean guesses, view by view."""
    found = []
    for key, name in OWN_COLUMNS.items():
        sign = 1.0 if key.rsplit(".", 1)[-1] in _DELTAS else -1.0

        def gain(row: Row, key: str = key, sign: float = sign) -> float | None:
            own, mean = row.get(key), nobody[str(row["trial"])].get(key)
            return None if own is None or mean is None else sign * (own - mean)

        unit = "degrees" if key.startswith("pose") else ""
        found.append(
            mean_of(
                "gain_over_mean", rows, gain, {**factors, "measure": name}, bounded=False, unit=unit
            )
        )
    return found


def of_recall(rows: Sequence[Row]) -> list[MetricResult]:
    """Tells how many tokens are found again, over all views and by angle beside chance."""
    if not rows:
        return []
    found = [mean_of("correspondence_recall", rows, value_of("recall"), {})]
    for low, high in pairwise(ANGLES):
        own = [row for row in rows if row["angle"] == low]
        told: dict[str, Scalar] = {"angle": f"{low}–{high}°"}
        for name, who in (("recall", "latents"), ("chance", "chance")):
            found.append(
                mean_of("correspondence_recall", own, value_of(name), {**told, "scorer": who})
            )
    return found


def value_of(name: str) -> Callable[[Row], float | None]:
    """Makes what looks a value up in a row; None where it has none."""

    def value(row: Row) -> float | None:
        return row.get(name)

    return value
