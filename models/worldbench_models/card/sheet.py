"""The rollout sheet: what was seen, what came, and what the model made of it."""

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.data.worlds.show.sheet import FAINT, INK, PAPER, enlarged, write
from worldbench_models.gates.rollouts import Rollouts

BYTES = 400_000
"""The file is no larger: it lies in the repository."""

_MARGIN, _GAP, _BREAK, _BETWEEN, _HEAD = 156, 3, 10, 16, 44
_SIDES, _QUALITIES = (128, 64), range(92, 40, -4)
_FUTURE_SHOWN = 7

Picture = UInt8[np.ndarray, "h w 3"]


def sheet(rollouts: Rollouts, heading: str, *, side: int = _SIDES[0]) -> Picture:
    """Draws each clip as a row of truth and a row per sample, frames from left to right.

    Args:
        rollouts: What to draw.
        heading: What the sheet shows, above it.
        side: Height of a frame on the sheet, in pixels.

    Returns:
        The sheet, RGB.
    """
    frames, (height, width) = rollouts.truth.shape[1], rollouts.truth.shape[2:4]
    context, rows = rollouts.context, 1 + rollouts.samples.shape[1]
    seen = sorted({0, context - 1})
    ahead = np.linspace(context, frames - 1, min(_FUTURE_SHOWN, frames - context))
    shown = [*seen, *(int(frame) for frame in ahead.round())]
    cell = (round(side * width / height), side)
    left = [
        _MARGIN + place * (cell[0] + _GAP) + (_BREAK if frame >= context else 0)
        for place, frame in enumerate(shown)
    ]
    pitch = rows * (side + _GAP) + _BETWEEN
    tall = _HEAD + len(rollouts.titles) * pitch
    picture = np.full((tall, left[-1] + cell[0] + _GAP, 3), PAPER, np.uint8)
    write(picture, heading, (8, 17), INK)
    for x, frame in zip(left, shown, strict=True):
        label = f"+{frame - context + 1}" if frame >= context else f"seen {frame - context + 1}"
        write(picture, label, (x + 4, _HEAD - 8), FAINT)
    for number, title in enumerate(rollouts.titles):
        top = _HEAD + number * pitch
        write(picture, title, (8, top + 16), INK)
        for row in range(rows):
            begin = top + row * (side + _GAP)
            label = f"sample {row}" if row else "truth"
            write(picture, label, (8, begin + side // 2), FAINT)
            for x, frame in zip(left, shown, strict=True):
                if row == 0:
                    pixels = rollouts.truth[number, frame]
                elif frame >= context:
                    pixels = rollouts.samples[number, row - 1, frame - context]
                else:
                    continue
                picture[begin : begin + side, x : x + cell[0]] = enlarged(pixels, cell)
    return picture


def encoded(rollouts: Rollouts, heading: str) -> bytes:
    """Returns the sheet as a JPEG of at most :data:`BYTES`, as large and as good as fits.

    Not PNG: textured frames at this size take 1 to 1.6 MB.

    Raises:
        ValueError: If it does not fit at any quality.
    """
    for side in _SIDES:
        bgr = cv2.cvtColor(sheet(rollouts, heading, side=side), cv2.COLOR_RGB2BGR)
        for quality in _QUALITIES:
            done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(jpeg) <= BYTES:
                return jpeg.tobytes()
    raise ValueError(f"{len(rollouts.titles)} clips do not fit into {BYTES} bytes")
