"""Frames are told apart by a barcode: eight vertical bars that spell the frame number in binary."""

import os
import resource
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from worldbench.data.video import (
    clip_times,
    decode,
    decode_clips,
    encode,
    open_checked,
    probe,
)
from worldbench.errors import DataError, EnvironmentFault

VPX = {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b:v": "1M"}
CODECS = {
    "h264.mp4": ("libx264", "yuv420p", {"bf": "2"}),
    "h264.mov": ("libx264", "yuv420p", {}),
    "h264.mkv": ("libx264", "yuv420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", VPX),
    "vp8.webm": ("libvpx", "yuv420p", VPX),
    "mpeg4.avi": ("mpeg4", "yuv420p", {"qscale": "2"}),
    "packed.avi": ("mpeg4", "yuv420p", {"bf": "2"}),
    "h264-10bit.mp4": ("libx264", "yuv420p10le", {}),
    "hevc-10bit.mp4": ("libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
    "ffv1-10bit.mkv": ("ffv1", "yuv420p10le", {}),
}


def barcode(number: int, height: int = 48, width: int = 96) -> np.ndarray:
    bits = [(number >> bit) & 1 for bit in range(8)]
    row = np.repeat(np.array(bits, np.uint8) * 200 + 25, width // 8)
    row = np.pad(row, (0, width - row.size), mode="edge")
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


def numbers(video: np.ndarray) -> list[int]:
    width = video.shape[2] // 8
    bars = [video[:, :, b * width + 2 : (b + 1) * width - 2].mean((1, 2, 3)) for b in range(8)]
    return [int(n) for n in sum((bar > 128).astype(int) << b for b, bar in enumerate(bars))]


def write(
    path: Path,
    frames: int = 30,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    milliseconds: Sequence[int] | None = None,
    size: tuple[int, int] = (48, 96),
    container: dict[str, str] | None = None,
    noise: bool = False,
    streams: int = 1,
) -> Path:
    base = Fraction(1, 25) if milliseconds is None else Fraction(1, 1000)
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=container or {}) as out:
        added = []
        for extra in range(streams):
            stream = out.add_stream(codec, rate=25, options=options or {})
            stream.height, stream.width = size[0] * (extra + 1), size[1] * (extra + 1)
            stream.pix_fmt = pixels
            stream.codec_context.time_base = base
            added.append(stream)
        for index in range(frames):
            for extra, stream in enumerate(added):
                picture = barcode(index + 100 * extra, stream.height, stream.width)
                if noise:
                    picture = rng.integers(0, 255, picture.shape, dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)
                frame.pts = index if milliseconds is None else milliseconds[index]
                frame.time_base = base
                out.mux(stream.encode(frame))
        for stream in added:
            out.mux(stream.encode(None))
    return path


def patch(path: Path, atom: bytes, offset: int, new: bytes) -> Path:
    data = bytearray(path.read_bytes())
    start = data.index(atom) + 4 + offset
    data[start : start + len(new)] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_and_container_returns_exactly_the_frames_asked_for(
    tmp_path: Path, name: str
) -> None:
    codec, pixels, options = CODECS[name]
    file = write(tmp_path / name, codec=codec, pixels=pixels, options=options)
    info = probe(file)
    assert (info.frames, info.declared_frames, info.fps) == (30, 30, 25.0)
    assert (info.height, info.width, info.variable) == (48, 96, ())
    np.testing.assert_allclose(info.timestamps, np.arange(30) / 25)
    assert info.duration == pytest.approx(1.2)
    asked = [0.0, 0.04, 0.2, 0.21, 0.24, 0.24, 1.16]
    assert numbers(decode(file, asked, size=None)) == [0, 1, 5, 5, 6, 6, 29]


def test_a_file_name_that_is_not_utf8_never_reaches_opencv(tmp_path: Path) -> None:
    bad = tmp_path / os.fsdecode(b"\xff.mp4")
    good = write(tmp_path / "a.mp4")
    try:
        good.rename(bad)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (tmp_path / "link.mp4").symlink_to(bad)  # what opens is the file behind it
    for path in (bad, tmp_path / "link.mp4"):
        with pytest.raises(DataError, match="file name is not UTF-8") as caught:
            probe(path, tmp_path)
        assert r"\udcff.mp4'" in str(caught.value)
        assert "rename it" in str(caught.value)


def test_a_tie_takes_the_earlier_frame_and_times_are_nearest_not_floor(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4")
    assert numbers(decode(file, [0.019, 0.02, 0.021, 0.0601, 1.199], size=None)) == [0, 0, 1, 2, 29]


def test_ties_at_thirds_of_a_second_do_not_hang_on_rounding(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", np.stack([barcode(n) for n in range(60)]), 30)
    halfway = [(n + 0.5) / 30 for n in range(60)]
    assert numbers(decode(tmp_path / "a.mp4", halfway, size=None)) == list(range(60))


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_frame_rate_goes_by_timestamps(tmp_path: Path, name: str) -> None:
    stamps = [0, 10, 30, 31, 77, 100, 103, 150, 190, 200, 260, 261, 300, 350, 380, 500, 510]
    file = write(tmp_path / name, frames=17, milliseconds=[s + 500 for s in stamps])
    info = probe(file)
    np.testing.assert_allclose(info.timestamps * 1000, stamps, atol=1e-3)
    assert info.duration == pytest.approx(0.510 * 17 / 16)
    exact = decode(file, [s / 1000 for s in stamps], size=None, info=info)
    assert numbers(exact) == list(range(17))
    rng = np.random.default_rng(1)
    asked = sorted(rng.uniform(0, 0.51, 40))
    nearest = [int(np.argmin([abs(s / 1000 - t) for s in stamps])) for t in asked]
    assert numbers(decode(file, asked, size=None, info=info)) == nearest


def test_several_clips_come_from_one_pass_and_may_overlap(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4")
    clips = [clip_times(0.4, 4, 12.5), clip_times(0.0, 3, 25), [0.44], []]
    decoded = decode_clips(file, clips, size=(24, 48))
    assert [numbers(video) for video in decoded] == [[10, 12, 14, 16], [0, 1, 2], [11], []]
    assert decoded[3].shape == (0, 24, 48, 3)


def test_clip_times_start_where_told_and_step_by_the_rate() -> None:
    assert clip_times(1.5, 3, 4) == (1.5, 1.75, 2.0)


def test_rotation_metadata_turns_the_picture(tmp_path: Path) -> None:
    video = np.zeros((3, 48, 96, 3), np.uint8)
    video[:, :24, :48] = (250, 10, 10)  # the top left quarter is red
    file = tmp_path / "a.mp4"
    encode(file, video, 25, crf=0)
    # The display matrix of a quarter turn clockwise, as phones write it into the track header.
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    patch(file, b"tkhd", 40, matrix)
    info = probe(file)
    assert (info.height, info.width) == (96, 48)
    turned = decode(file, [0.0], size=None)[0]
    assert turned.shape == (96, 48, 3)
    assert turned[12, 36, 0] > 200
    assert turned[12, 12].max() < 60
    assert turned[84].max() < 60


def test_odd_sizes_decode_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path / "a.webm", 4, "libvpx-vp9", options=VPX, size=(33, 47))
    assert (probe(file).height, probe(file).width) == (33, 47)
    assert decode(file, [0.0, 0.1], size=None).shape == (2, 33, 47, 3)


def test_of_several_video_streams_the_first_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", 6, streams=2)
    assert probe(file).height == 48
    assert numbers(decode(file, [0.08], size=None)) == [2]


def test_resizing_covers_the_size_and_crops_at_the_centre(tmp_path: Path) -> None:
    wide = np.zeros((2, 64, 128, 3), np.uint8)
    wide[:, :, 32:96] = (20, 220, 20)  # the central square
    file = tmp_path / "a.mp4"
    encode(file, wide, 8, crf=0)
    for size in [(32, 32), (64, 64), (96, 96)]:
        square = decode(file, [0.0], size=size)[0].astype(int)
        assert square.shape == (*size, 3)
        assert np.abs(square[:, 3:-3] - (20, 220, 20)).max() <= 12
    tall = decode(file, [0.0], size=(64, 16))[0]
    assert tall.shape == (64, 16, 3)


def test_encoding_keeps_the_picture_the_rate_and_the_frames(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Grey, so that the codec is measured and not the halved resolution of colour in yuv420p.
    steps = np.repeat(rng.normal(size=(10, 64, 96, 1)).cumsum(1).cumsum(2), 3, axis=3)
    steps = (steps - steps.min()) / np.ptp(steps)
    video = (255 * steps).astype(np.uint8)
    errors = []
    for crf in (10, 40):
        encode(tmp_path / "a.mp4", video, 12.5, crf=crf)
        info = probe(tmp_path / "a.mp4")
        assert (info.fps, info.frames) == (12.5, 10)
        back = decode(tmp_path / "a.mp4", clip_times(0, 10, 12.5), size=None)
        errors.append(((back.astype(float) - video) ** 2).mean())
    psnr = 10 * np.log10(255**2 / np.array(errors))
    assert psnr[0] > 38
    assert psnr[0] > psnr[1] + 3


def test_colours_survive_encoding_in_rgb_order(tmp_path: Path) -> None:
    video = np.broadcast_to(np.array([200, 30, 60], np.uint8), (2, 32, 32, 3)).copy()
    encode(tmp_path / "a.mp4", video, 8, crf=4)
    back = decode(tmp_path / "a.mp4", [0.0], size=None)[0].astype(int)
    assert np.abs(back - (200, 30, 60)).max() <= 6


def test_odd_sizes_are_encoded_with_a_replicated_edge(tmp_path: Path) -> None:
    video = np.zeros((2, 33, 47, 3), np.uint8)
    video[:, -1] = video[:, :, -1] = 240
    encode(tmp_path / "a.mp4", video, 8, crf=0)
    back = decode(tmp_path / "a.mp4", [0.0], size=None)[0]
    assert back.shape == (34, 48, 3)
    assert back[33].min() > 200
    assert back[:, 47].min() > 200
    assert back[:31, :45].max() < 40


def test_the_same_frames_give_the_same_bytes_that_stream(tmp_path: Path) -> None:
    video = np.stack([barcode(n) for n in range(8)])
    encode(tmp_path / "a.mp4", video, 8)
    encode(tmp_path / "b.mp4", video, 8)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_full_disk_leaves_the_old_file_and_no_partial_one(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"old")
    noise = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
    try:
        with pytest.raises(EnvironmentFault, match="free space or choose another"):
            encode(file, noise, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert file.read_bytes() == b"old"


def test_encoding_into_a_missing_folder_or_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    video = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(EnvironmentFault, match="a folder that exists"):
        encode(tmp_path / "none" / "a.mp4", video, 8)
    with pytest.raises(ValueError, match="need frames and a positive rate"):
        encode(tmp_path / "a.mp4", video[:0], 8)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "container", "options"),
    [
        ("a.mp4", {"movflags": "+faststart"}, {}),
        ("a.mkv", {}, {}),
        ("a.webm", {}, VPX),
        ("a.avi", {}, {}),
    ],
)
def test_a_file_cut_in_the_middle_is_truncated(
    tmp_path: Path, name: str, container: dict[str, str], options: dict[str, str]
) -> None:
    codec = {"a.webm": "libvpx", "a.avi": "mpeg4"}.get(name, "libx264")
    file = write(tmp_path / name, 60, codec, options=options, container=container, noise=True)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * 0.4)])
    with pytest.raises(DataError, match=r"truncated: \d+ of 60 frames decode") as caught:
        probe(file)
    assert "fetch the file again" in str(caught.value)


def test_a_file_cut_before_its_index_does_not_open(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", noise=True)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DataError, match="no index or no known stream") as caught:
        probe(file)
    assert "fetch the file again" in str(caught.value)


def test_a_cut_by_edit_list_is_not_taken_for_truncation(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.mp4", 60, options={"g": "60"})
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                early = int(Fraction(20, 25) / packet.time_base)
                packet.pts, packet.dts = packet.pts - early, packet.dts - early
                packet.stream = copy
                out.mux(packet)
    info = probe(cut)
    assert (info.frames, info.declared_frames) == (40, 60)
    assert numbers(decode(cut, [0.0, 0.4], size=None, info=info)) == [20, 30]


def test_a_video_of_one_frame_is_reported_as_one_frame(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", 1)
    info = probe(file)
    assert (info.frames, info.timestamps.tolist(), info.duration) == (1, [0.0], 0.04)
    assert numbers(decode(file, [0.0, 0.03], size=None)) == [0, 0]
    with pytest.raises(DataError, match=r"no frame at 0\.5 s") as caught:
        decode(file, [0.0, 0.5], size=None)
    assert "shorter clip" in str(caught.value)


def test_no_frame_rate_and_no_timestamps_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", 5, "libvpx-vp9", options=VPX)
    patch(file, b"stts", 12, struct.pack(">I", 0))  # every frame lasts no time at all
    with pytest.raises(DataError, match="no usable frame rate and no increasing") as caught:
        probe(file)
    assert "ffmpeg -r 25" in str(caught.value)


@pytest.mark.parametrize("declared", [0.0, float("nan"), -1.0])
def test_without_a_frame_rate_increasing_timestamps_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: float
) -> None:
    import cv2

    file = write(tmp_path / "a.mp4", 10)

    class Unrated:  # containers that FFmpeg cannot guess a rate for are too rare to write one
        def __init__(self, *args: object) -> None:
            self._inner = real(*args)

        def get(self, name: int) -> float:
            return declared if name == cv2.CAP_PROP_FPS else self._inner.get(name)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    real = cv2.VideoCapture
    probe(file)
    monkeypatch.setattr(cv2, "VideoCapture", Unrated)
    info = probe(file)
    assert info.fps == pytest.approx(25)
    np.testing.assert_allclose(info.timestamps, np.arange(10) / 25, atol=1e-6)


@pytest.mark.parametrize("times", [[-0.1], [float("nan")], [0.0, 1.3]])
def test_a_time_outside_the_video_is_an_error(tmp_path: Path, times: list[float]) -> None:
    with pytest.raises(DataError, match=r"times from 0 to 1\.2000 s"):
        decode(write(tmp_path / "a.mp4"), times, size=None)


def test_times_that_fall_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must rise"):
        decode(write(tmp_path / "a.mp4", 5), [0.1, 0.0], size=None)


def test_a_file_changed_since_its_probe_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4")
    info = probe(file)
    write(file, 10)
    with pytest.raises(DataError, match="changed since it was probed") as caught:
        decode(file, [0.0], size=None, info=info)
    assert "scan the data again" in str(caught.value)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "content",
    [
        b"just some text, long enough to be looked at",
        PLAYLIST,
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"v=0\nfree\nc=IN IP4 127.0.0.1\n",
        b"\x1a\x45\xdf\xa3\nc=IN IP4 127.0.0.1\n",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\x00",
    ],
)
def test_what_is_not_a_container_never_reaches_the_decoder(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    def reached(*_: object) -> None:
        raise AssertionError("the decoder saw the file")

    monkeypatch.setattr(cv2, "VideoCapture", reached)
    file = tmp_path / "a.mp4"
    file.write_bytes(content)
    with pytest.raises(DataError, match="not a video container") as caught:
        probe(file)
    assert "remove the file" in str(caught.value)
    with pytest.raises(DataError, match="not a video container"):
        decode(file, [0.0], size=None)


@pytest.mark.parametrize(
    "head",
    [b"\0\0\0\x20ftypisom", b"\0\0\0\x08wide", b"\0\0\0\x08free", b"\0\0\1\0moov", b"wxyzmdat"],
)
def test_the_leading_atoms_of_mp4_and_quicktime_are_accepted(tmp_path: Path, head: bytes) -> None:
    (tmp_path / "a.MOV").write_bytes(head + bytes(64))
    assert open_checked(tmp_path / "a.MOV") == (tmp_path / "a.MOV").resolve()


def test_empty_files_folders_fifos_devices_and_urls_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "notes.txt").write_text("x")
    cases = {
        tmp_path / "empty.mp4": ("empty file: 0 bytes", "remove the file"),
        tmp_path / "folder.mp4": ("not a regular file but a folder", "remove the file"),
        tmp_path / "fifo.mp4": ("not a regular file but a device, FIFO", "remove the file"),
        tmp_path / "none.mp4": ("missing file", "check the path"),
        tmp_path / "frame%03d.mp4": ("missing file", "check the path"),
        tmp_path / "notes.txt": ("not a video file name: suffix '.txt'", "convert it"),
        "/dev/null": ("not a regular file but a device", "remove the file"),
        "http://example.org/a.mp4": ("not a local file", "download it"),
        "concat://a.mp4": ("not a local file", "download it"),
    }
    for path, (what, fix) in cases.items():
        with pytest.raises(DataError) as caught:
            open_checked(path)
        assert what in caught.value.what
        assert fix in str(caught.value)
        assert str(tmp_path) not in caught.value.what


def test_paths_that_leave_the_root_are_refused_and_links_inside_are_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    outside = write(tmp_path / "outside.mp4", 2)
    inside = write(root / "inside.mp4", 2)
    (root / "leak.mp4").symlink_to(outside)
    (root / "alias.mp4").symlink_to(inside)
    (tmp_path / "door").symlink_to(root)
    for path in ["../outside.mp4", str(outside), "leak.mp4", "x/../../outside.mp4"]:
        with pytest.raises(DataError, match="leaves the data root") as caught:
            open_checked(path, root)
        assert "set the root to a folder that contains the files" in str(caught.value)
    for path in ["inside.mp4", "alias.mp4", str(inside), str(tmp_path / "door" / "inside.mp4")]:
        assert open_checked(path, root) == inside.resolve()
    assert open_checked("inside.mp4", tmp_path / "door") == inside.resolve()


def test_damaged_files_print_nothing_of_the_decoders_own(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mp4", 60, container={"movflags": "+faststart"}, noise=True)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    broken = write(tmp_path / "b.mp4", noise=True)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    code = (
        "import os, sys\n"
        "from worldbench.data.video import probe\n"
        "from worldbench.errors import DataError\n"
        "before = dict(os.environ)\n"
        "for path in sys.argv[1:]:\n"
        "    try: probe(path)\n"
        "    except DataError: print('refused')\n"
        "assert dict(os.environ) == before\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), str(broken)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\nrefused\n", "")
