"""What a weight file says it holds, checked before anything is made of it.

Files may come from anywhere, so whatever they say is either usable or a DataError.
"""

import hashlib
import json
import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from worldbench.errors import DataError
from worldbench_models.patches import PATCH

KEY = "worldbench"
"""Where the header lies in a safetensors file's metadata."""

OURS = "a .safetensors file that `worldbench train` wrote"

_LONGEST, _LARGEST, _FASTEST, _WORDIEST = 1024, 1024, 1e6, 10_000
_DTYPES = {"BF16", "F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "BOOL"}


@dataclass(frozen=True)
class Description:
    """What a weight file says of itself.

    Attributes:
        header: model, size, shape, frames, fps, resolution, training_data, training_compute,
            licence; all but what is in the shape is as it must be.
        values: How many the file holds.
        sha256: Of the file.
    """

    header: dict[str, Any]
    values: int
    sha256: str


def described(path: Path, content: bytes, model: str) -> Description:
    """Reads what a file says of itself.

    Args:
        path: For messages.
        content: Of the file.
        model: The model it must be of.

    Raises:
        DataError: If the content is cut short, no safetensors, of another model, holds values of
            an unknown kind, or if its header is not as it must be.
    """
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except (SafetensorError, ValueError) as error:
        raise broken(path, f"{len(content)} bytes: {error}") from None
    if not tensors:
        raise broken(path, f"{len(content)} bytes that hold no values")
    unknown = sorted({tensor["dtype"] for _, tensor in tensors} - _DTYPES)
    if unknown:
        raise broken(path, f"values of kind {', '.join(unknown)}")
    try:
        # A file is the length of its table (8 bytes), the table in JSON, and the values.
        table = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        header = json.loads(table["__metadata__"][KEY])
    except (LookupError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"the safetensors file {path} does not say what it is",
            accepted=f"{OURS}; its metadata holds {KEY!r}",
            fix=f"write it with worldbench_models.weights.save_weights, or {train(model)}",
        ) from error
    header = checked_header(path, header)
    if header["model"] != model:
        raise DataError(
            f"the weights in {path} are of another model",
            seen=header["model"],
            accepted=model,
            fix=f"adapter={header['model']}, or weights of {model}: {train(model)}",
        )
    values = sum(math.prod(tensor["shape"]) for _, tensor in tensors)
    return Description(header, values, hashlib.sha256(content).hexdigest())


def checked_header(path: Path, header: object) -> dict[str, Any]:
    """Returns the header if every field is there and in range.

    What the shape must hold is for the model to say.

    Raises:
        DataError: With the fields that are not, what they hold and what they should.
    """
    fields = header if isinstance(header, dict) else {}
    wrong = sorted(name for name, (fits, _) in _FIELDS.items() if not fits(fields.get(name)))
    if wrong:
        raise DataError(
            f"the header of the weights {path} is not complete or not usable",
            seen=", ".join(f"{name}: {shown(fields.get(name))}" for name in wrong),
            accepted=", ".join(f"{name}: {_FIELDS[name][1]}" for name in wrong),
            fix="write the file again with this release",
        )
    return dict(fields)


def broken(path: Path, seen: str) -> DataError:
    """Builds the error for a file that is damaged or something else."""
    return DataError(
        f"the weight file {path} is cut short or no safetensors",
        seen=seen,
        accepted=OURS,
        fix="copy or download it again",
    )


def train(model: str, size: str = "s") -> str:
    """Returns the command that makes weights."""
    return f"worldbench train model={model} size={size}"


def shown(value: object) -> str:
    """Returns a value as messages show it: neither long nor deep, whatever it is."""
    short = reprlib.Repr()
    short.maxdict = 8
    return short.repr(value)


def within(value: object, least: int, most: int, multiple: int = 1) -> bool:
    """Says whether a value out of a JSON text is a whole number in a range; true is none."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and least <= value <= most and value % multiple == 0  # type: ignore[operator]


def _text(value: object) -> bool:
    # What cannot be printed (or, half a surrogate pair, not even be written) fits on no card.
    return isinstance(value, str) and len(value) <= _WORDIEST and value.isprintable()


def _rate(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value <= _FASTEST  # type: ignore[operator]


def _sides(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(within(side, PATCH[1], _LARGEST, PATCH[1]) for side in value)


_WORDS = (_text, f"printable text of at most {_WORDIEST} characters")
_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "model": _WORDS,
    "size": _WORDS,
    "shape": (lambda value: isinstance(value, dict), "names and numbers"),
    "frames": (
        lambda value: within(value, PATCH[0], _LONGEST, PATCH[0]),
        f"a multiple of {PATCH[0]} up to {_LONGEST}",
    ),
    "fps": (_rate, f"a number above 0 up to {_FASTEST:g}"),
    "resolution": (_sides, f"[height, width], multiples of {PATCH[1]} up to {_LARGEST}"),
    "training_data": _WORDS,
    "training_compute": _WORDS,
    "licence": _WORDS,
}
