"""Runs as columns of a comparison: what each is called, and which are seeds of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldbench.errors import DataError, UsageError
from worldbench_models.card.heldout import told
from worldbench_models.card.markdown import flattened
from worldbench_models.card.run import Finished, bound_report, read_finished
from worldbench_models.gates.gate import Gate
from worldbench_models.training.folder import GATES

_OWN_ROW = frozenset({"steps", "clips"})  # these settings are rows, they need not be in names
_SHOWN = 24  # characters of a setting in a name: enough of any but a digest, and of that too


@dataclass(frozen=True)
class Column:
    """A run.

    Attributes:
        run: What training left.
        gates: By name; None where they were not measured.
    """

    run: Finished
    gates: Mapping[str, Gate] | None

    @property
    def model(self) -> str:
        """What was trained, e.g. ``dit``."""
        return str(self.run.summary["model"])

    @property
    def settings(self) -> dict[str, str]:
        """What was asked for, by dotted name, and the digest of the clips."""
        data = str(self.run.summary["data"]["digest"])
        return {**dict(flattened(self.run.summary["settings"])), "data": data}

    @property
    def heldout(self) -> dict[str, float]:
        """What held-out clips said last, by what it is called."""
        return told(self.run.heldout[-1]["heldout"]) if self.run.heldout else {}

    def is_seed_of(self, other: "Column") -> bool:
        """Whether both are one model, trained alike but for the seed, which is another."""
        if self.run.name != other.run.name:
            return False
        mine, its = self.settings, other.settings
        return mine.pop("seed", None) != its.pop("seed", None) and mine == its


def read_columns(folders: Sequence[Path]) -> list[Column]:
    """Reads run folders, with their gates where they were measured.

    Raises:
        UsageError: If there are fewer than two.
        DataError: If one is no run, its gates are of other weights, or one comes twice.
    """
    if len(folders) < 2:
        raise UsageError(
            "nothing to compare",
            seen=f"{len(folders)} run folder(s)",
            accepted="two or more",
            fix="python -m worldbench_models.card.compare RUN RUN",
        )
    columns = [_read(folder) for folder in folders]
    seen: dict[str, Path] = {}
    for folder, column in zip(folders, columns, strict=True):
        digest = _digest(column)
        if digest in seen:
            raise DataError(
                f"{folder} is the run of {seen[digest]}",
                seen="the same weights",
                accepted="runs with weights of their own",
                fix="name each run once",
            )
        seen[digest] = folder
    return columns


def _read(folder: Path) -> Column:
    run = read_finished(folder)
    if not (folder / GATES).exists():
        return Column(run, None)
    return Column(run, {gate.name: gate for gate in bound_report(folder, run).gates})


def grouped(columns: Sequence[Column]) -> list[list[Column]]:
    """Puts together what differs in its seed alone, in the order of the first of each."""
    groups: list[list[Column]] = []
    for each in columns:
        seeds = (group for group in groups if all(each.is_seed_of(other) for other in group))
        group = next(seeds, None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    return groups


def labels(columns: Sequence[Column]) -> list[str]:
    """Names each run: model and size, and the settings in which runs of the same name differ.

    Runs that differ in none are told apart by their weights' digest.
    """
    named = [_label(each, [c for c in columns if c.run.name == each.run.name]) for each in columns]
    return [
        name if named.count(name) == 1 else f"{name}, weights {_digest(each)[:12]}"
        for name, each in zip(named, columns, strict=True)
    ]


def _digest(column: Column) -> str:
    return str(column.run.summary["weights_sha256"])


def _label(column: Column, alike: Sequence[Column]) -> str:
    own = column.settings
    names = sorted({name for other in alike for name in other.settings} - _OWN_ROW)
    differing = [n for n in names if len({other.settings.get(n) for other in alike}) > 1]
    parts = [f"{name.split('.')[-1]} {own.get(name, 'not set')[:_SHOWN]}" for name in differing]
    return ", ".join([column.run.name, *parts])
