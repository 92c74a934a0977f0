"""Scores on a line of their own: dot, whisker, floor and ceiling, small enough for a table's cell.

All strips of one column share a ruler, so that they can be compared down the column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.leaderboard.board import Cell, Column
from worldbench.leaderboard.chart import domain
from worldbench.leaderboard.scales import target

_LEFT, _RIGHT = 3.0, 97.0


@dataclass(frozen=True)
class Strip:
    """One score, in percent of the width; ``beyond`` is an arrow where it is out of range."""

    x: str
    low: str | None
    high: str | None
    floor: str | None
    ceiling: str | None
    target: str | None
    beyond: str


@dataclass(frozen=True)
class Ruler:
    """The range that strips of one column show, with what is marked on each."""

    low: float
    high: float
    floor: float | None = None
    ceiling: float | None = None
    target: float | None = None

    @classmethod
    def of(cls, column: Column, cells: Sequence[Cell]) -> "Ruler | None":
        """Returns the ruler of a column's cells; None where none of them has a number."""
        measured = [cell for cell in cells if cell.value is not None]
        if not measured:
            return None
        low, high, _ = domain(column, measured)
        return cls(
            low,
            high,
            column.floor.value if column.floor else None,
            column.ceiling.value if column.ceiling else None,
            target(column),
        )

    @classmethod
    def around_zero(cls, value: float, low: float | None, high: float | None) -> "Ruler":
        """Returns the ruler of one difference, with zero in its middle."""
        ends = [abs(end) for end in (value, low, high) if end is not None]
        reach = max(ends) or 1.0
        return cls(-reach, reach, target=0.0)

    def strip(self, value: float, low: float | None = None, high: float | None = None) -> Strip:
        """Lays out one score with its interval, if there is one."""
        inside = self.low <= value <= self.high
        return Strip(
            x=self._at(value),
            low=self._at(low) if low is not None and inside else None,
            high=self._at(high) if high is not None and inside else None,
            floor=None if self.floor is None else self._at(self.floor),
            ceiling=None if self.ceiling is None else self._at(self.ceiling),
            target=None if self.target is None else self._at(self.target),
            beyond="" if inside else "→" if value > self.high else "←",
        )

    def of_cell(self, cell: Cell) -> Strip | None:
        """Lays out a cell; None where it has no number."""
        return None if cell.value is None else self.strip(cell.value, cell.low, cell.high)

    def _at(self, value: float) -> str:
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return f"{_LEFT + (_RIGHT - _LEFT) * share:.2f}%"
