"""Static scenes of which a piece goes out of view while the camera moves, and comes back."""

import math
from dataclasses import replace

from worldbench.data.worlds import camera
from worldbench.data.worlds.families import props
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.scene import Body, Geom, Scene, Vector, vec

PIECES = ("as_is", "slide", "scale", "swap", "mirror")
_SCREEN_DISTANCE = 1.75  # metres from the camera's rail to the screen
_PIECE_DEPTH = 0.35  # y of the piece
_WAYS = (vec(1, 0, 0), vec(-1, 0, 0), vec(0, 1, 0), vec(0, -1, 0))


def _stage(draw: Draw) -> Scene:
    side = draw.sign("side")
    hide = draw.text("hide")
    path = _pass(draw, side) if hide == "screen" else _pan(draw, side, hide)
    # Panned away from, the piece stands on the side that leaves the frame first.
    middle = 0.0 if hide == "screen" else -side * 0.28 * props.half_width(draw)
    bodies = _piece(draw, vec(middle, _PIECE_DEPTH, 0))
    if hide == "screen":
        bodies.append(_screen(draw))
    bodies += _others(draw, middle)
    return props.scene(draw, bodies, path)


def _pass(draw: Draw, side: float) -> camera.Path:
    """Carries the camera sideways past the piece, which is in view at both ends.

    By how much the camera turns after the piece is drawn: a piece that crosses the picture lies,
    on the other side, nearer to where the other half of it was; one that is followed stays where it
    was. So a blurred bag of frames expects the change of the one and not of the other.
    """
    eye, target = props.eye_and_target(draw)
    way = side * draw.uniform("way", 1.25, 1.45) * props.half_width(draw)
    step = vec(way / (draw.spec.frames - 1), 0, 0)
    return camera.passing(eye, target, draw.spec.frames, step, draw.uniform("follow", 0.4, 1.1))


def _pan(draw: Draw, side: float, hide: str) -> camera.Path:
    """Turns the camera away and back; for the control in view, only by a little."""
    eye, target = props.eye_and_target(draw)
    view = 2 * math.atan(math.tan(props.FOV / 2) * draw.spec.aspect)
    widest = {"outside": draw.uniform("widest", 1.0, 1.15), "in_view": 0.12}[hide] * view
    return camera.pan_and_return(eye, target, draw.spec.frames, -side * widest)


def _piece(draw: Draw, middle: Vector) -> list[Body]:
    """Stands two unlike objects beside or behind each other, or as the factor ``piece`` says.

    Of two that stand across the view the one that goes out of sight last comes back last: a bag of
    frames expects them swapped. Of two along the view the nearer one is seen larger before and
    after: a bag expects them as they were. They stand at any angle between.
    """
    change, rng = draw.text("piece"), draw.rng("piece")
    shapes = rng.permutation(["sphere", "box", "cylinder", "capsule"])[:2]
    apart, behind = float(rng.uniform(0.27, 0.31)), float(rng.uniform(0.2, 0.26))
    sizes = [props.radius(draw, f"piece/{i}", 0.2, 0.25) for i in range(2)]
    turns = rng.uniform(-0.6, 0.6, 2)
    # Across the view or along it: a bag of frames that expects the one does not expect the other.
    shift = float(rng.uniform(0.36, 0.44)) * _WAYS[int(rng.integers(len(_WAYS)))]
    grow = float(rng.choice([0.62, 1.5]))
    angle = float(rng.uniform(0, math.pi))
    one, other = (-apart, behind), (apart, -behind)
    if change == "swap":
        one, other = other, one
    elif change == "mirror":
        one, other, turns = (apart, behind), (-apart, -behind), -turns
    spots = [_turned(*spot, angle) for spot in (one, other)]
    if change == "slide":
        spots = [spot + shift for spot in spots]
    bodies = []
    for index, (shape, spot) in enumerate(zip(shapes, spots, strict=True)):
        body = props.thing(
            draw,
            f"piece/{index}",
            role="piece",
            shape=str(shape),
            size=sizes[index],
            turn=float(turns[index]),
        )
        if change == "scale":
            body = replace(body, geoms=(_scaled(body.geoms[0], grow),))
        at = middle + spot
        bodies.append(props.on_floor(replace(body, joint="fixed"), float(at[0]), float(at[1])))
    return bodies


def _turned(along: float, across: float, angle: float) -> Vector:
    """Returns a spot on the floor, given by an axis at this angle to the picture's width."""
    cos, sin = math.cos(angle), math.sin(angle)
    return vec(cos * along - sin * across, sin * along + cos * across, 0)


def _scaled(geom: Geom, factor: float) -> Geom:
    return replace(geom, size=geom.size * factor)


def _screen(draw: Draw) -> Body:
    """Stands a tall slab between the middle of the camera's rail and the piece."""
    rng = draw.rng("screen")
    share = float(rng.uniform(0.72, 0.8))  # of the view's width
    half = share * math.tan(props.FOV / 2) * draw.spec.aspect * _SCREEN_DISTANCE
    size = vec(half, 0.05, 1.5)
    at = vec(0, -props.EYE_DISTANCE + _SCREEN_DISTANCE, 1.5)
    return props.slab(draw, "screen", size, at, role="occluder")


def _others(draw: Draw, middle: float) -> list[Body]:
    """Stands objects further back, clear of the piece wherever it may go."""
    count = draw.number("objects")
    bodies = [replace(props.thing(draw, f"other/{i}"), joint="fixed") for i in range(count)]
    wide = 0.9 * props.half_width(draw, 1.8)
    radii = [props.reach(body.geoms[0]) for body in bodies]
    taken = [(middle, _PIECE_DEPTH, 1.15)]
    spots = props.places(draw.rng("others"), radii, ((-wide, wide), (1.2, 2.9)), taken)
    return [props.on_floor(body, *spot) for body, spot in zip(bodies, spots, strict=False)]


FAMILIES = (
    Family(
        "hidden_piece",
        "a piece of a still life goes out of view and comes back as the camera moves",
        {
            "piece": Factor(
                PIECES, "as it is, or slid, scaled, swapped, mirrored throughout", default="as_is"
            ),
            "hide": Factor(
                ("screen", "outside", "in_view"),
                "behind a screen as the camera passes, outside the frame as it pans, or never",
                default="screen",
            ),
            "objects": Factor((1, 2, 3), "objects that stand further back"),
        },
        _stage,
    ),
)
