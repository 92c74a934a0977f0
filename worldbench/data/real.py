"""Data sets of video files: a layout, its videos, and clips cut from them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldbench.cache import cache_folder
from worldbench.data.clip_options import (
    clip_format,
    share_excluded,
    some_or_all,
    source_pattern,
    training_options,
)
from worldbench.data.layouts.listed import ANNOTATED, LAYOUTS, listed
from worldbench.data.manifest import Entry, Manifest, first_by_hash, scan
from worldbench.data.source import Clip
from worldbench.data.video import clip_times, decode_clips
from worldbench.data.views import Views, covering
from worldbench.errors import UsageError, unknown_name
from worldbench.progress import Progress
from worldbench.schema import DataInfo, Exclusion

_TRAINING_VIDEOS = 2048  # more would be decoded for hours without moving what is fitted on them


class VideoData:
    """Clips of a folder of videos.

    Nothing is read before the first question; the scan then decodes every listed video once and
    remembers unchanged files in the cache.

    Args:
        name: The name records and the board show.
        root: The folder that holds the videos.
        layout: One of :data:`~worldbench.data.layouts.listed.LAYOUTS`.
        annotations: The listing: a CSV (``kinetics``), a text file (``path_label``) or a folder
            with ``labels.json`` (``ssv2``) or lists (``ucf101``, ``hmdb51``).
        split: Keep only this split; everything if None.
        classes: Keep only these classes.
        train: How the training split differs, e.g. ``{"split": "train"}`` or ``{"root": DIR}``;
            None if there is none. It has at most 2048 videos, chosen by the hash of their ids,
            unless ``max_videos`` here says otherwise.
        cluster: What makes videos cuts of one source: a regular expression searched in the item
            id. The source is its first group, or the whole match without groups; an id that does
            not match, and every id if None, is a source of its own.
        frames: Frames per clip.
        fps: Frames per second of the clips; videos are resampled by timestamps. Slower videos
            are excluded, since their frames would repeat.
        size: Height and width of the clips: the short side is resized, the centre cropped.
        clips_per_video: At most so many clips of one video, spread evenly; all if None.
        max_videos: Only so many videos, chosen by the hash of their ids; all if None.
        max_excluded: Largest share of unusable videos that a run accepts, in [0, 1].
        segments: Views instead of clips that do not overlap: so many of every video, spread evenly;
            of training videos too. None for clips.
        crops: Of each view: 1, the centre, or 3 along the longer side; of training videos 1.

    Raises:
        UsageError: If the layout is unknown, annotations are missing, a number makes no sense, or
            ``cluster`` is no regular expression.
    """

    def __init__(
        self,
        name: str,
        root: str,
        layout: str = "folder",
        *,
        annotations: str | None = None,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        train: Mapping[str, Any] | None = None,
        cluster: str | None = None,
        frames: int = 16,
        fps: float | int = 15,
        size: Sequence[int] = (128, 128),
        clips_per_video: int | None = None,
        max_videos: int | None = None,
        max_excluded: float | int = 0.05,
        segments: int | None = None,
        crops: int = 1,
    ) -> None:
        if layout not in LAYOUTS:
            raise unknown_name("layout", layout, LAYOUTS, fix="data.layout=folder")
        if layout in ANNOTATED and annotations is None:
            raise UsageError(
                f"the layout {layout!r} needs its annotations",
                accepted="the path of the listing that came with the data",
                fix="data.annotations=PATH",
            )
        self.name, self.root, self.layout = name, root, layout
        self.annotations, self.split, self.classes = annotations, split, classes
        self.format = clip_format(frames, fps, size, clips_per_video)
        self.max_videos = some_or_all("max_videos", max_videos)
        self.max_excluded = share_excluded(max_excluded)
        self._train = dict(train) if train is not None else None
        # Crops alone are views of the middle: of clips that follow each other there is no telling.
        many = 1 if segments is None and crops != 1 else segments
        self.views = None if many is None else Views(many, crops)
        self.cluster, self._cluster = cluster, source_pattern(cluster)

    @property
    def frames(self) -> int:
        """Frames per clip."""
        return self.format.frames

    @property
    def fps(self) -> float:
        """Frames per second of every clip."""
        return self.format.fps

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of videos, as records keep them."""
        chosen = {
            "split": self.split,
            "classes": list(self.classes) if self.classes is not None else None,
            "max_videos": self.max_videos,
            "cluster": self.cluster,
        }
        views = {} if self.views is None else asdict(self.views)
        return {**asdict(self.format), "size": list(self.format.size), **chosen, **views}

    @cached_property
    def train(self) -> "VideoData | None":
        """Clips of the training split in the same format, if there is one."""
        if self._train is None:
            return None
        options: dict[str, Any] = {
            "name": f"{self.name}/train",
            "root": self.root,
            "layout": self.layout,
            "annotations": self.annotations,
            "split": self.split,
            "classes": self.classes,
            "cluster": self.cluster,
            "frames": self.format.frames,
            "fps": self.format.fps,
            "size": self.format.size,
            "clips_per_video": self.format.clips_per_video,
            "max_videos": _TRAINING_VIDEOS,
            "max_excluded": self.max_excluded,
            "segments": None if self.views is None else self.views.segments,
            "crops": 1,
        }
        return VideoData(**training_options(options, self._train))

    @cached_property
    def manifest(self) -> Manifest:
        """The scanned videos; the first access decodes them all once.

        Raises:
            DataError: As :func:`worldbench.data.manifest.scan`.
        """
        videos = first_by_hash(
            listed(
                self.layout, self.root, self.annotations, split=self.split, classes=self.classes
            ),
            self.max_videos,
        )
        with Progress().task(f"scanning {self.name}", len(videos)) as step:
            return scan(
                videos,
                self.root,
                max_excluded=self.max_excluded,
                min_seconds=self.format.seconds,
                min_fps=self.format.fps,
                cache=cache_folder("scans"),
                progress=step.to,
            )

    @property
    def info(self) -> DataInfo:
        """Identity, counts and exclusions, as records keep them."""
        clips = self.clips()
        return DataInfo(
            name=self.name,
            digest=self.digest,
            clips=len(clips),
            clusters=len({clip.cluster for clip in clips}),
            excluded=tuple(
                Exclusion(path=item.path, reason=item.reason) for item in self.manifest.excluded
            ),
        )

    @property
    def digest(self) -> str:
        """What identifies the videos: their paths, sizes and contents."""
        return self.manifest.digest

    @property
    def contents(self) -> frozenset[str]:
        """Digests of the files that clips are cut from, to tell whether splits overlap."""
        return frozenset(entry.info.sha256 for entry in self.manifest.entries)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.id: entry for entry in self.manifest.entries}

    def clips(self) -> list[Clip]:
        """Lists every clip in order of video and time."""
        return [
            Clip(
                f"{entry.id}@{k}", entry.id, self._source(entry.id), entry.video.label or "", start
            )
            for entry in self.manifest.entries
            for k, start in self._stretches(entry)
        ]

    def _stretches(self, entry: Entry) -> list[tuple[int | str, float]]:
        """Returns what the clips of a video are called, and where they begin."""
        if self.views is None:
            return [(k, start) for k, start in self.format.windows(*entry.seconds)]
        starts = self.views.starts(*entry.seconds, self.format.seconds)
        return [(name, starts[self.views.place(name)[0]]) for name in self.views.names()]

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes clips by id, each video in one pass.

        Raises:
            DataError: If a file changed since the scan or a frame does not decode.
        """
        places: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for position, clip_id in enumerate(ids):
            video, _, name = clip_id.rpartition("@")
            places[video].append((name, position))
        out = np.empty((len(ids), self.format.frames, *self.format.size, 3), np.uint8)
        for video, wanted in places.items():
            clips = self._decoded(self._entries[video], [name for name, _ in wanted])
            for (_, position), clip in zip(wanted, clips, strict=True):
                out[position] = clip
        return out

    def _decoded(self, entry: Entry, names: Sequence[str]) -> list[UInt8[np.ndarray, "t h w 3"]]:
        """Decodes clips of one video by what comes after the ``@`` of their ids."""
        form, views, path, info = self.format, self.views, self.manifest.file(entry), entry.info
        if views is None:
            starts = [entry.seconds[0] + int(k) * form.seconds for k in names]
            times = [clip_times(start, form.frames, form.fps) for start in starts]
            return decode_clips(path, times, size=form.size, info=info)
        places = [views.place(name) for name in names]
        starts = views.starts(*entry.seconds, form.seconds)
        segments = list(dict.fromkeys(segment for segment, _ in places))
        times = [clip_times(starts[s], form.frames, form.fps) for s in segments]
        whole = covering((info.height, info.width), form.size)
        found = dict(zip(segments, decode_clips(path, times, size=whole, info=info), strict=True))
        return [views.cropped(found[segment], form.size, crop) for segment, crop in places]

    def _source(self, video: str) -> str:
        match = self._cluster.search(video) if self._cluster else None
        return (match[1 if match.re.groups else 0] if match else None) or video
