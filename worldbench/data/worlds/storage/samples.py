"""A few pixels of every shipped clip: does this machine's renderer draw what the authors saw?

Digests are of tracks, since a pixel may differ by a level between CPUs and releases of torch. The
samples catch what digests cannot: a renderer that draws something else from the same tracks.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int64, UInt8

from worldbench.data.worlds.content import Content
from worldbench.errors import DataError

POINTS = 64
"""Pixels per frame; two frames of each clip are sampled: 384 bytes."""
LEVELS = 1
SHARE = 0.999
"""At least this share of sampled values must lie within ``LEVELS`` of what was shipped."""


def sample(
    content: Content, pixels: Mapping[int, UInt8[np.ndarray, "t h w 3"]]
) -> dict[str, np.ndarray]:
    """Takes two frames and :data:`POINTS` pixels of each out of clips.

    Args:
        content: The set; the digests of its tracks choose the pixels.
        pixels: Clips by their position in the set, rendered at the size they were made for.

    Returns:
        ``{"rgb": UInt8[clips, 2, POINTS, 3]}``.
    """
    taken = [
        clip[_places(content.clips[at].track.digest, clip.shape)] for at, clip in pixels.items()
    ]
    return {"rgb": np.array(taken, np.uint8).reshape(len(taken), 2, POINTS, 3)}


def check(
    content: Content,
    pixels: Mapping[int, UInt8[np.ndarray, "t h w 3"]],
    shipped: Mapping[str, np.ndarray],
) -> None:
    """Compares rendered clips with the samples that came with the set.

    Raises:
        DataError: If more than 1 in 1000 values differ by more than one level.
    """
    positions = list(pixels)
    found, expected = sample(content, pixels)["rgb"], shipped["rgb"][positions]
    close = np.abs(found.astype(np.int16) - expected) <= LEVELS
    if not positions or close.mean() >= SHARE:
        return
    worst = content.clips[positions[int(close.mean(axis=(1, 2, 3)).argmin())]]
    raise DataError(
        f"the renderer and the shipped set {content.name!r} disagree",
        seen=f"{100 * close.mean():.2f} % of sampled values within {LEVELS} level, least in clip "
        f"{worst.id}",
        accepted=f"{100 * SHARE:.1f} %, so that scores are of the same pictures everywhere",
        fix="reinstall worldbench-suite; if it stays, report the CPU and the version of torch. "
        f"After changing the renderer: python -m worldbench.data.worlds.ship {content.name}",
    )


def _places(
    digest: str, shape: tuple[int, ...]
) -> tuple[Int64[np.ndarray, "2 1"], Int64[np.ndarray, "2 p"], Int64[np.ndarray, "2 p"]]:
    """Frames, rows and columns that a track's digest chooses: the same on every machine."""
    stream = hashlib.shake_256(digest.encode()).digest(4 * (2 + 4 * POINTS))
    numbers = np.frombuffer(stream, "<u4").astype(np.int64)
    frames = numbers[:2] % shape[0]
    rows, columns = numbers[2:].reshape(2, 2, POINTS)
    return frames[:, None], rows % shape[1], columns % shape[2]
