"""Arrays of tracks as short streams of bytes, and back to the bit.

Values of tracks are multiples of 2⁻¹⁶ that move smoothly. Each becomes an integer; a moving column
is written as its first value and the differences of the order (1 to 3) that leaves least; a still
one as its first value alone. Integers are split into byte planes, so that the compressor that
follows sees the nearly constant high bytes apart from the noisy low ones.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldbench.data.worlds.track import GRID, Track

_FIELDS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "body": ("<i2", ("n",)),
    "kind": ("<i1", ("n",)),
    "size": ("<f4", ("n", 3)),
    "pos": ("<f4", ("t", "n", 3)),
    "rot": ("<f4", ("t", "n", 4)),
    "vel": ("<f4", ("t", "n", 3)),
    "angvel": ("<f4", ("t", "n", 3)),
    "albedo": ("<f4", ("n", 2, 3)),
    "texture": ("<f4", ("n", 8)),
    "room": ("<f4", (2, 3)),
    "room_albedo": ("<f4", (6, 2, 3)),
    "room_texture": ("<f4", (6, 8)),
    "light": ("<f4", (4,)),
    "camera_c2w": ("<f4", ("t", 4, 4)),
    "K": ("<f4", (3, 3)),
    "contacts": ("<f4", ("events", 4)),
}
_MINUS_ZERO = np.int32(-(2**31))
_ORDERS = (1, 2, 3)


class StreamWriter:
    """Collects the arrays of many tracks, field by field."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, track: Track) -> list[int]:
        """Adds a track.

        Returns:
            Its frames, slots and contacts, which :meth:`StreamReader.take` needs.
        """
        for name, (_, shape) in _FIELDS.items():
            exact, integers = _to_integers(getattr(track, name))
            self._parts[f"{name}.exact"].append(np.array([exact], np.uint8))
            if shape[0] == "t":
                self._add_columns(name, integers.reshape(len(integers), -1))
            else:
                self._parts[f"{name}.first"].append(integers.ravel())
        return [track.frames, track.slots, len(track.contacts)]

    def _add_columns(self, name: str, columns: np.ndarray) -> None:
        residuals = np.stack([_difference(columns, order) for order in _ORDERS])
        cost = np.log2(1.0 + residuals).sum(axis=1)
        order = np.where(residuals[0].any(axis=0), 1 + cost.argmin(axis=0), 0).astype(np.uint8)
        self._parts[f"{name}.first"].append(columns[0])
        self._parts[f"{name}.order"].append(order)
        moving = np.flatnonzero(order)
        # One column after the other: what two clips share is then one long repetition.
        self._parts[f"{name}.rest"].append(residuals[order[moving] - 1, :, moving].ravel())

    def streams(self) -> dict[str, np.ndarray]:
        """Returns every stream as bytes: flat, or one row per byte plane of 32-bit integers."""
        joined = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        return {
            name: stream
            if stream.dtype == np.uint8
            else np.ascontiguousarray(stream.astype("<u4").view(np.uint8).reshape(-1, 4).T)
            for name, stream in joined.items()
        }


class StreamReader:
    """Takes tracks out of :meth:`StreamWriter.streams`, in the order in which they were added."""

    def __init__(self, streams: Mapping[str, np.ndarray]) -> None:
        self._streams = {
            name: stream
            if stream.ndim == 1
            else np.ascontiguousarray(stream.T).view("<u4").ravel().astype(np.uint32)
            for name, stream in streams.items()
        }
        self._at: dict[str, int] = defaultdict(int)

    def take(self, frames: int, slots: int, events: int, **told: Any) -> Track:
        """Takes the next track.

        Args:
            frames: Its number of frames.
            slots: Its number of slots.
            events: Its number of contacts.
            **told: The fields of the track that are no arrays.

        Raises:
            ValueError: If a stream is too short.
        """
        count: dict[str | int, int] = {"t": frames, "n": slots, "events": events}
        arrays: dict[str, Any] = {}
        for name, (dtype, dims) in _FIELDS.items():
            shape = [count.get(dim, dim) if isinstance(dim, str) else dim for dim in dims]
            sizes = [int(size) for size in shape]
            exact = bool(self._next(f"{name}.exact", 1)[0])
            if dims[0] == "t":
                integers = self._columns(name, frames, int(np.prod(sizes[1:])))
            else:
                integers = self._next(f"{name}.first", int(np.prod(sizes)))
            arrays[name] = _from_integers(integers, exact, np.dtype(dtype)).reshape(sizes)
        return Track(**told, **arrays)

    def _columns(self, name: str, frames: int, width: int) -> np.ndarray:
        columns = np.tile(self._next(f"{name}.first", width), (frames, 1))
        order = self._next(f"{name}.order", width)
        moving = np.flatnonzero(order)
        rest = self._next(f"{name}.rest", len(moving) * (frames - 1))
        steps = ((rest >> 1) ^ (np.uint32(0) - (rest & 1))).reshape(len(moving), frames - 1)
        for deeper in (3, 2, 1):
            which = order[moving] >= deeper
            steps[which] = np.cumsum(steps[which], axis=1, dtype=np.uint32)
        columns[1:, moving] += steps.T
        return columns

    def _next(self, name: str, count: int) -> np.ndarray:
        begin = self._at[name]
        self._at[name] = begin + count
        taken = self._streams[name][begin : begin + count]
        if count < 0 or len(taken) != count:
            raise ValueError(f"stream {name} ends early")
        return taken


def _to_integers(array: np.ndarray) -> tuple[bool, np.ndarray]:
    """Multiples of the grid, or plain integers; the bits of floats that lie off the grid."""
    if array.dtype.kind == "i":
        return True, array.astype(np.int32).view(np.uint32)
    steps = array.astype(np.float64) / GRID
    with np.errstate(invalid="ignore"):
        exact = bool((np.isfinite(steps) & (np.rint(steps) == steps) & (abs(steps) < 2**31)).all())
    if not exact:
        return False, np.ascontiguousarray(array).view(np.uint32)
    integers = steps.astype(np.int32)
    integers[(integers == 0) & np.signbit(array)] = _MINUS_ZERO
    return True, integers.view(np.uint32)


def _from_integers(integers: np.ndarray, exact: bool, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "i":
        return integers.view(np.int32).astype(dtype)
    if not exact:
        return integers.copy().view(dtype)
    signed = integers.view(np.int32)
    values: np.ndarray = np.where(signed == _MINUS_ZERO, -0.0, signed * GRID).astype(dtype)
    return values


def _difference(columns: np.ndarray, order: int) -> np.ndarray:
    """Differences down the columns modulo 2³², small ones of either sign as small numbers."""
    steps = np.diff(columns, axis=0)
    for _ in range(order - 1):
        steps = np.diff(steps, axis=0, prepend=np.zeros((1, steps.shape[1]), np.uint32))
    zigzag: np.ndarray = (steps << 1) ^ (np.uint32(0) - (steps >> 31))
    return zigzag
