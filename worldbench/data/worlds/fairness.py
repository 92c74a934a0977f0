"""What makes a quad fair: an identical run, visible differences around it, balanced splices."""

from collections import Counter
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, UInt8

from worldbench.data.worlds.pictures.render import render_rgb
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


def traces(videos: tuple[Video, Video], tracks: tuple[Track, Track], start: int) -> tuple[int, int]:
    """Counts the pixels before the run that each clip's target changes, its shadow included."""
    bare = render_rgb([track.without("target") for track in tracks]).numpy()[:, :start]
    full = np.stack(videos)[:, :start].astype(np.int16)
    changed = np.abs(full - bare).max(-1) > _SEEN_LEVELS // 2
    return int(changed[0].sum()), int(changed[1].sum())


def require_more(
    videos: tuple[Video, Video], tracks: tuple[Track, Track], start: int, shows_more: str
) -> None:
    """Makes sure that one of two clips shows more of its target before the run.

    Raises:
        Unqualified: If the other one does, or both show as much.
    """
    seen = traces(videos, tracks, start)
    ahead = "A" if seen[0] > seen[1] else "P" if seen[1] > seen[0] else "neither"
    if ahead != shows_more:
        raise unqualified(f"{shows_more} must show more", f"{seen[0]} and {seen[1]} pixels")


def plain_from(a: Video, p: Video, start: int, stop: int) -> int:
    """Returns the first frame from which on every splice stands out by the change it makes.

    Compares what changes from frame to frame at the splices A → P and P → A with what changes
    there in A and P themselves.

    Raises:
        Unqualified: If less than two frames are left.
    """
    first = start
    for at in range(start, stop + 1):
        own = _change(a[at - 1], a[at]) + _change(p[at - 1], p[at])
        if _change(a[at - 1], p[at]) + _change(p[at - 1], a[at]) <= own:
            first = at + 1
    if stop - first < 2:
        raise unqualified("control not plain", f"until frame {first}")
    return first


def _change(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"]) -> int:
    return int(np.abs(one.astype(np.int16) - other).sum())


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
