"""Clip sources of matched movies: scanned once, whole, and cut by the suite that asks about them.

A clip is a whole movie. All clips of a source have as many frames as its longest quadruplet;
shorter ones repeat their last frame, and ``matched`` says how many are real.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldbench.data.clip_options import share_excluded
from worldbench.data.manifest import Excluded
from worldbench.data.quadruplets import Footage, Matched, Quadruplet, match
from worldbench.data.source import Clip
from worldbench.errors import DataError, UsageError
from worldbench.options import at_least
from worldbench.schema import DataInfo, Exclusion, digest

_SHOWN = 5


@dataclass(frozen=True)
class Scan:
    """What is usable of a data set of quadruplets.

    Attributes:
        matched: The usable quadruplets, paired, in the order of the listing.
        footage: What their movies hold, by path.
        excluded: The others, each with the first reason found.
        digest: Of listing, content and exclusions, in hex.
    """

    matched: tuple[Matched, ...]
    footage: Mapping[str, Footage]
    excluded: tuple[Excluded, ...]
    digest: str


class QuadrupletData(ABC):
    """Movies in quadruplets, every ``step``-th frame of them.

    Nothing is read before the first question. A quadruplet of which any movie is unusable is
    excluded as a whole.

    Args:
        name: The name records and the board show.
        root: The data folder.
        step: Distance of used frames, in frames of the files.
        min_frames: Fewest used frames a movie must have: the window of the suite.
        size: Height and width of the clips: the short side is resized, the centre cropped.
        max_excluded: Largest share of unusable quadruplets that a run accepts, in [0, 1].

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        root: str,
        *,
        step: int,
        min_frames: int,
        size: Sequence[int],
        max_excluded: float | int,
    ) -> None:
        self.name, self.root = name, root
        self.step = at_least("data.step", step, 1)
        self.min_frames = at_least("data.min_frames", min_frames, 2)
        if len(size) != 2:
            raise UsageError(
                "data.size is no size",
                seen=list(size),
                accepted="[height,width] in pixels",
                fix="data.size=[224,224]",
            )
        self.size = (at_least("data.size", size[0], 1), at_least("data.size", size[1], 1))
        self.max_excluded = share_excluded(max_excluded)

    @abstractmethod
    def listed(self) -> tuple[Quadruplet, ...]:
        """Lists all quadruplets; opens no movie.

        Raises:
            DataError: If the layout is another.
        """

    @abstractmethod
    def look(self, paths: Sequence[str]) -> dict[str, Footage | str]:
        """Decodes every movie once and tells what is in it, or why it cannot be used."""

    @abstractmethod
    def decode(self, path: str, frames: int) -> UInt8[np.ndarray, "t h w 3"]:
        """Returns the first ``frames`` used frames of a movie, at the source's size.

        Raises:
            DataError: If the movie changed since the scan.
        """

    @cached_property
    def scan(self) -> Scan:
        """The scanned data; the first access decodes every movie once.

        Raises:
            DataError: If nothing is listed, or more than ``max_excluded`` is unusable.
        """
        listed = self.listed()
        if not listed:
            raise DataError(
                "no quadruplets to scan",
                seen=self.root,
                accepted="at least one scene of four movies",
                fix="check data.root; `ls` it to see that the data is mounted and unpacked",
            )
        found = self.look([m.path for q in listed if q.fault is None for m in q.movies])
        excluded, matched = [], []
        footage = {path: known for path, known in found.items() if isinstance(known, Footage)}
        for quadruplet in listed:
            reason = self._unfit(quadruplet, found)
            if reason is not None:
                excluded.append(reason)
            else:
                matched.append(match(quadruplet, footage))
        self._limit(excluded, len(listed))
        rows = [
            [q.id, q.cluster, dict(q.factors), q.exact, [[p, footage[p].digest] for p in q.movies]]
            for q in matched
        ]
        identity = digest(["quadruplets", rows, [[e.path, e.reason] for e in excluded]])
        return Scan(tuple(matched), footage, tuple(excluded), identity)

    def _unfit(self, quadruplet: Quadruplet, found: Mapping[str, Footage | str]) -> Excluded | None:
        if quadruplet.fault is not None:
            return Excluded(quadruplet.id, quadruplet.fault)
        for path in sorted(movie.path for movie in quadruplet.movies):
            known = found[path]
            if isinstance(known, str):
                return Excluded(path, known)
            if known.frames < self.min_frames:
                short = f"too short: {known.frames} of {self.min_frames} frames"
                return Excluded(path, f"{short} at data.step={self.step}")
        return None

    def _limit(self, excluded: Sequence[Excluded], total: int) -> None:
        if len(excluded) < total and len(excluded) <= self.max_excluded * total:
            return
        share = len(excluded) / total
        override = f", or accept them with data.max_excluded={math.ceil(share * 1000) / 1000:g}"
        more = f" and {len(excluded) - _SHOWN} more" if len(excluded) > _SHOWN else ""
        shown = ", ".join(f"{item.path} ({item.reason})" for item in excluded[:_SHOWN])
        raise DataError(
            f"{len(excluded)} of {total} quadruplets are unusable",
            seen=shown + more,
            accepted=f"at least one usable quadruplet and at most {self.max_excluded:.1%} unusable",
            fix="fetch them again or remove them" + (override if share < 1 else ""),
        )

    @property
    def matched(self) -> tuple[Matched, ...]:
        """The usable quadruplets, paired."""
        return self.scan.matched

    @cached_property
    def frames(self) -> int:
        """Frames per clip."""
        return max(quadruplet.frames for quadruplet in self.matched)

    @cached_property
    def fps(self) -> float:
        """Used frames per second, the median over the movies."""
        rates = [self.scan.footage[path].fps for q in self.matched for path in q.movies]
        return float(np.median(rates))

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format, as records keep it."""
        return {"step": self.step, "min_frames": self.min_frames, "size": list(self.size)}

    @property
    def info(self) -> DataInfo:
        """Identity, counts and exclusions, as records keep them."""
        return DataInfo(
            name=self.name,
            digest=self.scan.digest,
            clips=4 * len(self.matched),
            clusters=len({quadruplet.cluster for quadruplet in self.matched}),
            excluded=tuple(
                Exclusion(path=item.path, reason=item.reason) for item in self.scan.excluded
            ),
        )

    @property
    def contents(self) -> frozenset[str]:
        """Digests of the movies."""
        return frozenset(self.scan.footage[path].digest for q in self.matched for path in q.movies)

    @property
    def train(self) -> None:
        """None: nothing is fitted on these data."""
        return None

    def clips(self) -> list[Clip]:
        """Lists every movie, quadruplet by quadruplet, the possible ones first."""
        return [
            Clip(path, path, q.cluster, "possible" if place < 2 else "impossible", 0.0)
            for q in self.matched
            for place, path in enumerate(q.movies)
        ]

    @cached_property
    def _real_frames(self) -> dict[str, int]:
        return {path: q.frames for q in self.matched for path in q.movies}

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes movies by id, the last frame repeated up to the clips' length.

        Raises:
            DataError: If a movie changed since the scan or a frame does not decode.
        """
        out = np.empty((len(ids), self.frames, *self.size, 3), np.uint8)
        for clip, path in zip(out, ids, strict=True):
            frames = self._real_frames[path]
            clip[:frames] = self.decode(path, frames)
            clip[frames:] = clip[frames - 1]
        return out
