"""``python -m worldbench_models.card runs/dit-s-0``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worldbench.errors import DataError, WorldbenchError
from worldbench.record import write_atomic
from worldbench_models.card.curves import curves
from worldbench_models.card.page import page
from worldbench_models.card.run import read_run
from worldbench_models.card.sheet import encoded
from worldbench_models.gates.gate import eye_gate
from worldbench_models.gates.report import read_report

CARDS = Path(__file__).parent.parent / "cards"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes ``README.md``, ``curves.svg`` and ``sheet.jpg`` from a run folder.

    Returns:
        0, or an error's exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m worldbench_models.card", description="A model's card, from its run."
    )
    parser.add_argument("run", type=Path, help="the run folder, with gates.json")
    parser.add_argument("--out", type=Path, help="the card's folder; cards/MODEL-SIZE by default")
    parser.add_argument(
        "--notes", type=Path, help="a Markdown file: what was tried for gates that failed"
    )
    parser.add_argument("--eye", choices=("passed", "failed"), help="how the gate by eye stands")
    parser.add_argument("--looked", help="what was seen on the sheet, and by whom")
    asked = parser.parse_args(arguments)
    if (asked.eye is None) != (asked.looked is None):
        parser.error("--eye and --looked go together")
    try:
        if asked.eye is not None:
            _look(asked.run, passed=asked.eye == "passed", text=asked.looked)
        out = write_card(asked.run, asked.out, notes=asked.notes)
    except WorldbenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(out / "README.md")
    return 0


def write_card(run: Path, out: Path | None = None, *, notes: Path | None = None) -> Path:
    """Writes a run's card; the same files give the same bytes.

    Args:
        run: The run folder.
        out: Where to write; ``cards/<model>-<size>`` of this package if None.
        notes: A Markdown file, taken over as it stands.

    Returns:
        The folder.

    Raises:
        DataError: If run or notes cannot be read, or the gates are of other weights.
        EnvironmentFault: If the folder cannot be written.
    """
    told = read_run(run)
    folder = out if out is not None else CARDS / told.name
    try:
        tried = None if notes is None else notes.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the notes {notes}", seen=error, accepted="a UTF-8 text file"
        ) from error
    text = page(told, notes=tried)
    write_atomic(folder / "curves.svg", curves(told).encode())
    if told.rollouts is not None:
        heading = f"{told.name}: truth and {told.rollouts.samples.shape[1]} samples of each clip"
        write_atomic(folder / "sheet.jpg", encoded(told.rollouts, heading))
    write_atomic(folder / "README.md", text.encode())
    return folder


def _look(run: Path, *, passed: bool, text: str) -> None:
    """Writes down in the run what somebody saw."""
    read_report(run).with_gate(eye_gate(passed=passed, text=text)).write(run)


if __name__ == "__main__":
    sys.exit(main())
