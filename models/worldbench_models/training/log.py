"""The log of a run: a line for people, a JSON line for curves, numbers for the tracker."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from worldbench.record import unwritable, write_atomic
from worldbench.tracking import Tracker
from worldbench_models.training.folder import LOG

logger = logging.getLogger(__name__)


class RunLog:
    """Writes what a run has to say.

    Lines are appended and flushed one by one. A resumed run first drops the lines beyond the
    checkpoint it resumes from.

    Args:
        folder: Of the run.
        tracker: Is shown the same numbers.
    """

    def __init__(self, folder: Path, tracker: Tracker) -> None:
        self.path, self._tracker = folder / LOG, tracker

    def start(self, step: int) -> None:
        """Keeps the lines of the first ``step`` steps, of a run that starts at 0 none."""
        kept = [line for line in self.lines() if line["step"] <= step] if step else []
        write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def has_heldout(self, step: int) -> bool:
        """Says whether held-out measures of this step are in the log."""
        return any("heldout" in line and line["step"] == step for line in self.lines())

    def lines(self) -> list[dict[str, Any]]:
        """Reads the lines back; a line that a crash cut short is left out."""
        if not self.path.exists():
            return []
        found = []
        for text in self.path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if isinstance(line, dict) and "step" in line:
                found.append(line)
        return found

    def write(self, line: dict[str, Any]) -> None:
        """Appends a line and shows its numbers to the tracker."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:
            raise unwritable(self.path, error) from error
        numbers = _flat(line)
        self._tracker.metrics(numbers, step=int(numbers.pop("step")))


def say_training(line: dict[str, Any], steps: int) -> None:
    """Logs the progress line: where, how well, how fast, how long still."""
    left = (steps - line["step"]) * line["batch"] / line["clips_per_second"]
    mfu = "" if line["mfu"] is None else f" · MFU {100 * line['mfu']:.1f} %"
    flops = line["tflops"]
    speed = f"{flops:.1f} TFLOP/s" if flops >= 1 else f"{1000 * flops:.0f} GFLOP/s"
    logger.info(
        "step %d/%d · loss %.4f · %.0f clips/s · %s%s · %s left",
        line["step"],
        steps,
        line["loss"],
        line["clips_per_second"],
        speed,
        mfu,
        timedelta(seconds=round(left)),
    )


def say_heldout(line: dict[str, Any]) -> None:
    """Logs the held-out measures."""
    shown = {name: _short(value) for name, value in line["heldout"].items()}
    logger.info("  held out: %s", json.dumps(shown))


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return float(f"{value:.3g}")


def _flat(value: Any, name: str = "") -> dict[str, float]:
    """Names the numbers in nested dicts and lists by their path."""
    if isinstance(value, dict):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list):
        items = [(str(k), v) for k, v in enumerate(value, start=1)]
    else:
        return {} if value is None else {name: float(value)}
    found: dict[str, float] = {}
    for key, item in items:
        found |= _flat(item, f"{name}/{key}" if name else key)
    return found
