"""What makes a quad fair: an identical run, visible differences around it, balanced splices."""

from collections import Counter
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from worldbench.data.worlds.track import Track
from worldbench.errors import DataError

MIN_RUN = 4
"""Frames: two latent steps of a model that takes two frames a step."""

_SEEN_PIXELS = 10 / 64**2  # of the frame that must change for a difference to be seen
_SEEN_LEVELS = 16  # of 255, by which they must change
_SEEN_FRAMES = 2  # before the run and after it

Video = UInt8[np.ndarray, "t h w 3"]


class Unqualified(DataError):  # noqa: N818 - what the spec is, not what went wrong
    """A spec whose scenes make no quad; redraw it with another seed."""


def calm_from(tracks: tuple[Track, Track], start: int, stop: int) -> int:
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
        raise unqualified("leaps a diameter a frame", f"until frame {calm}")
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


def identical_run(a: Video, p: Video) -> tuple[int, int]:
    """Returns the longest run of identical frames.

    Raises:
        Unqualified: If it is shorter than :data:`MIN_RUN`.
    """
    same: Bool[np.ndarray, " t"] = (a == p).all(axis=(1, 2, 3))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    runs = [(int(s), int(e)) for s, e in edges.reshape(-1, 2)]
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    if stop - start < MIN_RUN:
        raise unqualified("identical run too short", f"{stop - start} frames")
    return start, stop


def require_difference(a: Video, p: Video, start: int, stop: int) -> None:
    """Makes sure that the clips differ to the eye before the run and after it.

    Raises:
        Unqualified: If they don't.
    """
    changed = (np.abs(a.astype(np.int16) - p).max(axis=3) > _SEEN_LEVELS).mean(axis=(1, 2))
    plain = changed > _SEEN_PIXELS
    for when, frames in (("before", plain[:start]), ("after", plain[stop:])):
        if int(frames.sum()) < _SEEN_FRAMES:
            raise unqualified(
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


def unqualified(what: str, seen: str) -> Unqualified:
    """Builds the refusal of a spec, for the caller to raise."""
    return Unqualified(what, seen=seen, accepted="see make_quad", fix="draw another seed")
