"""Markdown of a score diff. Standard library only, and its input is trusted in nothing.

A pull request's own job writes the diff as JSON; the comment is made of it where comments may be
written, by this file as it stands on the main branch (`python score_comment.py FILE COMMIT`).
Whatever the JSON says, the comment is a table of numbers and of texts in code spans: no links, no
mentions, no HTML, no images.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

MARKER = "<!-- worldbench scores -->"
"""First line of a comment, by which the next one finds it."""

LIMIT = 60_000
"""Characters; GitHub refuses comments of more than 65 536."""

KINDS = {
    "worse": "worse",
    "better": "better",
    "changed": "changed",
    "added": "new",
    "removed": "gone",
    "status": "other status",
}
"""What became of a score, in the order of the table."""

_LONGEST = 120
_MOST = 10**9
"""Records, and far more than there will be."""
_COMMIT = re.compile("[0-9a-f]{40}")
_HEADS = ("", "adapter", "suite", "data", "metric", "before", "after", "change")


def render(diff: object, head: str | None = None) -> str:
    """Returns the comment.

    Args:
        diff: ``rows`` (``kind``, ``adapter``, ``suite``, ``data``, ``metric``, ``before``,
            ``after``) and ``counts`` of records by what became of them.
        head: The commit whose own run says so, where whoever wrote the commit also wrote what was
            run; None where the reader ran it.

    Raises:
        ValueError: If one of them has another form.
    """
    if head is not None and not _COMMIT.fullmatch(head):
        raise ValueError(f"no commit: {head[:80]!r}")
    parts = (diff.get("rows"), diff.get("counts")) if isinstance(diff, Mapping) else (None, None)
    rows, counts = parts
    if not isinstance(rows, list) or not isinstance(counts, Mapping):
        raise ValueError("a score diff has rows and counts")
    told = ", ".join(f"{_count(counts.get(kind))} {kind}" for kind in _COUNTED)
    lines = [MARKER, "### Scores", ""]
    if head is not None:
        lines += [
            f"As the pull request's own run reports it, at `{head}`. Nothing of it was measured "
            "outside of that run.",
            "",
        ]
    lines.append(f"Records: {told}.")
    if rows:
        lines += ["", _line(_HEADS), _line(["---"] * len(_HEADS))]
    size, shown = sum(map(len, lines)), 0
    for row in sorted(rows, key=_place):
        line = _row(row)
        size += len(line) + 1
        if size > LIMIT:
            break
        lines.append(line)
        shown += 1
    if shown < len(rows):
        lines += ["", f"And {len(rows) - shown} more; `worldbench diff` shows all."]
    if not rows:
        lines += ["", "No score moved by more than rounding."]
    return "\n".join(lines) + "\n"


_COUNTED = ("added", "removed", "changed", "unchanged")


def inert(value: object) -> str:
    """Returns foreign text as a code span on one line, in which nothing has a meaning."""
    text = "".join(c if c.isprintable() else " " for c in str(value))[:_LONGEST]
    text = text.replace("`", "'").strip()
    # Within tables a bar ends the cell even in a code span, unless escaped.
    text = text.replace("\\", "/").replace("|", "\\|")
    return f"`{text}`" if text else "–"


def _row(row: Mapping[str, Any]) -> str:
    before, after = row.get("before"), row.get("after")
    change = "–"
    if _is_number(before) and _is_number(after):
        change = f"{float(after) - float(before):+.4g}"
    cells = [KINDS[row["kind"]], *(inert(row.get(name, "")) for name in _HEADS[1:5])]
    return _line([*cells, _value(before), _value(after), change])


def _place(row: object) -> tuple[int, list[str]]:
    kind = row.get("kind") if isinstance(row, Mapping) else None
    if not isinstance(row, Mapping) or not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"no row of a score diff: {str(row)[:80]!r}")
    names = [str(row.get(name, "")) for name in _HEADS[1:5]]
    return list(KINDS).index(kind), names


def _value(value: object) -> str:
    return f"{value:.4g}" if _is_number(value) else inert("" if value is None else value)


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        raise ValueError("no score: a whole number of more than 308 digits") from None


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST:
        raise ValueError(f"no count: {str(value)[:80]!r}")
    return value


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    try:
        told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        print(render(told, *sys.argv[2:3]), end="")
    except RecursionError:
        sys.exit("a score diff is not nested")
