"""One promise that weights must keep, and whether they do."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Status = Literal["passed", "failed", "not measured"]
Direction = Literal["at least", "at most", "below", "by eye"]

NOBODY_LOOKED = "nobody has looked at the rollouts yet"
MFU = "MFU of training"
GENERATORS_MFU, PREDICTORS_MFU = 0.3, 0.25
"""What the two must reach; a predictor's masks cost gathers."""

_HOLDS: dict[str, Callable[[float, float], bool]] = {
    "at least": lambda value, threshold: value >= threshold,
    "at most": lambda value, threshold: value <= threshold,
    "below": lambda value, threshold: value < threshold,
}


@dataclass(frozen=True)
class Gate:
    """A promise: a number against a threshold, or what an eye has seen.

    Attributes:
        name: Unique among a model's gates.
        what: What is measured, on what.
        direction: How the value must stand to the threshold; ``by eye`` has neither.
        threshold: The bound.
        value: What was measured; None if nothing was.
        status: ``passed``, ``failed`` or ``not measured``.
        reason: Why it was not measured; by eye, what was seen.
        note: What a reader should know of the value, e.g. its interval.

    Raises:
        ValueError: If status, value, threshold and reason contradict each other.
    """

    name: str
    what: str
    direction: Direction
    threshold: float | None
    value: float | None
    status: Status
    reason: str | None = None
    note: str | None = None

    def __post_init__(self) -> None:
        if self.status not in get_args(Status) or self.direction not in get_args(Direction):
            raise ValueError(f"gate {self.name!r}: {self.status!r}, {self.direction!r}")
        if self.status == "not measured" or self.direction == "by eye":
            if self.value is not None or not self.reason:
                raise ValueError(f"gate {self.name!r} without a number needs a reason")
            return
        if self.value is None or self.threshold is None or not math.isfinite(self.value):
            raise ValueError(f"gate {self.name!r} is {self.status}: value {self.value!r}")
        if _HOLDS[self.direction](self.value, self.threshold) != (self.status == "passed"):
            raise ValueError(f"gate {self.name!r} is not {self.status} at {self.value!r}")

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields; ``Gate(**fields)`` reads them back."""
        return asdict(self)


def judged(
    name: str,
    what: str,
    value: float,
    direction: Direction,
    threshold: float,
    *,
    note: str | None = None,
) -> Gate:
    """Holds a value against its threshold."""
    status: Status = "passed" if _HOLDS[direction](value, threshold) else "failed"
    return Gate(name, what, direction, threshold, value, status, note=note)


def unmeasured(
    name: str,
    what: str,
    direction: Direction,
    threshold: float | None,
    reason: str,
    *,
    note: str | None = None,
) -> Gate:
    """States a gate that has no value, and why."""
    return Gate(name, what, direction, threshold, None, "not measured", reason, note)


def seen(name: str, what: str, *, passed: bool, text: str) -> Gate:
    """States what somebody saw who looked."""
    return Gate(name, what, "by eye", None, None, "passed" if passed else "failed", text)


def eye_gate(*, passed: bool | None = None, text: str = NOBODY_LOOKED) -> Gate:
    """Returns the gate that needs an eye: not measured as long as ``passed`` is None."""
    name, what = "rollouts to the eye", "samples keep the objects' number, shape and colour"
    if passed is None:
        return unmeasured(name, what, "by eye", None, text)
    return seen(name, what, passed=passed, text=text)


def mfu_gate(mfu: float | None, reason: str, *, bound: float = GENERATORS_MFU) -> Gate:
    """Returns the gate of the training's speed.

    Args:
        mfu: Counted model FLOPs per second over the device's peak (PaLM, arXiv 2204.02311), as
            training measured it; None if it could not.
        reason: Why it could not.
        bound: What it must reach.
    """
    what = "share of the device's peak that the model's counted FLOPs reach in training"
    if mfu is None:
        return unmeasured(MFU, what, "at least", bound, reason)
    return judged(MFU, what, mfu, "at least", bound)
