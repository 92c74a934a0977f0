"""The rollout sheet: what was seen, what came, and what the model made of it."""

from dataclasses import dataclass

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
    plan = _Plan.of(rollouts, side)
    picture = np.full((*plan.size(len(rollouts.titles)), 3), PAPER, np.uint8)
    write(picture, heading, (8, 17), INK)
    for x, frame in plan.columns:
        ahead = frame - rollouts.context + 1
        write(picture, f"+{ahead}" if ahead > 0 else f"seen {ahead}", (x + 4, _HEAD - 8), FAINT)
    for number, title in enumerate(rollouts.titles):
        top = _HEAD + number * plan.pitch
        write(picture, title, (8, top + 16), INK)
        for row in range(plan.rows):
            begin = top + row * (side + _GAP)
            label = f"sample {row}" if row else "truth"
            write(picture, label, (8, begin + side // 2), FAINT)
            for x, frame in plan.columns:
                pixels = _frame(rollouts, number, row, frame)
                if pixels is not None:
                    picture[begin : begin + side, x : x + plan.cell[0]] = enlarged(
                        pixels, plan.cell
                    )
    return picture


@dataclass(frozen=True)
class _Plan:
    """Where everything lies on a sheet, in pixels."""

    cell: tuple[int, int]  # width and height of a frame
    columns: tuple[tuple[int, int], ...]  # left edge, and the frame of the clip shown there
    rows: int  # of a clip
    pitch: int  # from clip to clip

    @classmethod
    def of(cls, rollouts: Rollouts, side: int) -> "_Plan":
        frames, (height, width) = rollouts.truth.shape[1], rollouts.truth.shape[2:4]
        context, rows = rollouts.context, 1 + rollouts.samples.shape[1]
        cell = (round(side * width / height), side)
        ahead = np.linspace(context, frames - 1, min(_FUTURE_SHOWN, frames - context))
        shown = [*sorted({0, context - 1}), *(int(frame) for frame in ahead.round())]
        columns = tuple(
            (_MARGIN + place * (cell[0] + _GAP) + (_BREAK if frame >= context else 0), frame)
            for place, frame in enumerate(shown)
        )
        return cls(cell, columns, rows, rows * (side + _GAP) + _BETWEEN)

    def size(self, clips: int) -> tuple[int, int]:
        """Returns height and width of the sheet."""
        return _HEAD + clips * self.pitch, self.columns[-1][0] + self.cell[0] + _GAP


def _frame(rollouts: Rollouts, clip: int, row: int, frame: int) -> Picture | None:
    """Returns what a row shows at a frame: row 0 is the truth, samples have no context frames."""
    ahead = frame - rollouts.context
    if row and ahead < 0:
        return None
    shown: Picture = rollouts.samples[clip, row - 1, ahead] if row else rollouts.truth[clip, frame]
    return shown


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
