"""What a suite's records show of shortcuts: trivial scorers, floors and untrained twins."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Cell, Column, Row, Section
from worldbench.leaderboard.columns import OPERATOR, factor_text
from worldbench.leaderboard.site.strips import Ruler, Strip
from worldbench.leaderboard.strokes import strokes
from worldbench.schema import Scalar

SCORER = "scorer"
"""The factor that names a scorer which has nothing in mind."""


@dataclass(frozen=True)
class Trivial:
    """One trivial scorer: the range of its scores over the records of a section."""

    name: str
    low: float
    high: float
    strip: Strip

    @property
    def said(self) -> str:
        """The score, or the range where adapters were asked with contexts of several lengths."""
        low, high = text.number(self.low, 3), text.number(self.high, 3)
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True)
class Battery:
    """Trivial scorers on one part of the questions.

    Attributes:
        said: Which part.
        headline: Whether it is the part that counts.
        scorers: In the order of the records.
    """

    said: str
    headline: bool
    scorers: tuple[Trivial, ...]

    @property
    def furthest(self) -> float:
        """The largest distance from one half."""
        return max(abs(end - 0.5) for each in self.scorers for end in (each.low, each.high))


def batteries(section: Section) -> tuple[Battery, ...]:
    """Returns the trivial scorers of a section, those on the headline's questions first."""
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    headline = dict(section.headline.factors) if section.headline else {}
    told = {(str(k), str(v)) for k, v in headline.items() if k != OPERATOR}
    told |= _asked(section)
    counted = set()
    for i, column in enumerate(section.breakdowns):
        if SCORER not in column.factors:
            continue
        rest = {k: v for k, v in column.factors.items() if k not in (SCORER, OPERATOR)}
        key = (column.name, text.plain(factor_text(rest.items())))
        values = [row.details[i].value for row in section.rows]
        kept = [value for value in values if value is not None]
        if kept:
            found[key][text.plain(column.factors[SCORER])] += kept
        if {(str(k), str(v)) for k, v in rest.items()} == told:
            counted.add(key)
    ordered = sorted(found.items(), key=lambda item: item[0] not in counted)
    return tuple(_battery(key, scorers, key in counted) for key, scorers in ordered)


def _asked(section: Section) -> set[tuple[str, str]]:
    """Returns the factors of the headline questions, which its column leaves to the cells."""
    if section.headline is None:
        return set()
    qualifiers = {cell.qualifier for row in section.rows for cell in row.cells[:1]} - {""}
    parts = [
        {tuple(part.split(" = ", 1)) for part in qualifier.split(", ") if " = " in part}
        for qualifier in qualifiers
    ]
    shared = set.intersection(*parts) if parts else set()
    return {(k, v) for k, v in shared if k != OPERATOR}


def _battery(key: tuple[str, str], scorers: Mapping[str, list[float]], headline: bool) -> Battery:
    ruler = Ruler(0.0, 1.0, floor=0.5)
    return Battery(
        said=key[1] or key[0],
        headline=headline,
        scorers=tuple(
            Trivial(
                name.replace("_", " "),
                min(values),
                max(values),
                ruler.strip((min(values) + max(values)) / 2, min(values), max(values)),
            )
            for name, values in scorers.items()
        ),
    )


def references(section: Section) -> tuple[tuple[Row, Cell, str], ...]:
    """Returns floors and untrained twins with their headline cell and what they are."""
    if section.headline is None:
        return ()
    found = []
    for row, stroke in zip(section.rows, strokes(section.rows), strict=True):
        known = {
            "untrained twin": stroke.twin,
            "floor": row.role == "floor",
            "baseline": row.family == "baseline",
        }
        what = next((name for name, holds in known.items() if holds), None)
        if what is not None:
            found.append((row, row.cells[0], what))
    return tuple(found)


def headline_breakdowns(section: Section) -> list[tuple[int, Column, str]]:
    """Returns the breakdowns of the headline metric: index, column and what tells it apart."""
    if section.headline is None:
        return []
    rest = [
        (i, column)
        for i, column in enumerate(section.breakdowns)
        if column.name == section.headline.name and OPERATOR not in column.factors
    ]
    if not rest:
        return []
    shared: set[tuple[str, Scalar]] = set(rest[0][1].factors.items())
    if len(rest) > 1:
        common = [set(column.factors.items()) for _, column in rest]
        shared = _usual(common)
    return [
        (i, column, text.plain(factor_text(set(column.factors.items()) - shared)) or "all")
        for i, column in rest
    ]


def _usual(factors: list[set[tuple[str, Scalar]]]) -> set[tuple[str, Scalar]]:
    """Returns the factors that more than half of the breakdowns share."""
    everything = set().union(*factors)
    return {item for item in everything if 2 * sum(item in each for each in factors) > len(factors)}
