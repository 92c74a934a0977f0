"""The run whose weights are measured, bound to them by the digest in its summary."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.errors import DataError, UsageError
from worldbench.record import file_digest
from worldbench_models.training.folder import LOG, SUMMARY
from worldbench_models.weights import file_name

_WRITTEN = "what `worldbench train` leaves: summary.json and MODEL-SIZE.safetensors"


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        folder: The run folder.
        summary: Its ``summary.json``.
        weights: Its weight file, whose SHA-256 is the one in the summary.
    """

    folder: Path
    summary: Mapping[str, Any]
    weights: Path

    @property
    def sha256(self) -> str:
        """Of the weight file."""
        return str(self.summary["weights_sha256"])

    def adapter(self, overrides: tuple[str, ...] = ()) -> list[str]:
        """Returns the overrides that make the adapter load these weights, and more of its options.

        Raises:
            UsageError: If one of those given would choose another adapter or other weights.
        """
        for override in overrides:
            name = override.partition("=")[0].strip().lstrip("+~").partition("@")[0]
            if name in ("adapter", "adapter.weights", "adapter._target_"):
                raise UsageError(
                    "the run says which weights are measured",
                    seen=override,
                    accepted="other options of its adapter, e.g. adapter.sampler_steps=10",
                    fix="leave it out, or name the run folder of those weights",
                )
        path = str(self.weights).replace("'", "\\'")
        return [f"adapter={self.summary['model']}", f"adapter.weights='{path}'", *overrides]

    @property
    def twin(self) -> str:
        """What the same network with random weights is called: adapter and size."""
        return f"{self.summary['model']}_random adapter.size={self.summary['size']}"

    def mfu(self) -> tuple[float | None, str]:
        """Returns the median MFU of training, and why there is none where there is none."""
        if self.summary["mfu"] is not None:
            return float(self.summary["mfu"]), ""
        precision = self.summary.get("settings", {}).get("precision", "an unknown precision")
        device = self.summary.get("device", "an unknown device")
        no_peak = f"no peak is known for {precision} on {device}"
        too_few = "the log holds too few lines after compilation"
        logged = self._logged()
        if logged is None:
            return None, f"{no_peak}, or {too_few}"
        return None, too_few if any(mfu is not None for mfu in logged) else no_peak

    def _logged(self) -> list[float | None] | None:
        """Returns what each training line of the log says of MFU; None without such lines."""
        try:
            text = (self.folder / LOG).read_text(encoding="utf-8")
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            return [line["mfu"] for line in lines if "mfu" in line] or None
        except (OSError, ValueError, TypeError):
            return None


def read_trained(folder: Path) -> Trained:
    """Reads a run's summary and holds its weight file against it.

    Raises:
        UsageError: If there is no such folder.
        DataError: If summary or weights are missing, or the weights are not the summary's.
    """
    if not folder.is_dir():
        raise UsageError("no such run folder", seen=folder, fix="the folder of a finished training")
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
        wanted, _ = summary["weights_sha256"], summary["mfu"]
        weights = folder / file_name(summary["model"], summary["size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"cannot read {path}", seen=f"{type(error).__name__}: {error}", accepted=_WRITTEN
        ) from error
    seen = file_digest(weights) if weights.is_file() else None
    if seen != wanted:
        raise DataError(
            f"the weights {weights} are not those that the run's summary vouches for",
            seen=f"sha256 {seen}" if seen else "no such file",
            accepted=f"sha256 {wanted}",
            fix="copy the whole run folder again, or train again",
        )
    return Trained(folder, summary, weights)
