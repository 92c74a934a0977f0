"""Clip walls: several clips at once, each as picture, depth and segmentation side by side."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Integer, UInt8

from worldbench.data.video import encode
from worldbench.data.worlds.show.sheet import INK, PAPER, enlarged, wrap, write

DEPTHS = (1.5, 15.0)
"""Metres at the two ends of the colour map, in log steps, nearest brightest; on every wall."""

_SIDE = 192  # height of a panel, in pixels
_CAPTION, _GAP = 24, 8
_SECONDS = 6.0  # clips are repeated until the wall lasts so long


def clip_wall(
    path: Path,
    panels: Sequence[UInt8[np.ndarray, "t h w3 3"]],
    titles: Sequence[str],
    fps: float,
    *,
    across: int = 2,
) -> None:
    """Writes an H.264 file that shows clips beside and below each other, again and again.

    Args:
        path: The mp4 file; its folder must exist.
        panels: What :func:`panel` made of each clip, all of one shape.
        titles: A caption for each, cut at the last word that fits.
        fps: Frames per second.
        across: Clips beside each other.

    Raises:
        EnvironmentFault: If the file cannot be written.
    """
    frames, height, width = panels[0].shape[:3]
    scale = max(1, round(_SIDE / height))
    high, wide = height * scale + _CAPTION + _GAP, width * scale + _GAP
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    blank = np.full((down * high + _GAP, across * wide + _GAP, 3), PAPER, np.uint8)
    corners = [(_GAP + i // across * high, _GAP + i % across * wide) for i in range(len(panels))]
    for title, (top, left) in zip(titles, corners, strict=True):
        write(blank, wrap(title, width * scale)[0], (left + 2, top + 16), INK)
    wall = np.repeat(blank[None], frames, axis=0)
    for clip, (top, left) in zip(panels, corners, strict=True):
        for frame in range(frames):
            big = enlarged(clip[frame], (width * scale, height * scale))
            begin = top + _CAPTION
            wall[frame, begin : begin + len(big), left : left + big.shape[1]] = big
    repeats = max(1, round(_SECONDS * fps / frames))
    encode(path, np.tile(wall, (repeats, 1, 1, 1)), fps, crf=14)


def panel(
    rgb: UInt8[np.ndarray, "t h w 3"],
    depth: Float[np.ndarray, "t h w"],
    segmentation: Integer[np.ndarray, "t h w"],
) -> UInt8[np.ndarray, "t h w3 3"]:
    """Puts a clip's picture, depth in :data:`DEPTHS` and slots in fixed colours side by side."""
    near, far = DEPTHS
    nearness = np.log(far / depth) / np.log(far / near)
    levels = np.clip(nearness * 255, 0, 255).astype(np.uint8)
    coloured = np.stack(
        [
            cv2.cvtColor(cv2.applyColorMap(f, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
            for f in levels
        ]
    )
    slots = _PALETTE[np.where(segmentation == 0, 0, 1 + (segmentation - 1) % (len(_PALETTE) - 1))]
    return np.concatenate([rgb, coloured, slots], axis=2)


_PALETTE = np.array(
    [
        *[(38, 38, 42), (230, 85, 75), (70, 140, 230), (245, 200, 60), (85, 185, 110)],
        *[(165, 105, 215), (240, 145, 55), (80, 205, 210), (235, 130, 190), (150, 195, 65)],
        *[(125, 130, 235), (190, 140, 95), (205, 205, 210), (45, 150, 140), (190, 60, 110)],
        *[(250, 225, 160), (110, 95, 165)],
    ],
    np.uint8,
)
"""The room, then slots; from the 17th slot on colours repeat."""
