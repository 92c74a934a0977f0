"""Real video files: exact frames out of them, and clips into them.

OpenCV decodes and PyAV encodes (the pip wheels of OpenCV carry no H.264 encoder). Notable:

- Frames are found by timestamp in one sequential pass: seeking in compressed video is inexact.
- Timestamps, not ``index / fps``, place the frames, so variable frame rates come out right.
- Nothing reaches FFmpeg before :func:`worldbench.data.files.open_checked` has seen it.
- Rotation metadata is applied; non-square pixels are not stretched; the first video stream is used.
"""

import os
import secrets
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from worldbench.data.files import VIDEO_SUFFIXES, open_checked
from worldbench.data.video_info import REFETCH, VideoInfo, open_capture, probe
from worldbench.errors import DataError, EnvironmentFault

__all__ = [
    "VIDEO_SUFFIXES",
    "VideoInfo",
    "clip_times",
    "decode",
    "decode_clips",
    "encode",
    "open_checked",
    "probe",
]

_TIE = 1e-6  # s; two frames equally near up to rounding: the earlier one is taken


def clip_times(start: float | int, frames: int, fps: float | int) -> tuple[float, ...]:
    """Gives the seconds of ``frames`` frames at ``fps`` from ``start`` on."""
    return tuple(start + index / fps for index in range(frames))


def decode(
    path: str | Path,
    times: Sequence[float],
    *,
    size: tuple[int, int] | None,
    info: VideoInfo | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Decodes the frames nearest to the given times. See :func:`decode_clips`."""
    return decode_clips(path, [times], size=size, info=info)[0]


def decode_clips(
    path: str | Path,
    clips: Sequence[Sequence[float]],
    *,
    size: tuple[int, int] | None,
    info: VideoInfo | None = None,
) -> list[UInt8[np.ndarray, "t h w 3"]]:
    """Decodes several clips of one video in one sequential pass that ends at the last frame used.

    For each time the frame with the nearest timestamp is taken, the earlier one on a tie. Frames
    are scaled so that they just cover ``size`` (INTER_AREA down, INTER_CUBIC up), then cropped
    at the centre.

    Args:
        path: The video file.
        clips: For each clip its times in seconds from the first frame, in rising order; clips
            may overlap and a time may repeat.
        size: Height and width of the result, or None for the video's own.
        info: What :func:`probe` told of this file; probed again (a full pass) when None.

    Returns:
        One array per clip, RGB in [0, 255].

    Raises:
        DataError: If a time lies outside the video, a frame does not decode, or the file changed
            since it was probed.
        ValueError: If the times of a clip do not rise, or ``size`` is not positive.
    """
    checked = open_checked(path)
    info = probe(checked) if info is None else info
    if checked.stat().st_size != info.size_bytes:
        raise DataError(
            "the file changed since it was probed",
            seen=f"{checked.stat().st_size} bytes in {path}",
            accepted=f"{info.size_bytes} bytes",
            fix="scan the data again to build a new manifest",
        )
    if size is not None and min(size) < 1:
        raise ValueError(f"size must be positive (height, width), got {size}")
    wanted = [_nearest(times, info, path) for times in clips]
    last = max((int(index[-1]) for index in wanted if len(index)), default=-1)
    needed = {int(i) for index in wanted for i in index}
    pictures: dict[int, UInt8[np.ndarray, "h w 3"]] = {}
    with open_capture(checked) as capture:
        for index in range(last + 1):
            picture = None
            if capture.grab():
                if index not in needed:
                    continue
                picture = capture.retrieve()[1]
            if picture is None:
                raise DataError(
                    f"frame {index} of {info.frames} does not decode",
                    seen=path,
                    accepted="a file that decodes as it did when it was probed",
                    fix=f"scan the data again; if that finds it damaged, {REFETCH}",
                )
            pictures[index] = fit_picture(picture, size)
    shape = size or (info.height, info.width)
    empty: UInt8[np.ndarray, "t h w 3"] = np.empty((0, *shape, 3), np.uint8)
    return [
        np.stack([pictures[int(i)] for i in index]) if len(index) else empty for index in wanted
    ]


def _nearest(times: Sequence[float], info: VideoInfo, path: str | Path) -> Int[np.ndarray, " t"]:
    """Indices of the frames nearest to the given times."""
    asked = np.asarray(times, dtype=np.float64)
    if (np.diff(asked) < 0).any():
        raise ValueError(f"times must rise, got {list(times)}")
    outside = asked[~((asked >= -_TIE) & (asked < info.duration + _TIE))]
    if outside.size:
        raise DataError(
            f"no frame at {outside[0]:.4g} s",
            seen=path,
            accepted=f"times from 0 to {info.duration:.4f} s ({info.frames} frames)",
            fix="ask for a shorter clip, a lower stride or an earlier start, or drop the video",
        )
    stamps = info.timestamps
    after = np.searchsorted(stamps, asked).clip(1, max(info.frames - 1, 1))
    if info.frames == 1:
        return np.zeros(len(asked), dtype=np.int64)
    later = asked - stamps[after - 1] > stamps[after] - asked + _TIE
    nearest: Int[np.ndarray, " t"] = np.where(later, after, after - 1)
    return nearest


def fit_picture(
    picture: UInt8[np.ndarray, "h w 3"], size: tuple[int, int] | None
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Scales to cover ``size``, crops at the centre and turns OpenCV's BGR into RGB."""
    if size is not None:
        height, width = picture.shape[:2]
        scale = max(size[0] / height, size[1] / width)
        cover = max(size[0], round(height * scale)), max(size[1], round(width * scale))
        if cover != (height, width):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            picture = cv2.resize(picture, (cover[1], cover[0]), interpolation=how)
        top, left = (cover[0] - size[0]) // 2, (cover[1] - size[1]) // 2
        picture = picture[top : top + size[0], left : left + size[1]]
    rgb: UInt8[np.ndarray, "h2 w2 3"] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return rgb


def encode(
    path: str | Path,
    video: UInt8[np.ndarray, "t h w 3"],
    fps: float | int,
    *,
    crf: int = 18,
    preset: str = "medium",
    threads: int = 1,
) -> None:
    """Writes an H.264 (yuv420p, BT.601) MP4 that browsers play while it loads.

    The file appears whole or not at all. With ``threads=1`` the same frames give the same bytes
    under the same PyAV. Odd heights and widths grow by one replicated row or column, since
    yuv420p has none.

    Args:
        path: Where to write; its folder must exist.
        video: RGB frames in [0, 255], at least one.
        fps: Frames per second.
        crf: Constant rate factor, 0 (lossless but for colour conversion) to 51.
        preset: Name of an x264 preset, from ``ultrafast`` to ``veryslow``.
        threads: Encoder threads.

    Raises:
        ValueError: If there is no frame or ``fps`` is not positive.
        EnvironmentFault: If the file cannot be written.
    """
    if not len(video) or not fps > 0:
        raise ValueError(f"need frames and a positive rate, got {video.shape} at {fps} fps")
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        if not target.parent.is_dir():
            raise FileNotFoundError(f"no folder {target.parent}")
        # Macroblock trees come out differently from run to run on frames of a few macroblocks.
        options = {"crf": str(crf), "preset": preset, "x264-params": "mbtree=0"}
        _mux(temporary, video, fps, options, threads)
        os.replace(temporary, target)  # noqa: PTH105
    except OSError as error:
        raise EnvironmentFault(
            "cannot write the video",
            seen=f"{target}: {error}",
            accepted="a folder that exists, may be written to and has space left",
            fix="free space or choose another output folder",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _mux(
    path: Path,
    video: UInt8[np.ndarray, "t h w 3"],
    fps: float | int,
    options: dict[str, str],
    threads: int,
) -> None:
    import av  # lazily: whoever opens no video file needs no FFmpeg

    rate = Fraction(fps).limit_denominator(1001)
    height, width = video.shape[1:3]
    padding = ((0, height % 2), (0, width % 2), (0, 0))
    muxing = {"movflags": "+faststart", "fflags": "+bitexact"}  # no version strings in the file
    with av.open(str(path), "w", format="mp4", options=muxing) as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = threads
        # Say which matrix the conversion below used: players guess another for large frames.
        stream.codec_context.colorspace = av.video.reformatter.Colorspace.SMPTE170M
        stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
        for index, picture in enumerate(video):
            frame = av.VideoFrame.from_ndarray(np.pad(picture, padding, mode="edge"), "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
