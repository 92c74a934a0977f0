"""Geometry of the interval charts; the page's template draws it.

Horizontal positions are percentages of the drawing's width, so that a chart fills a phone or a wide
screen without scaling its text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Anchor, Cell, Column, Row, Section
from worldbench.leaderboard.scales import target
from worldbench.leaderboard.ticks import round_multiples

_LEFT, _RIGHT = 2.0, 98.0
_TOP, _ROW, _BOTTOM = 42, 42, 28
_REACH = 4.0
"""How far beyond the floor a chart reaches, in distances of floor and ceiling; an untrained network
a hundred times as far off would leave the others on one spot."""


@dataclass(frozen=True)
class Mark:
    """One adapter: its name, its interval and its score, positions in percent and pixels.

    A score beyond the chart stands at its edge, and ``beyond`` says how much it is.
    """

    name: str
    role: str
    said: str
    y: int
    x: str
    low: str | None
    high: str | None
    beyond: str | None
    side: str


@dataclass(frozen=True)
class Line:
    """A floor, a ceiling or a tick: where it stands, what it says and on which side."""

    x: str
    said: str
    side: str


@dataclass(frozen=True)
class Chart:
    """Everything that the drawing of one metric needs."""

    heading: str
    better: str
    said: str
    height: int
    marks: tuple[Mark, ...]
    ticks: tuple[Line, ...]
    floor: Line | None
    ceiling: Line | None
    target: Line | None


def chart(section: Section, index: int) -> Chart | None:
    """Lays out the chart of a section's column.

    Args:
        section: The section.
        index: Index of the column.

    Returns:
        The chart; None if no adapter was measured.
    """
    column = section.columns[index]
    measured = [(row, row.cells[index]) for row in section.rows]
    drawn = [(row, cell) for row, cell in measured if cell.value is not None]
    if not drawn:
        return None
    wanted = target(column)
    low, high, ticks = domain(column, [cell for _, cell in drawn])
    marks = tuple(
        _mark(row, cell, _TOP + _ROW * i + 28, low, high) for i, (row, cell) in enumerate(drawn)
    )
    return Chart(
        heading=text.heading(column),
        better=_better(column),
        said="; ".join(f"{mark.name} {mark.said}" for mark in marks),
        height=_TOP + _ROW * len(marks) + _BOTTOM,
        marks=marks,
        ticks=tuple(_line(tick, number, low, high, 0.04) for tick, number in ticks),
        floor=_anchor("floor", column.floor, low, high),
        ceiling=_anchor("ceiling", column.ceiling, low, high),
        target=None if wanted is None else _line(wanted, text.better(column), low, high, 0.2),
    )


def _better(column: Column) -> str:
    said = text.better(column)
    if target(column) is not None:
        return said
    return f"{said} →" if column.higher_is_better else f"← {said}"


def _mark(row: Row, cell: Cell, y: int, low: float, high: float) -> Mark:
    value = cell.value
    assert value is not None
    inside = low <= value <= high
    whisker = cell.low is not None and cell.high is not None and inside
    return Mark(
        name=text.plain(row.adapter),
        role=row.role,
        said=f"{text.score(cell)} {text.interval(cell)}",
        y=y,
        x=_percent(value, low, high),
        low=_percent(cell.low, low, high) if whisker and cell.low is not None else None,
        high=_percent(cell.high, low, high) if whisker and cell.high is not None else None,
        beyond=None if inside else text.score(cell),
        side="end" if value > high else "start",
    )


def domain(column: Column, cells: Sequence[Cell]) -> tuple[float, float, list[tuple[float, str]]]:
    """Returns the range shown and its ticks, at multiples of 1, 2 or 5 times a power of ten."""
    given = [edge for cell in cells for edge in (cell.value, cell.low, cell.high)]
    given += [anchor.value for anchor in (column.floor, column.ceiling) if anchor]
    values = [value for value in (*given, target(column)) if value is not None]
    low, high = min(values), max(values)
    if column.floor and column.ceiling:
        floor, ceiling = column.floor.value, column.ceiling.value
        furthest = floor + _REACH * (floor - ceiling)
        low, high = (max(low, furthest), high) if ceiling > floor else (low, min(high, furthest))
    if low >= high:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    step, multiples = round_multiples(low, high, 3)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = [(i * step, text.number(i * step, places)) for i in multiples]
    return low, high, ticks


def _anchor(name: str, anchor: Anchor | None, low: float, high: float) -> Line | None:
    if anchor is None:
        return None
    return _line(anchor.value, f"{name} {text.anchored(anchor)}", low, high, 0.2)


def _line(value: float, said: str, low: float, high: float, margin: float) -> Line:
    """Places a line; within the margin (a share of the width) its text turns inwards."""
    share = (value - low) / (high - low)
    side = "start" if share < margin else "end" if share > 1 - margin else "middle"
    return Line(_percent(value, low, high), said, side)


def _percent(value: float, low: float, high: float) -> str:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return f"{_LEFT + (_RIGHT - _LEFT) * share:.2f}%"
