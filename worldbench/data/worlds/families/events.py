"""Labelled scenes: one thing happens to one object among the same furniture.

Which thing it was cannot be told from a frame. Every event moves the target about equally far,
about the same places and with a random heading where the event has none of its own, and events come
in pairs that are each other's reverse (speeding up and slowing down, left and right, clockwise and
anticlockwise), so that the pictures of one are those of the other.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Drive, Scene, Vector, vec

EVENTS = (
    "sliding left",
    "sliding right",
    "coming nearer",
    "moving away",
    "circling clockwise",
    "circling anticlockwise",
    "spinning clockwise",
    "spinning anticlockwise",
    "speeding up",
    "slowing down",
    "bending left",
    "bending right",
    "going and coming back",
    "starting to move",
    "stopping",
    "staying still",
)
"""As seen from above, where that matters."""

_DISTANCE = 6.0
_DEPTHS = (-1.3, 1.7)  # y of the middle of the path
_ASIDE = 0.85  # of half the view, the farthest that the middle of the path lies from its axis
_HEADINGS = {
    "sliding left": math.pi,
    "sliding right": 0.0,
    "coming nearer": -math.pi / 2,
    "moving away": math.pi / 2,
}


@dataclass(frozen=True)
class _Motion:
    """How the target moves: where to at first, and what pushes it."""

    velocity: Vector
    drives: tuple[Drive, ...] = ()
    spin: float = 0.0

    def offsets(self, times: np.ndarray) -> np.ndarray:
        """Integrates the motion, for where to begin it; shape (t, 2)."""
        steps = 16
        fine = np.linspace(0, times[-1], steps * (len(times) - 1) + 1)
        dt = fine[1] - fine[0]
        velocity, places = self.velocity[:2].copy(), [np.zeros(2)]
        for t in fine[:-1] + dt / 2:
            push = np.zeros(2)
            for drive in self.drives:
                if drive.start <= t < drive.stop:
                    push += _turned(drive.acceleration, drive.turn * (t - drive.start))[:2]
            places.append(places[-1] + dt * (velocity + dt / 2 * push))
            velocity = velocity + dt * push
        return np.stack(places)[::steps]


def _turned(vector: Vector, angle: float) -> Vector:
    cos, sin = math.cos(angle), math.sin(angle)
    return vec(cos * vector[0] - sin * vector[1], sin * vector[0] + cos * vector[1], vector[2])


def _motion(event: str, way: Vector, length: float, lasts: float) -> _Motion:
    """Returns the motion of an event.

    Args:
        event: One of :data:`EVENTS`.
        way: Unit vector of the heading.
        length: About how far it goes, metres.
        lasts: Seconds of the clip.
    """
    mean, brief = length / lasts, 0.06 * lasts
    still = vec(0, 0, 0)
    if event in _HEADINGS:
        return _Motion(mean * way)
    if event.startswith(("circling", "bending")):
        left = 1.0 if event.endswith(("anticlockwise", "left")) else -1.0
        if event.startswith("circling"):
            begins, ends, angle, speed = 0.0, lasts, math.radians(300), 2.2 * mean
        else:
            begins, ends, angle, speed = 0.3 * lasts, 0.7 * lasts, math.radians(90), 1.2 * mean
        rate = left * angle / (ends - begins)
        inward = speed * rate * _turned(way, math.pi / 2)
        return _Motion(speed * way, (Drive(begins, ends, inward, turn=rate),))
    if event.startswith("spinning"):
        return _Motion(still, spin=(1.0 if event.endswith("anticlockwise") else -1.0) * 6.5 / lasts)
    slow, fast = 0.2 * mean, 1.8 * mean
    change = (fast - slow) / lasts * way
    return {
        "speeding up": _Motion(slow * way, (Drive(0, 2 * lasts, change),)),
        "slowing down": _Motion(fast * way, (Drive(0, 2 * lasts, -change),)),
        "going and coming back": _Motion(
            2 * mean * way, (Drive(0, 2 * lasts, -4 * mean / lasts * way),)
        ),
        "starting to move": _Motion(
            still, (Drive(lasts / 2, lasts / 2 + brief, 2 * mean / brief * way),)
        ),
        "stopping": _Motion(
            2 * mean * way, (Drive(lasts / 2 - brief, lasts / 2, -2 * mean / brief * way),)
        ),
        "staying still": _Motion(still),
    }[event]


def _stage(draw: Draw) -> Scene:
    rng, event = draw.rng("event"), draw.text("event")
    heading = float(rng.uniform(-math.pi, math.pi))
    heading = _HEADINGS.get(event, heading)
    way = vec(math.cos(heading), math.sin(heading), 0)
    length = float(rng.uniform(0.54, 0.66)) * (1.25 if draw.ood else 1.0)
    motion = _motion(event, way, length, draw.spec.seconds)
    y = float(rng.uniform(*_DEPTHS))
    x = float(rng.uniform(-_ASIDE, _ASIDE)) * props.half_width(draw, y, _DISTANCE)
    offsets = motion.offsets(np.arange(draw.spec.frames) / float(draw.spec.fps))
    centre = (offsets.min(axis=0) + offsets.max(axis=0)) / 2
    body = props.on_floor(replace(props.target(draw), friction=0.0), x - centre[0], y - centre[1])
    body = replace(
        body, velocity=motion.velocity, drives=motion.drives, spin=vec(0, 0, motion.spin)
    )
    reach = props.reach(body.geoms[0])
    path = [(body.pos[0] + a, body.pos[1] + b, reach) for a, b in offsets]
    bodies = (body, *_furniture(draw, path))
    return props.scene(draw, bodies, props.view(draw, _DISTANCE), label=event)


def _furniture(draw: Draw, taken: list[tuple[float, float, float]]) -> list[Body]:
    """Stands two muted blocks where the target does not come."""
    blocks = []
    for index in range(2):
        rng = draw.rng(f"block/{index}")
        size = vec(*rng.uniform((0.14, 0.14, 0.12), (0.26, 0.26, 0.32)))
        turn = props.yaw(float(rng.uniform(-math.pi, math.pi)))
        blocks.append(props.slab(draw, f"block/{index}", size, vec(0, 0, 0), turn))
    radii = [math.hypot(*block.geoms[0].size[:2]) for block in blocks]
    area = ((-1.9, 1.9), (-0.6, 2.6))
    spots = props.places(draw.rng("blocks"), radii, area, taken)
    return [props.on_floor(block, *spot) for block, spot in zip(blocks, spots, strict=False)]


FAMILIES = (
    Family(
        "events",
        "one thing happens to one object; the label says what",
        {
            "event": Factor(EVENTS, "what happens: the class"),
            "shape": props.SHAPE,
            "colour": props.COLOUR,
            "camera": props.STILL_CAMERA,
        },
        _stage,
    ),
)
