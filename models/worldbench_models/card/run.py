"""A training run as its folder tells it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.errors import DataError
from worldbench_models.gates.report import ROLLOUTS, Report, read_report
from worldbench_models.gates.rollouts import Rollouts

_NEEDED = (
    *("model", "size", "parameters", "settings", "steps", "clips_seen", "unique_clips"),
    *("flops_per_clip", "training_flops", "seconds", "mfu", "device", "processes", "data"),
    *("packages", "python", "commit", "dirty", "weights_sha256", "final"),
)


@dataclass(frozen=True)
class Run:
    """What a run folder holds.

    Attributes:
        summary: ``summary.json``.
        training: The training lines of ``log.jsonl``, in order.
        heldout: Its held-out lines, in order.
        report: The gates.
        rollouts: What somebody must look at; None where the model rolls nothing out.
    """

    summary: dict[str, Any]
    training: tuple[dict[str, Any], ...]
    heldout: tuple[dict[str, Any], ...]
    report: Report
    rollouts: Rollouts | None

    @property
    def name(self) -> str:
        """Model and size, e.g. ``dit-s``."""
        return f"{self.summary['model']}-{self.summary['size']}"


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        DataError: If a file is missing or is not what training or the gates wrote.
    """
    if not folder.is_dir():
        raise _unreadable(folder, "no such folder")
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        text = (folder / "log.jsonl").read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        missing = [name for name in _NEEDED if name not in summary]
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error
    if missing:
        raise _unreadable(folder, f"summary.json without {', '.join(missing)}")
    if not any("loss" in line for line in lines):
        raise _unreadable(folder, "log.jsonl without a training line")
    stored = folder / ROLLOUTS
    return Run(
        summary,
        tuple(line for line in lines if "loss" in line),
        tuple(line for line in lines if "heldout" in line),
        read_report(folder),
        Rollouts.load(stored) if stored.is_file() else None,
    )


def _unreadable(folder: Path, seen: object) -> DataError:
    return DataError(
        f"cannot read the run folder {folder}",
        seen=seen,
        accepted="a finished run: log.jsonl, summary.json and gates.json",
        fix="worldbench train model=…, and then python -m worldbench_models.gates …",
    )
