"""Ctrl-C and a scheduler's SIGTERM: the step in progress is finished first."""

import signal
import threading
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes that the run is to stop; a second signal stops it at once.

    A step that is cut short leaves weights that are neither of before nor of after, which no
    checkpoint may hold. As a context manager; outside of a main thread it changes nothing.

    Attributes:
        asked: Whether a signal came.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: list[signal._HANDLER] = []

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = [signal.signal(number, self._note) for number in _ASKING]
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(_ASKING, self._before, strict=False):
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
