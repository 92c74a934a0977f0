"""Reading the text files that list a dataset's videos."""

import csv
from collections.abc import Iterator
from pathlib import Path

from worldbench.errors import DataError

_SHOWN = 500


def read_text(listing: str | Path) -> str:
    """Reads a listing as UTF-8, with or without a byte order mark.

    Raises:
        DataError: If the file is missing, unreadable or not UTF-8, or holds a NUL byte, which no
            path can.
    """
    try:
        text = Path(listing).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the listing: {type(error).__name__}",
            seen=str(listing),
            accepted="a readable UTF-8 text file",
            fix="check the path of the annotation file, or fetch it with the dataset",
        ) from error
    before, nul, _ = text.partition("\0")
    if nul:
        number = len(f"{before}.".splitlines())
        raise bad_line(listing, number, text.splitlines()[number - 1], "text without NUL bytes")
    return text


def read_csv(listing: str | Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Reads a CSV with a header.

    Returns:
        The columns, and each row with the number of its line.

    Raises:
        DataError: As :func:`read_text`, or if a line is no CSV; of rows, while they are read.
    """
    reader = csv.DictReader(read_text(listing).splitlines())
    try:
        columns = list(reader.fieldnames or ())
    except csv.Error as error:
        raise _no_csv(listing, reader, error) from error
    return columns, _rows(listing, reader)


def _rows(
    listing: str | Path, reader: "csv.DictReader[str]"
) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise _no_csv(listing, reader, error) from error


def _no_csv(listing: str | Path, reader: "csv.DictReader[str]", error: csv.Error) -> DataError:
    accepted = f"CSV with fields of up to {csv.field_size_limit()} characters"
    # The number of the line that did not read: DictReader's own is that of the last that did.
    return bad_line(listing, reader.reader.line_num, str(error), accepted)


def bad_line(listing: str | Path, number: int, seen: object, accepted: str) -> DataError:
    """Builds the error for a line that cannot be understood, for the caller to raise."""
    shown = repr(seen)
    return DataError(
        f"line {number} of the listing cannot be understood",
        seen=f"{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'} in {listing}",
        accepted=accepted,
        fix="correct or remove the line",
    )
