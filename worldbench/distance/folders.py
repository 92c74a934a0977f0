"""Clips of a folder of videos as they are: native frames and sizes unless asked otherwise.

Presets resize and normalise themselves, so nothing may happen to pixels before. What would make two
folders incomparable without a word (other sizes, other lengths) is an error here, and what may
(other frame rates, files in both) is told.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldbench.cache import cache_folder
from worldbench.data.layouts import folder
from worldbench.data.manifest import Entry, Manifest, scan
from worldbench.data.video import clip_times, decode_clips
from worldbench.data.video_info import VideoInfo
from worldbench.errors import DataError
from worldbench.progress import Progress

logger = logging.getLogger(__name__)

_TIE = 1e-6


@dataclass(frozen=True)
class Cut:
    """Which frames of a video become clips.

    Attributes:
        frames: Frames of a clip; ``None`` takes whole videos.
        stride: Every so-many-th frame is taken.
        fps: Frames per second that videos are resampled to by timestamps; ``None`` takes the frames
            as they are in the file.
        every: Frames, before ``stride``, from the beginning of one clip to that of the next;
            ``None`` puts clips end to end.
        clips_per_video: At most so many clips of one video, spread evenly; all if ``None``.
        size: Height and width that frames are brought to (short side resized, centre cropped);
            ``None`` leaves them as they are.
    """

    frames: int | None = 16
    stride: int = 1
    fps: float | None = None
    every: int | None = None
    clips_per_video: int | None = 1
    size: tuple[int, int] | None = None

    def times(self, info: VideoInfo) -> list[tuple[float, ...]]:
        """Seconds of every frame of every clip of a video."""
        stamps = info.timestamps
        if self.fps is not None:
            count = int((info.duration + _TIE) * self.fps)
            stamps = np.array(clip_times(0.0, count, self.fps))
        frames = self.frames if self.frames is not None else -(-len(stamps) // self.stride)
        span = (frames - 1) * self.stride + 1
        starts: Sequence[int] = range(0, len(stamps) - span + 1, self.every or frames * self.stride)
        if self.clips_per_video is not None and len(starts) > self.clips_per_video:
            last = len(starts) - 1 if self.clips_per_video > 1 else 0
            spread = np.linspace(0, last, self.clips_per_video).round().astype(int)
            starts = [starts[int(k)] for k in spread]
        return [
            tuple(float(s) for s in stamps[start : start + span : self.stride]) for start in starts
        ]


@dataclass(frozen=True)
class FolderClip:
    """One clip.

    Attributes:
        id: ``<video>@<k>``.
        video: Path of the video below the folder, without its suffix.
        label: The first folder of its path, or empty.
        times: Seconds of its frames.
    """

    id: str
    video: str
    label: str
    times: tuple[float, ...]


class FolderClips:
    """Every clip of a folder of videos, found and checked.

    Args:
        root: The folder; videos may lie at any depth.
        cut: Which frames are clips.
        max_excluded: Largest share of unusable videos that is accepted, in [0, 1].
        progress: Where progress is told.

    Raises:
        DataError: If there is no folder, no video, or too many that are unusable.
    """

    def __init__(
        self, root: Path, cut: Cut, *, max_excluded: float = 0.0, progress: Progress | None = None
    ) -> None:
        self.root, self.cut = root, cut
        videos = folder(root)
        span = 1 if cut.frames is None else (cut.frames - 1) * cut.stride + 1
        limits: dict[str, Any] = {"min_frames": span}
        if cut.fps is not None:
            limits = {"min_seconds": span / cut.fps, "min_fps": cut.fps}
        with (progress or Progress()).task(f"scanning {root}", len(videos)) as step:
            try:
                self.manifest: Manifest = scan(
                    videos,
                    root,
                    max_excluded=max_excluded,
                    cache=cache_folder("scans"),
                    progress=step.to,
                    **limits,
                )
            except DataError as error:
                raise _in_words_of_the_command(error, root) from error

    def with_cut(self, **changes: Any) -> "FolderClips":
        """Returns the same videos, cut otherwise."""
        other = object.__new__(FolderClips)
        other.root, other.cut, other.manifest = (
            self.root,
            replace(self.cut, **changes),
            self.manifest,
        )
        return other

    @cached_property
    def clips(self) -> tuple[FolderClip, ...]:
        """The clips, in order of video and time."""
        return tuple(
            FolderClip(f"{entry.id}@{k}", entry.id, _label(entry), times)
            for entry in self.manifest.entries
            for k, times in enumerate(self.cut.times(entry.info))
        )

    @property
    def identity(self) -> list[object]:
        """What the clips' pixels follow from: the files' contents and the cut."""
        return [self.manifest.digest, asdict(self.cut)]

    @property
    def sizes(self) -> dict[tuple[int, int], int]:
        """How many videos there are of each (height, width)."""
        return _counted((entry.info.height, entry.info.width) for entry in self.manifest.entries)

    @property
    def rates(self) -> dict[float, int]:
        """How many videos there are of each rate, in frames per second rounded to hundredths."""
        return _counted(round(entry.info.fps, 2) for entry in self.manifest.entries)

    @property
    def lengths(self) -> dict[int, int]:
        """How many clips there are of each number of frames."""
        return _counted(len(clip.times) for clip in self.clips)

    @property
    def contents(self) -> frozenset[str]:
        """Digests of the files."""
        return frozenset(entry.info.sha256 for entry in self.manifest.entries)

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes clips of one size by id.

        Raises:
            DataError: If a file changed since the scan or a frame does not decode.
        """
        wanted = [self._known[name] for name in ids]
        pixels: dict[str, UInt8[np.ndarray, "t h w 3"]] = {}
        for video in dict.fromkeys(clip.video for clip in wanted):
            entry, some = self._entries[video], [c for c in wanted if c.video == video]
            decoded = decode_clips(
                self.manifest.file(entry),
                [clip.times for clip in some],
                size=self.cut.size,
                info=entry.info,
            )
            pixels |= {clip.id: one for clip, one in zip(some, decoded, strict=True)}
        return np.stack([pixels[name] for name in ids])

    @cached_property
    def _known(self) -> dict[str, FolderClip]:
        return {clip.id: clip for clip in self.clips}

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.id: entry for entry in self.manifest.entries}


def _counted(values: Any) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))


def _label(entry: Entry) -> str:
    first, inside, _ = entry.video.path.partition("/")
    return first if inside else ""


def _in_words_of_the_command(error: DataError, root: Path) -> DataError:
    """The scan's error as this command's user can act on it: its own options, and which folder."""
    fix = (error.fix or "").replace("data.max_excluded=", "--max-excluded ")
    fix = fix.replace("data.fps", "--fps")
    if "too short" in str(error.seen):
        fix = f"{fix}, or --frames with fewer"
    what = error.what if str(root) in error.what else f"{root}: {error.what}"
    seen = None if error.seen is None else str(error.seen).replace("data.fps=", "--fps ")
    return DataError(what, seen=seen, accepted=error.accepted, fix=fix or None)
