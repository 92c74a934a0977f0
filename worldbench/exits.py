"""``sys.exit`` of what a job runs, told apart from the exits that end the process on purpose."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import CodeType


@contextmanager
def exits_are_failures() -> Iterator[None]:
    """Turns ``sys.exit`` into a failure like any other.

    Left as it is, it would end a whole sweep in the middle, and with ``sys.exit(0)`` as if all were
    well. The exits of signal handlers pass: Slurm's and Ray's end processes that way.

    Raises:
        RuntimeError: In place of ``SystemExit``.
    """
    try:
        yield
    except SystemExit as error:
        codes = {frame.f_code for frame, _ in walk_tb(error.__traceback__)}
        if codes & _handlers():
            raise
        raise RuntimeError(f"sys.exit({error.code!r}) was called") from error


def _handlers() -> set[CodeType]:
    """Returns the code of every signal handler that is written in Python."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = [getattr(getattr(h, "__func__", h), "__code__", None) for h in handlers]
    return {code for code in codes if code is not None}
