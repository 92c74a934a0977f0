"""From a staged scene to its track.

Every group is simulated apart (:mod:`worldbench.data.worlds.physics.stepping`), so that what one
does cannot move another by a last bit; fixed bodies need no simulation. Imports no torch: processes
that only simulate start fast.
"""

import numpy as np
from jaxtyping import Float32

from worldbench.data.worlds.physics import mjcf, quaternion, stepping
from worldbench.data.worlds.physics.stepping import OverlapError, PhysicsError
from worldbench.data.worlds.scene import KINDS, Body, Geom, Material, Scene
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import GRID, Track
from worldbench.errors import DataError

__all__ = ["OverlapError", "PhysicsError", "simulate_scene"]


def simulate_scene(scene: Scene, spec: SceneSpec) -> Track:
    """Simulates a scene; the same scene gives the same bits in any process and order.

    Args:
        scene: What stands where.
        spec: Length, rate and size; the track's identity.

    Returns:
        The track. Poses, velocities and appearance are multiples of ``track.GRID``.

    Raises:
        OverlapError: If bodies of a group, or a body and the room, overlap at the start.
        PhysicsError: If MuJoCo refuses the scene or the simulation diverges.
        DataError: If the scene's camera has another length than the clip, or a body that is not
            free has drives.
    """
    _check(scene, spec)
    slots = [(index, geom) for index, body in enumerate(scene.bodies) for geom in body.geoms]
    roles = tuple(scene.bodies[index].role for index, _ in slots)
    origins = {
        index: _still(body, spec.frames)
        for index, body in enumerate(scene.bodies)
        if body.joint == "fixed"
    }
    impacts = []
    for group in stepping.moving_groups(scene):
        compiled = stepping.compile_group(scene, group, spec)
        motion = stepping.run(scene, compiled, spec)
        origins |= _origins(scene, compiled, motion)
        impacts += motion.impacts
    pos, rot, vel, angvel = _of_slots(slots, origins, spec.frames)
    return Track(
        spec=spec,
        factors=dict(scene.factors),
        label=scene.label,
        roles=roles,
        body=np.array([index for index, _ in slots], dtype=np.int16),
        kind=np.array([KINDS.index(geom.kind) for _, geom in slots], dtype=np.int8),
        size=_rounded([geom.size for _, geom in slots], (-1, 3)),
        pos=_rounded(pos),
        rot=_rounded(quaternion.continuous(rot)),
        vel=_rounded(vel),
        angvel=_rounded(angvel),
        **_appearance(scene, [geom.material for _, geom in slots]),
        camera_c2w=_rounded(scene.camera),
        K=_intrinsics(scene, spec),
        contacts=_rounded(sorted(impacts), (-1, 4)),
    )


def _check(scene: Scene, spec: SceneSpec) -> None:
    if len(scene.camera) != spec.frames:
        raise DataError(
            f"the camera of scene {spec} has another length than the clip",
            seen=f"{len(scene.camera)} poses",
            accepted=f"{spec.frames}, one per frame",
            fix="stage one camera pose per frame",
        )
    for body in scene.bodies:
        if body.drives and body.joint != "free":
            raise DataError(
                f"a body of scene {spec} cannot be driven: {body.role}",
                seen=f"{len(body.drives)} drives on a {body.joint} body",
                accepted="drives on free bodies",
                fix="make the body free, or take its drives away",
            )


# World pose, velocity and spin of a body's origin, or of a geom's centre, at every frame.
_Path = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _still(body: Body, frames: int) -> _Path:
    nothing = np.zeros((frames, 3))
    return (
        np.tile(body.pos, (frames, 1)),
        np.tile(quaternion.unit(body.quat), (frames, 1)),
        nothing,
        nothing,
    )


def _origins(scene: Scene, group: stepping.Group, motion: stepping.Motion) -> dict[int, _Path]:
    """Reads MuJoCo's coordinates out as the paths of the moving bodies' origins."""
    paths, q, v = {}, 0, 0
    for index in group.moving:
        body = scene.bodies[index]
        pos, rot, vel, spin = _still(body, len(motion.qpos))
        if body.joint == "hinge":
            turn = quaternion.about(mjcf.hinge_axis(body), motion.qpos[:, q])
            rot = quaternion.product(rot, turn)
            spin = motion.qvel[:, v, None] * (body.axis / np.linalg.norm(body.axis))
            q, v = q + 1, v + 1
        else:
            pos, rot = motion.qpos[:, q : q + 3], quaternion.unit(motion.qpos[:, q + 3 : q + 7])
            vel = motion.qvel[:, v : v + 3]
            spin = quaternion.rotate(rot, motion.qvel[:, v + 3 : v + 6])
            q, v = q + 7, v + 6
        paths[index] = (pos, rot, vel, spin)
    return paths


def _of_slots(slots: list[tuple[int, Geom]], origins: dict[int, _Path], frames: int) -> _Path:
    if not slots:
        nothing = np.zeros((frames, 0, 3))
        return nothing, np.zeros((frames, 0, 4)), nothing, nothing
    pos, rot, vel, spin = (
        np.stack([origins[index][part] for index, _ in slots], axis=1) for part in range(4)
    )
    arm = quaternion.rotate(rot, np.stack([geom.pos for _, geom in slots])[None])
    turn = quaternion.unit(np.stack([geom.quat for _, geom in slots]))
    return pos + arm, quaternion.product(rot, turn[None]), vel + np.cross(spin, arm), spin


def _appearance(scene: Scene, materials: list[Material]) -> dict[str, Float32[np.ndarray, "..."]]:
    room, light = scene.room, scene.light
    return {
        "albedo": _rounded([[m.albedo, m.second] for m in materials], (-1, 2, 3)),
        "texture": _rounded([_texture(m) for m in materials], (-1, 8)),
        "room": _rounded([room.low, room.high]),
        "room_albedo": _rounded([[m.albedo, m.second] for m in room.materials]),
        "room_texture": _rounded([_texture(m) for m in room.materials]),
        "light": _rounded([*light.towards, light.ambient]),
    }


def _texture(material: Material) -> list[float]:
    return [material.contrast, material.frequency, *material.stretch, *material.offset]


def _intrinsics(scene: Scene, spec: SceneSpec) -> Float32[np.ndarray, "3 3"]:
    focal = spec.height / 2 / np.tan(scene.fov / 2)
    return _rounded([[focal, 0, spec.width / 2], [0, focal, spec.height / 2], [0, 0, 1]])


def _rounded(values: object, shape: tuple[int, ...] | None = None) -> Float32[np.ndarray, "..."]:
    """Rounds to the grid in float64; a shape is needed where there may be nothing to round."""
    exact = np.asarray(values, dtype=np.float64)
    on_grid = np.round(exact / GRID) * GRID + 0.0  # + 0 makes −0 the same bits as 0
    return on_grid.reshape(shape or exact.shape).astype(np.float32)
