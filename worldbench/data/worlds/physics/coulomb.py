"""Makes MuJoCo's sliding contacts obey Coulomb's law.

MuJoCo solves contacts as a convex problem, whose price is that slip pushes bodies apart: with the
friction coefficient μ a contact leaves with μ·|slip| on top of its normal speed (M. Anitescu,
Optimization-based simulation of nonsmooth rigid multibody dynamics, 2006). Where friction acts
within one step, a box that slides at 3 m/s would hop 9 cm high. Asking for a normal speed that is
lower by μ·|slip| after the step cancels it exactly; the slip after the step follows by fixed-point
iteration (F. Cadoux, 2009; V. Acary et al., 2011), a contraction for a single contact.
"""

import mujoco
import numpy as np

from worldbench.data.worlds.physics.impacts import SOFTEST_IMPACT

TOLERANCE = 5e-3
"""m/s of normal speed to which corrections are worked out: a quarter of what gravity adds in a
step."""

MOST_SOLVES = 12


class Coulomb:
    """Solves the contacts of a running simulation, between the two halves of a step.

    Args:
        model: The model that runs, with elliptic cones and no constraints but contacts.
        data: Its state; forces on it must be set before :meth:`solve`.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._timestep = float(model.opt.timestep)
        self._touching = b""
        self._normal = self._one = self._other = np.zeros(0, dtype=np.int64)
        self._friction = self._last = np.zeros(0)

    def solve(self) -> bool:
        """Lowers the normal speeds asked of contacts that slide.

        Returns:
            Whether the step's accelerations are solved for already.
        """
        contact = self._data.contact
        touching = contact.geom.tobytes() + contact.efc_address.tobytes()
        lasts = touching == self._touching
        if not lasts:
            self._touching = touching
            self._find_rows()
        if not len(self._normal):
            return False
        velocity = self._data.efc_vel
        now = self._lift(velocity)
        last, self._last = self._last, now
        if now.max() < TOLERANCE:
            return False
        if lasts and velocity[self._normal].min() > -SOFTEST_IMPACT:
            # Steady sliding: the next step slows it as the last one did.
            self._data.efc_aref[self._normal] -= np.maximum(2 * now - last, 0) / self._timestep
            return False
        self._iterate(now)
        return True

    def _iterate(self, lift: np.ndarray) -> None:
        model, data = self._model, self._data
        asked, velocity = data.efc_aref[self._normal].copy(), data.efc_vel
        change = np.empty(len(velocity))
        mujoco.mj_fwdAcceleration(model, data)
        for _ in range(MOST_SOLVES):
            data.efc_aref[self._normal] = asked - lift / self._timestep
            mujoco.mj_fwdConstraint(model, data)
            mujoco.mj_mulJacVec(model, data, change, data.qacc)
            before, lift = lift, self._lift(velocity + self._timestep * change)
            if np.abs(lift - before).max() < TOLERANCE:
                return

    def _find_rows(self) -> None:
        contact = self._data.contact
        rubs = (contact.dim > 1) & (contact.efc_address >= 0)
        self._normal = contact.efc_address[rubs].astype(np.int64)
        self._one, self._other = self._normal + 1, self._normal + 2
        self._friction = contact.friction[rubs, 0].copy()

    def _lift(self, velocity: np.ndarray) -> np.ndarray:
        one, other = velocity[self._one], velocity[self._other]
        speed: np.ndarray = self._friction * np.sqrt(one * one + other * other)
        return speed
