import signal
import sys
from collections.abc import Iterator

import pytest

from worldbench.exits import exits_are_failures


@pytest.fixture
def handler() -> Iterator[None]:
    """Ends the process at SIGUSR1, as a cluster's does when a job's time is over."""
    before = signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(3))
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("code", [0, 1, "no licence"])
@pytest.mark.usefixtures("handler")
def test_an_exit_is_a_failure(code: int | str) -> None:
    with pytest.raises(RuntimeError) as caught, exits_are_failures():
        sys.exit(code)
    assert str(caught.value) == f"sys.exit({code!r}) was called"
    assert isinstance(caught.value.__cause__, SystemExit)


@pytest.mark.usefixtures("handler")
def test_the_exit_of_a_signal_handler_passes() -> None:
    with pytest.raises(SystemExit), exits_are_failures():
        signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_whatever_else_is_raised_passes(error: BaseException) -> None:
    with pytest.raises(type(error)), exits_are_failures():
        raise error
