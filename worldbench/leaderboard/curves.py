"""Geometry of the curves: a score over a numeric factor, one line per adapter.

As in :mod:`~worldbench.leaderboard.chart`, horizontal positions are percentages and vertical ones
pixels, so that a curve fills any width without scaling its text.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from worldbench.leaderboard import text
from worldbench.leaderboard.axes import Across, Up, spread
from worldbench.leaderboard.board import Cell, Column, Row, Section
from worldbench.leaderboard.breakdowns import Sweep, sweeps
from worldbench.leaderboard.columns import OPERATOR, factor_text
from worldbench.leaderboard.scales import by_construction
from worldbench.leaderboard.strokes import Stroke, strokes

_TOP, _PLOT, _BOTTOM = 14, 250, 42
_LABEL = 20.0
"""Pixels between the labels of two adapters."""
_REACH = 1.0
"""How far beyond floor and ceiling a curve reaches, in distances of the two."""


@dataclass(frozen=True)
class Line:
    """One adapter on a curve, before it is laid out."""

    row: Row
    name: str
    stroke: Stroke
    cells: tuple[Cell, ...]

    @property
    def operator(self) -> str:
        """The operator by which it was asked, where the question leaves it open."""
        told = next(cell.qualifier for cell in self.cells if cell.value is not None)
        return text.plain(told.removeprefix(f"{OPERATOR} = "))


@dataclass(frozen=True)
class Point:
    """One score: where it stands, its interval, and what it says when pointed at."""

    x: str
    y: str
    low: str | None
    high: str | None
    said: str


@dataclass(frozen=True)
class Series:
    """One adapter, laid out: points, segments between neighbours, and a label beside the plot.

    A line leads to the label from the last point, at ``end``; ``beyond`` is the last score where
    the plot does not reach it.
    """

    name: str
    operator: str
    stroke: Stroke
    points: tuple[Point, ...]
    segments: tuple[tuple[Point, Point], ...]
    end: str
    label: str
    beyond: str

    @property
    def place(self) -> float:
        """The height of the label, by which labels are read out."""
        return float(self.label)


@dataclass(frozen=True)
class Mark:
    """A tick, a floor or a ceiling: where it stands and what it says."""

    at: str
    said: str
    kind: str = ""


@dataclass(frozen=True)
class Curve:
    """Everything that the drawing of one sweep needs; ``breakdown`` is the index of its first."""

    heading: str
    detail: str
    axis: str
    said: str
    gaps: bool
    bottom: int
    height: int
    xs: tuple[Mark, ...]
    ys: tuple[Mark, ...]
    series: tuple[Series, ...]
    breakdown: int


def curves(section: Section) -> tuple[Curve, ...]:
    """Lays out every curve of a section."""
    return tuple(_curve(section, sweep) for sweep in sweeps(section))


def _curve(section: Section, sweep: Sweep) -> Curve:
    column = by_construction(section.breakdowns[sweep.levels[0][1]])
    lines = _lines(section, sweep)
    plot = max(_PLOT, math.ceil(_LABEL * len(lines)))
    across = Across([level for level, _ in sweep.levels], len(lines))
    up = _up(column, lines, plot)
    ends = [up.within(_last(line)) for line in lines]
    labels = spread(ends, _LABEL, float(_TOP), float(_TOP + plot))
    series = tuple(_series(line, i, sweep, across, up, labels[i]) for i, line in enumerate(lines))
    anchors = _anchors(column, up)
    extractor = column.factors.get("extractor")
    name = f"{column.name}[{extractor}]" if extractor else column.name
    fixed = factor_text(item for item in sweep.fixed if item[0] != "extractor")
    unit = f" ({column.unit})" if column.unit else ""
    return Curve(
        heading=text.plain(f"{name}{unit} by {sweep.factor} {text.arrow(column)}"),
        detail=text.plain(" · ".join(filter(None, (fixed, text.better(column))))),
        axis=text.plain(sweep.factor) + (" (logarithmic)" if across.logarithmic else ""),
        said="; ".join(_said(line, sweep) for line in lines),
        gaps=any(cell.value is None for line in lines for cell in line.cells),
        bottom=_TOP + plot,
        height=_TOP + plot + _BOTTOM,
        xs=tuple(Mark(f"{x:.2f}%", said) for x, said in across.ticks()),
        ys=(
            *(Mark(f"{y:.1f}", said) for y, said in up.ticks(float(a.at) for a in anchors)),
            *anchors,
        ),
        series=series,
        breakdown=sweep.levels[0][1],
    )


def _lines(section: Section, sweep: Sweep) -> list[Line]:
    """Returns the adapters that have a number at some level."""
    names = Counter(row.adapter for row in section.rows)
    found = []
    for row, stroke in zip(section.rows, strokes(section.rows), strict=True):
        cells = tuple(row.details[i] for _, i in sweep.levels)
        if any(cell.value is not None for cell in cells):
            revision = f" {row.revision[:6]}" if names[row.adapter] > 1 else ""
            found.append(Line(row, text.plain(f"{row.adapter}{revision}"), stroke, cells))
    return found


def _up(column: Column, lines: Sequence[Line], plot: int) -> Up:
    """Chooses the scores shown: all, but not whatever is far off floor and ceiling.

    Without the two, an untrained twin a hundred times as far off must not squash the others.
    """
    anchors = [anchor.value for anchor in (column.floor, column.ceiling) if anchor]
    limits = (-math.inf, math.inf)
    counted = list(lines)
    if len(anchors) == 2:
        reach = _REACH * abs(anchors[1] - anchors[0])
        limits = (min(anchors) - reach, max(anchors) + reach)
    else:
        counted = [line for line in lines if not line.stroke.twin] or counted
    given = [
        edge
        for line in counted
        for cell in line.cells
        for edge in (cell.value, cell.low, cell.high)
        if edge is not None
    ]
    return Up.around([*given, *anchors], limits, _TOP, plot)


def _anchors(column: Column, up: Up) -> tuple[Mark, ...]:
    given = (("floor", column.floor), ("ceiling", column.ceiling))
    return tuple(
        Mark(f"{up.at(anchor.value):.1f}", f"{kind} {text.anchored(anchor)}", kind)
        for kind, anchor in given
        if anchor is not None
    )


def _last(line: Line) -> float:
    return [cell.value for cell in line.cells if cell.value is not None][-1]


def _series(line: Line, i: int, sweep: Sweep, across: Across, up: Up, label: float) -> Series:
    points = [
        _point(line, cell, across.at(k, i), up, f"{sweep.factor} = {sweep.levels[k][0]:g}")
        for k, cell in enumerate(line.cells)
    ]
    last = _last(line)
    shown = text.score(next(cell for cell in reversed(line.cells) if cell.value is not None))
    arrow = "↓" if last < up.low else "↑" if last > up.high else ""
    return Series(
        name=line.name,
        operator=line.operator,
        stroke=line.stroke,
        points=tuple(point for point in points if point),
        # A line across a level that was not measured would claim a score there.
        segments=tuple((a, b) for a, b in pairwise(points) if a and b),
        end=f"{up.within(last):.1f}",
        label=f"{label:.1f}",
        beyond=f"{arrow} {shown}" if arrow else "",
    )


def _point(line: Line, cell: Cell, x: float, up: Up, level: str) -> Point | None:
    if cell.value is None:
        return None
    low, high = cell.low, cell.high
    bar = low is not None and high is not None
    asked = f"{line.name} ({line.operator})" if line.operator else line.name
    return Point(
        x=f"{x:.2f}%",
        y=f"{up.at(cell.value):.1f}",
        low=f"{up.at(low):.1f}" if bar and low is not None else None,
        high=f"{up.at(high):.1f}" if bar and high is not None else None,
        said=f"{asked}, {text.plain(level)}: {text.score(cell)} {text.interval(cell)}, "
        f"n = {cell.n} in {cell.clusters} clusters",
    )


def _said(line: Line, sweep: Sweep) -> str:
    """Returns what a line shows, for whoever cannot see it: where it starts and where it ends."""
    measured = [
        f"{text.score(cell)} at {level:g}"
        for (level, _), cell in zip(sweep.levels, line.cells, strict=True)
        if cell.value is not None
    ]
    ends = measured if len(measured) == 1 else [measured[0], measured[-1]]
    asked = f" ({line.operator})" if line.operator else ""
    return f"{line.name}{asked}: {' to '.join(ends)}"
