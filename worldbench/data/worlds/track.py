"""The truth of a simulated clip: every pose at every frame, in float32, and nothing of pixels."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int8, Int16

from worldbench.data.worlds.spec import SceneSpec
from worldbench.schema import Scalar, canonical_json

GRID = 2.0**-16
"""Poses are rounded to multiples of it (15 µm): the last bits of another CPU rarely survive."""


@dataclass(frozen=True, eq=False)
class Track:
    """What was where, when; N slots are the geoms of the scene in order, T frames.

    Units as in :mod:`worldbench.data.worlds.scene`. Segmentation ids of rendered clips are
    1 + slot, and 0 for the room.

    Attributes:
        spec: Where it came from.
        factors: Level of every factor.
        label: What happens, for families that have labels.
        roles: Role of each slot's body.
        body: Index of each slot's body; slots of one body move rigidly together.
        kind: Index into ``scene.KINDS``.
        size: As in ``scene.Geom``.
        pos: Centres in the world.
        rot: Rotations in the world, unit up to rounding.
        vel: Linear velocities of the centres.
        angvel: Angular velocities in the world.
        albedo: Main and second colour, linear RGB in [0, 1].
        texture: Contrast, frequency, stretch (3), offset (3) of each slot.
        room: Smallest and largest corner.
        room_albedo: Colours of the sides −x, +x, −y, +y, −z, +z.
        room_texture: Textures of the sides.
        light: Unit vector towards the light, then the ambient share.
        camera_c2w: Camera to world, x right, y down, z forward.
        K: Intrinsics in pixels of the spec's size; pixel (row i, column j) has its centre at
            (j + ½, i + ½).
        contacts: One row per impact: second, slot, other slot (−1 for the room), approach speed
            in m/s.
    """

    spec: SceneSpec
    factors: dict[str, Scalar]
    label: str
    roles: tuple[str, ...]
    body: Int16[np.ndarray, " n"]
    kind: Int8[np.ndarray, " n"]
    size: Float32[np.ndarray, "n 3"]
    pos: Float32[np.ndarray, "t n 3"]
    rot: Float32[np.ndarray, "t n 4"]
    vel: Float32[np.ndarray, "t n 3"]
    angvel: Float32[np.ndarray, "t n 3"]
    albedo: Float32[np.ndarray, "n 2 3"]
    texture: Float32[np.ndarray, "n 8"]
    room: Float32[np.ndarray, "2 3"]
    room_albedo: Float32[np.ndarray, "6 2 3"]
    room_texture: Float32[np.ndarray, "6 8"]
    light: Float32[np.ndarray, " 4"]
    camera_c2w: Float32[np.ndarray, "t 4 4"]
    K: Float32[np.ndarray, "3 3"]
    contacts: Float32[np.ndarray, "events 4"]

    @property
    def frames(self) -> int:
        """Number of frames, T."""
        return len(self.pos)

    @property
    def slots(self) -> int:
        """Number of geoms, N."""
        return len(self.kind)

    @property
    def digest(self) -> str:
        """SHA-256 of spec, factors and every array."""
        told = [self.spec.to_dict(), self.factors, self.label, list(self.roles)]
        sha = hashlib.sha256(canonical_json(told).encode())
        for name, array in self.arrays().items():
            sha.update(f"{name} {array.dtype.str} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by field name."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}

    def slots_of(self, role: str) -> list[int]:
        """Returns the slots whose body has this role."""
        return [slot for slot, name in enumerate(self.roles) if name == role]

    def without(self, role: str) -> "Track":
        """Returns the track with every body of this role taken out; nothing else moves."""
        keep = np.array([name != role for name in self.roles], dtype=bool)
        renumbered = np.cumsum(keep) - 1
        slot, other = self.contacts[:, 1].astype(int), self.contacts[:, 2].astype(int)
        stays = keep[slot] & (keep[other] | (other < 0)) if len(slot) else np.zeros(0, bool)
        contacts = self.contacts[stays].copy()
        contacts[:, 1] = renumbered[slot[stays]]
        contacts[:, 2] = np.where(other[stays] < 0, -1, renumbered[other[stays]])
        return replace(
            self._on_slots(lambda array, axis: np.compress(keep, array, axis=axis)),
            roles=tuple(name for name in self.roles if name != role),
            contacts=contacts,
        )

    def _on_slots(self, change: Callable[[np.ndarray, int], np.ndarray]) -> "Track":
        by_slot = ("body", "kind", "size", "albedo", "texture")
        by_frame = ("pos", "rot", "vel", "angvel")
        changed: dict[str, Any] = {name: change(getattr(self, name), 0) for name in by_slot}
        changed |= {name: change(getattr(self, name), 1) for name in by_frame}
        return replace(self, **changed)
