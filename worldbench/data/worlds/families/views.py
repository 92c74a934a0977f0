"""Scenes seen by a camera that moves at a constant rate."""

import math
from dataclasses import replace

import numpy as np

from worldbench.data.worlds import camera
from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Room, Scene, vec

_OBJECTS = Factor((3, 4, 5, 6), "how many objects stand there")
_WAY = Factor((-1, 1), "which way the camera goes")


def still_life(
    draw: Draw, count: int, area: tuple[tuple[float, float], tuple[float, float]]
) -> list[Body]:
    """Draws objects of all sizes that stand on the floor, some as tall furniture, none moving."""
    bodies: list[Body] = []
    for index in range(count):
        rng = draw.rng(f"still/{index}")
        if rng.random() < 0.3:
            size = vec(*rng.uniform((0.14, 0.14, 0.3), (0.3, 0.3, 0.6)))
            quat = props.yaw(float(rng.uniform(-math.pi, math.pi)))
            bodies.append(props.slab(draw, f"still/{index}", size, vec(0, 0, 0), quat))
        else:
            bodies.append(replace(props.thing(draw, f"still/{index}"), joint="fixed"))
    footprints = [float(props.reach(body.geoms[0])) for body in bodies]
    spots = props.places(draw.rng("places"), footprints, area)
    return [props.on_floor(body, *spot) for body, spot in zip(bodies, spots, strict=False)]


def _room(draw: Draw) -> Room:
    """A room that holds a whole orbit."""
    room = props.room(draw)
    return replace(room, low=vec(room.low[0], -7.5, 0), high=vec(room.high[0], 7.0, room.high[2]))


def _staged(draw: Draw, bodies: list[Body], path: camera.Path) -> Scene:
    return props.scene(draw, bodies, path, around=_room(draw))


_ROUND = ((-1.3, 1.3), (-1.3, 1.3))
_DEEP = ((-1.6, 1.6), (-0.8, 3.2))


def _turn(draw: Draw) -> float:
    """Radians per frame: the whole sweep is the factor's, whatever the length of the clip."""
    sweep = {"narrow": 25.0, "medium": 55.0, "wide": 110.0}[draw.text("sweep")]
    return draw.number("way") * math.radians(sweep) / (draw.spec.frames - 1)


def _orbit(draw: Draw) -> Scene:
    eye, target = _around(draw)
    bodies = still_life(draw, draw.number("objects"), _ROUND)
    return _staged(draw, bodies, camera.orbit(eye, target, draw.spec.frames, _turn(draw)))


def _around(draw: Draw) -> tuple[np.ndarray, np.ndarray]:
    rng = draw.rng("camera")
    angle = float(rng.uniform(-math.pi, math.pi))
    far, high = float(rng.uniform(4.6, 5.2)), float(rng.uniform(1.4, 2.1))
    return vec(far * math.cos(angle), far * math.sin(angle), high), vec(0, 0, 0.4)


def _dolly(draw: Draw) -> Scene:
    eye, target = props.eye_and_target(draw, 6.0)
    step = target - eye
    way = draw.number("way") * {"slow": 0.8, "medium": 1.5, "fast": 2.2}[draw.text("rate")]
    if way < 0:  # going back, it begins where going forth would end
        eye = eye - way * step / np.linalg.norm(step)
        target = eye + step
    step = way * step / np.linalg.norm(step) / (draw.spec.frames - 1)
    path = camera.translation(eye, target, draw.spec.frames, step)
    return _staged(draw, still_life(draw, draw.number("objects"), _DEEP), path)


def _truck(draw: Draw) -> Scene:
    eye, target = props.eye_and_target(draw, 5.4)
    way = draw.number("way") * {"slow": 0.9, "medium": 1.7, "fast": 2.6}[draw.text("rate")]
    shift = vec(way / 2, 0, 0)
    step = vec(way / (draw.spec.frames - 1), 0, 0)
    path = camera.translation(eye - shift, target - shift, draw.spec.frames, step)
    return _staged(draw, still_life(draw, draw.number("objects"), _DEEP), path)


def _orbit_with_motion(draw: Draw) -> Scene:
    eye, target = _around(draw)
    bodies = still_life(draw, draw.number("objects"), _ROUND)
    taken = [(b.pos[0], b.pos[1], props.reach(b.geoms[0])) for b in bodies]
    for index in range(draw.number("moving")):
        name = f"moving/{index}"
        body = replace(props.thing(draw, name, role="target"), friction=0.05, restitution=0.8)
        size = props.reach(body.geoms[0])
        spots = props.places(draw.rng(f"{name}/place"), [size], _ROUND, taken)
        for x, y in spots:
            rng = draw.rng(f"{name}/motion")
            speed, angle = (
                draw.haste * float(rng.uniform(0.8, 1.15)),
                float(rng.uniform(-math.pi, math.pi)),
            )
            body = props.on_floor(body, x, y)
            if draw.text("motion") == "dropped":
                body = replace(body, pos=body.pos + vec(0, 0, float(rng.uniform(0.6, 1.2))))
            else:
                velocity = speed * vec(math.cos(angle), math.sin(angle), 0)
                body = props.rolling(body, velocity)
            bodies.append(body)
            taken.append((x, y, size))
    return _staged(draw, bodies, camera.orbit(eye, target, draw.spec.frames, _turn(draw)))


_SWEEP = Factor(("narrow", "medium", "wide"), "25°, 55° or 110° over the clip")
_RATE = Factor(("slow", "medium", "fast"), "how far the camera goes")
_LOOK = {"objects": _OBJECTS, "way": _WAY}

FAMILIES = (
    Family("static_orbit", "the camera circles a still life", {**_LOOK, "sweep": _SWEEP}, _orbit),
    Family(
        "dolly", "the camera moves into a still life or out of it", {**_LOOK, "rate": _RATE}, _dolly
    ),
    Family(
        "truck", "the camera moves sideways past a still life", {**_LOOK, "rate": _RATE}, _truck
    ),
    Family(
        "orbit_with_motion",
        "the camera circles objects of which some move",
        {
            "objects": Factor((1, 2, 3), "how many stand still"),
            "moving": Factor((1, 2), "how many move"),
            "motion": Factor(("gliding", "dropped"), "how they move"),
            "way": _WAY,
            "sweep": _SWEEP,
        },
        _orbit_with_motion,
    ),
)
