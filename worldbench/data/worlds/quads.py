"""Matched quads: two clips that agree while something is out of sight, and their two splices.

A and its partner P are pixel-identical in a run of frames [start, stop) in which what they differ
in cannot be seen. Spliced anywhere in it they give the foils I1 = A[:t] + P[t:] and
I2 = P[:t] + A[t:], which together have the frames, the transitions and the futures of A and P
together: whatever looks only at those cannot tell the foils from the truth.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulate import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError, unknown_name
from worldbench.schema import Scalar

PERMANENCE = ("presence", "never_there", "shape", "colour", "speed", "count")
"""``presence``: P leaves the view in plain sight; ``never_there``: P has no target at all."""

RIGIDITY = ("slide", "scale", "swap", "mirror")

MIN_RUN = 4
"""Frames: two latent steps of a model that takes two frames a step."""

_SEEN_PIXELS = 10 / 64**2  # of the frame that must change for a difference to be seen
_SEEN_LEVELS = 16  # of 255, by which they must change
_SEEN_FRAMES = 2  # before the run and after it

Video = UInt8[np.ndarray, "t h w 3"]


class Unqualified(DataError):  # noqa: N818 - what the spec is, not what went wrong
    """A spec whose scenes make no quad; redraw it with another seed."""


@dataclass(frozen=True, eq=False)
class Quad:
    """Two clips that may be spliced.

    Attributes:
        violation: One of :data:`PERMANENCE` or :data:`RIGIDITY`.
        condition: ``occluded``, ``visible`` or ``both_possible``.
        spec: Of A.
        tracks: A and P.
        videos: A and P, rendered at the spec's size.
        start: First frame of the run.
        stop: Frame after its last.
        calm: First frame of the run from which on no target moves by its own diameter a frame:
            where the control in plain sight may be spliced.
        factors: The levels of A's scene.
    """

    violation: str
    condition: str
    spec: SceneSpec
    tracks: tuple[Track, Track]
    videos: tuple[Video, Video]
    start: int
    stop: int
    calm: int
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


def make_quad(spec: SceneSpec, violation: str) -> Quad:
    """Makes the ``occluded`` quad of a scene.

    Args:
        spec: As for :func:`partners`.
        violation: One of :data:`PERMANENCE` or :data:`RIGIDITY`.

    Raises:
        Unqualified: If the clips share no run of :data:`MIN_RUN` frames with a visible difference
            before and after it.
        UsageError: As :func:`partners`.
    """
    return _matched(partners(spec, violation), violation, "occluded")


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

    The occluder is taken out; where the frame's edge hid the piece, the camera stays with it. A
    target that leaps its own diameter looks as if it were gone and another there, so the control
    is spliced only where none does.
    """
    if quad.factors.get("hide") == "outside":
        kept = quad.spec.with_factors(hide="in_view")
        tracks = tuple(simulate(part) for part in partners(kept, quad.violation))
    else:
        tracks = tuple(track.without("occluder") for track in quad.tracks)
    return replace(
        quad,
        condition="visible",
        start=quad.calm,
        tracks=(tracks[0], tracks[1]),
        videos=_rendered(tracks[0], tracks[1]),
    )


def _matched(specs: tuple[SceneSpec, SceneSpec], violation: str, condition: str) -> Quad:
    tracks = simulate(specs[0]), simulate(specs[1])
    videos = _rendered(*tracks)
    start, stop = _run(*videos)
    calm = _calm(tracks, start, stop)
    _seen(*videos, start, stop)
    check(*videos, start, stop)
    factors = {k: v for k, v in tracks[0].factors.items() if k not in ("course", "passer")}
    return Quad(violation, condition, specs[0], tracks, videos, start, stop, calm, factors)


def _rendered(a: Track, p: Track) -> tuple[Video, Video]:
    videos = render_rgb([a, p]).numpy()
    return videos[0], videos[1]


def _calm(tracks: tuple[Track, Track], start: int, stop: int) -> int:
    """Returns the first frame of the run from which on no target in view leaps a diameter a frame.

    Raises:
        Unqualified: If less than two frames are left, a latent step of many models.
    """
    calm = start
    for track in tracks:
        for slot in track.slots_of("target"):
            first = max(start - 1, 0)
            centre = track.pos[first : stop + 1, slot]
            near = _in_frame(track, centre, first)
            steps = np.linalg.norm(np.diff(centre, axis=0), axis=1)
            leaps = (near[1:] | near[:-1]) & (steps >= 2 * track.size[slot].max())
            calm = max([calm, *(int(at) + first + 2 for at in np.flatnonzero(leaps))])
    if stop - calm < 2:
        raise _unqualified("leaps a diameter a frame", f"until frame {calm}")
    return calm


def _in_frame(
    track: Track, points: Float32[np.ndarray, "t 3"], first: int
) -> Bool[np.ndarray, " t"]:
    """Says which points, one a frame from ``first`` on, are projected into the picture."""
    pose = track.camera_c2w[first : first + len(points)]
    local = np.einsum("tji,tj->ti", pose[:, :3, :3], points - pose[:, :3, 3]) @ track.K.T
    inside = (local[:, :2] > 0) & (local[:, :2] < local[:, 2:] * track.K[:2, 2] * 2)
    near: Bool[np.ndarray, " t"] = inside.all(axis=1)
    return near


def _run(a: Video, p: Video) -> tuple[int, int]:
    """Returns the longest run of identical frames.

    Raises:
        Unqualified: If it is shorter than :data:`MIN_RUN`.
    """
    same: Bool[np.ndarray, " t"] = (a == p).all(axis=(1, 2, 3))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    runs = [(int(s), int(e)) for s, e in edges.reshape(-1, 2)]
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    if stop - start < MIN_RUN:
        raise _unqualified("identical run too short", f"{stop - start} frames")
    return start, stop


def _seen(a: Video, p: Video, start: int, stop: int) -> None:
    """Makes sure that the clips differ to the eye before the run and after it.

    Raises:
        Unqualified: If they don't.
    """
    changed = (np.abs(a.astype(np.int16) - p).max(axis=3) > _SEEN_LEVELS).mean(axis=(1, 2))
    plain = changed > _SEEN_PIXELS
    for when, frames in (("before", plain[:start]), ("after", plain[stop:])):
        if int(frames.sum()) < _SEEN_FRAMES:
            raise _unqualified(
                f"no visible difference {when} the run", f"{int(frames.sum())} frames"
            )


def check(a: Video, p: Video, start: int, stop: int) -> None:
    """Asserts what makes a quad fair, for every place at which it may be spliced.

    Raises:
        DataError: If the foils' frames, transitions or futures are not those of A and P.
    """
    truth = (_hashed(a), _hashed(p))
    for at in range(start, stop + 1):
        foils = (truth[0][:at] + truth[1][at:], truth[1][:at] + truth[0][at:])
        fair = {
            "frames": _count(foils) == _count(truth),
            "transitions": _pairs(foils) == _pairs(truth),
            "futures": all(
                sorted(clip[c:] for clip in foils) == sorted(clip[c:] for clip in truth)
                for c in range(start, stop + 1)
            ),
        }
        broken = [name for name, holds in fair.items() if not holds]
        if broken:
            raise DataError(
                f"a quad's {broken[0]} are not balanced",
                seen=f"run [{start}, {stop}), spliced at {at}",
                accepted="clips that are identical throughout the run",
                fix="make the quad again with make_quad",
            )


def _hashed(video: Video) -> list[bytes]:
    return [frame.tobytes() for frame in video]


def _count(clips: tuple[list[bytes], list[bytes]]) -> Counter[bytes]:
    return Counter(clips[0] + clips[1])


def _pairs(clips: tuple[list[bytes], list[bytes]]) -> Counter[tuple[bytes, bytes]]:
    return Counter(pair for clip in clips for pair in pairwise(clip))


def _unqualified(what: str, seen: str) -> Unqualified:
    return Unqualified(what, seen=seen, accepted="see make_quad", fix="draw another seed")
