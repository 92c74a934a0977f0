"""Whether a board can show some records, and which of them it cannot."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from worldbench.errors import WorldbenchError
from worldbench.leaderboard.files import render
from worldbench.leaderboard.table import build
from worldbench.record import record_path
from worldbench.schema import Record


def unshowable(read: Mapping[Path, Record]) -> list[tuple[Path, str]]:
    """Makes the board of some records and nothing else, to see that it can be made.

    Args:
        read: Records by path; trial tables stand beside them.

    Returns:
        The records without which the board of the others can be made, each with what went wrong.
    """
    left, found = list(read), []
    while (why := _why_not(left, read)) is not None:
        # left[:shown] makes a board and left[:failed] does not: halve what is between.
        shown, failed = 0, len(left)
        while failed - shown > 1:
            middle = (shown + failed) // 2
            told = _why_not(left[:middle], read)
            if told is None:
                shown = middle
            else:
                failed, why = middle, told
        found.append((left.pop(failed - 1), f"no board can show it: {why}"))
    return found


def _why_not(paths: Sequence[Path], read: Mapping[Path, Record]) -> str | None:
    if not paths:
        return None
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for path in paths:
            body = read[path].body
            suite = body.suite
            place = record_path(root, body.adapter, suite.name, suite.version, body.key)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            if path.with_suffix(".parquet").is_file():
                shutil.copyfile(path.with_suffix(".parquet"), place.with_suffix(".parquet"))
        try:
            render(build(root))
        except WorldbenchError as error:
            return error.one_line.replace(f"{root}/", "")
        except Exception as error:  # records are foreign: whatever they break, they must be named
            return f"{type(error).__name__}: {error}"
    return None
