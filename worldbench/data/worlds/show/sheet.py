"""Contact sheets: clips as rows, frames as columns, captions in the margin."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

PAPER, INK, FAINT = 252, (35, 35, 40), (120, 120, 128)
FROM_A, FROM_P, RUN = (46, 110, 190), (226, 118, 30), (60, 160, 90)
"""Colours (RGB) of strips: frames taken from A, frames taken from P, identical frames."""

MARGIN = 214
"""Pixels that a line of a caption may be wide."""

_GAP, _LINE = 4, 17
_FONT, _SCALE = cv2.FONT_HERSHEY_DUPLEX, 0.42

Picture = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Row:
    """One clip of a sheet.

    Attributes:
        rgb: Its frames.
        title: First line of the caption.
        lines: The other lines; what does not fit is left out.
        strip: A colour per frame, drawn below it; none where empty.
        run: First frame and frame after the last of a stretch that is marked above the frames.
    """

    rgb: UInt8[np.ndarray, "t h w 3"]
    title: str
    lines: tuple[str, ...] = ()
    strip: tuple[tuple[int, int, int], ...] = ()
    run: tuple[int, int] | None = None


def contact_sheet(
    rows: Sequence[Row], heading: str, *, columns: int = 8, side: int = 128
) -> Picture:
    """Draws clips below each other, each with frames spread evenly from its first to its last.

    Args:
        rows: The clips; all of one length and size.
        heading: What the sheet shows, above it.
        columns: Frames per clip.
        side: Height of a frame on the sheet, in pixels.

    Returns:
        The sheet, RGB.
    """
    left = MARGIN + 22
    frames, height, width = rows[0].rgb.shape[:3]
    shown = np.unique(np.linspace(0, frames - 1, min(columns, frames)).round().astype(int))
    cell = (max(1, round(side * width / height)), side)
    head, pitch = 2 * _LINE + 14, side + 3 * _GAP + 6
    sheet = np.full(
        (head + len(rows) * pitch, left + len(shown) * (cell[0] + _GAP), 3), PAPER, np.uint8
    )
    write(sheet, heading, (10, 20), INK)
    for column, frame in enumerate(shown):
        place = left + column * (cell[0] + _GAP) + cell[0] // 2 - 4 * len(str(frame))
        write(sheet, str(frame), (place, head - 4), FAINT)
    write(sheet, "frame", (left - 50, head - 4), FAINT)
    for number, row in enumerate(rows):
        _draw(sheet, row, shown, head + number * pitch, cell)
    return sheet


def _draw(sheet: Picture, row: Row, shown: np.ndarray, top: int, cell: tuple[int, int]) -> None:
    write(sheet, row.title, (10, top + 20), INK)
    lines = [part for line in row.lines for part in wrap(line, MARGIN)]
    for number, line in enumerate(lines[: (cell[1] - 20) // _LINE]):
        write(sheet, line, (10, top + 20 + (number + 1) * _LINE), FAINT)
    for column, frame in enumerate(shown):
        left = MARGIN + 22 + column * (cell[0] + _GAP)
        begin = top + _GAP + 3
        right, end = left + cell[0], begin + cell[1]
        sheet[begin:end, left:right] = enlarged(row.rgb[frame], cell)
        if row.run is not None and row.run[0] <= frame < row.run[1]:
            sheet[begin - 5 : begin - 1, left : right + _GAP] = RUN
        if row.strip:
            sheet[end + 1 : end + 5, left:right] = row.strip[frame]


def enlarged(picture: Picture, size: tuple[int, int]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Resizes to (width, height); pixels stay sharp squares when they grow."""
    how = cv2.INTER_AREA if size[1] < picture.shape[0] else cv2.INTER_NEAREST
    resized: UInt8[np.ndarray, "h2 w2 3"] = cv2.resize(picture, size, interpolation=how)
    return resized


def write(picture: Picture, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    """Writes a line of text; ``at`` is the left end of its base line."""
    plain = text.translate(_PLAIN).encode("ascii", "replace").decode()
    cv2.putText(picture, plain, at, _FONT, _SCALE, colour, 1, cv2.LINE_AA)


def wrap(text: str, width: int) -> list[str]:
    """Breaks text at blanks into lines of at most ``width`` pixels; long words stay whole."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and cv2.getTextSize(longer, _FONT, _SCALE, 1)[0][0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


_PLAIN = str.maketrans({"−": "-", "–": "-", "×": "x", "·": "-", "…": "...", "→": "->"})
