"""Matched quads: two clips that agree while something is out of sight, and their two splices.

A and its partner P are pixel-identical in a run of frames [start, stop) in which what they differ
in cannot be seen. Spliced anywhere in it they give the foils I1 = A[:t] + P[t:] and
I2 = P[:t] + A[t:], which together have the frames, the transitions and the futures of A and P
together: whatever looks only at those cannot tell the foils from the truth.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from worldbench.data.worlds.content import AFTER
from worldbench.data.worlds.fairness import (
    Video,
    check,
    identical_run,
    plain_from,
    require_difference,
    require_more,
)
from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track
from worldbench.errors import unknown_name
from worldbench.schema import Scalar

PERMANENCE = ("presence", "never_there", "shape", "colour", "speed", "count")
"""``presence``: P leaves the view in plain sight; ``never_there``: P has no target at all."""

RIGIDITY = ("slide", "scale", "swap", "mirror")


@dataclass(frozen=True, eq=False)
class Quad:
    """Two clips that may be spliced.

    Attributes:
        violation: One of :data:`PERMANENCE` or :data:`RIGIDITY`.
        condition: ``occluded``, ``visible`` or ``both_possible``.
        spec: Of A.
        tracks: A and P.
        videos: A and P, rendered at the spec's size.
        start: First frame of the run; of a control, the first at which it may be spliced.
        stop: Frame after its last.
        factors: The levels of A's scene.
    """

    violation: str
    condition: str
    spec: SceneSpec
    tracks: tuple[Track, Track]
    videos: tuple[Video, Video]
    start: int
    stop: int
    factors: dict[str, Scalar] = field(default_factory=dict)

    def foils(self, at: int) -> tuple[Video, Video]:
        """Returns the spliced clips I1 and I2.

        Args:
            at: The context, start ≤ at ≤ stop. Where the run is identical it makes no difference;
                in the control in plain sight that is where the target vanishes or appears.

        Raises:
            ValueError: If ``at`` is outside the run.
        """
        if not self.start <= at <= self.stop:
            raise ValueError(f"no splice at {at} in the run [{self.start}, {self.stop}]")
        return splice(*self.videos, at)


def splice(a: Video, p: Video, at: int) -> tuple[Video, Video]:
    """Returns A[:at] + P[at:] and P[:at] + A[at:]."""
    return np.concatenate([a[:at], p[at:]]), np.concatenate([p[:at], a[at:]])


def partners(spec: SceneSpec, violation: str) -> tuple[SceneSpec, SceneSpec]:
    """Returns the specs of A and P.

    Args:
        spec: A spec of ``occluder_pass`` or ``drop_behind``; of ``hidden_piece`` for rigidity.
        violation: What the foils violate.

    Raises:
        UsageError: If there is no such violation, or the family has no such factor.
    """
    if violation not in PERMANENCE + RIGIDITY:
        raise unknown_name(
            "violation", violation, PERMANENCE + RIGIDITY, fix="make_quad(spec, 'presence')"
        )
    if violation in RIGIDITY:
        return spec.with_factors(piece="as_is"), spec.with_factors(piece=violation)
    if violation in ("presence", "never_there"):
        course = "leave" if violation == "presence" else "absent"
        return spec.with_factors(course="pass"), spec.with_factors(course=course)
    if violation in ("shape", "colour"):
        spec = spec.with_factors(lookalike=False)  # or the distractors would change as well
    if violation == "speed":
        return spec.with_factors(pace="slow"), spec.with_factors(pace="fast")
    if violation == "count":
        return spec.with_factors(count=1), spec.with_factors(count=2)
    draw = family(spec.family).draw(spec)
    levels = family(spec.family).levels(violation, spec.split)
    others = [level for level in levels if level != draw.factors[violation]]
    other = others[int(draw.rng(f"partner/{violation}").integers(len(others)))]
    return spec.with_factors(**{violation: draw.factors[violation]}), spec.with_factors(
        **{violation: other}
    )


def make_quad(
    spec: SceneSpec, violation: str, *, shows_more: str | None = None, soon: bool = False
) -> Quad:
    """Makes the ``occluded`` quad of a scene.

    Args:
        spec: As for :func:`partners`.
        violation: One of :data:`PERMANENCE` or :data:`RIGIDITY`.
        shows_more: Which clip must show more of its target before the run, ``A`` or ``P``. A set
            that asks for either equally often leaves nothing to scorers that merely expect much
            of what they have seen much of. Anything goes if None.
        soon: Whether the difference after the run must be seen within ``AFTER`` frames, and not
            only some time.

    Raises:
        Unqualified: If the clips share no run of ``fairness.MIN_RUN`` frames with a visible
            difference before it and after it.
        UsageError: As :func:`partners`.
    """
    quad = _matched(partners(spec, violation), violation, "occluded")
    if soon:
        end = quad.stop + AFTER
        a, p = quad.videos
        require_difference(a[:end], p[:end], quad.start, quad.stop)
    if shows_more is not None:
        require_more(quad.videos, quad.tracks, quad.start, shows_more)
    return quad


def both_possible(spec: SceneSpec) -> Quad:
    """Makes a foil of the instrument: a quad in which no clip is impossible.

    What comes out from behind the occluder in A has never been seen, and the contexts differ in an
    object that leaves the view and says nothing of it. A fair score of such quads is ½.

    Args:
        spec: A spec of ``occluder_pass``.

    Raises:
        Unqualified: As :func:`make_quad`.
    """
    one, other = (
        ("left", "right") if family(spec.family).draw(spec).sign("foil") > 0 else ("right", "left")
    )
    emerges = spec.with_factors(course="emerge", passer=one, motion="steady", occluders=1)
    absent = spec.with_factors(course="absent", passer=other, motion="steady", occluders=1)
    return _matched((emerges, absent), "presence", "both_possible")


def visible_control(quad: Quad) -> Quad:
    """Returns the quad with nothing to hide behind, to be spliced between the same frames.

    The occluder is taken out; where the frame's edge hid the piece, the camera stays with it. It is
    spliced only where the difference between frames tells every splice: a target that moves by more
    than its own diameter looks as if it were gone and another there.

    Raises:
        Unqualified: If less than two such frames are left.
    """
    if quad.factors.get("hide") == "outside":
        kept = quad.spec.with_factors(hide="in_view")
        tracks = tuple(simulate(part) for part in partners(kept, quad.violation))
    else:
        tracks = tuple(track.without("occluder") for track in quad.tracks)
    videos = _rendered(tracks[0], tracks[1])
    return replace(
        quad,
        condition="visible",
        start=plain_from(*videos, quad.start, quad.stop),
        tracks=(tracks[0], tracks[1]),
        videos=videos,
    )


def _matched(specs: tuple[SceneSpec, SceneSpec], violation: str, condition: str) -> Quad:
    tracks = simulate(specs[0]), simulate(specs[1])
    videos = _rendered(*tracks)
    start, stop = identical_run(*videos)
    require_difference(*videos, start, stop)
    check(*videos, start, stop)
    factors = {k: v for k, v in tracks[0].factors.items() if k not in ("course", "passer")}
    return Quad(violation, condition, specs[0], tracks, videos, start, stop, factors)


def _rendered(a: Track, p: Track) -> tuple[Video, Video]:
    videos = render_rgb([a, p]).numpy()
    return videos[0], videos[1]
