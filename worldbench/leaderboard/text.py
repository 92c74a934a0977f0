"""How the board speaks: rounded numbers, statuses and notes, the same in every rendering."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

from worldbench.leaderboard import scales
from worldbench.leaderboard.board import Anchor, Cell, Column, Section

_LONGEST = 400
_BIDI_CONTROLS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "Interval",
        "The range in brackets after a score is its 95 % interval. It is computed over whole "
        "scenes or source videos, because clips that share one are not independent.",
    ),
    (
        "Floor",
        "What a trivial model scores on the same questions, for example one that repeats the last "
        "frame; for accuracies, one half by construction.",
    ),
    (
        "Ceiling",
        "What the real future scores when it is put in the place of a model's. It is measured the "
        "same way as everything else and is never ranked.",
    ),
    (
        "Skill",
        "The place of a score between floor (0) and ceiling (1). It is not clipped: below 0 is "
        "worse than trivial. It is undefined where floor and ceiling are less than three standard "
        "errors apart, and for metrics without a ceiling.",
    ),
    (
        "Rank",
        "1 + the number of adapters that are significantly better on this metric. Adapters that "
        "cannot be told apart share a rank. Every pair of adapters is compared on the clips both "
        "answered, and all comparisons of the board are corrected together (Holm, α = .05).",
    ),
    (
        "Status",
        "“Skipped” means that the adapter cannot answer this question, “failed” that it broke "
        "while trying, and “not run” that nobody asked. None of them counts as a score of 0.",
    ),
    (
        "Coverage",
        "How many of the headline scores an adapter has. There is no overall score: averages over "
        "different questions would compare different things.",
    ),
)
"""The words a reader needs, explained."""


def plain(value: object, limit: int = _LONGEST) -> str:
    """Returns foreign text on one line: no control characters, no bidirectional overrides."""
    kept = (
        " " if unicodedata.category(letter) in {"Cc", "Zl", "Zp"} else letter
        for letter in str(value)
        if letter not in _BIDI_CONTROLS
    )
    line = " ".join("".join(kept).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def decimals(value: float, low: float | None = None, high: float | None = None) -> int:
    """Returns how many decimals a number deserves.

    Two significant digits of the interval's half-width, but never more than five of the number;
    four of the number where there is no interval.
    """
    exact = 1 if value == 0.0 else 3 - math.floor(math.log10(abs(value)))
    places = exact
    if low is not None and high is not None and high > low:
        # Half of the smallest number there is would be zero, which has no logarithm.
        places = 1 - math.floor(math.log10((high - low) / 2 or high - low))
        if value != 0.0:
            places = min(places, exact + 1)
    return min(max(places, 0), 8)


def number(value: float, places: int | None = None) -> str:
    """Returns a number as shown, with a true minus sign and never a negative zero."""
    if value != 0.0 and not 1e-6 <= abs(value) < 1e9:
        text = f"{value:.3e}"
    else:
        text = f"{value:.{decimals(value) if places is None else places}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def score(cell: Cell) -> str:
    """Returns a measured cell's value."""
    if cell.value is None:
        raise ValueError(f"a cell that is {cell.status} has no score")
    return number(cell.value, decimals(cell.value, cell.low, cell.high))


def interval(cell: Cell) -> str:
    """Returns a measured cell's interval, e.g. ``[0.79, 0.83]``, or says that there is none."""
    if cell.value is None or cell.low is None or cell.high is None:
        return "no interval"
    places = decimals(cell.value, cell.low, cell.high)
    return f"[{number(cell.low, places)}, {number(cell.high, places)}]"


def skill(value: float) -> str:
    """Returns a skill, to two decimals."""
    return f"skill {number(value, 2)}"


def status(cell: Cell) -> str:
    """Returns the status of an unmeasured cell with its reason."""
    return f"{cell.status}: {plain(cell.reason)}" if cell.reason else cell.status


def title(section: Section) -> str:
    """Returns a section's title."""
    data = section.data
    return (
        f"{plain(section.suite)}@{plain(section.version)} · {plain(data.name)} "
        f"({data.clips} clips, {data.clusters} clusters)"
    )


def arrow(column: Column) -> str:
    """Returns the arrow that says which direction is better, or where a control should stand."""
    target = scales.target(column)
    if target is not None:
        return f"→ {target:g}"
    return "↑" if column.higher_is_better else "↓"


def better(column: Column) -> str:
    """Returns what the arrow says, in words."""
    target = scales.target(column)
    if target is not None:
        return f"should be {target:g}"
    return f"{'higher' if column.higher_is_better else 'lower'} is better"


def heading(column: Column) -> str:
    """Returns a column's heading: label, unit, direction."""
    unit = f" ({plain(column.unit)})" if column.unit else ""
    return f"{plain(column.label)}{unit} {arrow(column)}"


def parameters(count: object) -> str:
    """Returns a number of parameters, e.g. ``7.6 M``."""
    if not isinstance(count, int):
        return "not stated"
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if count >= size:
            return f"{count / size:.3g} {letter}"
    return str(count)


def protocol(section: Section) -> list[tuple[str, str]]:
    """Returns the protocol as a flat list of dotted names and values."""
    return list(_flat("", section.protocol))


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        items = sorted(value.items(), key=lambda item: str(item[0]))
        return [
            line
            for key, inner in items
            for line in _flat(f"{prefix}.{key}" if prefix else key, inner)
        ]
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return [(plain(prefix), plain(text))]


def excluded(section: Section) -> list[tuple[str, int]]:
    """Returns the reasons for which inputs were left out and how many each, most common first."""
    counts = Counter(plain(exclusion.reason) for exclusion in section.data.excluded)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def anchored(anchor: Anchor) -> str:
    """Returns a floor's or a ceiling's value: rounded like a score, or exact by construction."""
    if anchor.low is not None and anchor.low == anchor.high:
        return f"{anchor.value:g}"
    return number(anchor.value, decimals(anchor.value, anchor.low, anchor.high))


def anchors(column: Column) -> str:
    """Returns a column's floor and ceiling in words."""
    parts = [
        f"{name} {anchored(anchor)} ({plain(anchor.source)})"
        for name, anchor in (("floor", column.floor), ("ceiling", column.ceiling))
        if anchor is not None
    ]
    if column.no_skill:
        parts.append(f"no skill: {plain(column.no_skill)}")
    return "; ".join(parts)


def left_out(section: Section) -> str:
    """Returns the adapters whose record holds no numbers, with the reasons."""
    return "; ".join(
        f"{plain(row.adapter)} ({status(Cell(row.status, row.reason))})"
        for row in section.rows
        if row.status != "ok"
    )


def notes(section: Section) -> list[tuple[str, str]]:
    """Returns what has to be said beside a section's table: subject and remark.

    Floors and ceilings of each metric, and why a score has no rank.
    """
    said = [(plain(column.label), anchors(column)) for column in section.columns]
    unranked: dict[str, list[str]] = {}
    for row in section.rows:
        for column, cell in zip(section.columns, row.cells, strict=True):
            if cell.no_rank:
                subject = f"{plain(row.adapter)} {row.revision[:12]}, {plain(column.label)}"
                unranked.setdefault(plain(cell.no_rank), []).append(subject)
    # The subject heads a column of its own on the page, where a list of adapters has no room.
    said.extend(
        ("no rank", f"{reason}: {'; '.join(subjects)}") for reason, subjects in unranked.items()
    )
    return said
