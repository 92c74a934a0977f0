"""Scenes in which bodies act on each other: collisions, pendulums, pushes."""

import math
from dataclasses import replace

from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Geom, Scene, vec

_COMMON = {"shape": props.SHAPE, "colour": props.COLOUR, "camera": props.CAMERA}


def _collide(draw: Draw) -> Scene:
    wide, side = props.half_width(draw), draw.sign("side")
    elastic = {"elastic": 0.95, "dull": 0.3}[draw.text("impact")]
    first = replace(props.target(draw), friction=0.0, restitution=elastic)
    second = replace(props.thing(draw, "other"), friction=0.0, restitution=elastic)
    second = replace(
        second, density={"lighter": 150.0, "equal": 500.0, "heavier": 1700.0}[draw.text("other")]
    )
    speed = draw.haste * draw.uniform("speed", 1.0, 1.3) * wide / draw.spec.seconds
    offset = {"centre": 0.0, "glancing": 0.6}[draw.text("hit")]
    shift = offset * min(props.reach(body.geoms[0]) for body in (first, second))
    meets = draw.text("meeting") == "head-on"
    first = props.on_floor(first, -side * 0.72 * wide, 0.0)
    second = props.on_floor(second, side * (0.62 if meets else 0.12) * wide, shift)
    first = props.rolling(first, vec(side * speed * (1.0 if meets else 1.35), 0, 0))
    if meets:
        second = props.rolling(second, vec(-side * 0.85 * speed, 0, 0))
    return props.scene(draw, [first, second])


def _pendulum(draw: Draw) -> Scene:
    side = draw.sign("side")
    size = props.radius(draw, "bob", 0.2, 0.28)
    length = {"short": 0.95, "long": 1.45}[draw.text("length")]
    bob = props.thing(
        draw,
        "target",
        role="target",
        shape=draw.text("shape"),
        colour=draw.text("colour"),
        size=size,
    ).geoms[0]
    rod = Geom(
        "capsule",
        vec(0.035, length / 2, 0),
        props.slab(draw, "rod", vec(1, 1, 1), vec(0, 0, 0)).geoms[0].material,
        pos=vec(0, 0, -length / 2),
    )
    hang = size + draw.uniform("gap", 0.02, 0.15)
    start = {"low": 28.0, "high": 58.0}[draw.text("swing")] * draw.uniform("swing/more", 0.9, 1.1)
    swinging = Body(
        "target",
        (replace(bob, pos=vec(0, 0, -length)), rod),
        vec(0, 0.1, hang + length),
        props.tilt(side * math.radians(start)),
        joint="hinge",
        axis=vec(0, 1, 0),
        restitution=0.9,
        friction=0.0,
    )
    bodies = [swinging]
    if draw.text("hits") == "object":
        # Placed where the bob is lowest or just after, in its plane.
        other = replace(props.thing(draw, "other", shape="sphere"), friction=0.05, restitution=0.9)
        away = size + props.reach(other.geoms[0]) + 0.05
        bodies.append(props.on_floor(other, side * away, 0.1))
    return props.scene(draw, bodies)


def _push(draw: Draw) -> Scene:
    wide, side = props.half_width(draw), draw.sign("side")
    count = draw.number("objects")
    rough = {"low": 0.15, "high": 0.6}[draw.text("friction")]
    things = [replace(props.target(draw), friction=rough, restitution=0.0)]
    if count == 2:
        things.append(replace(props.thing(draw, "other"), friction=rough, restitution=0.0))
    at, bodies = -0.3 * wide, []
    for body in things:
        bodies.append(props.on_floor(body, side * at, 0.05))
        at += props.reach(body.geoms[0]) + props.reach(things[-1].geoms[0]) + 0.15
    tall = draw.uniform("pusher", 0.18, 0.3)
    pusher = props.slab(draw, "pusher", vec(0.1, 0.42, tall), vec(0, 0, 0), role="pusher")
    speed = draw.haste * draw.uniform("speed", 0.85, 1.2) * wide / draw.spec.seconds
    # So heavy and smooth that nothing it meets slows it down.
    pusher = replace(
        pusher,
        joint="free",
        density=60_000.0,
        friction=0.0,
        restitution=0.0,
        velocity=vec(side * speed, 0, 0),
    )
    start = -0.3 * wide - props.reach(things[0].geoms[0]) - 0.15 - 0.1
    bodies.append(props.on_floor(pusher, side * max(start - 0.1 * wide, -0.9 * wide), 0.05))
    return props.scene(draw, bodies)


FAMILIES = (
    Family(
        "collide",
        "two objects meet and part",
        {
            **_COMMON,
            "meeting": Factor(("head-on", "resting"), "whether the other one comes or waits"),
            "impact": Factor(("elastic", "dull"), "restitution .95 or .3"),
            "other": Factor(("lighter", "equal", "heavier"), "density of the other one"),
            "hit": Factor(("centre", "glancing"), "how squarely they meet"),
        },
        _collide,
    ),
    Family(
        "pendulum",
        "a bob swings on a rod, freely or into an object",
        {
            **_COMMON,
            "length": Factor(("short", "long"), "0.95 or 1.45 m"),
            "swing": Factor(("low", "high"), "about 28° or 58°"),
            "hits": Factor(("nothing", "object"), "what stands below"),
        },
        _pendulum,
    ),
    Family(
        "push",
        "a heavy block shoves one or two objects along",
        {
            **_COMMON,
            "objects": Factor((1, 2), "how many are shoved"),
            "friction": Factor(("low", "high"), "of the objects on the floor, .15 or .6"),
        },
        _push,
    ),
)
