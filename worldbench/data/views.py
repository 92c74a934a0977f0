"""Several views of one video: stretches spread over its length, and crops along its longer side.

As probes on Kinetics (8 × 3) and Something-Something v2 (2 × 3) are asked; what they say of the
views of a video is averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from worldbench.errors import UsageError

CROPS = (1, 3)


@dataclass(frozen=True)
class Views:
    """Which views.

    Attributes:
        segments: Stretches per video, spread evenly from its beginning to its end; they overlap
            where it is short.
        crops: 1, the centre; or 3, the two ends of the longer side as well.
    """

    segments: int
    crops: int = 1

    def __post_init__(self) -> None:
        if self.segments < 1 or self.crops not in CROPS:
            raise UsageError(
                "there are no such views",
                seen=f"segments={self.segments}, crops={self.crops}",
                accepted="segments of 1 or more; crops=1 or crops=3",
                fix="data.segments=8 data.crops=3, as on Kinetics",
            )

    def starts(self, start: float, end: float, seconds: float) -> list[float]:
        """Returns where each segment of a stretch begins; a single one is in its middle."""
        last = max(start, end - seconds)
        if self.segments == 1:
            return [(start + last) / 2]
        return [float(v) for v in np.linspace(start, last, self.segments)]

    def names(self) -> list[str]:
        """Returns what views are called: ``s<segment>c<crop>``."""
        return [f"s{s}c{c}" for s in range(self.segments) for c in range(self.crops)]

    def place(self, name: str) -> tuple[int, int]:
        """Returns the segment and the crop of a view's name."""
        segment, _, crop = name[1:].partition("c")
        return int(segment), int(crop)

    def cropped(
        self, clip: UInt8[np.ndarray, "t h w 3"], size: tuple[int, int], crop: int
    ) -> UInt8[np.ndarray, "t h2 w2 3"]:
        """Cuts one crop out of a clip that covers ``size``.

        Args:
            clip: Pictures of which one side is as wanted and the other no shorter.
            size: Height and width.
            crop: Which; of three, from the top or left to the bottom or right.
        """
        share = 0.5 if self.crops == 1 else crop / (self.crops - 1)
        top, left = (
            round((have - want) * share) for have, want in zip(clip.shape[1:3], size, strict=True)
        )
        return clip[:, top : top + size[0], left : left + size[1]]


def covering(picture: Sequence[int], size: tuple[int, int]) -> tuple[int, int]:
    """Returns the size at which a picture just covers another, uncropped.

    Args:
        picture: Its height and width.
        size: Height and width to cover.
    """
    height, width = picture
    scale = max(size[0] / height, size[1] / width)
    return max(size[0], round(height * scale)), max(size[1], round(width * scale))
