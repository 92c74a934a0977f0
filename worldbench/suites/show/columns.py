"""Where frames stand in a figure: the axis of time that pictures and curves share."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.suites.show.svg import WIDTH, Pixels

GAP = 4
RIGHT = 52
"""Pixels right of the last column: room for the names of curves."""

_LARGEST = 84
_SPREAD = 5  # columns that a context spread over is allowed


@dataclass(frozen=True)
class Columns:
    """Frames from left to right: some of the context, and every one of the future.

    Attributes:
        frames: Frames that have a column, in their order.
        left: Left edge of the first column, in pixels.
        cell: Width and height of a frame, in pixels.
    """

    frames: tuple[int, ...]
    left: Pixels
    cell: tuple[Pixels, Pixels]

    @classmethod
    def of(
        cls, seen: Sequence[int], first: int, end: int, *, left: Pixels, aspect: float
    ) -> "Columns":
        """Makes them as large as there is room.

        Args:
            seen: Frames of the context to show, rising.
            first: The first frame of the future.
            end: The frame after the last.
            left: Where columns begin, in pixels.
            aspect: Width of a frame over its height.
        """
        frames = (*seen, *range(first, end))
        wide = min(_LARGEST, (WIDTH - RIGHT - left) / len(frames) - GAP)
        return cls(frames, left, (wide, wide / aspect))

    @property
    def pitch(self) -> Pixels:
        """Pixels from column to column."""
        return self.cell[0] + GAP

    def x(self, frame: int) -> Pixels:
        """Returns where a frame begins; one that is not shown, where the next one does."""
        return self.left + self.pitch * sum(each < frame for each in self.frames)

    def middle(self, start: int, stop: int) -> Pixels:
        """Returns the middle of frames start to stop − 1."""
        return (self.x(start) + self.x(stop) - GAP) / 2


def context_frames(start: int, context: int) -> list[int]:
    """Returns the frames that tell what a context has shown.

    Three from the first to the last before the run, in which everything happens, and two of the
    run, in which nothing moves but the camera.

    Args:
        start: First frame of the run.
        context: Frames of context, at least ``start``.
    """
    before = {0, (start - 1) // 2, start - 1} if start > 0 else set()
    return sorted(before | {(start + context - 1) // 2, context - 1})
