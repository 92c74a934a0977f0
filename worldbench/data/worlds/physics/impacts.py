"""Tells impacts from contacts that last."""

from dataclasses import dataclass, field

import mujoco
import numpy as np
from jaxtyping import Int64

SOFTEST_IMPACT = 0.1
"""Approach speed, m/s, above which a touch counts as an impact: a fall of half a millimetre, so
that bodies staged a hair above the ground come to rest without one."""

Impact = tuple[float, int, int, float]
"""Second, slot, other slot (−1: the room), approach speed in m/s: a row of ``Track.contacts``."""


@dataclass
class ImpactWatch:
    """Looks at a running simulation's contacts, and keeps the impacts.

    Args:
        model: The model that runs.
        data: Its state, whose contacts and velocities are those of one time.
        slots: The track's slot of each of the model's geoms, −1 for the room.
        impacts: The impacts so far.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    slots: Int64[np.ndarray, " geoms"]
    impacts: list[Impact] = field(default_factory=list)
    _touching: bytes = b""
    _pairs: frozenset[tuple[int, int]] = frozenset()

    def look(self, second: float, count: bool) -> None:
        """Compares with the step before; ``count`` says whether new touches are impacts."""
        found = self.data.contact.geom.tobytes() if self.data.ncon else b""
        if found == self._touching:
            return
        before, self._touching = self._pairs, found
        pairs = list(map(tuple, self.data.contact.geom.tolist()))
        self._pairs = frozenset(pairs)
        for pair in sorted(self._pairs - before) if count else ():
            speed = max(self._approach(i) for i, other in enumerate(pairs) if other == pair)
            if speed > SOFTEST_IMPACT:
                low, high = sorted(int(self.slots[geom]) for geom in pair)
                slot, other = (high, low) if low < 0 else (low, high)
                self.impacts.append((second, slot, other, speed))

    def _approach(self, index: int) -> float:
        contact = self.data.contact[index]
        point, normal = contact.pos.tolist(), contact.frame[:3].tolist()  # from the first geom
        one, other = (self._along(normal, geom, point) for geom in contact.geom.tolist())
        return one - other

    def _along(self, normal: list[float], geom: int, point: list[float]) -> float:
        """Returns n·(v + ω × arm); plain floats, since NumPy is slow on three numbers."""
        spin_then_velocity = np.zeros(6)
        mujoco.mj_objectVelocity(
            self.model, self.data, mujoco.mjtObj.mjOBJ_GEOM, geom, spin_then_velocity, 0
        )
        wx, wy, wz, vx, vy, vz = spin_then_velocity.tolist()
        x, y, z = (p - c for p, c in zip(point, self.data.geom_xpos[geom].tolist(), strict=True))
        nx, ny, nz = normal
        return float(
            nx * (vx + wy * z - wz * y) + ny * (vy + wz * x - wx * z) + nz * (vz + wx * y - wy * x)
        )
