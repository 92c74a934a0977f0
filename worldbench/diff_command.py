"""``worldbench diff BASE HEAD``: what a change of records does to scores."""

import json
from collections.abc import Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly
from worldbench.errors import UsageError

_DESCRIPTION = (
    "Show which scores differ between two folders of records by more than machines do, as Markdown."
)


def diff(arguments: Sequence[str]) -> int:
    """Compares and prints.

    Args:
        arguments: Those of the command.

    Returns:
        0, whatever has changed.

    Raises:
        WorldbenchError: If a folder is none or a record cannot be read.
    """
    parser = command_parser("diff", _DESCRIPTION)
    add = parser.add_argument
    add("base", type=Path, metavar="BASE", help="records as they were, e.g. of the main branch")
    add("head", type=Path, metavar="HEAD", help="records as they are to be")
    add("--json", type=Path, metavar="FILE", help="also write what was found, for another process")
    given = parser.parse_args(arguments)
    log_plainly()
    for folder in (given.base, given.head):
        if not folder.is_dir():
            raise UsageError(
                "no records folder",
                seen=folder,
                accepted="a folder written by `worldbench run`",
                fix="worldbench diff BASE_DIR reports/records",
            )
    from worldbench.record import write_atomic
    from worldbench.record_changes import diff as compared
    from worldbench.score_comment import render

    found = compared(given.base, given.head)
    if given.json is not None:
        write_atomic(given.json, (json.dumps(found, sort_keys=True, indent=1) + "\n").encode())
    print(render(found), end="")
    return 0
