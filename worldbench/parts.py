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


_FINGERPRINT = b"worldbench.fingerprint"


def table_bytes(rows: Sequence[Row], fingerprint: str = "") -> bytes:
    """Serialises rows as Parquet; columns are the union of the rows' keys, in first-seen order."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})
    if fingerprint:
        table = table.replace_schema_metadata({_FINGERPRINT: fingerprint.encode()})
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
        fingerprint: Of everything that rows of one record must share: key, code, arithmetic.
        again: Whether a finished record is being measured again; such an attempt resumes its own
            parts and no others.
    """

    def __init__(self, record: Path, fingerprint: str, *, again: bool = False) -> None:
        self.folder = record.with_suffix(".again.parts" if again else ".parts")
        self.fingerprint = fingerprint

    def read(self) -> dict[str, list[Row]]:
        """Returns the rows of every finished trial.

        A part that does not read back, or is of another fingerprint, is dropped.
        """
        rows: dict[str, list[Row]] = {}
        for path in sorted(self.folder.glob("*.parquet")):
            try:
                table = pq.read_table(path)
            except (OSError, pa.ArrowException):
                path.unlink()
                continue
            if (table.schema.metadata or {}).get(_FINGERPRINT) != self.fingerprint.encode():
                path.unlink()
                continue
            rows.update(by_trial(table.to_pylist()))
        return rows

    def write(self, ordinal: int, rows: Sequence[Row]) -> None:
        """Writes the rows of one batch atomically, named by its first trial's position."""
        write_atomic(self.folder / f"{ordinal:08d}.parquet", table_bytes(rows, self.fingerprint))

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
