"""A set of the worlds as a clip source: rendered on first use, read from memory-mapped shards."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldbench.data.source import Clip
from worldbench.data.worlds.content import Content, WorldClip
from worldbench.data.worlds.storage import shards
from worldbench.data.worlds.storage.build import Built, content_of, no_clip, render_content, sides
from worldbench.data.worlds.track import Track
from worldbench.errors import UsageError, unknown_name
from worldbench.schema import DataInfo, digest

_MADE = ("_loaded", "built", "train", "contents", "_chosen")


class WorldData:
    """Clips of one split of a set of the worlds.

    Nothing is read, simulated or rendered before the first question. Questions about names and
    tracks need no pictures; the first ``load`` renders those that the cache lacks.

    Args:
        name: The set, and what records and the board show.
        split: One of the set's splits, usually ``test``, ``train`` or ``calibration``.
        max_clips: Only so many clips, chosen by the hash of their ids; all if None.
        size: Height and width (one integer for both); what the set was made for if None.
        workers: Processes that simulate and render; one per core if None.

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        split: str = "test",
        *,
        max_clips: int | None = None,
        size: int | Sequence[int] | None = None,
        workers: int | None = None,
    ) -> None:
        for option, count in (("max_clips", max_clips), ("workers", workers)):
            if count is not None and count < 1:
                raise UsageError(
                    f"data.{option} leaves nothing to do",
                    seen=count,
                    accepted="an integer of at least 1, or null for all",
                    fix=f"data.{option}=null",
                )
        sides = (size, size) if isinstance(size, int) else size
        if sides is not None and len(sides) != 2:
            raise UsageError(
                "data.size is no size",
                seen=size,
                accepted="[height,width] in pixels, one number for both, null for what the set was "
                "made for, or, in a run, native for the adapter's own",
                fix="data.size=null",
            )
        self.name, self.split, self.max_clips, self.workers = name, split, max_clips, workers
        self.size = (sides[0], sides[1]) if sides is not None else None

    def __getstate__(self) -> dict[str, Any]:
        # Tracks and maps stay behind: another process reads them from the cache when asked.
        return {name: value for name, value in self.__dict__.items() if name not in _MADE}

    @cached_property
    def _loaded(self) -> tuple[Content, dict[str, np.ndarray] | None]:
        return content_of(self.name, workers=self.workers)

    @property
    def content(self) -> Content:
        """Tracks, labels and quads of the whole set, all splits."""
        return self._loaded[0]

    @cached_property
    def built(self) -> Built:
        """This split's pictures; the first access renders what the cache lacks, verifies the rest.

        Raises:
            WorldbenchError: As :func:`worldbench.data.worlds.build.build`.
        """
        content, shipped = self._loaded
        return render_content(
            content, self.size, ids=self._chosen, shipped=shipped, workers=self.workers
        )

    @cached_property
    def _chosen(self) -> dict[str, WorldClip]:
        splits = {clip.split for clip in self.content.clips}
        if self.split not in splits:
            raise unknown_name(
                f"split of {self.name}", self.split, splits, fix="correct data.split"
            )
        clips = [clip for clip in self.content.clips if clip.split == self.split]
        if self.max_clips is not None and len(clips) > self.max_clips:
            hashed = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
            kept = {clip.id for clip in hashed[: self.max_clips]}
            clips = [clip for clip in clips if clip.id in kept]
        return {clip.id: clip for clip in clips}

    @property
    def frames(self) -> int:
        """Frames per clip."""
        return self.content.clips[0].track.frames

    @property
    def fps(self) -> float:
        """Frames per second of every clip."""
        return float(self.content.clips[0].track.spec.fps)

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of clips, as records keep them."""
        return {
            "frames": self.frames,
            "fps": self.fps,
            "size": list(sides(self.content, self.size)),
            "split": self.split,
            "max_clips": self.max_clips,
        }

    @property
    def info(self) -> DataInfo:
        """Identity and counts. The digest is of tracks and of the renderer's version."""
        return DataInfo(
            name=self.name,
            digest=digest(["worlds", self.content.digest, shards.RENDERER, self.split]),
            clips=len(self._chosen),
            clusters=len({clip.cluster for clip in self._chosen.values()}),
        )

    @cached_property
    def contents(self) -> frozenset[str]:
        """Digests of the tracks, to tell whether splits overlap."""
        return frozenset(clip.track.digest for clip in self._chosen.values())

    @cached_property
    def train(self) -> "WorldData | None":
        """All clips of the set's training split, if it has one and this is another."""
        if self.split == "train" or all(clip.split != "train" for clip in self.content.clips):
            return None
        data = WorldData(self.name, "train", size=self.size, workers=self.workers)
        data.__dict__["_loaded"] = self._loaded
        return data

    def clips(self) -> list[Clip]:
        """Lists every clip in the set's order; each is a video of its own, of one scene."""
        return [
            Clip(clip.id, clip.id, clip.cluster, clip.label, 0.0) for clip in self._chosen.values()
        ]

    def track(self, clip_id: str) -> Track:
        """Returns the truth of a clip.

        Raises:
            UsageError: If the source has no such clip.
        """
        if clip_id not in self._chosen:
            raise no_clip(self.name, clip_id, self._chosen)
        return self._chosen[clip_id].track

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Copies clips by id out of the shards.

        Raises:
            UsageError: If the set has no such clip.
            WorldbenchError: If the pictures cannot be made; see :attr:`built`.
        """
        for clip_id in ids:
            self.track(clip_id)
        return self.built.load(ids)
