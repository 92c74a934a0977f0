"""Scores against what answers cost: one drawing for each headline score and count of operations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board, Cell, Row, Section
from worldbench.leaderboard.chart import domain
from worldbench.leaderboard.site.costs import SUITE, Price, prices
from worldbench.leaderboard.strokes import Stroke, strokes
from worldbench.leaderboard.ticks import round_multiples

_TOP, _PLOT, _BOTTOM = 16, 200, 44
_LEFT, _RIGHT = 4.0, 96.0


@dataclass(frozen=True)
class Dot:
    """One adapter: where it stands, how it is drawn and what it says."""

    id: str
    name: str
    x: str
    y: str
    low: str | None
    high: str | None
    stroke: Stroke
    said: str


@dataclass(frozen=True)
class Tick:
    """A round number on an axis."""

    at: str
    said: str


@dataclass(frozen=True)
class Frontier:
    """A headline score against a cost, adapters that have both.

    Attributes:
        heading: The score.
        place: Of which suite and data.
        axis: The cost.
        counted: What was counted for it, and in which section.
        missing: Adapters with a score whose cost is unknown or zero.
    """

    heading: str
    place: str
    axis: str
    counted: str
    dots: tuple[Dot, ...]
    xs: tuple[Tick, ...]
    ys: tuple[Tick, ...]
    floor: str | None
    ceiling: str | None
    missing: tuple[str, ...]
    bottom: int = _TOP + _PLOT
    height: int = _TOP + _PLOT + _BOTTOM

    @property
    def said(self) -> str:
        """What the drawing shows, in words."""
        return "; ".join(dot.said for dot in self.dots)


def frontiers(board: Board) -> tuple[Frontier, ...]:
    """Returns every headline score against the counts it has, where two adapters can be drawn."""
    drawn_as = _strokes(board)
    found = []
    for section in board.sections:
        if section.suite == SUITE:
            continue
        for i, column in enumerate(section.columns):
            for price in prices(board, section, column) if column.headline else ():
                drawn = _frontier(section, i, price, drawn_as)
                if drawn is not None:
                    found.append(drawn)
    return tuple(found)


def _strokes(board: Board) -> Mapping[str, Stroke]:
    """Returns how adapters are drawn, the same in every drawing, by row id."""
    rows: dict[str, Row] = {}
    for section in sorted(board.sections, key=lambda section: section.suite != SUITE):
        for row in section.rows:
            rows.setdefault(row.id, row)
    return dict(zip(rows, strokes(list(rows.values())), strict=True))


def _frontier(
    section: Section, index: int, price: Price, drawn_as: Mapping[str, Stroke]
) -> Frontier | None:
    column, axis, priced = section.columns[index], price.column, price.values
    scored = [
        (row, row.cells[index])
        for row in section.rows
        if row.cells[index].value is not None and row.role != "ceiling"
    ]
    known = [each for each in scored if priced.get(each[0].id, 0.0) > 0.0]
    if len(known) < 2:
        return None
    left, right, xs = _across([priced[row.id] for row, _ in known])
    low, high, ys = domain(column, [cell for _, cell in known])

    space = _Space(left, right, low, high)
    return Frontier(
        heading=text.heading(column),
        place=f"{text.plain(section.suite)}@{text.plain(section.version)} · "
        f"{text.plain(section.data.name)}",
        axis=f"{text.plain(axis.label)}{f' ({text.plain(axis.unit)})' if axis.unit else ''}, "
        "logarithmic",
        counted=price.told,
        dots=tuple(_dot(space, row, cell, priced[row.id], drawn_as[row.id]) for row, cell in known),
        xs=tuple(Tick(space.x(value), f"{value:g}") for value in xs),
        ys=tuple(Tick(space.y(value), said) for value, said in ys),
        floor=space.y(column.floor.value) if column.floor else None,
        ceiling=space.y(column.ceiling.value) if column.ceiling else None,
        missing=tuple(
            text.plain(row.adapter) for row, _ in scored if priced.get(row.id, 0.0) <= 0.0
        ),
    )


@dataclass(frozen=True)
class _Space:
    """The ranges of a drawing: decimal logarithms of costs, and scores."""

    left: float
    right: float
    low: float
    high: float

    def x(self, cost: float) -> str:
        share = (math.log10(cost) - self.left) / (self.right - self.left)
        return f"{_LEFT + (_RIGHT - _LEFT) * share:.2f}%"

    def y(self, score: float) -> str:
        share = min(max((score - self.low) / (self.high - self.low), 0.0), 1.0)
        return f"{_TOP + _PLOT * (1 - share):.1f}"


def _dot(space: _Space, row: Row, cell: Cell, cost: float, stroke: Stroke) -> Dot:
    assert cell.value is not None  # only measured cells are drawn
    name = text.plain(row.adapter)
    whisker = cell.low is not None and cell.high is not None
    return Dot(
        id=row.id,
        name=name,
        x=space.x(cost),
        y=space.y(cell.value),
        low=space.y(cell.low) if whisker and cell.low is not None else None,
        high=space.y(cell.high) if whisker and cell.high is not None else None,
        stroke=stroke,
        said=f"{name}: {text.score(cell)} {text.interval(cell)} at {text.number(cost)}",
    )


def _across(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Returns a logarithmic range around positive values, and the numbers marked on it."""
    left, right = math.log10(min(values)), math.log10(max(values))
    if right - left < 0.3:
        left, right = left - 0.2, right + 0.2
    whole = [10.0**power for power in range(math.ceil(left), math.floor(right) + 1)]
    if len(whole) < 2:
        step, multiples = round_multiples(10.0**left, 10.0**right, 3)
        whole = [i * step for i in multiples if i > 0]
    return left, right, whole
