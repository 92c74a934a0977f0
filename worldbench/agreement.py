"""When two answers to one question agree: rows with rows, metrics with metrics or with rows."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from worldbench.parts import Row
from worldbench.schema import Body, MetricResult

RELATIVE = 5e-3
ABSOLUTE = 1e-4
"""Two machines agree when |a − b| ≤ ABSOLUTE + RELATIVE·|a|.

Decoders, convolutions and encoders round differently between CPUs and releases; on one machine the
numbers are equal to the last bit.
"""


@dataclass(frozen=True)
class Outcome:
    """What a verification found.

    Attributes:
        agrees: Whether everything compared agrees.
        report: Lines for the user.
        unchecked: What the record also says, but was compared with nothing.
    """

    agrees: bool
    report: str
    unchecked: tuple[str, ...] = ()


def compare_rows(
    stored: Sequence[Row], again: Sequence[Row], slack: Mapping[str, float] | None = None
) -> Outcome:
    """Compares some trials' rows, scored again, with those of the record.

    Args:
        stored: All rows of the record.
        again: Rows of some trials.
        slack: Where heads were fitted (:class:`~worldbench.suite.Fits`), by how much scores may
            differ: then that share of a column's answers may.
    """
    known = _numbered(row for row in stored if row["role"] != "reference")
    deviations, lines = [0.0], []
    apart: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for place, row in _numbered(again).items():
        before = known.get(place)
        if before is None:
            lines.append(f"  {row['trial']} row {place[1]}: not in the record")
            continue
        for name, value in before.items():
            if isinstance(value, float) and isinstance(now := row.get(name), float):
                counts[name] += 1
                allowed = 0.0 if slack is None else _of_column(name, slack)
                deviation = _deviation(value, now, allowed)
                if deviation > 1:
                    line = f"  {row['trial']} {name}: recorded {value:.6g}, now {now:.6g}"
                    apart[name].append(line)
                else:
                    deviations.append(deviation)
    for name, told in apart.items():
        if slack is None or len(told) > _flips(counts[name], _of_column(name, slack)):
            lines += told
    return outcome(lines, deviations, f"{len(again)} rows")


def _of_column(name: str, slack: Mapping[str, float]) -> float:
    """Returns the slack of a column: its own as a metric, or else the widest.

    The columns that accuracies are the means of have other names than these.
    """
    return slack.get(name, max(slack.values(), default=0.0))


def _flips(count: int, slack: float) -> int:
    """Returns how many of some fitted answers may differ: a share, of a small sample one."""
    return max(1, math.floor(count * slack)) if slack > 0 else 0


def _numbered(rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """Returns rows by trial and place within it: a suite gives a trial's rows in a fixed order."""
    counts: Counter[str] = Counter()
    found = {}
    for row in rows:
        trial = str(row["trial"])
        found[trial, counts[trial]] = row
        counts[trial] += 1
    return found


def means_apart(body: Body, rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Compares the metrics that are plain means of a column of their name. Needs no suite.

    Returns:
        What differs, and the labels of the measured metrics that are no such means.
    """
    lines, unchecked = [], []
    scored = [row for row in rows if row["role"] == "rollout"]
    for metric in body.metrics:
        if metric.value is None:
            continue
        values = [row[metric.name] for row in scored if row.get(metric.name) is not None]
        if set(metric.factors) - {"extractor"} or not values:
            unchecked.append(metric.described)
        elif not all(isinstance(value, int | float) for value in values):
            lines.append(f"  {metric.label}: its rows hold no numbers")
        elif not agree(metric.value, mean := sum(map(float, values)) / len(values)):
            lines.append(f"  {metric.label}: recorded {metric.value:.6g}, its rows give {mean:.6g}")
    return lines, list(dict.fromkeys(unchecked))


def compare_metrics(
    told: Sequence[MetricResult], again: Sequence[MetricResult], slack: Mapping[str, float]
) -> Outcome:
    """Compares metrics by name and factors: status, value, interval and how they are shown.

    Args:
        told: Those of the record.
        again: Those worked out now.
        slack: By how much more than rounding a metric may differ, by its name.
    """
    deviations, lines = [0.0], []
    now = {m.identity: m for m in again}
    for metric in told:
        other = now.pop(metric.identity, None)
        if other is None or other.status != metric.status:
            lines.append(
                f"  {metric.label}: recorded {metric.status}, now {other and other.status}"
            )
            continue
        for part in ("headline", "higher_is_better", "unit"):
            if (a := getattr(metric, part)) != (b := getattr(other, part)):
                lines.append(f"  {metric.label} {part}: recorded {a}, now {b}")
        for part in ("value", "low", "high"):
            a, b = getattr(metric, part), getattr(other, part)
            if a is None or b is None:
                if a is not b:
                    lines.append(f"  {metric.label} {part}: recorded {a}, now {b}")
                continue
            deviations.append(_deviation(a, b, slack.get(metric.name, 0.0)))
            if deviations[-1] > 1:
                lines.append(f"  {metric.label} {part}: recorded {a:.6g}, now {b:.6g}")
    lines += [f"  {m.label}: not in the record" for m in now.values()]
    return outcome(lines, deviations, f"{len(told)} metrics")


def agree(a: float, b: float) -> bool:
    """Says whether two values differ by no more than machines do."""
    return _deviation(a, b) <= 1


def _deviation(a: float, b: float, slack: float = 0.0) -> float:
    """Returns |a − b| in units of what is allowed; NaN counts as infinitely far."""
    deviation = abs(a - b) / (ABSOLUTE + RELATIVE * abs(a) + slack)
    return math.inf if math.isnan(deviation) else deviation


def outcome(lines: list[str], deviations: Sequence[float], compared: str) -> Outcome:
    """Returns the verdict on what was compared.

    Args:
        lines: What differs.
        deviations: All that were seen, in units of what is allowed.
        compared: What they are of, in words.
    """
    if lines:
        return Outcome(False, "\n".join([f"does not verify ({compared} compared):", *lines]))
    worst = max(deviations)
    return Outcome(True, f"verified: {compared} agree (largest deviation {worst:.2g} of allowed)")
