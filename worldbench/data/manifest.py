"""Which videos a data folder offers, checked one by one, under a digest that travels.

A reader of :mod:`worldbench.data.layouts` lists :class:`Video` items; :func:`scan` decodes each
file once and keeps what is usable. What is not is kept too, with its reason, and enters the
digest: two machines that disagree about one broken file do not share a digest.
"""

import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass
from pathlib import Path

from worldbench.data.files import contained
from worldbench.data.probe_cache import ProbeCache
from worldbench.data.video_info import VideoInfo, probe
from worldbench.errors import DataError

Look = Callable[[str, Path], VideoInfo]
"""Tells what is in a file, by its path and root; a DataError says why it cannot be used."""

_SHOWN = 5
_REPEATS = "frames would repeat"


@dataclass(frozen=True, order=True)
class Video:
    """One item of a dataset: a video file, or a stretch of one.

    Attributes:
        path: POSIX path relative to the data root.
        label: Class name or index, as the listing writes it; None without labels.
        split: E.g. ``"train"``; None where the layout has none.
        start: First second to use, None for the beginning.
        end: Second to stop before, None for the end.
    """

    path: str
    label: str | None = None
    split: str | None = None
    start: float | None = None
    end: float | None = None

    @property
    def id(self) -> str:
        """The path without its suffix, and ``@start-end`` in seconds when a stretch is meant."""
        stem = self.path.rpartition(".")[0] or self.path
        if self.start is None and self.end is None:
            return stem
        return f"{stem}@{self.start or 0:g}-{'end' if self.end is None else f'{self.end:g}'}"


@dataclass(frozen=True)
class Entry:
    """A usable video and what decoding it found."""

    video: Video
    info: VideoInfo

    @property
    def id(self) -> str:
        """The video's id."""
        return self.video.id

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end, in seconds from the first frame, of the stretch to use."""
        return _stretch(self.video, self.info)


@dataclass(frozen=True, order=True)
class Excluded:
    """A listed file that cannot be used, and why. The reason names no path."""

    path: str
    reason: str


@dataclass(frozen=True)
class Manifest:
    """The usable videos of a data folder, sorted by path.

    Attributes:
        root: The local folder; not part of the digest.
        entries: Usable videos.
        excluded: The others, with reasons.
        digest: SHA-256, in hex, over paths, sizes, file digests, labels, splits and exclusions.
    """

    root: Path
    entries: tuple[Entry, ...]
    excluded: tuple[Excluded, ...]
    digest: str

    def file(self, entry: Entry) -> Path:
        """The local path of an entry."""
        return self.root / entry.video.path


def unique(videos: Iterable[Video]) -> tuple[Video, ...]:
    """Sorts videos by path and insists that every id occurs once.

    Raises:
        DataError: If ids repeat, listing them.
    """
    ordered = sorted(videos, key=lambda video: (video.path, video.start or 0.0, video.id))
    twice = [name for name, n in Counter(video.id for video in ordered).items() if n > 1]
    if twice:
        raise DataError(
            f"{len(twice)} duplicate video ids",
            seen=_listed(twice),
            accepted="one file per path without suffix, listed once",
            fix="rename or remove one file of each, or drop the repeated lines of the listing",
        )
    return tuple(ordered)


def first_by_hash(videos: Sequence[Video], count: int | None) -> Sequence[Video]:
    """Keeps so many videos, chosen by the hash of their ids; all for None."""
    if count is None or len(videos) <= count:
        return videos
    return sorted(videos, key=lambda video: hashlib.sha256(video.id.encode()).digest())[:count]


def scan(
    videos: Iterable[Video],
    root: str | Path,
    *,
    workers: int | None = None,
    max_excluded: float = 0.05,
    min_frames: int = 1,
    min_seconds: float = 0.0,
    min_fps: float = 0.0,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    look: Look | None = None,
) -> Manifest:
    """Decodes every listed file once and builds the manifest.

    Args:
        videos: What a layout reader listed.
        root: The folder that their paths are relative to.
        workers: Threads; decoding releases the GIL. Default: one per CPU, at most 16.
        max_excluded: Largest share of listed videos that may be unusable, in [0, 1].
        min_frames: Fewest frames a video (or its stretch) must have.
        min_seconds: Shortest duration in seconds.
        min_fps: Fewest frames per second; up to 2 % less passes, as NTSC rates need.
        cache: Folder that remembers what was found in unchanged files; None to forget.
        progress: Called with (files done, files in all), on the calling thread.
        look: Tells what is in a file, by its path and root; by default
            :func:`~worldbench.data.video_info.probe`.

    Returns:
        The manifest; the same files give the same digest wherever they lie.

    Raises:
        DataError: If nothing is listed or usable, a path leaves the root, ids repeat, or more
            than ``max_excluded`` of the videos are unusable.
    """
    base = Path(root).resolve()
    listed = unique(videos)
    if not listed:
        raise DataError(
            "no videos to scan",
            seen=str(root),
            accepted="a folder or listing with at least one video",
            fix="check the root and the layout; `ls` it to see that the data is mounted",
        )
    for video in listed:
        contained(video.path, base)  # an escape is an attack or a wrong root, never an exclusion
    paths = sorted({video.path for video in listed})
    found = _probe_all(paths, base, workers, cache, progress, look or probe)
    entries, excluded = [], []
    for video in listed:
        info = found[video.path]
        if isinstance(info, str):
            excluded.append(Excluded(video.path, info))
            continue
        unfit = _too_short(video, info, min_frames, min_seconds) or _too_slow(info, min_fps)
        if unfit:
            excluded.append(Excluded(video.path, unfit))
        else:
            entries.append(Entry(video, info))
    _limit_excluded(excluded, len(listed), max_excluded)
    return Manifest(base, tuple(entries), tuple(excluded), _digest(entries, excluded))


def _probe_all(
    paths: list[str],
    root: Path,
    workers: int | None,
    cache: Path | None,
    progress: Callable[[int, int], None] | None,
    look: Look,
) -> Mapping[str, VideoInfo | str]:
    """Maps every path to what it holds, or to the reason why it is unusable."""
    memory = ProbeCache.load(cache, root)

    def told(path: str) -> VideoInfo | str:
        try:
            known = memory.get(root / path)
            return known or memory.put(root / path, look(path, root))
        except DataError as error:
            return error.what
        except OSError as error:
            return f"unreadable file: {type(error).__name__}"

    found: dict[str, VideoInfo | str] = {}
    threads = workers or min(16, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads)
    try:
        futures = {pool.submit(told, path): path for path in paths}
        for done, future in enumerate(as_completed(futures), start=1):
            found[futures[future]] = future.result()
            if progress is not None:
                progress(done, len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
        memory.save()  # also when interrupted: a scan of a large set is hours
    return found


def _stretch(video: Video, info: VideoInfo) -> tuple[float, float]:
    end = info.duration if video.end is None else min(video.end, info.duration)
    return video.start or 0.0, end


def _too_short(video: Video, info: VideoInfo, min_frames: int, min_seconds: float) -> str | None:
    start, end = _stretch(video, info)
    seconds = max(0.0, end - start)
    stamps = info.timestamps
    frames = int(((stamps >= start - 1e-6) & (stamps < end - 1e-6)).sum())
    if frames < max(1, min_frames):
        return f"too short: {frames} of {max(1, min_frames)} frames"
    if seconds < min_seconds - 1e-6:
        return f"too short: {seconds:.3f} of {min_seconds:.3f} seconds"
    return None


def _too_slow(info: VideoInfo, min_fps: float) -> str | None:
    """Tells of resampling that would repeat frames: motion stutters, and flow between them is 0."""
    measured = len(info.variable) > 1
    fps = (info.frames - 1) / info.variable[-1] if measured else info.fps
    if fps >= 0.98 * min_fps:
        return None
    return f"{fps:.4g} frames per second, fewer than data.fps={min_fps:g}: {_REPEATS}"


def _limit_excluded(excluded: list[Excluded], total: int, allowed: float) -> None:
    if len(excluded) < total and len(excluded) <= allowed * total:
        return
    share = len(excluded) / total
    slow = any(item.reason.endswith(_REPEATS) for item in excluded)
    fix = "repair, fetch or remove them" + (", or lower data.fps to their rate" if slow else "")
    override = f"or accept them with data.max_excluded={math.ceil(share * 1000) / 1000:g}"
    raise DataError(
        f"{len(excluded)} of {total} videos are unusable",
        seen=_listed([f"{item.path} ({item.reason})" for item in excluded]),
        accepted=f"at least one usable video and at most {allowed:.1%} unusable",
        fix=fix + (f", {override}" if share < 1 else ""),
    )


def _digest(entries: list[Entry], excluded: list[Excluded]) -> str:
    rows = [[*astuple(e.video), e.info.size_bytes, e.info.sha256] for e in entries]
    body = {"videos": rows, "excluded": [[item.path, item.reason] for item in excluded]}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(items: list[str]) -> str:
    rest = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + rest
