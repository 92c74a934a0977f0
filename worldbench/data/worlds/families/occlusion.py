"""Scenes in which a target goes out of sight behind an occluder, and those that it's matched with.

``occluder_pass``, ``drop_behind`` and their partners share their streams: with the same seed the
same target starts at the same place in the same room, and only its course differs.
"""

from dataclasses import dataclass, replace

from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Drive, Scene, vec

_COURSE = (
    "pass: goes behind the occluder and comes out again; leave: same start, leaves the view; "
    "stay: goes behind it and stops there; emerge: starts hidden and comes out; absent: no target"
)
_COURSES = ("pass", "leave", "stay", "emerge", "absent")
_OTHERS = 1  # group of what must not notice the targets (groups 0 and 2)
_SHARED = {
    "shape": props.SHAPE,
    "colour": props.COLOUR,
    "hiding": Factor(("short", "long"), "width of the occluder"),
    "distractors": Factor((0, 1, 2), "objects beside the path; the second one moves"),
    "lookalike": Factor((False, True), "whether distractors look like the target"),
    "camera": props.CAMERA,
}


def _courses(default: str) -> Factor:
    return Factor(_COURSES, _COURSE, default=default)


def _pass_factors(course: str) -> dict[str, Factor]:
    return {
        "course": _courses(course),
        **_SHARED,
        "motion": Factor(
            ("steady", "braking", "rebound"),
            "behind the occluder: same speed, slower, or back off a hidden post",
        ),
        "pace": Factor(("slow", "medium", "fast"), "speed of the target"),
        "occluders": Factor((1, 2), "a second, narrow slab stands on the far side"),
        "count": Factor((1, 2), "targets, side by side", default=1),
        "passer": Factor(
            ("none", "left", "right"), "where another object leaves the view", default="none"
        ),
    }


_PACE = {"slow": 0.88, "medium": 1.0, "fast": 1.12}
_HIDDEN = {"short": 0.45, "long": 0.51}  # half width of the hidden strip, share of the view's
_OOD_PACE = {"slow": 0.84, "medium": 1.16, "fast": 1.22}
_TRAVEL = 1.7  # half widths of view that a target crosses in a clip at medium pace
_SLAB_DEPTH = 0.07


@dataclass(frozen=True)
class _Run:
    """A target's way across the stage, in metres along s: from where it enters to the far side.

    Attributes:
        side: +1 if it enters from the left.
        wide: Half the width of the view.
        hidden: Half the width of the strip that the occluder hides.
        size: The target's reach.
        start: Where it begins.
        speed: m/s.
        y: Depth of the path.
    """

    side: float
    wide: float
    hidden: float
    size: float
    start: float
    speed: float
    y: float

    @property
    def edge(self) -> float:
        """|s| within which the whole target is hidden, with a little to spare."""
        return self.hidden - self.size - 0.05


def _pass(draw: Draw) -> Scene:
    screen, hidden = _screen(draw)
    target, wide = _target(draw), props.half_width(draw)
    size = props.reach(target.geoms[0])
    pace = (_OOD_PACE if draw.ood else _PACE)[draw.text("pace")]
    run = _Run(
        side=draw.sign("side"),
        wide=wide,
        hidden=hidden,
        size=size,
        start=-(wide - size - draw.uniform("start", 0.03, 0.12) * wide),
        speed=pace * _TRAVEL * wide / draw.spec.seconds,
        y=draw.uniform("path", -0.1, 0.15),
    )
    bodies = [screen]
    if draw.number("occluders") == 2:
        bodies.append(_second(draw, run))
    if draw.text("motion") == "rebound":
        bodies.append(_post(draw, run))
    for index in range(0 if draw.text("course") == "absent" else draw.number("count")):
        mover = props.on_floor(target, run.side * (run.start - 0.12 * index), run.y + 0.75 * index)
        bodies.append(replace(_sent(draw, mover, run), group=2 * index))
    if draw.text("passer") != "none":
        bodies.append(_passer(draw, run))
    return props.scene(draw, bodies + _distractors(draw))


def _sent(draw: Draw, body: Body, run: _Run) -> Body:
    """Sends a target on its course."""
    course, motion = draw.text("course"), draw.text("motion")
    if course == "emerge":
        # Starts hidden, and so that it shows for the last third of the clip.
        begin = -0.5 * run.edge
        speed = (run.edge - begin) / (0.6 * draw.spec.seconds)
        body = replace(body, pos=vec(run.side * begin, body.pos[1], body.pos[2]))
        return props.rolling(body, vec(run.side * speed, 0, 0))
    if course == "leave":
        # At another speed than it would have come, or its speed would foretell its course.
        speed = run.speed * draw.uniform("leave/pace", 0.85, 1.75)
        return props.rolling(body, vec(-run.side * speed, 0, 0))
    velocity = vec(run.side * run.speed, 0, 0)
    if course == "pass" and motion == "steady":
        return props.rolling(body, velocity)
    if motion == "rebound" and course == "pass":
        return replace(body, velocity=1.2 * velocity)  # the post turns it back
    # In by as much faster as it comes out slower, so that it is hidden about as long as ever.
    before, after = (1.0, 0.0) if course == "stay" else (1.3, 0.75)
    before, after = before * run.speed, after * run.speed
    distance = (1.0 if course == "stay" else 0.8) * run.edge
    begins = (-run.edge - run.start) / before
    lasts = 2 * distance / (before + after)
    rate = vec(-run.side * (before - after) / lasts, 0, 0)
    return replace(
        body,
        velocity=vec(run.side * before, 0, 0),
        drives=(Drive(begins, begins + lasts, rate),),
    )


def _post(draw: Draw, run: _Run) -> Body:
    """Stands a post behind the occluder, off which the target bounces in mid-stage."""
    thick = 0.05
    at = vec(run.side * (run.size + thick), run.y, 0.3)
    return props.slab(draw, "post", vec(thick, 0.3, 0.3), at)


def _passer(draw: Draw, run: _Run) -> Body:
    """An object beside the occluder that leaves the view at once: it says nothing of the target."""
    way = {"left": -1.0, "right": 1.0}[draw.text("passer")]
    body = replace(props.thing(draw, "passer"), friction=0.0, group=_OTHERS)
    size = props.reach(body.geoms[0])
    start = run.wide - 1.6 * size
    speed = (run.wide + 1.6 * size - start) / (0.2 * draw.spec.seconds)
    body = props.on_floor(body, way * start, -0.2)
    return props.rolling(body, vec(way * speed, 0, 0))


def _target(draw: Draw) -> Body:
    body = props.target(draw, turn=draw.uniform("turn", -0.5, 0.5))
    return replace(body, friction=0.0, restitution=1.0)


def _screen(draw: Draw) -> tuple[Body, float]:
    """Makes the slab that hides the middle of the path, and says how much of the path it hides."""
    rng = draw.rng("occluder")
    hidden = _HIDDEN[draw.text("hiding")] * props.half_width(draw) * float(rng.uniform(0.97, 1.05))
    y, tall = float(rng.uniform(-1.05, -0.85)), float(rng.uniform(0.62, 0.72))
    nearer = (props.EYE_DISTANCE + y) / props.EYE_DISTANCE
    size = vec(hidden * nearer, _SLAB_DEPTH, tall)
    slab = props.slab(draw, "occluder", size, vec(0, y, tall), role="occluder")
    return slab, hidden


def _second(draw: Draw, run: _Run) -> Body:
    """Makes the narrow slab that crosses the far end of the path."""
    rng, wide = draw.rng("occluder/2"), run.wide
    y = float(rng.uniform(-1.0, -0.9))
    nearer = (props.EYE_DISTANCE + y) / props.EYE_DISTANCE
    size = vec(0.1 * wide * nearer, _SLAB_DEPTH, float(rng.uniform(0.5, 0.65)))
    at = vec(run.side * 0.86 * wide * nearer, y, size[2])
    return props.slab(draw, "occluder/2", size, at, role="occluder")


def _distractors(draw: Draw) -> list[Body]:
    """Objects behind the path, beside the occluder: the first rests, the second glides inwards."""
    like = bool(draw.factors["lookalike"])
    found: list[Body] = []
    for index in range(draw.number("distractors")):
        name = f"distractor/{index}"
        body = props.thing(
            draw,
            name,
            shape=draw.text("shape") if like else None,
            colour=draw.text("colour") if like else None,
        )
        size = props.reach(body.geoms[0])
        rng = draw.rng(f"{name}/place")
        y = 1.55 + 0.95 * index + float(rng.uniform(0, 0.2)) + 0.5 * size
        # On either side of the strip that the occluder hides, which widens with the distance.
        wide, beside = props.half_width(draw, y), _HIDDEN["long"] * props.half_width(draw, y)
        x = float(rng.choice([-1.0, 1.0]) * rng.uniform(beside + size, wide - 0.6 * size))
        body = props.on_floor(body, x, y)
        if index == 1:
            speed = float(rng.uniform(0.35, 0.6)) * (1 if x < 0 else -1)
            body = props.rolling(replace(body, friction=0.0), vec(speed, 0, 0))
            body = replace(body, group=_OTHERS)
        else:
            body = replace(body, joint="fixed")
        found.append(body)
    return found


def _drop(draw: Draw) -> Scene:
    screen, hidden = _screen(draw)
    wide, target = props.half_width(draw), _target(draw)
    size = props.reach(target.geoms[0])
    rng = draw.rng("drop")
    # Where it begins, where it comes out and where it leaves instead say nothing of each other.
    start = draw.sign("side") * (hidden - size - 0.1) * float(rng.uniform(0.2, 0.6))
    side, away = draw.sign("drop/out"), draw.sign("drop/away")
    tall = float(rng.uniform(1.75, 1.95))
    course = draw.text("course")
    bodies = [screen]
    if course != "absent":
        # Falls for about half a second, then begins to show at one side well before the end.
        along = (side * (hidden - size) - start) / (0.68 * draw.spec.seconds)
        lasts = draw.uniform("leave/time", 0.2, 0.36) * draw.spec.seconds
        across = {"pass": along, "leave": (away * (wide + 2 * size) - start) / lasts}[course]
        up = {"pass": 0.0, "leave": 1.2}[course]
        body = replace(target, velocity=vec(across, 0, up), restitution=0.1)
        bodies.append(replace(body, pos=vec(start, draw.uniform("path", -0.1, 0.15), tall)))
    return props.scene(draw, bodies + _distractors(draw))


FAMILIES = (
    Family(
        "occluder_pass",
        "a target moves behind an occluder and comes out again",
        _pass_factors("pass"),
        _pass,
        stream="occluder_pass",
    ),
    Family(
        "leave_visibly",
        "partner of occluder_pass: the same target at the same start leaves the view",
        _pass_factors("leave"),
        _pass,
        stream="occluder_pass",
    ),
    Family(
        "drop_behind",
        "a target falls behind an occluder and slides out from behind it",
        {"course": Factor(("pass", "leave", "absent"), _COURSE, default="pass"), **_SHARED},
        _drop,
    ),
)
