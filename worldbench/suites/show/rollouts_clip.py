"""One clip for a page: context, truth and samples side by side, each under its name."""

import cv2
import numpy as np
from jaxtyping import UInt8

from worldbench.data.worlds.show.sheet import INK, PAPER, enlarged, write

_SIDE = 128
"""Height of a panel at least, in pixels."""
_GAP, _HEAD, _LINE = 8, 24, 4
_SEEN, _FORESEEN = (120, 120, 128), (28, 90, 150)
"""Colours of the line under a panel: while it shows the context, and what is foreseen."""
_POSTER_QUALITY = 82


def side_by_side(
    context: UInt8[np.ndarray, "c h w 3"],
    truth: UInt8[np.ndarray, "f h w 3"],
    samples: UInt8[np.ndarray, "s f h w 3"],
) -> UInt8[np.ndarray, "t2 h2 w2 3"]:
    """Draws a clip of context, truth and samples; the last frame is shown twice as long.

    All panels show the context first. Then the first stands still on the last context frame, the
    second shows what came, and the others what the model foresaw.

    Args:
        context: The frames that the model saw.
        truth: The frames that came.
        samples: Its futures, as long as ``truth``.

    Returns:
        The clip, RGB.
    """
    held = np.repeat(context[-1:], len(truth), axis=0)
    panels = [held, truth, *samples]
    names = ["context", "truth", *(f"sample {i + 1}" for i in range(len(samples)))]
    frames = [_frame([video] * len(panels), names, future=False) for video in context]
    frames += [
        _frame([panel[i] for panel in panels], names, future=True) for i in range(len(truth))
    ]
    return np.stack([*frames, frames[-1]])


def poster(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Returns a frame as JPEG."""
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _POSTER_QUALITY]
    )
    assert done  # OpenCV's JPEG encoder takes any picture of 8 bits
    return encoded.tobytes()


def _frame(
    panels: list[UInt8[np.ndarray, "h w 3"]], names: list[str], *, future: bool
) -> UInt8[np.ndarray, "h2 w2 3"]:
    height, width = panels[0].shape[:2]
    scale = max(1, round(_SIDE / height))
    cell = (width * scale, height * scale)
    drawn = np.full(
        (_HEAD + cell[1] + _GAP + _LINE, _GAP + len(panels) * (cell[0] + _GAP), 3), PAPER, np.uint8
    )
    for i, (panel, name) in enumerate(zip(panels, names, strict=True)):
        left = _GAP + i * (cell[0] + _GAP)
        write(drawn, name, (left, _HEAD - 8), INK)
        drawn[_HEAD : _HEAD + cell[1], left : left + cell[0]] = enlarged(panel, cell)
        below = _HEAD + cell[1] + 2
        colour = _FORESEEN if future and i > 0 else _SEEN
        drawn[below : below + _LINE, left : left + cell[0]] = colour
    return drawn
