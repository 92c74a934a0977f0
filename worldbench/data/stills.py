"""Labelled pictures as clips: each repeated, so that video models can be asked about stills.

As V-JEPA is probed on ImageNet: an image is shown as a video of 16 equal frames (Bardes et al.
2024, arXiv 2404.08471, §5).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldbench.cache import cache_folder
from worldbench.data.clip_options import (
    clip_format,
    share_excluded,
    some_or_all,
    training_options,
)
from worldbench.data.layouts.class_folders import labelled
from worldbench.data.layouts.folder import existing_folder
from worldbench.data.manifest import Entry, Manifest, first_by_hash, scan
from worldbench.data.source import Clip
from worldbench.data.still_files import pictures_below, probe_picture, read_picture
from worldbench.data.video import fit_picture
from worldbench.progress import Progress
from worldbench.schema import DataInfo, Exclusion

_TRAINING_PICTURES = 16384  # more would be encoded for hours; max_videos of data.train asks for all


class StillData:
    """Pictures in ``root/[split/]class/``, as ImageNet-1K lies on disk; every picture a clip.

    Nothing is read before the first question; the scan then decodes every picture once and
    remembers unchanged files in the cache.

    Args:
        name: The name records and the board show.
        root: The folder that holds ``train`` and ``val``, or the classes.
        split: Keep only this split; everything if None.
        classes: Keep only these classes, by the names of their folders.
        train: How the training split differs, e.g. ``{"split": "train"}``; None if there is none.
            It has at most 16384 pictures, chosen by the hash of their ids, unless ``max_videos``
            here says otherwise.
        frames: Frames per clip, all equal.
        fps: Frames per second that clips are said to have.
        size: Height and width: the short side is resized, the centre cropped.
        max_videos: Only so many pictures, chosen by the hash of their ids; all if None.
        max_excluded: Largest share of unusable pictures that a run accepts, in [0, 1].

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        root: str,
        *,
        split: str | None = None,
        classes: Sequence[str] | None = None,
        train: Mapping[str, Any] | None = None,
        frames: int = 16,
        fps: float | int = 8,
        size: Sequence[int] = (224, 224),
        max_videos: int | None = None,
        max_excluded: float | int = 0.05,
    ) -> None:
        self.name, self.root, self.split, self.classes = name, root, split, classes
        self.format = clip_format(frames, fps, size)
        self.max_videos = some_or_all("max_videos", max_videos)
        self.max_excluded = share_excluded(max_excluded)
        self._train = dict(train) if train is not None else None

    @property
    def frames(self) -> int:
        """Frames per clip."""
        return self.format.frames

    @property
    def fps(self) -> float:
        """Frames per second that clips are said to have."""
        return self.format.fps

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of pictures, as records keep them."""
        return {
            "stills": True,
            "frames": self.frames,
            "fps": self.fps,
            "size": list(self.format.size),
            "split": self.split,
            "classes": list(self.classes) if self.classes is not None else None,
            "max_videos": self.max_videos,
        }

    @cached_property
    def train(self) -> "StillData | None":
        """Pictures of the training split in the same format, if there is one."""
        if self._train is None:
            return None
        options: dict[str, Any] = {
            "name": f"{self.name}/train",
            "root": self.root,
            "split": self.split,
            "classes": self.classes,
            "frames": self.frames,
            "fps": self.fps,
            "size": self.format.size,
            "max_videos": _TRAINING_PICTURES,
            "max_excluded": self.max_excluded,
        }
        return StillData(**training_options(options, self._train))

    @cached_property
    def manifest(self) -> Manifest:
        """The scanned pictures; the first access decodes them all once.

        Raises:
            DataError: As :func:`worldbench.data.manifest.scan`.
        """
        base = existing_folder(self.root)
        found = labelled(pictures_below(base), classes=self.classes, split=self.split)
        chosen = first_by_hash(found, self.max_videos)
        with Progress().task(f"scanning {self.name}", len(chosen)) as step:
            return scan(
                chosen,
                base,
                max_excluded=self.max_excluded,
                cache=cache_folder("scans", "stills"),
                progress=step.to,
                look=probe_picture,
            )

    @property
    def info(self) -> DataInfo:
        """Identity, counts and exclusions, as records keep them."""
        count = len(self.manifest.entries)
        excluded = [Exclusion(path=e.path, reason=e.reason) for e in self.manifest.excluded]
        return DataInfo(
            name=self.name,
            digest=self.manifest.digest,
            clips=count,
            clusters=count,
            excluded=tuple(excluded),
        )

    @property
    def contents(self) -> frozenset[str]:
        """Digests of the pictures, to tell whether splits overlap."""
        return frozenset(entry.info.sha256 for entry in self.manifest.entries)

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return {entry.id: entry for entry in self.manifest.entries}

    def clips(self) -> list[Clip]:
        """Lists every picture, in the order of its path."""
        return [
            Clip(name, name, name, entry.video.label or "", 0.0)
            for name, entry in self._entries.items()
        ]

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes pictures by id and repeats each.

        Raises:
            DataError: If a file changed since the scan.
        """
        out = np.empty((len(ids), self.frames, *self.format.size, 3), np.uint8)
        for position, name in enumerate(ids):
            entry = self._entries[name]
            picture = read_picture(self.manifest.file(entry), entry.info)
            out[position] = fit_picture(picture, self.format.size)
        return out
