"""The clips that forecasts are measured on: still camera, moving objects, ``calibration`` split."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from worldbench.data.worlds.content import Tell
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.stream import track_blocks
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError

CONTEXT, FRAMES = 4, 16
MOVED_LEVELS = 8
"""Of 255: a pixel moves if one of its channels differs by more."""

MOVED_SHARE = 0.005
"""Of a frame's pixels, 20 at 64 × 64: less than the smallest object covers."""

_STEP = 0.001  # metres between frames by which a body that moves must be displaced
_BLOCK = 128  # track_blocks balances factors in blocks; whole ones are the same in any count
_TRIES = 40  # clips drawn per clip wanted before giving up; about 3 are needed


@dataclass(frozen=True, eq=False)
class MovingClips:
    """Clips that qualified.

    Attributes:
        rgb: Their frames.
        names: An id for each, from which its seeds follow.
        drawn: How many clips were drawn until so many qualified.
    """

    rgb: UInt8[Tensor, "n t h w 3"]
    names: tuple[str, ...]
    drawn: int


def moving_clips(
    count: int,
    *,
    device: str | torch.device = "cpu",
    workers: int | None = None,
    seed: int = 0,
    tell: Tell | None = None,
) -> MovingClips:
    """Draws clips of ``train_random`` from the calibration split until ``count`` qualify.

    A clip qualifies if its camera stands still, a body moves after the context, and at least
    ``MOVED_SHARE`` of the pixels move in the first future frame and in the last: what leaves or is
    hidden all the time has no error to compare.

    Args:
        count: Clips wanted.
        device: Where to render and keep them.
        workers: Processes that simulate; as many as there are cores if None, this one if 1.
        seed: Of the first clip drawn.
        tell: Called with (clips found, clips wanted).

    Raises:
        DataError: If hardly any clip qualifies.
    """
    spec = SceneSpec("train_random", seed, split="calibration", frames=FRAMES)
    limit = -(-count * _TRIES // _BLOCK) * _BLOCK
    kept: list[Tensor] = []
    names: list[str] = []
    drawn = 0
    with closing(track_blocks(spec, limit, workers=workers)) as blocks:  # type: ignore[type-var]
        for tracks in blocks:
            drawn += len(tracks)
            for rgb, found in _qualified(tracks, device):
                kept.append(rgb)
                names += found
            if tell is not None:
                tell(min(len(names), count), count)
            if len(names) >= count:
                return MovingClips(torch.cat(kept)[:count], tuple(names[:count]), drawn)
    raise _too_few(len(names), drawn, count)


def _too_few(found: int, drawn: int, wanted: int) -> DataError:
    return DataError(
        "too few clips have moving objects",
        seen=f"{found} of {drawn}",
        accepted=f"{wanted}",
        fix="ask for fewer: --clips",
    )


def _qualified(
    tracks: Sequence[Track], device: str | torch.device
) -> Iterator[tuple[Tensor, list[str]]]:
    """Yields frames and names of the clips that qualify, if any may."""
    able = [track for track in tracks if still_camera(track) and bodies_move(track)]
    if able:
        rgb = render_rgb(able, device=device)
        plain = plainly_moving(rgb)
        yield rgb[plain], [_name(able[i]) for i in plain.nonzero()[:, 0].tolist()]


def _name(track: Track) -> str:
    return f"{track.spec.split}/{track.spec.family}/{track.spec.seed}"


def still_camera(track: Track) -> bool:
    """Says whether every frame is seen from the same place, exactly."""
    return bool((track.camera_c2w == track.camera_c2w[:1]).all())


def bodies_move(track: Track, context: int = CONTEXT) -> bool:
    """Says whether anything is displaced by more than a millimetre a frame after the context."""
    steps = np.diff(track.pos[context - 1 :], axis=0)
    return bool(steps.size) and float(np.abs(steps).max()) > _STEP


def moving_pixels(
    rgb: UInt8[Tensor, "n t h w 3"], context: int = CONTEXT
) -> Bool[Tensor, "n f h w"]:
    """Marks pixels of the future frames that differ from the last context frame.

    A pixel moves if any channel differs by more than ``MOVED_LEVELS`` of 255.
    """
    last, future = rgb[:, context - 1 : context].to(torch.int16), rgb[:, context:].to(torch.int16)
    return ((future - last).abs() > MOVED_LEVELS).any(dim=-1)


def plainly_moving(rgb: UInt8[Tensor, "n t h w 3"], context: int = CONTEXT) -> Bool[Tensor, " n"]:
    """Says of which clips enough pixels move in the first future frame and in the last."""
    share = moving_pixels(rgb, context).float().mean(dim=(2, 3))
    return (share[:, 0] >= MOVED_SHARE) & (share[:, -1] >= MOVED_SHARE)
