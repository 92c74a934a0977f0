"""The board as files: what they hold, writing them, and telling whether they are up to date."""

import difflib
import json
from collections.abc import Container
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from worldbench.errors import UsageError
from worldbench.leaderboard import markdown, site
from worldbench.leaderboard.board import Board
from worldbench.record import write_atomic

BOARD_SCHEMA = 1
"""Version of the layout of ``leaderboard.json``."""

MEDIA = Path("site", "media")
"""Where clips and pictures of models lie, below the folder that a board is written to."""

_GENERATED = ("site/suites/*.html", "site/models/*.html", "site/duel.html")
"""Where pages lie that another board may not have."""

_DIFF_LINES = {".html": 20}
"""Lines of difference shown at most, by suffix: a page is generated text nobody reviews."""


def render(board: Board, media: Path | None = None) -> dict[str, bytes]:
    """Renders a board: relative path → content. The same board gives the same bytes anywhere.

    Args:
        board: The board.
        media: The folder with clips and pictures of models that pages embed, if there is one.
    """
    texts = {
        "leaderboard.md": markdown.render(board),
        "leaderboard.json": to_json(board),
        **{f"site/{path}": page for path, page in site.render(board, media).items()},
    }
    # Text from a record may hold half a surrogate pair, which UTF-8 cannot.
    return {path: text.encode("utf-8", "backslashreplace") for path, text in texts.items()}


def write(board: Board, out: Path) -> list[Path]:
    """Writes all renderings below ``out``, each atomically, and removes pages of an older board.

    Returns:
        The files written.

    Raises:
        EnvironmentFault: If the folder cannot be written.
        UsageError: If the board has no records, and the one that it would replace has.
    """
    contents = _contents(board, out)
    for path, content in contents.items():
        write_atomic(path, content)
    for path in _leftover(out, contents):
        path.unlink()
    return list(contents)


def stale(board: Board, out: Path) -> str:
    """Compares the files below ``out`` with the board.

    Returns:
        What is missing, differs or should not be there, as a unified diff from the files to the
        board (of HTML only its beginning); empty if everything is up to date.

    Raises:
        UsageError: If the board has no records, and the one in the folder has.
    """
    contents = _contents(board, out)
    said = [_difference(path, content) for path, content in contents.items()]
    said += [f"not of these records: {path}\n" for path in _leftover(out, contents)]
    return "".join(said)


def _contents(board: Board, out: Path) -> dict[Path, bytes]:
    contents = {out / path: content for path, content in render(board, out / MEDIA).items()}
    old = out / "leaderboard.json"
    if not board.sections and old.is_file() and old.read_bytes() != contents[old]:
        raise UsageError(
            f"no records to make the board in {out} of, which holds one of records",
            seen=board.records,
            accepted="a folder written by `worldbench run`",
            fix=f"--records DIR; or delete {old}, if its records are gone for good",
        )
    return contents


def _leftover(out: Path, contents: Container[Path]) -> list[Path]:
    found = (path for pattern in _GENERATED for path in sorted(out.glob(pattern)))
    return [path for path in found if path not in contents]


def _difference(path: Path, content: bytes) -> str:
    if not path.is_file():
        return f"missing: {path}\n"
    old = path.read_bytes()
    if old == content:
        return ""
    lines = difflib.unified_diff(
        old.decode("utf-8", "replace").splitlines(),
        content.decode("utf-8").splitlines(),
        fromfile=str(path),
        tofile="the records",
        lineterm="",
    )
    shown = list(islice(lines, _DIFF_LINES.get(path.suffix)))
    if not shown:
        return f"differs: {path} (line ends or bytes that are not UTF-8)\n"
    return "\n".join(shown) + "\n"


def to_json(board: Board) -> str:
    """Returns a board as JSON text: sorted keys, numbers as measured, one final newline."""
    data = asdict(board)
    del data["records"]  # a path of the machine
    for section, source in zip(data["sections"], board.sections, strict=True):
        section["data"] = source.data.model_dump(mode="json")
        for column in [*section["columns"], *section["breakdowns"]]:
            del column["scale"]  # floor, ceiling and no_skill say what came of it
    data["schema"] = BOARD_SCHEMA
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
