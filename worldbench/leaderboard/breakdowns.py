"""How breakdowns are laid out: which stand in one table, and which form a curve."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Column, Row, Section
from worldbench.leaderboard.columns import OPERATOR, factor_text
from worldbench.schema import Scalar

FEW = 24
"""So many breakdowns still read well in one table; of more, every metric has its own."""

MIN_LEVELS = 3
"""Two levels are a difference, which the table shows as well as a line would."""

_Question = tuple[str, str, str, tuple[tuple[str, Scalar], ...]]


@dataclass(frozen=True)
class Group:
    """Breakdowns in one table.

    Attributes:
        name: Name of the metric, empty where the table holds all there are.
        caption: What holds for every line.
        lines: What each line says, and its index among the section's breakdowns.
    """

    name: str
    caption: str
    lines: tuple[tuple[str, int], ...]

    def holds(self, breakdown: int) -> bool:
        """Says whether a breakdown, by its index in the section, stands in this table."""
        return any(i == breakdown for _, i in self.lines)

    def told(self, row: Row) -> str:
        """Returns what the head of a row's column says for all of its cells, such as an operator.

        Empty where cells differ, and where the table is short enough for each to speak for itself.
        """
        cells = [row.details[i] for _, i in self.lines]
        said = {cell.qualifier for cell in cells if cell.value is not None}
        return said.pop() if self.name and len(said) == 1 else ""


@dataclass(frozen=True)
class Sweep:
    """Breakdowns of one metric that differ in one numeric factor alone.

    Attributes:
        factor: Name of the factor.
        fixed: The other factors.
        levels: Levels of the factor, ascending, each with its index among the section's breakdowns.
    """

    factor: str
    fixed: tuple[tuple[str, Scalar], ...]
    levels: tuple[tuple[float, int], ...]


def groups(section: Section) -> tuple[Group, ...]:
    """Returns the tables that the breakdowns of a section stand in."""
    columns = section.breakdowns
    if not columns:
        return ()
    if len(columns) <= FEW:
        lines = tuple((text.heading(column), i) for i, column in enumerate(columns))
        return (Group("", "Scores by factor", lines),)
    found: dict[tuple[str, str, bool], list[int]] = defaultdict(list)
    for i, column in enumerate(columns):
        found[column.name, column.unit, column.higher_is_better].append(i)
    return tuple(_group(columns, indices) for indices in found.values())


def sweeps(section: Section) -> tuple[Sweep, ...]:
    """Returns the curves among the breakdowns of a section: three levels with a number or more.

    Operators other than the headline's are left to the tables where the headline's has a curve.
    """
    found: dict[_Question, list[tuple[float, int]]] = defaultdict(list)
    for i, column in enumerate(section.breakdowns):
        for factor, level in column.factors.items():
            if _numeric(level):
                found[_question(column, factor)].append((float(level), i))
    measured = [
        any(row.details[i].value is not None for row in section.rows)
        for i in range(len(section.breakdowns))
    ]
    drawn = {
        question: levels
        for question, levels in found.items()
        if sum(measured[i] for _, i in levels) >= MIN_LEVELS
    }
    curves = []
    for (name, factor, unit, fixed), levels in drawn.items():
        others = tuple((key, value) for key, value in fixed if key != OPERATOR)
        if others == fixed or (name, factor, unit, others) not in drawn:
            curves.append(Sweep(factor, fixed, tuple(sorted(levels))))
    return tuple(curves)


def _question(column: Column, factor: str) -> _Question:
    fixed = tuple(sorted((k, v) for k, v in column.factors.items() if k != factor))
    return column.name, factor, column.unit, fixed


def _numeric(level: Scalar) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool) and math.isfinite(level)


def _group(columns: Sequence[Column], indices: Sequence[int]) -> Group:
    """Names each line by what tells it from the others; the caption says the rest."""
    first = columns[indices[0]]
    shared = set(first.factors.items())
    for i in indices:
        shared &= set(columns[i].factors.items())
    own = {i: [item for item in columns[i].factors.items() if item not in shared] for i in indices}
    lines = [(text.plain(factor_text(own[i]) or "all"), i) for i in _ordered(own)]
    unit = f"{first.unit}, " if first.unit else ""
    said = [factor_text(shared), f"{unit}{text.better(first)}"]
    return Group(text.plain(first.name), text.plain("; ".join(filter(None, said))), tuple(lines))


def _ordered(own: dict[int, list[tuple[str, Scalar]]]) -> Iterable[int]:
    """Orders lines by the factors they break down by, words before numbers, numbers by size.

    Records come alphabetically and may lack levels, so the order in which levels are met is none.
    """
    kinds: dict[tuple[str, ...], int] = {}
    words: dict[tuple[str, Scalar], int] = {}
    keys = {}
    for i, items in own.items():
        kind = kinds.setdefault(tuple(sorted(name for name, _ in items)), len(kinds))
        places = [
            float(value) if _numeric(value) else words.setdefault((name, value), len(words))
            for name, value in sorted(items, key=lambda item: (_numeric(item[1]), item[0]))
        ]
        keys[i] = (kind, places)
    return sorted(own, key=lambda i: keys[i])
