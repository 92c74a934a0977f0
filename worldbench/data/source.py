"""Clips of a data set: sampled deterministically from videos, decoded on demand.

A clip source knows its videos (a manifest with sizes and digests), cuts clips of a fixed length out
of them and loads any of them by id. It is cheap to pickle, so that workers can decode.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from worldbench.errors import DataError
from worldbench.schema import DataInfo


@dataclass(frozen=True)
class Clip:
    """One clip: where it is cut from which video.

    Attributes:
        id: ``<video>@<k>`` for the k-th window of the video.
        video: Item id of the video, its path below the root without suffix.
        cluster: What intervals are clustered by: the source video.
        label: Class name, or empty.
        start: Seconds from the first frame.
    """

    id: str
    video: str
    cluster: str
    label: str
    start: float


@dataclass(frozen=True)
class ClipFormat:
    """The shape of every clip of a source.

    Attributes:
        frames: Frames per clip.
        fps: Frames per second; videos are resampled to it by timestamps.
        size: Height and width; the short side is resized and the centre cropped.
        clips_per_video: At most so many clips of one video, spread evenly; all if None.
    """

    frames: int
    fps: float
    size: tuple[int, int]
    clips_per_video: int | None = None

    @property
    def seconds(self) -> float:
        """How long a clip lasts: each frame stands for 1/fps."""
        return self.frames / self.fps

    def windows(self, start: float, end: float) -> list[tuple[int, float]]:
        """Cuts the stretch of a video between two times into clips that do not overlap.

        Returns:
            (k, start in seconds) of each clip; none if the stretch is too short for one.
        """
        count = math.floor((end - start) / self.seconds + 1e-6)
        chosen: Sequence[int] = range(count)
        if self.clips_per_video is not None and count > self.clips_per_video:
            spread = np.linspace(0, count - 1, self.clips_per_video).round().astype(int)
            chosen = [int(k) for k in spread]
        return [(k, start + k * self.seconds) for k in chosen]


@runtime_checkable
class ClipSource(Protocol):
    """Clips of one split of one data set."""

    @property
    def frames(self) -> int:
        """Frames per clip."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of every clip."""
        ...

    @property
    def info(self) -> DataInfo:
        """Identity, counts and exclusions, as records keep them."""
        ...

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format, as records keep it."""
        ...

    @property
    def contents(self) -> frozenset[str]:
        """Digests of the files that clips are cut from, to tell whether splits overlap."""
        ...

    @property
    def train(self) -> "ClipSource | None":
        """Clips of the training split, if the data set has one."""
        ...

    def clips(self) -> list[Clip]:
        """Lists every clip, in a fixed order."""
        ...

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes clips by id."""
        ...


def require_disjoint(train: ClipSource, asked: ClipSource, role: str = "data") -> None:
    """Refuses clips to fit on that are also asked about.

    Args:
        train: The training split.
        asked: What scores are made of.
        role: The option that names ``asked``.

    Raises:
        DataError: If files of both have equal content.
    """
    shared = train.contents & asked.contents
    if shared:
        raise DataError(
            "the training split shares files with the clips that are scored",
            seen=f"{len(shared)} of {len(asked.contents)} files of {asked.info.name} ({role}) are "
            f"in {train.info.name} (data.train) as well",
            accepted="disjoint splits, of one fold",
            fix="set data.split and data.train apart, e.g. data.split=val and "
            "data.train='{split: train}', or data.split=test2 and data.train.split=train2",
        )
