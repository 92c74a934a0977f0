"""How a record came about: command, versions, machine, time and memory."""

import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from worldbench import __version__
from worldbench.redaction import redact_command
from worldbench.schema import Provenance

_PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "torchmetrics",
    "opencv-python-headless",
    "av",
    "hydra-core",
    "mujoco",
)


class Stopwatch:
    """Started with a run; gives its provenance when the run is over.

    Args:
        device: The device whose name and peak memory are recorded.
        command: The command line as given; secrets are redacted.
        config: The composed configuration, already redacted; ``verify`` runs it again.
    """

    def __init__(
        self, device: torch.device, command: Sequence[str], config: dict[str, object]
    ) -> None:
        self.device, self.command, self.config = device, command, config
        self.notes: list[str] = []
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def provenance(self, trials_sha256: str | None) -> Provenance:
        """Returns what is known now."""
        revision, dirty = commit()
        return Provenance(
            command=redact_command(self.command),
            config=self.config,
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._clock, 3),
            worldbench=__version__,
            commit=revision,
            dirty=dirty,
            packages=installed(_PACKAGES),
            python=platform.python_version(),
            platform=platform.platform(),
            device=device_name(self.device),
            peak_memory_mib=round(_peak_memory(self.device) / 2**20, 1),
            trials_sha256=trials_sha256,
            notes=tuple(self.notes),
        )


def device_name(device: torch.device) -> str:
    """Returns a device's name as people know it, e.g. ``NVIDIA H100 80GB HBM3``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


def installed(packages: Sequence[str]) -> dict[str, str]:
    """Returns the versions of those packages that are installed."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def commit() -> tuple[str | None, bool | None]:
    """Returns commit and dirty flag of the checkout that this code runs from, if it is one."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed copy may lie inside somebody else's repository; only ours tracks this file.
    if git("ls-files", "--error-unmatch", str(Path(__file__).resolve())) is None:
        return None, None
    status = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD"), bool(status) if status is not None else None
