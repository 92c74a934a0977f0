"""The spread over training seeds: records of models that are named as seeds of one model."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldbench.errors import RecordError
from worldbench.leaderboard import text
from worldbench.leaderboard.board import Cell, Column
from worldbench.leaderboard.columns import Layout
from worldbench.leaderboard.site.strips import Ruler, Strip
from worldbench.record import read_all
from worldbench.schema import Body

_SEEDED = re.compile(r"(?P<stem>.+)-(?P<seed>\d+)")


@dataclass(frozen=True)
class Seeded:
    """One metric of models called ``<stem>-<seed>``.

    Attributes:
        stem: What their names begin with.
        column: The metric.
        seeds: Seed, cell and drawing of each, by seed.
    """

    stem: str
    column: Column
    seeds: tuple[tuple[int, Cell, Strip | None], ...]

    @property
    def values(self) -> list[float]:
        """The scores there are."""
        return [cell.value for _, cell, _ in self.seeds if cell.value is not None]

    @property
    def spread(self) -> float | None:
        """The largest score minus the smallest; None with fewer than two."""
        values = self.values
        return max(values) - min(values) if len(values) > 1 else None

    @property
    def said(self) -> str:
        """Mean and spread in words."""
        if self.spread is None:
            return "no spread: fewer than two scores"
        mean = math.fsum(self.values) / len(self.values)
        return f"mean {text.number(mean)}, largest − smallest {text.number(self.spread)}"


def folder_of(records: Path) -> Path:
    """Returns where records of seeds lie beside a records folder: ``seeds/records``."""
    return records.parent / "seeds" / "records"


def read_seeds(records: Path) -> Mapping[str, tuple[Body, ...]]:
    """Returns the bodies of seeded models beside a records folder, by board key.

    That they differ in nothing but their seed is what their names say, and not checked.

    Raises:
        RecordError: If a record cannot be read, or two of them stand for one seed of a model.
    """
    folder = folder_of(records)
    found: dict[str, dict[tuple[str, int], tuple[Path, Body]]] = defaultdict(dict)
    if folder.is_dir():
        for path, record in read_all(folder):
            body = record.body
            if _SEEDED.fullmatch(body.adapter.name):
                held = found[body.board_key].setdefault(_seed(body), (path, body))
                if held[0] != path:
                    raise _twice(held, (path, body))
    return {key: tuple(own[seed][1] for seed in sorted(own)) for key, own in found.items()}


def _seed(body: Body) -> tuple[str, int]:
    match = _SEEDED.fullmatch(body.adapter.name)
    assert match is not None  # only such names are read
    return match["stem"], int(match["seed"])


def _twice(*records: tuple[Path, Body]) -> RecordError:
    """One seed that counts twice would look like a spread over seeds."""
    body = records[0][1]
    stem, seed = _seed(body)
    return RecordError(
        f"two records stand for seed {seed} of {stem} on the same questions of {body.suite.name}",
        seen=" and ".join(
            f"{path} ({each.adapter.name}, revision {each.adapter.revision[:12]})"
            for path, each in records
        ),
        accepted="one record per seed of a model, suite, data and protocol",
        fix="delete the one that is out of date, or give the other model a name of its own",
    )


def spreads(bodies: Sequence[Body], names: Sequence[str]) -> tuple[Seeded, ...]:
    """Returns the spread of every measured column, for stems that begin with one of the names.

    Args:
        bodies: Seeded models that answered the same questions.
        names: Adapters; ``dit`` has the seeds of ``dit-xs``.
    """
    if not bodies:
        return ()
    layout = Layout(bodies)
    stems: dict[str, list[Body]] = defaultdict(list)
    for body in bodies:
        stem = _seed(body)[0]
        if any(stem == name or stem.startswith(f"{name}-") for name in names):
            stems[stem].append(body)
    rows = {stem: [layout.cells(body) for body in own] for stem, own in stems.items()}
    found = []
    for i, column in enumerate(layout.columns):
        cells = [cells[i] for own in rows.values() for cells in own]
        ruler = Ruler.of(column, cells)
        if ruler is None:
            continue
        for stem, own in stems.items():
            line = [
                (_seed(body)[1], row[i], ruler.of_cell(row[i]))
                for body, row in zip(own, rows[stem], strict=True)
            ]
            if any(cell.value is not None for _, cell, _ in line):
                found.append(Seeded(stem, column, tuple(line)))
    return tuple(found)
