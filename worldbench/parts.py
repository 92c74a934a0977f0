"""Part files: the rows of finished batches, so that a killed run resumes at the next one."""

import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worldbench.record import write_atomic

Row = dict[str, Any]


def table_bytes(rows: Sequence[Row]) -> bytes:
    """Serialises rows as Parquet; columns are the union of the rows' keys, in first-seen order."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of a Parquet file."""
    rows: list[Row] = pq.read_table(path).to_pylist()
    return rows


class Parts:
    """The part files of one record, in a folder beside it.

    Args:
        record: Path of the record that they will become.
    """

    def __init__(self, record: Path) -> None:
        self.folder = record.with_suffix(".parts")

    def read(self) -> dict[str, list[Row]]:
        """Returns the rows of every finished trial; a part that does not read back is dropped."""
        rows: dict[str, list[Row]] = {}
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                found = read_rows(path)
            except (OSError, pa.ArrowException):
                path.unlink()
                continue
            rows.update(by_trial(found))
        return rows

    def write(self, ordinal: int, rows: Sequence[Row]) -> None:
        """Writes the rows of one batch atomically, named by its first trial's position."""
        write_atomic(self.folder / f"{ordinal:08d}.parquet", table_bytes(rows))

    def remove(self) -> None:
        """Deletes all parts, once the record is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def by_trial(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Groups rows by trial.

    To be merged with ``update``: after a change of batch size a trial may be in two batches, and
    must still count once.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(str(row["trial"]), []).append(row)
    return grouped


def in_trial_order(rows: dict[str, list[Row]], trials: Iterable[str]) -> list[Row]:
    """Lists rows by trial, in the suite's order."""
    return [row for trial in trials for row in rows[trial]]
