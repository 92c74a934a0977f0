"""A training run as its folder tells it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.errors import DataError
from worldbench.record import file_digest
from worldbench_models.gates.report import Report, read_report
from worldbench_models.gates.rollouts import Rollouts
from worldbench_models.training.folder import GATES, LOG, ROLLOUTS, SUMMARY
from worldbench_models.weights import FOLDER, file_name

_NEEDED = (
    *("model", "size", "parameters", "settings", "steps", "clips_seen", "unique_clips"),
    *("flops_per_clip", "training_flops", "seconds", "mfu", "device", "processes", "data"),
    *("packages", "python", "commit", "dirty", "weights_sha256", "final"),
)
_DEFAULT_SIZE = "s"  # of the adapters, when nothing is said


@dataclass(frozen=True)
class Finished:
    """What training leaves in a run folder, weights aside.

    Attributes:
        summary: ``summary.json``.
        training: The training lines of ``log.jsonl``, in order.
        heldout: Its held-out lines, in order.
    """

    summary: dict[str, Any]
    training: tuple[dict[str, Any], ...]
    heldout: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """Model and size, e.g. ``dit-s``."""
        return f"{self.summary['model']}-{self.summary['size']}"


@dataclass(frozen=True)
class Run(Finished):
    """What a run folder holds after its gates were measured.

    Attributes:
        report: The gates.
        rollouts: What somebody must look at; None where the model rolls nothing out.
    """

    report: Report
    rollouts: Rollouts | None

    @property
    def overrides(self) -> tuple[str, ...]:
        """What makes the adapter load these weights, shipped ones or a run's."""
        size = self.summary["size"]
        file = file_name(self.summary["model"], size)
        shipped = json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))
        adapter = f"adapter={self.summary['model']}"
        if shipped.get(file) == self.summary["weights_sha256"]:
            return (adapter,) if size == _DEFAULT_SIZE else (adapter, f"adapter.size={size}")
        seed = self.summary["settings"].get("seed", 0)
        return adapter, f"adapter.weights=runs/{self.name}-{seed}/{file}"


def read_run(folder: Path) -> Run:
    """Reads a run folder with its gates.

    Raises:
        DataError: If a file is missing, is not what training or the gates wrote, or the gates
            were measured on other weights.
    """
    told = read_finished(folder)
    report = bound_report(folder, told)
    rollouts = _rollouts(folder, report)
    return Run(told.summary, told.training, told.heldout, report, rollouts)


def read_finished(folder: Path) -> Finished:
    """Reads what training left.

    Raises:
        DataError: If a file is missing or is not what training wrote.
    """
    if not folder.is_dir():
        raise _unreadable(folder, "no such folder")
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        text = (folder / LOG).read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        missing = [name for name in _NEEDED if name not in summary]
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error
    if missing:
        raise _unreadable(folder, f"summary.json without {', '.join(missing)}")
    if not any("loss" in line for line in lines):
        raise _unreadable(folder, "log.jsonl without a training line")
    return Finished(
        summary,
        tuple(line for line in lines if "loss" in line),
        tuple(line for line in lines if "heldout" in line),
    )


def bound_report(folder: Path, told: Finished) -> Report:
    """Reads the gates of a run.

    Raises:
        DataError: If there are none, or they were measured on other weights.
    """
    report = read_report(folder)
    _require_bound(GATES, report.weights_sha256, told.summary["weights_sha256"], folder)
    return report


def _rollouts(folder: Path, report: Report) -> Rollouts | None:
    path = folder / ROLLOUTS
    if not path.is_file():
        return None
    _require_bound(ROLLOUTS, file_digest(path), report.rollouts_sha256, folder)
    return Rollouts.load(path)


def _require_bound(file: str, seen: str | None, accepted: str | None, folder: Path) -> None:
    """Refuses what was not measured on the weights of the run."""
    if seen is None or seen != accepted:
        raise DataError(
            f"{file} in {folder} was measured on other weights",
            seen=f"sha256 {seen}" if seen else "no digest",
            accepted=f"sha256 {accepted}" if accepted else "none: its gates know of no such file",
            fix=f"python -m worldbench_models.gates {folder}",
        )


def _unreadable(folder: Path, seen: object) -> DataError:
    return DataError(
        f"cannot read the run folder {folder}",
        seen=seen,
        accepted="a finished run: log.jsonl, summary.json and gates.json",
        fix=f"worldbench train model=…, and then python -m worldbench_models.gates {folder}",
    )
