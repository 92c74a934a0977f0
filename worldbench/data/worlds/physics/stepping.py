"""Runs one group of a scene in MuJoCo: states at the frames, and the impacts between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float64, Int64

from worldbench.data.worlds.physics import mjcf, quaternion
from worldbench.data.worlds.physics.coulomb import Coulomb
from worldbench.data.worlds.physics.impacts import Impact, ImpactWatch
from worldbench.data.worlds.scene import Scene
from worldbench.data.worlds.spec import SceneSpec
from worldbench.errors import DataError

LONGEST_STEP = 1 / 480
"""Seconds; a frame is divided into equal steps of at most this."""

DEEPEST_OVERLAP = 0.01
"""Metres by which bodies may overlap at the start."""


class PhysicsError(DataError):
    """A scene that MuJoCo refuses or that diverges."""


class OverlapError(DataError):
    """Bodies that overlap at the start: draw the scene again."""


@dataclass(frozen=True)
class Clock:
    """How frames are divided into steps.

    Attributes:
        frames: Number of frames; the first is the initial state.
        substeps: Steps from frame to frame.
        timestep: Seconds per step.
    """

    frames: int
    substeps: int
    timestep: float

    @classmethod
    def of(cls, spec: SceneSpec) -> "Clock":
        """Divides a spec's frames."""
        substeps = int(np.ceil(1 / (spec.fps * LONGEST_STEP) - 1e-9))
        return cls(spec.frames, substeps, 1 / (spec.fps * substeps))

    @property
    def steps(self) -> int:
        """Steps from the first frame to the last."""
        return (self.frames - 1) * self.substeps


@dataclass(frozen=True)
class Group:
    """A compiled group.

    Attributes:
        number: Which group.
        model: MuJoCo's model.
        moving: Scene indices of its free and hinged bodies, ascending; their joints' order.
        ids: MuJoCo's numbers of these.
        slots: The track's slot of each of the model's geoms, −1 for the room's.
        roles: Role of each of the model's geoms, ``room`` for the room's.
    """

    number: int
    model: mujoco.MjModel
    moving: tuple[int, ...]
    ids: tuple[int, ...]
    slots: Int64[np.ndarray, " geoms"]
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Motion:
    """What a group did.

    Attributes:
        qpos: MuJoCo's coordinates at every frame: of a free body position and quaternion, of a
            hinge its angle.
        qvel: Its velocities: of a free body's origin in the world, then its spin in its own frame;
            of a hinge its rate.
        impacts: Rows of ``Track.contacts``.
    """

    qpos: Float64[np.ndarray, "t nq"]
    qvel: Float64[np.ndarray, "t nv"]
    impacts: list[Impact]


def moving_groups(scene: Scene) -> list[int]:
    """Returns the groups that have a body that can move."""
    return sorted({body.group for body in scene.bodies if body.joint != "fixed"})


def compile_group(scene: Scene, group: int, spec: SceneSpec) -> Group:
    """Builds the model of a group: its bodies, the fixed ones of group 0, the room.

    Raises:
        PhysicsError: If MuJoCo refuses it.
    """
    members = [
        i
        for i, body in enumerate(scene.bodies)
        if body.group == group or (body.group == 0 and body.joint == "fixed")
    ]
    first = np.cumsum([0, *(len(body.geoms) for body in scene.bodies)])
    slots = [slot for i in members for slot in range(first[i], first[i + 1])]
    moving = [(i, id) for id, i in enumerate(members, 1) if scene.bodies[i].joint != "fixed"]
    xml = mjcf.group_xml(scene, members, Clock.of(spec).timestep)
    with _warnings_kept() as warnings:
        try:
            model = mujoco.MjModel.from_xml_string(xml)
        except ValueError as error:
            raise _failure(spec, group, "cannot be simulated", str(error)) from error
    if warnings:
        raise _failure(spec, group, "cannot be simulated", "; ".join(warnings))
    sides = mjcf.ROOM_GEOMS
    return Group(
        number=group,
        model=model,
        moving=tuple(i for i, _ in moving),
        ids=tuple(id for _, id in moving),
        slots=np.array([-1] * sides + slots, dtype=np.int64),
        roles=("room",) * sides
        + tuple(scene.bodies[i].role for i in members for _ in scene.bodies[i].geoms),
    )


def run(scene: Scene, group: Group, spec: SceneSpec) -> Motion:
    """Steps a group from the first frame to the last.

    Args:
        scene: The scene.
        group: What :func:`compile_group` made of it.
        spec: Gives frames and rate.

    Returns:
        Its motion.

    Raises:
        OverlapError: If bodies overlap at the start by more than ``DEEPEST_OVERLAP``.
        PhysicsError: If the simulation diverges.
    """
    with _warnings_kept() as warnings:
        motion = _run(scene, group, spec, warnings)
    if not (np.isfinite(motion.qpos).all() and np.isfinite(motion.qvel).all()):
        warnings.append("values that are not finite")
    if warnings:
        raise _failure(spec, group.number, "diverged", "; ".join(warnings))
    return motion


def _run(scene: Scene, group: Group, spec: SceneSpec, warnings: list[str]) -> Motion:
    clock = Clock.of(spec)
    model, data = group.model, mujoco.MjData(group.model)
    data.qvel[:] = _initial_velocity(scene, group)
    pushes = _pushes(scene, group, clock)
    qpos = np.empty((clock.frames, model.nq))
    qvel = np.empty((clock.frames, model.nv))
    watch, coulomb = ImpactWatch(model, data, group.slots), Coulomb(model, data)
    for step in range(clock.steps + 1):
        mujoco.mj_step1(model, data)  # contacts of the state as it is; the step follows
        if step == 0:
            _check_overlap(group, data, spec)
        watch.look(step * clock.timestep, count=step > 0)
        if step % clock.substeps == 0:
            qpos[step // clock.substeps] = data.qpos
            qvel[step // clock.substeps] = data.qvel
            if warnings:
                break  # NaNs are slow, and the caller raises
        if pushes is not None:
            data.xfrc_applied[:, :3] = pushes[step]
        if data.nefc and coulomb.solve():
            mujoco.mj_Euler(model, data)
        else:
            mujoco.mj_step2(model, data)
    return Motion(qpos, qvel, watch.impacts)


def _initial_velocity(scene: Scene, group: Group) -> np.ndarray:
    parts = []
    for body in (scene.bodies[index] for index in group.moving):
        if body.joint == "hinge":
            parts.append([body.spin @ body.axis / np.linalg.norm(body.axis)])
        else:
            upright = quaternion.conjugate(quaternion.unit(body.quat))
            parts.append([*body.velocity, *quaternion.rotate(upright, body.spin)])
    return np.concatenate(parts)


def _pushes(scene: Scene, group: Group, clock: Clock) -> np.ndarray | None:
    """Returns the drives' mean force on every body of the model in every step."""
    driven = [(id, scene.bodies[i]) for i, id in zip(group.moving, group.ids, strict=True)]
    if not any(body.drives for _, body in driven):
        return None
    begin = np.arange(clock.steps + 1) * clock.timestep
    forces = np.zeros((clock.steps + 1, group.model.nbody, 3))
    for id, body in driven:
        for drive in body.drives:
            since = np.maximum(begin, drive.start)
            until = np.minimum(begin + clock.timestep, drive.stop)
            share = np.maximum(until - since, 0) / clock.timestep
            # The middle of a step: at its start, circles would drift.
            angle = drive.turn * ((since + until) / 2 - drive.start)
            turn = quaternion.about(np.array([0.0, 0.0, 1.0]), angle)
            force = group.model.body_mass[id] * quaternion.rotate(turn, drive.acceleration)
            forces[:, id] += share[:, None] * force
    return forces


def _check_overlap(group: Group, data: mujoco.MjData, spec: SceneSpec) -> None:
    for contact in data.contact:
        if contact.dist < -DEEPEST_OVERLAP:
            one, other = sorted(group.roles[geom] for geom in contact.geom)
            raise OverlapError(
                f"{one} and {other} overlap at the start of scene {spec}",
                seen=f"{-contact.dist:.3f} m",
                accepted=f"at most {DEEPEST_OVERLAP} m",
                fix="stage them apart, or in different groups",
            )


def _failure(spec: SceneSpec, group: int, what: str, seen: str) -> PhysicsError:
    return PhysicsError(
        f"group {group} of scene {spec} {what}",
        seen=seen,
        accepted="finite poses and speeds, positive sizes and densities",
        fix="stage the scene otherwise",
    )


@contextmanager
def _warnings_kept() -> Iterator[list[str]]:
    """Collects MuJoCo's warnings, which it would write to a file in the working directory."""
    kept: list[str] = []
    previous = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(kept.append)
    try:
        yield kept
    finally:
        mujoco.set_mju_user_warning(previous)
