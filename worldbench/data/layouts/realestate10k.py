"""RealEstate10K (Zhou et al. 2018, "Stereo Magnification"): videos whose camera is known.

``<split>/<id>.txt`` or ``poses/<split>/<id>.txt`` tells the camera of one clip, as documented at
google.github.io/realestate10k: the source video's URL on the first line, then :data:`COLUMNS` of
one frame per line. The release holds no pictures; ``videos`` holds what the user has of them.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from worldbench.data.files import contained, require_utf8
from worldbench.data.layouts.folder import existing_folder, videos_below
from worldbench.data.layouts.listing import read_text
from worldbench.data.manifest import Excluded, Video, unique
from worldbench.errors import DataError, unknown_name

POSES, VIDEOS = "poses", "videos"

COLUMNS = (
    *("timestamp", "fx", "fy", "px", "py", "k1", "k2"),
    *(f"P{row}{column}" for row in range(3) for column in range(4)),
)
"""Microseconds since the start of the source video; focal lengths and principal point, in widths
(x) and heights (y) of the picture, whose top left corner is (0, 0); radial distortion; [R|t], world
to camera, row by row."""

_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_YOUTUBE = re.compile(r"[?&]v=([\w-]+)(?=[&#]|$)", re.ASCII)
_UNIT = 1e-3  # how far R Rᵀ may be from I; the release prints nine digits


@dataclass(frozen=True, eq=False)
class CameraPath:
    """The camera of one clip, frame by frame: what a pose file says.

    Attributes:
        url: The source video.
        timestamps_us: Microseconds since its start, rising.
        intrinsics: fx, fy, px, py, in widths (x) and heights (y) of the picture.
        distortion: k1, k2; 0 in the release.
        w2c: World to camera, x right, y down, z forward. The unit of length is the clip's own.
    """

    url: str
    timestamps_us: Int64[np.ndarray, " t"]
    intrinsics: Float64[np.ndarray, "t 4"]
    distortion: Float64[np.ndarray, "t 2"]
    w2c: Float64[np.ndarray, "t 3 4"]

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what the file says; how it writes its numbers is no part of it."""
        sha = hashlib.sha256(self.url.encode())
        for array in (self.timestamps_us, self.intrinsics, self.distortion, self.w2c):
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()


@dataclass(frozen=True, order=True, kw_only=True)
class PosedVideo(Video):
    """The stretch of a video whose camera a pose file tells, from its first line to its last.

    Attributes:
        name: ``<split>/<id>``.
        pose: The pose file, a POSIX path relative to the data root.
        source: YouTube id of the source video; its URL where that has none.
        cut: Whether the file holds this clip alone and not the source video.
        begin_us: Timestamp of the file's first frame.
        digest: Of what the pose file says.
    """

    name: str
    pose: str
    source: str
    cut: bool
    begin_us: int
    digest: str

    @property
    def id(self) -> str:
        """The name: one video may serve many pose files."""
        return self.name


def realestate10k(
    root: str | Path, *, split: str | None = None, max_videos: int | None = None
) -> tuple[tuple[PosedVideo, ...], tuple[Excluded, ...]]:
    """Lists the clips of RealEstate10K; reads the pose files, opens no video.

    The video of ``<split>/<id>.txt`` is ``<id>`` with any video suffix, anywhere below ``videos``:
    a cut that begins at the first line and ends at the last. Where there is none it is ``<v>``, the
    YouTube id in the URL: the whole source video, which may serve many clips.

    Args:
        root: The data folder.
        split: Keep only this split, ``train`` or ``test`` in the release; all if None.
        max_videos: Only so many pose files, chosen by the hash of their ids; all if None.

    Returns:
        The clips, sorted by id, and the pose files that cannot be used, with the reason: there is
        no video, the file is malformed, or the pictures are distorted.

    Raises:
        DataError: If there is no pose file or no video, two videos bear one name, or a path leaves
            the root.
        UsageError: If there is no such split, with the alternatives.
    """
    base = existing_folder(root)
    poses, videos = _pose_files(base, split), _videos(base)
    order = sorted(poses, key=lambda name: hashlib.sha256(name.encode()).digest())
    found = [_posed(base, name, poses[name], videos) for name in sorted(order[:max_videos])]
    posed = tuple(item for item in found if isinstance(item, PosedVideo))
    return posed, tuple(item for item in found if isinstance(item, Excluded))


def read_poses(path: str | Path, root: str | Path) -> CameraPath:
    """Reads one pose file; empty lines are passed over.

    Args:
        path: The file, relative to ``root`` or absolute.
        root: The data folder, which the file must lie in.

    Returns:
        The cameras of at least two frames.

    Raises:
        DataError: If the path leaves the root, or the file is unreadable, empty or malformed. What
            is wrong names the line and no path, to serve as a reason.
    """
    file = Path(root) / contained(path, root)
    if file.exists() and not file.is_file():  # a FIFO would be read for ever
        raise _bad(file, "not a regular file", path, "a text file")
    lines = [(n, line) for n, line in enumerate(read_text(file).splitlines(), 1) if line.strip()]
    if not lines:
        raise _bad(file, "empty file", "no line", "the URL of the video, then its cameras")
    if not _URL.fullmatch(url := lines[0][1].strip()):
        raise _bad(file, f"line {lines[0][0]}: no URL", url, "the URL of the source video")
    rows = [_numbers(file, number, line) for number, line in lines[1:]]
    if len(rows) < 2:
        raise _bad(file, f"{len(rows)} cameras", "a URL", "a line for each of two or more frames")
    ticks = np.array([tick for tick, _ in rows], dtype=np.int64)
    values = np.array([row for _, row in rows], dtype=np.float64)
    camera = CameraPath(url, ticks, values[:, :4], values[:, 4:6], values[:, 6:].reshape(-1, 3, 4))
    _check(file, camera, [number for number, _ in lines[1:]])
    return camera


def _numbers(file: Path, number: int, line: str) -> tuple[int, list[float]]:
    words = line.split()
    if len(words) != len(COLUMNS):
        what = f"line {number}: {len(words)} values instead of {len(COLUMNS)}"
        raise _bad(file, what, line, " ".join(COLUMNS))
    if not words[0].isdecimal() or len(words[0]) > 15:  # beyond it float64 rounds
        raise _bad(file, f"line {number}: timestamp is no integer", words[0], "up to 15 digits")
    values = []
    for column, word in zip(COLUMNS[1:], words[1:], strict=True):
        try:
            values.append(float(word))
        except ValueError as error:
            raise _bad(file, f"line {number}: {column} is no number", word, "a number") from error
        if not math.isfinite(values[-1]):
            raise _bad(file, f"line {number}: {column} is not finite", word, "a finite number")
    return int(words[0]), values


def _check(file: Path, camera: CameraPath, numbers: list[int]) -> None:
    """Refuses cameras that cannot be, naming the first line that shows it."""
    turn, ticks, focal = camera.w2c[:, :, :3], camera.timestamps_us, camera.intrinsics[:, :2]
    with np.errstate(all="ignore"):  # numbers as large as 1e200 overflow
        off = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2))
        skewed = ~(off <= _UNIT) | (np.linalg.det(turn) < 0)
    faults = (
        ("fx or fy is not above 0", (focal <= 0).any(axis=1), focal, "focal lengths above 0"),
        ("R is no rotation", skewed, turn, f"|R Rᵀ − I| ≤ {_UNIT:g} and det R > 0"),
        ("timestamp does not rise", np.diff(ticks, prepend=-1) <= 0, ticks, "rising ones"),
    )
    for what, where, seen, accepted in faults:
        if where.any():
            row = int(where.argmax())
            raise _bad(file, f"line {numbers[row]}: {what}", seen[row].tolist(), accepted)


def _bad(file: Path, what: str, seen: object, accepted: str) -> DataError:
    seen = f"{str(seen)[:200]} in {file}"
    return DataError(what, seen=seen, accepted=accepted, fix="fetch the file again, or remove it")


def _posed(base: Path, name: str, pose: str, videos: Mapping[str, str]) -> PosedVideo | Excluded:
    try:
        camera = read_poses(pose, base)
    except DataError as error:  # not of leaving the root, which was seen to when it was listed
        return Excluded(pose, error.what)
    if camera.distortion.any():
        k1, k2 = camera.distortion[np.abs(camera.distortion).max(axis=1).argmax()]
        return Excluded(pose, f"distorted pictures: k1 = {k1:g}, k2 = {k2:g}")
    stem, match = name.rpartition("/")[2], _YOUTUBE.search(camera.url)
    source, cut = match[1] if match else camera.url, stem in videos
    if not cut and source not in videos:
        other = f" or {source}" if match else ", and its URL has no YouTube id"
        return Excluded(pose, f"no video {stem}{other}")
    first, last = camera.timestamps_us[[0, -1]].tolist()
    begin = first if cut else 0
    return PosedVideo(
        path=videos[stem if cut else source],
        start=(first - begin) / 1e6,
        end=(last - begin) / 1e6,
        name=name,
        pose=pose,
        source=source,
        cut=cut,
        begin_us=begin,
        digest=camera.digest,
    )


def _pose_files(base: Path, split: str | None) -> dict[str, str]:
    """Maps ``<split>/<id>`` to each pose file."""
    above = base / POSES if (base / POSES).is_dir() else base
    found: dict[str, str] = {}
    for file in above.glob("*/*.txt"):
        folder = file.parent.name
        if folder != VIDEOS and not folder.startswith(".") and not file.name.startswith("."):
            require_utf8(file)
            found[f"{folder}/{file.stem}"] = contained(file, base)
    if not found:
        raise DataError(
            "no pose files in the data root",
            seen=str(base),
            accepted=f"<split>/<id>.txt or {POSES}/<split>/<id>.txt, beside {VIDEOS}",
            fix="set data.root to the folder that the release unpacks to, e.g. RealEstate10K",
        )
    splits = {name.partition("/")[0] for name in found}
    if split is not None and split not in splits:
        raise unknown_name("split", split, splits, fix="correct data.split, or leave it out")
    return {name: path for name, path in found.items() if split in (None, name.partition("/")[0])}


def _videos(base: Path) -> dict[str, str]:
    """Maps names without suffix to the video files."""
    contained(base / VIDEOS, base)
    found = videos_below(base / VIDEOS)
    unique(Video(Path(path).name) for path in found)  # the pose files must know which is meant
    return {Path(path).stem: f"{VIDEOS}/{path}" for path in found}
