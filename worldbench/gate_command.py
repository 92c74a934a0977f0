"""``worldbench gate BASELINE CANDIDATE``: the options, and who gets the answer."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from worldbench.command import command_parser, log_plainly
from worldbench.compare_command import SIDE

_DESCRIPTION = (
    "Exit 1 if the candidate is worse than the baseline by more than is allowed, 0 if it is not, 2 "
    "if the two cannot be judged. Appends a summary to the file that GITHUB_STEP_SUMMARY names."
)
_ALLOWED = (
    "allowed regression of every headline metric (0.02, or 5%% of the baseline), or of one metric "
    "(psnr=0.5); repeatable"
)


def gate(arguments: Sequence[str]) -> int:
    """Judges and prints.

    Args:
        arguments: Those of the command.

    Returns:
        0 if the gate passes, 1 if it fails.

    Raises:
        WorldbenchError: If records cannot be read or the two were asked different questions.
    """
    given = _parser().parse_args(arguments)
    log_plainly()
    from worldbench.comparison import gate as gates
    from worldbench.comparison import gate_report, measure, pairs
    from worldbench.comparison.allowance import allowance, chosen

    allowed = chosen([allowance(text) for text in given.max_regression])
    found = pairs.find(given.baseline, given.candidate, given.records)
    gates.refuse(found, allowed)
    comparison = measure.compare(given.baseline, given.candidate, found)
    verdict = gates.judge(comparison, found, allowed, strict=given.strict)
    gate_report.show(verdict)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        gate_report.append(Path(summary), verdict)
    return 0 if verdict.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("gate", _DESCRIPTION)
    add = parser.add_argument
    add("baseline", metavar="BASELINE", help=SIDE)
    add("candidate", metavar="CANDIDATE", help="the same")
    add("--max-regression", action="append", required=True, metavar="AMOUNT", help=_ALLOWED)
    add("--strict", action="store_true", help="the whole 95%% interval must be within the allowed")
    add("--records", type=Path, default=Path("reports/records"), help="where names are looked up")
    return parser
