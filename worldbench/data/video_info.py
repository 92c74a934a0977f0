"""What a video file holds: its frames, their timestamps, and whether it is whole."""

import functools
import hashlib
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64

from worldbench.data.files import open_checked
from worldbench.errors import DataError

_REGULAR = 1e-3  # s; Matroska rounds timestamps to 1 ms, which must not make a rate "variable"
_MAX_FPS = 1000.0  # above it, the "rate" is a container's time base and not a frame rate
_REENCODE = "re-encode it, e.g. ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
REFETCH = "fetch the file again, or remove it from the data folder or its listing"
_FIRST = threading.Lock()


@dataclass(frozen=True)
class VideoInfo:
    """What decoding a whole video found.

    Attributes:
        size_bytes: Size of the file.
        sha256: Digest of the file's bytes, in hex.
        width: Pixels per row, after rotation.
        height: Rows, after rotation.
        fps: Declared frames per second; measured from timestamps where none usable is declared.
        frames: Frames that decode.
        declared_frames: Frames that the container announces, exactly (MP4, AVI) or as duration ×
            fps (Matroska); 0 if it announces none.
        variable: Seconds of every frame relative to the first, where they stray from a constant
            rate by more than 1 ms; empty for a constant rate.
    """

    size_bytes: int
    sha256: str
    width: int
    height: int
    fps: float
    frames: int
    declared_frames: int
    variable: tuple[float, ...] = ()

    @property
    def timestamps(self) -> Float64[np.ndarray, " frames"]:
        """Seconds of every decodable frame, increasing, the first at 0."""
        if self.variable:
            return np.asarray(self.variable, dtype=np.float64)
        return np.arange(self.frames, dtype=np.float64) / self.fps

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last, which lasts a mean interval."""
        if len(self.variable) > 1:
            return self.variable[-1] * self.frames / (self.frames - 1)
        return self.frames / self.fps


def probe(path: str | Path, root: str | Path | None = None) -> VideoInfo:
    """Decodes a whole video without converting colours and tells what is in it.

    Args:
        path: The video file.
        root: If given, the folder that the file must stay in.

    Returns:
        The facts; a video of one frame is reported as such.

    Raises:
        DataError: If the file is no readable video, is truncated, or has neither increasing
            timestamps nor a usable frame rate.
    """
    checked = open_checked(path, root)
    size_bytes = checked.stat().st_size
    with open_capture(checked) as capture:
        declared_fps = float(capture.get(cv2.CAP_PROP_FPS))
        count = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True)
        milliseconds = []
        while capture.grab():  # the position is then that of the frame just grabbed
            milliseconds.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
    if not milliseconds:
        raise DataError(
            f"no frame decodes: codec {codec.decode('ascii', 'replace')!r}",
            seen=path,
            accepted="H.264, HEVC, VP8, VP9, MPEG-4 …; the pip wheels of OpenCV lack AV1",
            fix=_REENCODE,
        )
    seconds = (np.asarray(milliseconds) - milliseconds[0]) / 1000.0
    fps, variable = _timeline(seconds, declared_fps, checked)
    declared = int(count) if math.isfinite(count) and 0 < count < 2**31 else 0
    with checked.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    info = VideoInfo(size_bytes, sha256, width, height, fps, len(seconds), declared, variable)
    _refuse_truncated(info, checked)
    return info


def _timeline(
    seconds: Float64[np.ndarray, " frames"], declared: float, path: Path
) -> tuple[float, tuple[float, ...]]:
    """Decides the frame rate, and the explicit timestamps where that rate does not tell them."""
    usable = math.isfinite(declared) and 0 < declared <= _MAX_FPS
    steps = np.diff(seconds)
    increasing = bool(np.isfinite(steps).all() and (steps > 0).all())
    if not usable and (len(seconds) < 2 or not increasing):
        raise DataError(
            "no usable frame rate and no increasing timestamps",
            seen=f"{declared} frames per second in {path}",
            accepted=f"a rate in (0, {_MAX_FPS:.0f}], or timestamps that increase",
            fix="re-encode it at its true rate, e.g. ffmpeg -r 25 -i INPUT OUTPUT.mp4",
        )
    fps = declared if usable else 1.0 / float(np.median(steps))
    strays = np.abs(seconds - np.arange(len(seconds)) / fps).max() > _REGULAR
    # Packed B-frames in AVI leave the last timestamps unset: there the rate is the better witness.
    explicit = increasing and strays
    return fps, tuple(round(float(s), 7) for s in seconds) if explicit else ()


def _refuse_truncated(info: VideoInfo, path: Path) -> None:
    missing = info.declared_frames - info.frames
    if missing <= max(2.0, 0.05 * info.declared_frames):
        return
    if info.duration >= 0.95 * _promised_seconds(path, info.declared_frames / info.fps):
        return  # dropped frames or an edit list: the video covers its time
    raise DataError(
        f"truncated: {info.frames} of {info.declared_frames} frames decode",
        seen=path,
        accepted="a video that decodes for at least 95 % of its declared length",
        fix=REFETCH,
    )


def _promised_seconds(path: Path, fallback: float) -> float:
    """Declared length of the video stream with cuts by edit lists, which OpenCV does not tell."""
    import av  # lazily: whoever opens no video file needs no FFmpeg

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if "mp4" in container.format.name and stream.duration and stream.time_base:
                return float(stream.duration * stream.time_base)
            tag = stream.metadata.get("DURATION", "")  # Matroska: HH:MM:SS.nnnnnnnnn
            late = float((stream.start_time or 0) * (stream.time_base or 0))
    except av.FFmpegError:
        return fallback
    hours, _, rest = tag.partition(":")
    minutes, _, seconds = rest.partition(":")
    end = 3600 * int(hours) + 60 * int(minutes) + float(seconds) if seconds else fallback
    return end - late  # counted from zero, not from the first frame


@contextmanager
def open_capture(path: Path) -> Iterator[cv2.VideoCapture]:
    """Opens a checked file for sequential reading on one CPU thread."""
    with _FIRST:
        _silence()
    # One thread: callers run many videos side by side, and FFmpeg's own threads cost more than
    # they bring at these sizes. No hardware decoder: its pixels differ between machines.
    options = [cv2.CAP_PROP_N_THREADS, 1, cv2.CAP_PROP_HW_ACCELERATION, cv2.VIDEO_ACCELERATION_NONE]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, options)
    try:
        if not capture.isOpened():
            raise DataError(
                "does not open as a video: no index or no known stream, perhaps truncated",
                seen=path,
                accepted="a complete MP4, MOV, Matroska, WebM or AVI file with a video stream",
                fix=REFETCH,
            )
        yield capture
    finally:
        capture.release()


@functools.cache
def _silence() -> None:
    """Quiets the decoders once: what they print, our errors say with a path and a fix."""
    if cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_WARNING:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    # OpenCV reads FFmpeg's log level from the environment alone, at the first capture.
    name = "OPENCV_FFMPEG_LOGLEVEL"
    if name not in os.environ:
        os.environ[name] = "-8"  # AV_LOG_QUIET
        try:
            cv2.VideoCapture(os.devnull + "/none", cv2.CAP_FFMPEG).release()
        finally:
            os.environ.pop(name, None)
