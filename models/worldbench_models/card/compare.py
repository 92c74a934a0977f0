"""Runs side by side: ``python -m worldbench_models.card.compare RUN RUN``.

One table with runs as columns: what training took, what the gates say, and what held-out clips said
last. Runs that differ in their seed alone have their mean and standard deviation beside them, two
runs of different models the ratio of what they took.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from worldbench.errors import WorldbenchError
from worldbench.record import write_atomic
from worldbench_models.card.columns import Column, grouped, labels, read_columns
from worldbench_models.card.markdown import count, duration, flops, table
from worldbench_models.gates.gate import Gate

Shown = Callable[[int | float], str]

_TAKEN: tuple[tuple[str, str, Shown], ...] = (
    ("parameters", "parameters", count),
    ("forward per clip, counted", "flops_per_clip", flops),
    ("training in all, counted", "training_flops", flops),
    ("clips seen", "clips_seen", count),
    ("unique clips", "unique_clips", count),
    ("steps", "steps", count),
)


@dataclass(frozen=True)
class _Row:
    """What is told of each run.

    Attributes:
        name: What it is called.
        value: A run's number; None where it has none.
        shown: How numbers are written.
        text: A run's cell, number or not.
        ratio: Whether two runs are compared by it.
        beside: What is told of several seeds, next to their mean.
    """

    name: str
    value: Callable[[Column], float | None]
    shown: Shown
    text: Callable[[Column], str]
    ratio: bool = False
    beside: Callable[[Sequence[Column]], str] = lambda group: ""

    def spread(self, group: Sequence[Column]) -> str:
        """Returns mean ± standard deviation over seeds (n - 1), or why there is none."""
        values = [self.value(column) for column in group]
        found = [value for value in values if value is not None]
        if not found:
            texts = {self.text(column): None for column in group}
            return f"{'; '.join(texts)}{self.beside(group)}"
        if len(found) < len(values):
            return f"– (of {len(found)} of {len(values)} seeds only)"
        alike = len(set(found)) == 1
        said = self.shown(found[0] if alike else fmean(found))
        return f"{said}{'' if alike else f' ± {self.shown(stdev(found))}'}{self.beside(group)}"


def comparison(folders: Sequence[Path], *, heldout: bool = True) -> str:
    """Writes the table.

    Args:
        folders: Run folders, two or more, with or without ``gates.json``.
        heldout: Whether to tell what held-out clips said last.

    Returns:
        Markdown.

    Raises:
        UsageError: If there are fewer than two.
        DataError: If one is no run, its gates are of other weights, or one comes twice.
    """
    groups = grouped(read_columns(folders))
    columns = [column for group in groups for column in group]
    named = iter(labels(columns))
    head = ["what"]
    for group in groups:
        head += [next(named) for _ in group]
        if len(group) > 1:
            head.append(f"{group[0].run.name}, mean ± standard deviation of {len(group)} seeds")
    pair = len(columns) == len(groups) == 2
    rows = [*_taken(columns), *_gates(columns), *(_heldout(columns) if heldout else [])]
    lines = [[row.name, *_cells(row, groups), *_ratio(row, columns, pair)] for row in rows]
    return table([*head, *(["ratio, second to first"] if pair else [])], lines)


def _cells(row: _Row, groups: Sequence[Sequence[Column]]) -> list[str]:
    cells = []
    for group in groups:
        cells += [row.text(column) for column in group]
        cells += [row.spread(group)] if len(group) > 1 else []
    return cells


def _ratio(row: _Row, columns: Sequence[Column], pair: bool) -> list[str]:
    if not pair:
        return []
    first, second = (row.value(column) for column in columns)
    return [f"{second / first:.3f}" if row.ratio and first and second is not None else ""]


def _row(name: str, value: Callable[[Column], float | None], shown: Shown, why: str) -> _Row:
    def text(column: Column) -> str:
        found = value(column)
        return f"– ({why.format(model=column.model)})" if found is None else shown(found)

    return _Row(name, value, shown, text)


def _taken(columns: Sequence[Column]) -> list[_Row]:
    rows = [_summed(name, key, shown) for name, key, shown in _TAKEN]
    parts = {part: None for column in columns for part in column.run.summary["seconds"]}
    rows += [_timed(part) for part in parts]
    rows.append(_Row("device", lambda column: None, str, _device))
    mfu = _row("MFU", lambda column: column.run.summary["mfu"], _percent, "not measured")
    return [*rows, mfu]


def _summed(name: str, key: str, shown: Shown) -> _Row:
    def value(column: Column) -> float:
        return float(column.run.summary[key])

    return _Row(name, value, shown, lambda column: shown(value(column)), ratio=True)


def _timed(part: str) -> _Row:
    def value(column: Column) -> float | None:
        found: float | None = column.run.summary["seconds"].get(part)
        return found

    return _row(f"wall time, {part}", value, duration, "not timed")


def _device(column: Column) -> str:
    return f"{column.run.summary['processes']} × {column.run.summary['device']}"


def _percent(share: int | float) -> str:
    return f"{share:.1%}"


def _three(value: int | float) -> str:
    return f"{value:.3f}"


def _gates(columns: Sequence[Column]) -> list[_Row]:
    return [_gate_row(name) for name in {name: None for c in columns for name in c.gates or ()}]


def _gate_row(name: str) -> _Row:
    def gate(column: Column) -> Gate | None:
        return None if column.gates is None else column.gates.get(name)

    def value(column: Column) -> float | None:
        found = gate(column)
        return None if found is None else found.value

    def text(column: Column) -> str:
        if column.gates is None:
            return "– (its gates were not measured)"
        found = gate(column)
        return f"– (no gate of {column.model})" if found is None else _judgement(found)

    def beside(group: Sequence[Column]) -> str:
        found = [each.status for column in group if (each := gate(column)) is not None]
        judged = len(found) == len(group) and "not measured" not in found
        return f"; {found.count('passed')} of {len(group)} passed" if judged else ""

    return _Row(f"gate: {name}", value, _three, text, beside=beside)


def _judgement(gate: Gate) -> str:
    if gate.status == "not measured":
        return f"– ({gate.reason})"
    if gate.value is None:
        return f"**{gate.status}** by eye"
    return f"{gate.value:.3f} **{gate.status}** ({gate.direction} {gate.threshold:.3g})"


def _heldout(columns: Sequence[Column]) -> list[_Row]:
    names = {name: None for column in columns for name in column.heldout}
    return [_watched(name) for name in names]


def _watched(name: str) -> _Row:
    def value(column: Column) -> float | None:
        return column.heldout.get(name)

    return _row(f"held-out: {name}", value, _digits, "not watched of {model}")


def _digits(value: int | float) -> str:
    return f"{value:#.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table, or writes it.

    Returns:
        0, or an error's exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m worldbench_models.card.compare", description="Runs side by side."
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    parser.add_argument("--out", type=Path, help="a Markdown file; the screen by default")
    asked = parser.parse_args(arguments)
    try:
        text = comparison(asked.runs) + "\n"
        if asked.out is not None:
            write_atomic(asked.out, text.encode())
    except WorldbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(text if asked.out is None else asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
