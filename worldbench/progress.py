"""Progress for people: a bar with an ETA on a terminal, a few plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_EVERY = 10.0  # seconds between plain lines where there is no terminal to draw a bar on


class Step:
    """Counts one task and tells how far it is."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self._started = self._told = time.monotonic()

    def to(self, done: int, total: int | None = None) -> None:
        """Sets how many units are done, and of how many."""
        self.done, self.total = done, total if total is not None else self.total
        now = time.monotonic()
        if now - self._told >= _EVERY:
            self._told = now
            left = (now - self._started) / max(done, 1) * (self.total - done)
            logger.info("%s: %d of %d, about %.0f s left", self.title, done, self.total, left)

    def add(self, units: int) -> None:
        """Adds units done."""
        self.to(self.done + units)


@dataclass(frozen=True)
class Progress:
    """Makes progress displays.

    Attributes:
        terminal: Whether to draw bars; by default, whether stderr is a terminal.
    """

    terminal: bool | None = None

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Step]:
        """Shows one task of ``total`` units while the context lasts."""
        terminal = sys.stderr.isatty() if self.terminal is None else self.terminal
        if not terminal:
            yield Step(title, total)
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            yield _BarStep(bar.update, bar.add_task(title, total=total), title, total)


class _BarStep(Step):
    def __init__(self, update: Callable[..., None], task: int, title: str, total: int) -> None:
        super().__init__(title, total)
        self._update, self._task = update, task

    def to(self, done: int, total: int | None = None) -> None:
        self.done, self.total = done, total if total is not None else self.total
        self._update(self._task, completed=self.done, total=self.total)
