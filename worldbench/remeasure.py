"""What contributed records say, tried again: their own rows summarised, some trials measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from worldbench import record as records
from worldbench.agreement import Outcome
from worldbench.errors import ContractError, RecordError
from worldbench.foreign import foreign_targets
from worldbench.schema import digest

_LONGEST = 300
"""Characters of a reason."""


@dataclass(frozen=True)
class Tried:
    """What became of a try.

    Attributes:
        wrong: What does not hold, with the record.
        unmeasured: What could not be tried on this machine, and why.
        unchecked: What a record says that no try here has looked at.
    """

    wrong: tuple[tuple[Path, str], ...]
    unmeasured: tuple[tuple[Path, str], ...]
    unchecked: tuple[tuple[Path, str], ...]


def remeasure(paths: Sequence[Path], count: int, limit: int, seed: str = "") -> Tried:
    """Summarises the rows of records again, and runs some trials of some of them.

    Args:
        paths: Record files that have no other problem.
        count: How many to measure, of those that can be here; taken in the order of a hash.
        limit: Trials of each.
        seed: Goes into the hash, so that who contributes cannot know which are chosen.
    """
    from worldbench.verify import verify, verify_summary

    wrong, unmeasured, unchecked = [], [], []
    left = count
    for path in sorted(paths, key=lambda path: digest([seed, path.name])):
        record = records.read(path)
        if record.body.status != "ok":
            continue
        if foreign := foreign_targets(record.provenance.config):
            wrong.append((path, f"it would run what is not installed with us: {foreign[0]}"))
            continue
        outcome: Outcome | str | None = None
        if left:
            outcome = _try(lambda path=path: verify(path, limit=limit))  # type: ignore[misc]
            left -= isinstance(outcome, Outcome)
        if not isinstance(outcome, Outcome):
            if outcome is not None:
                unmeasured.append((path, f"could not be measured here: {outcome}"))
            outcome = _try(lambda path=path: verify_summary(path))  # type: ignore[misc]
        if isinstance(outcome, str):
            unchecked.append((path, f"its metrics could not be checked here: {outcome}"))
        elif not outcome.agrees:
            wrong.append((path, " ".join(outcome.report.split())))
        elif outcome.unchecked:
            told = ", ".join(outcome.unchecked)
            unchecked.append((path, f"not checked without all trials: {told}"))
    return Tried(tuple(wrong), tuple(unmeasured), tuple(unchecked))


def _try(call: Callable[[], Outcome]) -> Outcome | str:
    """Returns the outcome, or why there is none on this machine.

    Weights, data and memory may be missing here through no fault of the record, and models raise
    whatever they like.
    """
    try:
        return call()
    except (RecordError, ContractError) as error:
        return Outcome(False, f"cannot be run again: {error.one_line}")
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
