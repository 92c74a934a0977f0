"""Experiment tracking behind a small protocol.

A record is complete without a tracker: a tracker only shows what the record holds. So
:class:`Guarded` turns whatever goes wrong in one into a single warning, and the run goes on.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from worldbench.errors import WorldbenchError
from worldbench.redaction import redact, redact_command, redact_text
from worldbench.schema import Record
from worldbench.wandb_tracker import WandbTracker

__all__ = ["Guarded", "NoTracker", "Tracker", "WandbTracker", "redact", "redact_command"]

_log = logging.getLogger(__name__)


@runtime_checkable
class Tracker(Protocol):
    """What shows a run to people while and after it happens."""

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        """Opens a run called ``name`` in the sweep ``group``, with the resolved config."""

    def progress(self, done: int, total: int) -> None:
        """Tells that ``done`` of ``total`` trials are finished."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Shows numbers of a training run after ``step`` optimiser steps."""

    def record(self, record: Record) -> None:
        """Shows the status and the metrics of the finished record."""

    def trials(self, path: Path) -> None:
        """Shows the rows of a Parquet file, one per trial."""

    def videos(self, paths: Mapping[str, Path]) -> None:
        """Shows existing MP4 files, by title, as they are."""

    def finish(self, *, failed: bool) -> None:
        """Closes the run and frees what it holds; without an open run it does nothing."""


class NoTracker:
    """Tracks nothing."""

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        """Does nothing."""

    def progress(self, done: int, total: int) -> None:
        """Does nothing."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Does nothing."""

    def record(self, record: Record) -> None:
        """Does nothing."""

    def trials(self, path: Path) -> None:
        """Does nothing."""

    def videos(self, paths: Mapping[str, Path]) -> None:
        """Does nothing."""

    def finish(self, *, failed: bool) -> None:
        """Does nothing."""


class Guarded:
    """Lets any tracker fail without the run noticing.

    The first exception is logged as one warning that says how to fix it; the tracker is then closed
    and left alone for the rest of the run. KeyboardInterrupt and SystemExit pass.

    Args:
        tracker: The tracker to call.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker: Tracker | None = tracker

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        """Starts the tracker."""
        self._try(lambda tracker: tracker.start(name=name, group=group, config=config))

    def progress(self, done: int, total: int) -> None:
        """Passes progress on."""
        self._try(lambda tracker: tracker.progress(done, total))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Passes numbers on."""
        self._try(lambda tracker: tracker.metrics(values, step))

    def record(self, record: Record) -> None:
        """Passes a record on."""
        self._try(lambda tracker: tracker.record(record))

    def trials(self, path: Path) -> None:
        """Passes rows on."""
        self._try(lambda tracker: tracker.trials(path))

    def videos(self, paths: Mapping[str, Path]) -> None:
        """Passes videos on."""
        self._try(lambda tracker: tracker.videos(paths))

    def finish(self, *, failed: bool) -> None:
        """Finishes the tracker."""
        self._try(lambda tracker: tracker.finish(failed=failed))

    def _try(self, call: Callable[[Tracker], None]) -> None:
        tracker = self._tracker
        if tracker is None:
            return
        try:
            call(tracker)
        except Exception as error:
            self._tracker = None
            said = error.one_line if isinstance(error, WorldbenchError) else str(error)
            _log.warning(
                "tracking stopped, the run goes on: %s failed with %s: %s. To fix it run `wandb "
                "login` or set WANDB_API_KEY (tracker.mode=online), stay on this machine with "
                "tracker.mode=offline, or switch tracking off with tracker=none",
                type(tracker).__name__,
                type(error).__name__,
                redact_text(" ".join(said.split())),
            )
            # The tracker may hold a process or a connection; failing again adds nothing.
            with contextlib.suppress(Exception):
                tracker.finish(failed=True)
