"""Reading the text files that list a dataset's videos."""

from pathlib import Path

from worldbench.errors import DataError


def read_text(listing: str | Path) -> str:
    """Reads a listing as UTF-8, with or without a byte order mark.

    Raises:
        DataError: If the file is missing, unreadable or not UTF-8.
    """
    try:
        return Path(listing).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the listing: {type(error).__name__}",
            seen=str(listing),
            accepted="a readable UTF-8 text file",
            fix="check the path of the annotation file, or fetch it with the dataset",
        ) from error


def bad_line(listing: str | Path, number: int, seen: object, accepted: str) -> DataError:
    """Builds the error for a line that cannot be understood, for the caller to raise."""
    return DataError(
        f"line {number} of the listing cannot be understood",
        seen=f"{seen!r} in {listing}",
        accepted=accepted,
        fix="correct or remove the line",
    )
