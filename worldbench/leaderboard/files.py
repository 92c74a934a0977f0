"""The board as files: what they hold, writing them, and telling whether they are up to date."""

import difflib
import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from worldbench.leaderboard import html, markdown
from worldbench.leaderboard.board import Board
from worldbench.record import write_atomic

BOARD_SCHEMA = 1
"""Version of the layout of ``leaderboard.json``."""

_DIFF_LINES = {".html": 20}
"""Lines of difference shown at most, by suffix: a page is generated text nobody reviews."""


def render(board: Board) -> dict[str, bytes]:
    """Renders a board: relative path → content. The same board gives the same bytes anywhere."""
    texts = {
        "leaderboard.md": markdown.render(board),
        "leaderboard.json": to_json(board),
        "site/index.html": html.render(board),
    }
    # Text from a record may hold half a surrogate pair, which UTF-8 cannot.
    return {path: text.encode("utf-8", "backslashreplace") for path, text in texts.items()}


def write(board: Board, out: Path) -> list[Path]:
    """Writes all renderings below ``out``, each atomically.

    Returns:
        The files written.

    Raises:
        EnvironmentFault: If the folder cannot be written.
    """
    contents = {out / path: content for path, content in render(board).items()}
    for path, content in contents.items():
        write_atomic(path, content)
    return list(contents)


def stale(board: Board, out: Path) -> str:
    """Compares the files below ``out`` with the board.

    Returns:
        What is missing or differs, as a unified diff from the files to the board (of HTML only its
        beginning); empty if everything is up to date.
    """
    return "".join(_difference(out / path, content) for path, content in render(board).items())


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
    for section, source in zip(data["sections"], board.sections, strict=True):
        section["data"] = source.data.model_dump(mode="json")
    data["schema"] = BOARD_SCHEMA
    return json.dumps(data, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
