"""``worldbench validate PATH…``: the options, and the verdict."""

from collections.abc import Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly
from worldbench.options import at_least

_DESCRIPTION = (
    "Check records that were contributed: form, place, key, rows, duplicates, and that a board can "
    "show them; with --baseline also that a replaced record says the same; with --verify that "
    "their metrics are what their suites make of their rows, and that a sample can be measured "
    "again. Exit 1 if anything does not hold; what could not be measured or checked here is told, "
    "and is no failure."
)


def validate(arguments: Sequence[str]) -> int:
    """Checks and prints.

    Args:
        arguments: Those of the command.

    Returns:
        0 if everything holds, 1 if something does not.

    Raises:
        WorldbenchError: If there is nothing to check, or an option is out of range.
    """
    parser = command_parser("validate", _DESCRIPTION)
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="records, or folders of them")
    add("--baseline", type=Path, metavar="DIR", help="the records that they are added to")
    add("--verify", type=int, default=0, metavar="N", help="measure N of those not in DIR again")
    add("--limit", type=int, default=8, help="trials of each (8)")
    add("--seed", default="", help="of the choice; a word that who contributes could not know")
    given = parser.parse_args(arguments)
    count = at_least("--verify", given.verify, 0)
    limit = at_least("--limit", given.limit, 1)
    log_plainly()
    from worldbench.remeasure import remeasure
    from worldbench.validate import Problem, found_in, new_among, problems

    paths = found_in(given.paths)
    found = problems(paths, given.baseline, given.paths)
    notes, unmeasured = list[Problem](), 0
    if count and not found:
        new = paths if given.baseline is None else new_among(paths, given.baseline)
        tried = remeasure(new, count, limit, given.seed)
        found = [Problem(*each) for each in tried.wrong]
        notes = [Problem(*each) for each in (*tried.unmeasured, *tried.unchecked)]
        unmeasured = len(tried.unmeasured)
    for problem in (*notes, *found):
        print(problem)
    verdict = f"{len(found)} problems" if found else "everything holds"
    also = f"; {unmeasured} could not be measured here" if unmeasured else ""
    print(f"{len(paths)} records checked: {verdict}{also}")
    return 1 if found else 0
