"""From paired records to a comparison: align trials, test each metric, correct for the family."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from worldbench.comparison.outcome import (
    ALPHA,
    Comparison,
    Configuration,
    Line,
    Side,
)
from worldbench.comparison.paired import of_influence, of_trials
from worldbench.comparison.pairs import Found, Pair, Source, Unmatched
from worldbench.errors import RecordError, unknown_name
from worldbench.leaderboard.board import Cell, Column
from worldbench.leaderboard.columns import Layout, is_main
from worldbench.leaderboard.rows import Absent, Scores, load, scores
from worldbench.schema import Body
from worldbench.stats import holm

MIN_DRAWS = 10_000

_READOUT = "-readout"
"""In the label of distances that a map of the model's own latents gives."""

_OWN_SCALE = Absent("each model is read by a map of its own, so these are not on one scale")

_SAME = 1e-9
"""Share of a score within which the mean of its rows is the score."""


def compare(
    a: str, b: str, found: Found, *, metrics: Sequence[str] = (), shown: int = 3
) -> Comparison:
    """Compares two sides on every metric that has a column on the board.

    Differences of means are tested by cluster sign-flip and get a cluster bootstrap interval;
    distances by paired influence values. All tests of the comparison are one family for Holm.

    Args:
        a: How the first side is called.
        b: How the second is.
        found: Their records, as :func:`worldbench.comparison.pairs.find` pairs them.
        metrics: Names or labels of the only metrics wanted; all if empty.
        shown: How many of the best and of the worst trials to keep.

    Raises:
        RecordError: If rows are not a record's own, or two rows files put a trial into different
            clusters.
        UsageError: If ``metrics`` names one that no record has.
    """
    layouts = [Layout([pair.a.body, pair.b.body]) for pair in found.pairs]
    columns = [_wanted(layout.columns, metrics) for layout in layouts]
    known = {name for layout in layouts for c in layout.columns for name in (c.name, c.label)}
    for name in metrics:
        if name not in known:
            raise unknown_name("metric", name, known, fix="leave --metric out to see all")
    # A sign-flip p is at least 1 / (1 + draws) and Holm multiplies it by the size of the family.
    draws = max(MIN_DRAWS, math.ceil(2 * sum(map(len, columns)) / ALPHA))
    configurations = [
        _configuration(pair, layout, wanted, draws, shown)
        for pair, layout, wanted in zip(found.pairs, layouts, columns, strict=True)
    ]
    unmatched = tuple(_alone(item, a, b) for item in found.unmatched)
    return Comparison(a, b, _adjusted(configurations), unmatched)


def _wanted(columns: Sequence[Column], metrics: Sequence[str]) -> list[Column]:
    return [c for c in columns if not metrics or {c.name, c.label} & set(metrics)]


def _configuration(
    pair: Pair, layout: Layout, wanted: Sequence[Column], draws: int, shown: int
) -> Configuration:
    sides = (pair.a, pair.b)
    tables = [load(source.path, source.record) for source in sides]
    cells = [layout.cells(source.body) for source in sides]
    lines = []
    for column, *both in zip(layout.columns, *cells, strict=True):
        if column not in wanted:
            continue
        found = [
            _OWN_SCALE
            if _READOUT in column.label and _differ(pair)
            else _scores(source.body, column, cell, table)
            for source, cell, table in zip(sides, both, tables, strict=True)
        ]
        lines.append(_line(pair, column, (both[0], both[1]), (found[0], found[1]), draws, shown))
    suite = pair.a.body.suite
    return Configuration(
        key=pair.a.body.board_key,
        suite=suite.name,
        version=suite.version,
        data=suite.data.name,
        a=_side(pair.a),
        b=_side(pair.b),
        lines=tuple(lines),
    )


def _differ(pair: Pair) -> bool:
    return pair.a.body.adapter.revision != pair.b.body.adapter.revision


def _side(source: Source) -> Side:
    body = source.body
    name, revision = body.adapter.name, body.adapter.revision
    return Side(name, revision, body.status, body.reason, source.path.as_posix())


def _scores(
    body: Body, column: Column, cell: Cell, table: Mapping[str, list[Any]] | Absent
) -> Scores | Absent:
    """Returns the per-trial results behind a score, or why it has none."""
    if cell.value is None:
        return Absent(f"{cell.status}: {cell.reason}" if cell.reason else cell.status)
    if isinstance(table, Absent):
        return table
    if cell.low is None and cell.reason:
        return Absent(cell.reason)
    same = [m for m in body.metrics if is_main(m) and m.name == column.name and m.value is not None]
    if len(same) > 1:
        return Absent(f"its rows do not tell its {len(same)} scores of {column.name} apart")
    found = scores(table, column.name)
    if isinstance(found, Scores) and found.kind == "trials":
        mean = math.fsum(found.values.values()) / len(found.values)
        if not math.isclose(mean, cell.value, rel_tol=_SAME, abs_tol=_SAME):
            return Absent(f"its score is not the mean of its rows, {mean:.6g}")
    return found


def _line(
    pair: Pair,
    column: Column,
    cells: tuple[Cell, Cell],
    found: tuple[Scores | Absent, Scores | Absent],
    draws: int,
    shown: int,
) -> Line:
    a, b = cells
    one, two = found
    if isinstance(one, Absent) or isinstance(two, Absent):
        reasons = {x: f.reason for x, f in zip("AB", found, strict=True) if isinstance(f, Absent)}
        if len(set(reasons.values())) == 1 and len(reasons) == 2:
            reasons = {"A and B": next(iter(reasons.values()))}
        said = "; ".join(f"{side}: {reason}" for side, reason in reasons.items())
        return Line(column, a, b, None, said)
    shared = sorted(one.values.keys() & two.values.keys())
    if one.kind != two.kind or not shared:
        return Line(column, a, b, None, "A and B share no trials")
    _agree(pair, one, two, shared)
    if one.kind == "trials":
        paired = of_trials(column, one, two, draws, shown)
    else:
        assert a.value is not None  # rows were only taken for scores
        assert b.value is not None
        paired = of_influence(one, two, a.value, b.value)
    return Line(column, a, b, paired, None)


def _agree(pair: Pair, one: Scores, two: Scores, shared: Sequence[str]) -> None:
    for trial in shared:
        if one.clusters[trial] != two.clusters[trial]:
            raise RecordError(
                f"two records put trial {trial} into different clusters",
                seen=f"{one.clusters[trial]!r} in {pair.a.path}, "
                f"{two.clusters[trial]!r} in {pair.b.path}",
                accepted="one cluster per trial, since both name the same data",
                fix="run the older of the two cells again",
            )


def _adjusted(configurations: Sequence[Configuration]) -> tuple[Configuration, ...]:
    """Fills ``adjusted`` by Holm over all tests of the comparison."""
    tests = [
        line.paired.p
        for configuration in configurations
        for line in configuration.lines
        if line.paired is not None and line.paired.p is not None
    ]
    rest = iter(holm(np.array(tests, dtype=np.float64)))
    result = []
    for configuration in configurations:
        lines = []
        for line in configuration.lines:
            if line.paired is not None and line.paired.p is not None:
                line = replace(line, paired=replace(line.paired, adjusted=float(next(rest))))
            lines.append(line)
        result.append(replace(configuration, lines=tuple(lines)))
    return tuple(result)


def _alone(item: Unmatched, a: str, b: str) -> str:
    suite = item.source.body.suite
    own, other = (a, b) if item.side == "a" else (b, a)
    place = f"{suite.name}@{suite.version} on {suite.data.name}"
    if item.nearest is None:
        return f"{place}: {own} has a record, {other} has none of this suite"
    return f"{place}: {own} was asked otherwise than {other} (A | B): {'; '.join(item.keys)}"
