"""What a record may hold, so that it can be filed under its name and calculated with."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

LARGEST = 1e100
"""No number of a record is larger. No score of ours comes near it, and spans, percentages, squares
and quotients of what is smaller stay finite."""

SMALLEST = 1 / LARGEST
"""What is closer together than this cannot be told apart: nothing is divided by such a gap."""

DEEPEST = 64
"""So deep may lists and objects of a record be nested: far more than any protocol, far less than
what exhausts the stack of whoever walks through them."""

_INTEGERS = range(-(2**63), 2**64)


def out_of_range(value: object) -> bool:
    """Says whether JSON data holds a number that is not finite, too large or beyond 64 bits."""
    if isinstance(value, Mapping):
        return any(map(out_of_range, value.values()))
    if isinstance(value, list | tuple):
        return any(map(out_of_range, value))
    if isinstance(value, int):
        return value not in _INTEGERS
    return isinstance(value, float) and not abs(value) <= LARGEST


class Limited(BaseModel):
    """What a record is made of: it does not change, and the board can calculate with its numbers.

    Raises:
        ValueError: Naming the field that holds another number, and what is accepted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="after")
    def _can_be_calculated_with(self) -> "Limited":
        for name, value in self:
            if out_of_range(value):
                raise ValueError(
                    f"{name} holds a number that is not within ±{LARGEST:g}, or an integer that 64 "
                    "bits do not hold"
                )
        return self


def too_deep(value: object) -> bool:
    """Says whether JSON data is nested deeper than :data:`DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST + 1):
        held = (each for each in level if isinstance(each, dict | list))
        level = [
            part for each in held for part in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _path_part(text: str) -> str:
    if not text.isprintable() or text[:1] in ("", ".") or {"/", "\\"} & set(text):
        raise ValueError(
            f"{text!r} must be printable, without '/' or '\\', and must not start with a '.': "
            "it is part of a record's path"
        )
    return text


PathPart = Annotated[str, AfterValidator(_path_part)]
"""Text that names a file or folder, and so may not lead to another one."""
