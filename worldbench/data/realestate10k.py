"""RealEstate10K as a clip source: real videos whose camera is known, for users who have them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8
from scipy.spatial.transform import Rotation, Slerp

from worldbench.cache import cache_folder
from worldbench.data.layouts.realestate10k import CameraPath, PosedVideo, read_poses, realestate10k
from worldbench.data.manifest import Entry, Excluded, Manifest, Video, scan
from worldbench.data.real import VideoData
from worldbench.data.video import clip_times, decode_clips
from worldbench.data.video_info import VideoInfo
from worldbench.errors import DataError, UsageError
from worldbench.progress import Progress
from worldbench.schema import digest

_SHOWN = 5
_SLACK = 0.25  # s; a few frames, since tools cut where they can


@dataclass(frozen=True, eq=False)
class Cameras:
    """The camera of every frame of a clip.

    Attributes:
        K: Intrinsics in pixels of the clip's size; pixel (row i, column j) has its centre at
            (j + ½, i + ½).
        c2w: Camera to world, x right, y down, z forward. The unit of length is arbitrary, another
            for every pose file.
    """

    K: Float64[np.ndarray, "t 3 3"]
    c2w: Float64[np.ndarray, "t 4 4"]


class RealEstateData(VideoData):
    """Clips of RealEstate10K with their cameras, without depth.

    A pose file counts as a video, its source video as the cluster. The scan reads every pose file
    and decodes every video once; pose files without a video are excluded like unusable ones.
    Nothing tells the scale of translations, which is another for every pose file: compare
    directions, or fit it. There is no training split here: ``split`` says which one this is.

    Args:
        name: The name records and the board show.
        root: The folder that :func:`worldbench.data.layouts.realestate10k.realestate10k` describes.
        split: ``train`` or ``test``; everything if None.
        frames: Frames per clip.
        fps: Frames per second; videos are resampled by timestamps, slower ones are excluded.
        size: Height and width of the clips: the short side is resized, the centre cropped.
        clips_per_video: At most so many clips of one pose file, spread evenly; all if None.
        max_videos: Only so many pose files, chosen by the hash of their ids; all if None.
        max_excluded: Largest share of unusable pose files that a run accepts, in [0, 1].

    Raises:
        UsageError: If a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        root: str,
        split: str | None = None,
        *,
        frames: int = 16,
        fps: float | int = 8.0,
        size: Sequence[int] = (64, 64),
        clips_per_video: int | None = None,
        max_videos: int | None = None,
        max_excluded: float | int = 0.05,
    ) -> None:
        super().__init__(
            name,
            root,
            split=split,
            frames=frames,
            fps=fps,
            size=size,
            clips_per_video=clips_per_video,
            max_videos=max_videos,
            max_excluded=max_excluded,
        )

    @property
    def protocol(self) -> dict[str, Any]:
        """The clip format and the choice of videos, as records keep them."""
        said = super().protocol
        return {key: said[key] for key in said if key not in ("classes", "cluster")}

    @cached_property
    def manifest(self) -> Manifest:
        """The usable pose files with their videos, sorted by id; the first access reads them all.

        Raises:
            DataError: As :func:`worldbench.data.layouts.realestate10k.realestate10k`, or if more
                than ``max_excluded`` of the pose files are unusable.
        """
        listed, unlisted = realestate10k(self.root, split=self.split, max_videos=self.max_videos)
        videos = self._probe(sorted({item.path for item in listed})) if listed else {}
        checked = {item: self._checked(item, videos[item.path]) for item in listed}
        usable = {item: entry for item, entry in checked.items() if isinstance(entry, Entry)}
        unusable = [item for item in checked.values() if isinstance(item, Excluded)]
        excluded = tuple(sorted([*unlisted, *unusable]))
        self._limit(excluded, len(listed) + len(unlisted))
        rows = [[item.id, item.digest, item.path, e.info.sha256] for item, e in usable.items()]
        identity = digest(["realestate10k", rows, [[e.path, e.reason] for e in excluded]])
        return Manifest(Path(self.root).resolve(), tuple(usable.values()), excluded, identity)

    def _probe(self, paths: Sequence[str]) -> dict[str, VideoInfo | str]:
        """Maps every video to what it holds, or to the reason why it is unusable."""
        with Progress().task(f"scanning {self.name}", len(paths)) as step:
            manifest = scan(
                [Video(path) for path in paths],
                self.root,
                max_excluded=1.0,  # limited by pose file instead
                min_fps=self.fps,
                cache=cache_folder("scans"),
                progress=step.to,
            )
        found: dict[str, VideoInfo | str] = {e.path: e.reason for e in manifest.excluded}
        return found | {entry.video.path: entry.info for entry in manifest.entries}

    def _checked(self, item: PosedVideo, info: VideoInfo | str) -> Entry | Excluded:
        if isinstance(info, str):
            return Excluded(item.pose, f"video {Path(item.path).stem}: {info}")
        start, last = item.start or 0.0, item.end or 0.0
        told = last - start + 1 / info.fps
        if item.cut and abs(info.duration - told) > _SLACK:
            # It begins elsewhere or runs at another rate: whose camera is whose, nothing tells.
            reason = f"cut of {info.duration:.2f} s, but cameras for {told:.2f} s"
            return Excluded(item.pose, reason)
        # A clip's last frame needs a camera at its own time, not for as long as it is shown.
        entry = Entry(replace(item, end=last + 1 / self.fps), info)
        if not self.format.windows(*entry.seconds):
            seconds = max(0.0, entry.seconds[1] - start)
            reason = f"too short: {seconds:.3f} of {self.format.seconds:.3f} seconds"
            return Excluded(item.pose, reason)
        return entry

    def _limit(self, excluded: Sequence[Excluded], total: int) -> None:
        if len(excluded) < total and len(excluded) <= self.max_excluded * total:
            return
        share = math.ceil(len(excluded) / total * 1000) / 1000
        shown = [f"{item.path} ({item.reason})" for item in excluded[:_SHOWN]]
        override = f", or accept them with data.max_excluded={share:g}"
        raise DataError(
            f"{len(excluded)} of {total} pose files are unusable",
            seen=", ".join(shown + ["…"] * (len(excluded) > _SHOWN)),
            accepted=f"at least one usable pose file and at most {self.max_excluded:.1%} unusable",
            fix="fetch their videos, or remove them" + (override if len(excluded) < total else ""),
        )

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes clips by id, each video in one pass, however many pose files it serves.

        Raises:
            DataError: If a video changed since the scan or a frame does not decode.
            UsageError: If there is no such clip.
        """
        placed = [self._place(name) for name in ids]
        out = np.empty((len(ids), self.frames, *self.format.size, 3), np.uint8)
        for path in dict.fromkeys(video.path for video, _, _ in placed):
            positions = [n for n, (video, _, _) in enumerate(placed) if video.path == path]
            file, info = self.manifest.root / path, placed[positions[0]][1]
            times = [placed[position][2] for position in positions]
            out[positions] = decode_clips(file, times, size=self.format.size, info=info)
        return out

    def cameras(self, clip_id: str) -> Cameras:
        """Tells the cameras of the frames that :meth:`load` returns, each at its own time.

        Between the lines of the pose file rotations are interpolated by slerp and centres linearly;
        intrinsics are those of the nearest line, scaled and shifted as the pictures are.

        Raises:
            DataError: If the pose file changed since the scan.
            UsageError: If there is no such clip.
        """
        video, info, times = self._place(clip_id)
        path = read_poses(video.pose, self.root)
        if path.digest != video.digest:
            raise DataError(
                "a pose file changed since it was scanned",
                seen=video.pose,
                accepted="the cameras that the scan found",
                fix="run the command again",
            )
        intrinsics, c2w = _interpolated(path, _shown(info, times) * 1e6 + video.begin_us)
        return Cameras(_in_pixels(intrinsics, (info.height, info.width), self.format.size), c2w)

    def _place(self, clip_id: str) -> tuple[PosedVideo, VideoInfo, tuple[float, ...]]:
        """Finds the stretch of video, what the file holds, and the seconds of a clip's frames."""
        name, _, window = clip_id.rpartition("@")
        entry = self._entries.get(name)
        starts = {str(k): at for k, at in self.format.windows(*entry.seconds)} if entry else {}
        if entry is None or window not in starts or not isinstance(entry.video, PosedVideo):
            known = f"an id that clips() lists, e.g. {self.manifest.entries[0].id}@0"
            raise UsageError("no such clip", seen=clip_id, accepted=known, fix="choose another")
        return entry.video, entry.info, clip_times(starts[window], self.frames, self.fps)

    def _source(self, video: str) -> str:
        posed = self._entries[video].video
        return posed.source if isinstance(posed, PosedVideo) else video


def _interpolated(
    path: CameraPath, times_us: Float64[np.ndarray, " n"]
) -> tuple[Float64[np.ndarray, "n 4"], Float64[np.ndarray, "n 4 4"]]:
    """Returns normalised intrinsics and camera to world; beyond the lines, those of the end."""
    lines = path.timestamps_us.astype(np.float64)
    asked = times_us.clip(lines[0], lines[-1])
    after = np.searchsorted(lines, asked).clip(1, len(lines) - 1)
    nearest = np.where(asked - lines[after - 1] > lines[after] - asked, after, after - 1)
    turns = Rotation.from_matrix(path.w2c[:, :, :3]).inv()
    centres = -turns.apply(path.w2c[:, :, 3])
    c2w = np.tile(np.eye(4), (len(asked), 1, 1))
    c2w[:, :3, :3] = Slerp(lines, turns)(asked).as_matrix()
    for axis in range(3):
        c2w[:, axis, 3] = np.interp(asked, lines, centres[:, axis])
    return path.intrinsics[nearest], c2w


def _shown(info: VideoInfo, times: Sequence[float]) -> Float64[np.ndarray, " t"]:
    """When the frames are shown that ``decode_clips`` takes for some times: the nearest ones."""
    stamps, asked = info.timestamps, np.asarray(times, dtype=np.float64)
    after = np.searchsorted(stamps, asked).clip(1, len(stamps) - 1)
    later = asked - stamps[after - 1] > stamps[after] - asked + 1e-6
    shown: Float64[np.ndarray, " t"] = np.where(later, stamps[after], stamps[after - 1])
    return shown


def _in_pixels(
    intrinsics: Float64[np.ndarray, "t 4"], picture: tuple[int, int], size: tuple[int, int]
) -> Float64[np.ndarray, "t 3 3"]:
    """Turns normalised intrinsics into those of a picture that ``fit_picture`` made."""
    scale = max(size[0] / picture[0], size[1] / picture[1])
    height, width = (max(s, round(p * scale)) for s, p in zip(size, picture, strict=True))
    matrix = np.tile(np.eye(3), (len(intrinsics), 1, 1))
    matrix[:, [0, 1], [0, 1]] = intrinsics[:, :2] * (width, height)
    left, top = (width - size[1]) // 2, (height - size[0]) // 2
    matrix[:, :2, 2] = intrinsics[:, 2:] * (width, height) - (left, top)
    return matrix
