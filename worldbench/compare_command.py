"""``worldbench compare A B``: the options, and who gets the answer."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly

_DESCRIPTION = (
    "Is A better than B? Paired differences, trial by trial, on every suite configuration that "
    "both have a record of: effect, interval, p, minimal detectable difference, best and worst "
    "trials."
)
SIDE = "a record's path, a folder of records, or an adapter's NAME or NAME@REVISION"
"""What may be compared, as ``--help`` says it."""


def compare(arguments: Sequence[str]) -> int:
    """Compares and prints; the answer goes to stdout.

    Args:
        arguments: Those of the command.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If the records cannot be read or answer different questions.
    """
    given = _parser().parse_args(arguments)
    log_plainly()
    from worldbench.comparison import measure, pairs, render
    from worldbench.record import write_atomic

    found = pairs.find(given.a, given.b, given.records)
    pairs.refuse_other_questions(given.a, given.b, found)
    outcome = measure.compare(given.a, given.b, found, metrics=given.metric, shown=given.trials)
    if given.html is not None:
        # Text from a record may hold half a surrogate pair, which UTF-8 cannot.
        write_atomic(given.html, render.as_html(outcome).encode("utf-8", "backslashreplace"))
    if given.json:
        print(render.as_json(outcome))
    elif given.markdown:
        print(render.as_markdown(outcome), end="")
    else:
        render.show(outcome)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("compare", _DESCRIPTION)
    add = parser.add_argument
    add("a", metavar="A", help=SIDE)
    add("b", metavar="B", help="the same")
    add("--records", type=Path, default=Path("reports/records"), help="where names are looked up")
    add("--metric", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    add("--trials", type=_count, default=3, metavar="N", help="best and worst trials shown; 3")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--markdown", action="store_true", help="print Markdown")
    shown.add_argument("--json", action="store_true", help="print everything as one JSON object")
    add("--html", type=Path, metavar="FILE", help="also write one self-contained page")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)
