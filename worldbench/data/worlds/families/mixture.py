"""The broad mixture that the reference models learn from."""

import math
from collections.abc import Mapping
from dataclasses import replace

from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Scene, vec

TUMBLE = "tumble"
_WEIGHTS = {
    TUMBLE: 6,
    "occluder_pass": 4,
    "leave_visibly": 1,
    "drop_behind": 1,
    "drop": 1,
    "bounce": 1,
    "roll_slope": 1,
    "collide": 2,
    "pendulum": 1,
    "push": 1,
    "static_orbit": 1,
    "dolly": 1,
    "truck": 1,
    "orbit_with_motion": 2,
    "events": 2,
}


def tumble(draw: Draw) -> Scene:
    """Sets up a few objects that rest, glide, fall or fly, with up to two slabs among them."""
    rng = draw.rng("tumble")
    wide = 0.8 * props.half_width(draw)
    blocks = []
    for index in range(int(rng.integers(0, 3))):
        block = draw.rng(f"slab/{index}")
        size = vec(*block.uniform((0.2, 0.06, 0.3), (0.7, 0.1, 0.7)))
        turn = props.yaw(float(block.normal(0, 0.3)))
        blocks.append(props.slab(draw, f"slab/{index}", size, vec(0, 0, 0), turn))
    things = [
        props.thing(draw, f"thing/{i}", role="target") for i in range(int(rng.integers(1, 5)))
    ]
    radii = [math.hypot(*b.geoms[0].size[:2]) for b in blocks]
    radii += [props.reach(body.geoms[0]) for body in things]
    spots = props.places(draw.rng("places"), radii, ((-wide, wide), (-1.1, 1.9)))
    bodies: list[Body] = []
    for body, (x, y) in zip([*blocks, *things], spots, strict=False):
        stood = props.on_floor(body, x, y)
        bodies.append(stood if body.joint == "fixed" else _set_going(draw, stood, len(bodies)))
    return props.scene(draw, bodies)


def _set_going(draw: Draw, body: Body, index: int) -> Body:
    """Lets an object rest, glide, fall or fly."""
    rng = draw.rng(f"going/{index}")
    how = str(rng.choice(["rests", "glides", "falls", "flies"], p=[0.15, 0.45, 0.2, 0.2]))
    lively, slips = float(rng.uniform(0.1, 0.9)), float(rng.choice([0.0, 0.1, 0.5]))
    body = replace(body, restitution=lively, friction=slips)
    angle = float(rng.uniform(-math.pi, math.pi))
    speed = draw.haste * float(rng.uniform(0.4, 2.2))
    along = vec(math.cos(angle), 0.6 * math.sin(angle), 0) * speed
    if how == "glides":
        return props.rolling(body, along)
    if how == "rests":
        return body
    lifted = replace(body, pos=body.pos + vec(0, 0, float(rng.uniform(0.4, 1.4))))
    if how == "flies":
        return replace(lifted, velocity=0.8 * along + vec(0, 0, float(rng.uniform(0, 2.5))))
    return replace(lifted, spin=rng.normal(0, 2.0, 3))


def mixture(families: Mapping[str, Family]) -> Family:
    """Builds ``train_random`` over the other families."""

    def stage(draw: Draw) -> Scene:
        scenario = draw.text("scenario")
        if scenario == TUMBLE:
            draw.factors["camera"] = str(draw.rng("view").choice(props.CAMERA.levels))
            staged = tumble(draw)
        else:
            chosen = families[scenario]
            staged = chosen.stage(chosen.draw(replace(draw.spec, family=scenario, factors={})))
        return replace(staged, factors={"scenario": scenario}, label=scenario)

    levels = tuple(name for name, weight in _WEIGHTS.items() for _ in range(weight))
    meaning = "tumble (objects rest, glide, fall and fly), or one of the other families"
    return Family(
        "train_random",
        "the broad mixture that models are trained on",
        {"scenario": Factor(levels, meaning)},
        stage,
    )
