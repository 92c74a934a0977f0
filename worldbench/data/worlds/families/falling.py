"""Scenes of gravity: drops, bounces and slopes."""

import math
from dataclasses import replace

from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Scene, vec

_COMMON = {"shape": props.SHAPE, "colour": props.COLOUR, "camera": props.CAMERA}


def _drop(draw: Draw) -> Scene:
    wide = 0.62 * props.half_width(draw)
    bodies, ground = [], 0.0
    if draw.text("onto") == "table":
        ground = 0.45
        bodies.append(
            props.slab(draw, "table", vec(0.75 * wide + 0.4, 0.7, 0.225), vec(0, 0.2, 0.225))
        )
    count = draw.number("objects")
    things = [props.target(draw)] + [props.thing(draw, f"object/{i}") for i in range(1, count)]
    radii = [props.reach(body.geoms[0]) for body in things]
    area = ((-0.7 * wide, 0.7 * wide), (-0.2, 0.6))
    spots = props.places(draw.rng("places"), radii, area, gap=0.02)
    for index, (body, (x, y)) in enumerate(zip(things, spots, strict=False)):
        rng = draw.rng(f"fall/{index}")
        high = ground + radii[index] + float(rng.uniform(0.7, 1.5 - 0.5 * ground))
        spin = rng.normal(0, 2.0, 3)
        bodies.append(replace(body, pos=vec(x, y, high), spin=spin, restitution=0.25))
    return props.scene(draw, bodies)


def _bounce(draw: Draw) -> Scene:
    wide = props.half_width(draw)
    side = draw.sign("side")
    size = props.radius(draw, "ball", 0.2, 0.28)
    ball = props.thing(
        draw, "target", role="target", shape="sphere", colour=draw.text("colour"), size=size
    )
    lively = {"dull": 0.6, "lively": 0.78, "elastic": 0.97}[draw.text("restitution")]
    rng = draw.rng("throw")
    speed = draw.haste * float(rng.uniform(0.9, 1.3)) * wide / draw.spec.seconds
    bodies = []
    if draw.text("against") == "wall":
        speed *= 1.8
        at = vec(side * 0.62 * wide, 0, 0.9)
        bodies.append(props.slab(draw, "wall", vec(0.08, 0.6, 0.9), at))
    start = vec(-side * 0.72 * wide, float(rng.uniform(-0.2, 0.2)), float(rng.uniform(0.9, 1.5)))
    velocity = vec(side * speed, 0, float(rng.uniform(-0.5, 1.2)))
    bodies.append(replace(ball, pos=start, velocity=velocity, restitution=lively, friction=0.2))
    return props.scene(draw, bodies)


def _slope(draw: Draw) -> Scene:
    side = draw.sign("side")
    angle = math.radians({"gentle": 12.0, "medium": 19.0, "steep": 26.0}[draw.text("slope")])
    body = props.target(draw, turn=math.pi / 2 if draw.text("shape") == "cylinder" else 0.0)
    geom = body.geoms[0]
    half = 0.78 * props.half_width(draw)
    thick = 0.06
    centre = vec(-side * 0.18 * half, 0.2, 0.12 + half * math.sin(angle))
    ramp = props.slab(draw, "ramp", vec(half, 0.55, thick), centre, props.tilt(side * angle))
    quat = body.quat
    if geom.kind in ("cylinder", "capsule") and draw.text("pose") == "lying":
        quat = props.lying(axis=math.pi / 2)  # its axis across the slope: it rolls
    elif geom.kind == "capsule":
        quat = props.lying(axis=0.0)
    quat = props.times(props.tilt(side * angle), quat)
    up = props.height(geom, props.times(props.tilt(-side * angle), quat))
    along = -side * 0.82 * half
    # The top face at `along` from the ramp's centre, then out along its normal by the rest height.
    normal = vec(side * math.sin(angle), 0, math.cos(angle))
    slope = vec(math.cos(angle), 0, -side * math.sin(angle))
    pos = centre + along * slope + (thick + up + 1e-3) * normal
    slips = {"slippery": 0.05, "rough": 0.9}[draw.text("ground")]
    body = replace(body, pos=pos, quat=quat, friction=slips, restitution=0.1)
    return props.scene(draw, [ramp, body])


FAMILIES = (
    Family(
        "drop",
        "objects fall onto the floor or a table and come to rest",
        {
            **_COMMON,
            "objects": Factor((1, 2, 3), "how many fall"),
            "onto": Factor(("floor", "table"), "what they fall onto"),
        },
        _drop,
    ),
    Family(
        "bounce",
        "a ball bounces across the view, or back off a wall",
        {
            "colour": props.COLOUR,
            "camera": props.CAMERA,
            "restitution": Factor(("dull", "lively", "elastic"), "speed kept at a bounce"),
            "against": Factor(("floor", "wall"), "whether a wall stands in the way"),
        },
        _bounce,
    ),
    Family(
        "roll_slope",
        "an object on a ramp rolls, slides or stays",
        {
            **_COMMON,
            "slope": Factor(("gentle", "medium", "steep"), "12°, 19° or 26°"),
            "ground": Factor(("slippery", "rough"), "friction .05 or .9"),
            "pose": Factor(("standing", "lying"), "how cylinders and capsules are laid"),
        },
        _slope,
    ),
)
