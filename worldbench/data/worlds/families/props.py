"""What stages are furnished with: rooms, light, cameras, solids, slabs, and free places."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from worldbench.data.worlds import camera, palette
from worldbench.data.worlds.families.family import Draw, Factor
from worldbench.data.worlds.scene import (
    UPRIGHT,
    Body,
    Geom,
    Light,
    Material,
    Quaternion,
    Room,
    Scene,
    Vector,
    vec,
)

Area = tuple[tuple[float, float], tuple[float, float]]
"""(lowest, highest) x and y."""

FOV = math.radians(40)
EYE_DISTANCE = 5.2
"""Metres from the camera to the plane y = 0 in which most events happen."""

CAMERA = Factor(("still", "jittered", "moving"), "tripod, hand-held, or a slow constant orbit")
STILL_CAMERA = Factor(CAMERA.levels, CAMERA.meaning, default="still")
SHAPE = Factor(palette.SHAPES, "shape of the target")
COLOUR = Factor(palette.COLOURS, "colour of the target; test_ood has others")
_BACK_WALL, _SIDE_WALL, _BEHIND_CAMERA, _CEILING = 4.0, 5.5, 7.5, 4.6


def room(draw: Draw) -> Room:
    """Draws a room around the stage, roomy enough for every camera."""
    rng = draw.rng("room")
    grow = rng.uniform(0, 0.8, 4)
    low = vec(-_SIDE_WALL - grow[0], -_BEHIND_CAMERA, 0)
    high = vec(_SIDE_WALL + grow[1], _BACK_WALL + grow[2], _CEILING + grow[3])
    return Room(low, high, palette.room_materials(rng, ood=draw.ood))


def light(draw: Draw) -> Light:
    """Draws a steep light from the camera's side, so that shadows fall short and away from it."""
    rng = draw.rng("light")
    towards = vec(rng.uniform(-0.45, 0.45), rng.uniform(-0.95, -0.6), 1)
    return Light(towards / np.linalg.norm(towards), float(rng.uniform(0.32, 0.42)))


def eye_and_target(draw: Draw, distance: float = EYE_DISTANCE) -> tuple[Vector, Vector]:
    """Draws where the camera stands and looks, in front of the stage."""
    rng = draw.rng("camera")
    eye = vec(rng.uniform(-0.15, 0.15), -distance, rng.uniform(1.35, 1.65))
    return eye, vec(0, 0, rng.uniform(0.65, 0.8))


def view(draw: Draw, distance: float = EYE_DISTANCE) -> camera.Path:
    """Draws the camera path that the factor ``camera`` asks for."""
    eye, target = eye_and_target(draw, distance)
    frames, how = draw.spec.frames, draw.text("camera")
    if how == "jittered":
        return camera.jittered(eye, target, frames, draw.rng("camera/jitter"))
    if how == "moving":
        sweep = draw.sign("camera/side") * draw.uniform("camera/sweep", 0.2, 0.32)
        begin = camera.orbit(eye, target, 2, -sweep / 2)[1, :3, 3]
        return camera.orbit(begin, target, frames, sweep / (frames - 1))
    return camera.still(eye, target, frames)


def half_width(draw: Draw, y: float = 0.0, distance: float = EYE_DISTANCE) -> float:
    """Returns half the width of the view, in metres, at depth y."""
    return math.tan(FOV / 2) * draw.spec.aspect * (distance + y)


def radius(draw: Draw, name: str, low: float = 0.23, high: float = 0.33) -> float:
    """Draws an object's radius in metres; test_ood has smaller and larger ones."""
    rng = draw.rng(f"{name}/radius")
    if not draw.ood:
        return float(rng.uniform(low, high))
    return float(rng.uniform(0.155, 0.19) if rng.random() < 0.5 else rng.uniform(0.345, 0.365))


def solid(kind: str, size: float, material: Material) -> Geom:
    """Makes an object that looks about as large as a sphere of that radius."""
    sizes = {
        "sphere": vec(size, 0, 0),
        "box": vec(0.85, 0.85, 0.85) * size,
        "cylinder": vec(0.82 * size, 0.9 * size, 0),
        "capsule": vec(0.6 * size, 0.62 * size, 0),
    }
    return Geom(kind, sizes[kind], material)


def reach(geom: Geom) -> float:
    """Returns the radius of the sphere that just holds the geom."""
    if geom.kind == "sphere":
        return float(geom.size[0])
    if geom.kind == "box":
        return float(np.linalg.norm(geom.size))
    if geom.kind == "cylinder":
        return math.hypot(geom.size[0], geom.size[1])
    return float(geom.size[0] + geom.size[1])


def lying(rng: np.random.Generator | None = None, axis: float = 0.0) -> Quaternion:
    """Returns a rotation that lays z along the floor, at ``axis`` radians from x or at random."""
    angle = float(rng.uniform(0, math.pi)) if rng is not None else axis
    half = angle / 2
    tip = vec(math.cos(math.pi / 4), 0, math.sin(math.pi / 4), 0)
    return times(vec(math.cos(half), 0, 0, math.sin(half)), tip)


def yaw(angle: float) -> Quaternion:
    """Returns a rotation about the vertical."""
    return vec(math.cos(angle / 2), 0, 0, math.sin(angle / 2))


def tilt(angle: float) -> Quaternion:
    """Returns a rotation about y: a positive angle lowers the +x side."""
    return vec(math.cos(angle / 2), 0, math.sin(angle / 2), 0)


def times(a: Quaternion, b: Quaternion) -> Quaternion:
    """Returns the rotation that does b first, then a."""
    w, v = a[0] * b[0] - a[1:] @ b[1:], a[0] * b[1:] + b[0] * a[1:] + np.cross(a[1:], b[1:])
    return vec(w, *v)


def standing(kind: str, turn: float = 0.0) -> Quaternion:
    """Returns how an object of this kind rests by itself: capsules lie, all others stand."""
    return lying(axis=turn) if kind == "capsule" else yaw(turn)


def height(geom: Geom, quat: Quaternion) -> float:
    """Returns how high the centre of a geom lies when it rests on the floor like this."""
    if geom.kind == "sphere":
        return float(geom.size[0])
    w, x, y, z = quat
    up = vec(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))
    if geom.kind == "box":
        return float(np.abs(up) @ geom.size)
    along, across = abs(up[2]), math.sqrt(max(0.0, 1 - up[2] ** 2))
    if geom.kind == "cylinder":
        return float(along * geom.size[1] + across * geom.size[0])
    return float(along * geom.size[1] + geom.size[0])


def on_floor(body: Body, x: float, y: float, level: float = 0.0) -> Body:
    """Stands a body of one geom on the floor, or on a level above it."""
    return replace(body, pos=vec(x, y, level + height(body.geoms[0], body.quat) + 1e-4))


def rolling(body: Body, velocity: Vector) -> Body:
    """Gives a body its velocity, and a sphere the spin that goes with it."""
    spin = vec(0, 0, 0)
    if body.geoms[0].kind == "sphere":
        spin = np.cross(vec(0, 0, 1), velocity) / body.geoms[0].size[0]
    return replace(body, velocity=velocity, spin=spin)


def thing(
    draw: Draw,
    name: str,
    *,
    role: str = "distractor",
    shape: str | None = None,
    colour: str | None = None,
    size: float | None = None,
    turn: float | None = None,
) -> Body:
    """Draws an object that rests; what is given is not drawn."""
    rng = draw.rng(f"{name}/looks")
    colours = palette.OOD_COLOURS if draw.ood else palette.COLOURS
    drawn_shape, drawn_colour = str(rng.choice(palette.SHAPES)), str(rng.choice(colours))
    drawn_turn = float(rng.uniform(-math.pi, math.pi))
    kind = shape or drawn_shape
    material = palette.object_material(colour or drawn_colour, rng, ood=draw.ood)
    geom = solid(kind, radius(draw, name) if size is None else size, material)
    quat = standing(kind, drawn_turn if turn is None else turn)
    return Body(role, (geom,), vec(0, 0, 0), quat, joint="free")


def target(draw: Draw, **looks: float) -> Body:
    """Draws the target that the factors ``shape`` and ``colour`` ask for."""
    return thing(
        draw, "target", role="target", shape=draw.text("shape"), colour=draw.text("colour"), **looks
    )


def scene(
    draw: Draw,
    bodies: Sequence[Body],
    path: camera.Path | None = None,
    *,
    around: Room | None = None,
    label: str = "",
) -> Scene:
    """Puts bodies into a room under a drawn light.

    Args:
        draw: Draws what is not given.
        bodies: What stands there.
        path: The camera's; what the factor ``camera`` asks for if None.
        around: The room; a drawn one if None.
        label: What happens.
    """
    return Scene(
        room(draw) if around is None else around,
        light(draw),
        tuple(bodies),
        view(draw) if path is None else path,
        FOV,
        factors=dict(draw.factors),
        label=label,
    )


def slab(
    draw: Draw, name: str, size: Vector, pos: Vector, quat: Quaternion = UPRIGHT, role: str = "prop"
) -> Body:
    """Makes a fixed block with half extents ``size``, in a muted colour.

    It is as lively and as rough as whatever touches it.
    """
    material = palette.slab_material(draw.rng(f"{name}/looks"), ood=draw.ood)
    geom = Geom("box", size, material)
    return Body(role, (geom,), pos, quat, restitution=1.0, friction=1.0)


def places(
    rng: np.random.Generator,
    radii: Sequence[float],
    area: Area,
    taken: Sequence[tuple[float, float, float]] = (),
    gap: float = 0.06,
) -> list[tuple[float, float]]:
    """Draws places on the floor that keep clear of each other.

    Args:
        rng: Draws them.
        radii: Footprint of each thing, metres.
        area: (lowest, highest) x and y of the centres.
        taken: (x, y, radius) of what stands there already.
        gap: Least distance between footprints.

    Returns:
        One (x, y) per radius, or fewer where the area is full.
    """
    held, found = list(taken), []
    for size in radii:
        for _ in range(200):
            x, y = (float(rng.uniform(*side)) for side in area)
            if all(math.hypot(x - a, y - b) >= size + other + gap for a, b, other in held):
                held.append((x, y, size))
                found.append((x, y))
                break
    return found
