"""A walk round a scene of the worlds, 24 frames at 8 fps, in the layout of RealEstate10K."""

import inspect
import json
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation, Slerp

import conf
from worldbench.data.layouts.realestate10k import PosedVideo, read_poses, realestate10k
from worldbench.data.realestate10k import Cameras, RealEstateData
from worldbench.data.source import Clip, ClipSource
from worldbench.data.video import encode, fit_picture
from worldbench.data.worlds import SceneSpec, render, simulate
from worldbench.errors import DataError, UsageError

FRAMES, HEIGHT, WIDTH = 24, 72, 128
BEGIN = 52_552_500  # µs; when the walk begins in its source video
WATCH = "https://www.youtube.com/watch?v="
LONG = "-aB_9xyzQ0w"  # YouTube id of the video that serves two pose files


class Walk:
    """A rendered clip and the truth about its camera, in float64."""

    def __init__(self) -> None:
        size = (HEIGHT, WIDTH)
        track = simulate(SceneSpec("static_orbit", seed=3, frames=FRAMES, fps=8, size=size))
        seen = render(track, supersample=1)
        self.rgb, self.depth = seen.rgb.numpy(), seen.depth.numpy().astype(np.float64)
        self.K = seen.K.numpy().astype(np.float64)
        self.c2w = track.camera_c2w.astype(np.float64)
        # Tracks are rounded to 2⁻¹⁶; the pose files say the nearest rotation.
        self.c2w[:, :3, :3] = Rotation.from_matrix(self.c2w[:, :3, :3]).as_matrix()
        self.w2c = np.linalg.inv(self.c2w)[:, :3]
        self.lens = self.K[[0, 1, 0, 1], [0, 1, 2, 2]] / (WIDTH, HEIGHT, WIDTH, HEIGHT)

    def lines(
        self, frames: Sequence[int], begin: int = 0, *, k: Sequence[float] = (0, 0)
    ) -> list[str]:
        """The lines of a pose file for some frames, of which frame 0 is at ``begin``."""
        return [
            " ".join(map(repr, [begin + 125_000 * t, *map(float, [*self.lens, *k, *w.ravel()])]))
            for t, w in zip(frames, self.w2c[list(frames)], strict=True)
        ]


def write(path: Path, url: str, lines: Sequence[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([url, *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def walk() -> Walk:
    return Walk()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, walk: Walk) -> Path:
    """Pose file ``cut`` has a video of its own; ``early`` and ``late`` are parts of a long one."""
    root = tmp_path_factory.mktemp("RealEstate10K")
    write(root / "test" / "cut.txt", WATCH + "sourceOfCut", walk.lines(range(FRAMES), BEGIN))
    write(root / "test" / "early.txt", f"{WATCH}{LONG}&t=1", walk.lines(range(2, 11)))
    write(root / "train" / "late.txt", WATCH + LONG, walk.lines(range(11, FRAMES)))
    (root / "videos").mkdir()
    encode(root / "videos" / "cut.mp4", walk.rgb, 8)
    shutil.copy(root / "videos" / "cut.mp4", root / "videos" / f"{LONG}.mp4")
    return root


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(root, tmp_path / "copy")


def source(root: Path, split: str | None = None, **options: object) -> RealEstateData:
    return RealEstateData("re10k", str(root), split, **{"frames": 8, **options})  # type: ignore[arg-type]


def starts(data: RealEstateData) -> dict[str, float]:
    return {clip.id: round(clip.start, 6) for clip in data.clips()}


def fitted(walk: Walk, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    return np.stack([fit_picture(np.ascontiguousarray(p[..., ::-1]), size) for p in walk.rgb])


def project(points: np.ndarray, intrinsics: np.ndarray, w2c: np.ndarray) -> np.ndarray:
    x = points @ w2c[:3, :3].T + w2c[:3, 3]
    uvw = x @ intrinsics.T
    return uvw[:, :2] / uvw[:, 2:]


# --- clips ----------------------------------------------------------------------------------------


def test_clips_lie_between_the_first_and_the_last_line_of_their_pose_file(root):
    data = source(root)
    assert isinstance(data, ClipSource)
    assert starts(data) == {
        **{"test/cut@0": 0.0, "test/cut@1": 1.0, "test/cut@2": 2.0},
        "test/early@0": 0.25,  # nine lines: one clip of eight frames
        "train/late@0": 1.375,
    }
    assert list(starts(data)) == sorted(starts(data))
    assert data.clips()[0] == Clip("test/cut@0", "test/cut", "sourceOfCut", "", 0.0)
    assert {clip.cluster for clip in data.clips()[3:]} == {LONG}
    info = data.info
    assert (info.name, info.clips, info.clusters, info.excluded) == ("re10k", 5, 2, ())
    assert info.digest == data.digest
    assert len(data.contents) == 1  # the two files are copies
    assert data.train is None
    # The last frame of a clip may be the last line's, and no later.
    assert set(starts(source(root, frames=9))) >= {"test/early@0"}
    assert "test/early@0" not in starts(source(root, frames=10, max_excluded=0.5))


def test_the_default_clip_has_16_frames_at_8_fps(root):
    data = RealEstateData("re10k", str(root), "test", max_excluded=0.5)
    assert starts(data) == {"test/cut@0": 0.0}
    assert data.load(["test/cut@0"]).shape == (1, 16, 64, 64, 3)
    assert data.protocol == {
        **{"frames": 16, "fps": 8.0, "size": [64, 64], "clips_per_video": None},
        **{"split": "test", "max_videos": None},
    }
    assert json.loads(json.dumps(data.protocol)) == data.protocol


def test_pictures_are_those_of_the_video_at_the_lines_times(root, walk):
    data = source(root)
    ids = ["train/late@0", "test/cut@1", "test/early@0", "test/cut@1"]
    for clip, first in zip(data.load(ids), (11, 8, 2, 8), strict=True):
        error = np.abs(clip.astype(int) - fitted(walk)[first : first + 8].astype(int))
        assert error.mean() < 4  # H.264
    assert data.load([]).shape == (0, 8, 64, 64, 3)


@pytest.mark.parametrize("id", ["test/cut@3", "test/cut", "test/gone@0", "test/cut@00", ""])
def test_clips_that_are_not_listed_are_refused(root, id):
    data = source(root)
    for ask in (data.cameras, lambda name: data.load([name])):
        with pytest.raises(UsageError, match="no such clip") as caught:
            ask(id)
        assert "test/cut@0" in str(caught.value)


def test_splits_and_the_number_of_pose_files_and_clips_can_be_chosen(root):
    assert set(starts(source(root, "train"))) == {"train/late@0"}
    assert set(starts(source(root, "test", clips_per_video=2))) == {
        *("test/cut@0", "test/cut@2"),
        "test/early@0",
    }
    chosen = [{c.video for c in source(root, max_videos=n).clips()} for n in (1, 2, 3, 9)]
    assert [len(videos) for videos in chosen] == [1, 2, 3, 3]
    assert chosen[0] < chosen[1] < chosen[2]
    with pytest.raises(UsageError, match="unknown split 'text'") as caught:
        source(root, "text").clips()
    assert "did you mean 'test'" in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [{"frames": 1}, {"fps": 0}, {"size": (0, 64)}, {"clips_per_video": 0}, {"max_videos": 0}],
)
def test_formats_that_make_no_sense_are_refused(root, option):
    with pytest.raises(UsageError):
        source(root, **option)


# --- cameras --------------------------------------------------------------------------------------


def test_a_pose_file_reads_back_as_it_was_written(root, walk):
    path = read_poses("test/cut.txt", root)
    assert path.url == WATCH + "sourceOfCut"
    assert path.timestamps_us.tolist() == [BEGIN + 125_000 * t for t in range(FRAMES)]
    assert np.array_equal(path.w2c, walk.w2c)
    assert np.array_equal(path.intrinsics, np.tile(walk.lens, (FRAMES, 1)))
    assert not path.distortion.any()


def test_the_columns_are_those_of_the_release(tmp_path):
    # The form of the release: nine digits, a blank at the end of a line.
    pose = np.c_[Rotation.from_rotvec([0.1, -0.4, 0.02]).as_matrix(), [0.1, -0.2, 0.3]].ravel()
    words = " ".join(f"{value:.9f}" for value in [0.47, 0.83, 0.51, 0.49, 0.0, 0.0, *pose])
    lines = [f"{t} {words} " for t in (0, 33000)]
    path = read_poses(write(tmp_path / "a.txt", WATCH + "x", lines), tmp_path)
    assert path.timestamps_us.tolist() == [0, 33000]
    assert path.intrinsics[1].tolist() == [0.47, 0.83, 0.51, 0.49]
    assert path.w2c[1, :, 3].tolist() == [0.1, -0.2, 0.3]
    assert path.w2c[1].ravel() == pytest.approx(pose, abs=1e-9)


def test_cameras_of_frames_at_lines_are_those_of_the_lines(root, walk):
    data = source(root)
    for id, first in (("test/cut@2", 16), ("test/early@0", 2), ("train/late@0", 11)):
        found = data.cameras(id)
        assert isinstance(found, Cameras)
        assert found.c2w.shape == (8, 4, 4)
        assert np.abs(found.c2w - walk.c2w[first : first + 8]).max() < 1e-6


@pytest.mark.parametrize("size", [(64, 64), (36, 40), (48, 128), (72, 128), (100, 90)])
def test_points_of_the_scene_keep_their_place_in_the_picture(root, walk, size):
    rows, columns = (a.ravel() for a in np.mgrid[4:HEIGHT:16, 4:WIDTH:16])
    rays = np.c_[columns + 0.5, rows + 0.5, np.ones(len(rows))] @ np.linalg.inv(walk.K).T
    seen = rays * walk.depth[0, rows, columns][:, None]
    points = seen @ walk.c2w[0, :3, :3].T + walk.c2w[0, :3, 3]
    cameras = source(root, size=size).cameras("test/cut@0")
    scale = max(size[0] / HEIGHT, size[1] / WIDTH)
    cover = np.array([round(WIDTH * scale), round(HEIGHT * scale)])
    shift = (cover - size[::-1]) // 2
    for t in (0, 3, 7):
        before = project(points, walk.K, walk.w2c[t])
        after = project(points, cameras.K[t], np.linalg.inv(cameras.c2w[t]))
        assert after == pytest.approx(before * cover / (WIDTH, HEIGHT) - shift, abs=1e-6)
    if size == (HEIGHT, WIDTH):
        assert np.abs(cameras.K - walk.K).max() < 1e-9


@pytest.mark.parametrize("size", [(64, 64), (36, 40), (48, 80), (150, 200)])
def test_a_spot_is_where_resizing_and_cropping_put_it(root, walk, size):
    x, y = 52.3, 41.8  # pixel centres are at halves
    i, j = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    spot = 255 * np.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * 3.0**2))
    picture = fit_picture(np.repeat(spot[..., None], 3, 2).round().astype(np.uint8), size)
    weight = picture[..., 0].astype(np.float64) ** 2
    i, j = np.mgrid[: size[0], : size[1]] + 0.5
    found = np.array([(weight * j).sum(), (weight * i).sum()]) / weight.sum()
    ray = np.linalg.inv(walk.K) @ (x, y, 1)
    cameras = source(root, size=size).cameras("test/cut@0")
    assert (cameras.K[0] @ ray)[:2] == pytest.approx(found, abs=0.02)


def test_poses_between_lines_are_interpolated(copy, walk):
    frames = [0, 3, 7, 8, 12, 18, 23]
    lines = walk.lines(frames, BEGIN)
    lens = [0.7 + 0.01 * n for n in range(len(frames))]
    lines = [
        " ".join([a.split()[0], repr(f), *a.split()[2:]]) for a, f in zip(lines, lens, strict=True)
    ]
    write(copy / "test" / "cut.txt", WATCH + "s", lines)
    data = source(copy, size=(HEIGHT, WIDTH))
    found = [data.cameras(f"test/cut@{k}") for k in range(3)]
    c2w = np.concatenate([cameras.c2w for cameras in found])
    turns = Slerp(frames, Rotation.from_matrix(walk.c2w[frames, :3, :3]))(np.arange(FRAMES))
    assert c2w[:, :3, :3] == pytest.approx(turns.as_matrix(), abs=1e-9)
    for axis in range(3):
        centre = np.interp(np.arange(FRAMES), frames, walk.c2w[frames, axis, 3])
        assert c2w[:, axis, 3] == pytest.approx(centre, abs=1e-9)
    assert np.array_equal(c2w[:, 3], np.tile([0, 0, 0, 1], (FRAMES, 1)))
    # An orbit is no chord, but near it.
    assert 1e-4 < np.abs(c2w - walk.c2w).max() < 0.1
    focal = np.concatenate([cameras.K[:, 0, 0] for cameras in found]) / WIDTH
    # The earlier line where two are equally near: argmin takes the first.
    nearest = [np.abs(np.array(frames) - t).argmin() for t in range(FRAMES)]
    assert focal == pytest.approx([lens[n] for n in nearest])


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (3, [0, 3, 5, 8, 11, 13]),  # of times 0, ⅓, ⅔, 1 …
        (16 / 3, [0, 1, 3, 4, 6, 7]),  # every second time halfway: the earlier frame
    ],
)
def test_cameras_are_those_of_the_frames_shown_where_the_rates_differ(root, walk, fps, expected):
    data = source(root, frames=6, fps=fps, max_excluded=0.7)
    pictures = data.load(["test/cut@0"])[0].astype(int)
    error = np.abs(pictures[:, None] - fitted(walk)[None].astype(int)).mean(axis=(2, 3, 4))
    shown = error.argmin(axis=1)
    assert shown.tolist() == expected
    assert np.abs(data.cameras("test/cut@0").c2w - walk.c2w[shown]).max() < 1e-6


def test_intrinsics_hold_at_any_resolution_of_the_video(copy, walk):
    larger = [cv2.resize(p, (2 * WIDTH, 2 * HEIGHT)) for p in walk.rgb]
    before = source(copy).cameras("test/cut@0").K
    encode(copy / "videos" / "cut.mp4", np.stack(larger), 8)
    after = source(copy).cameras("test/cut@0").K
    assert np.abs(after - before).max() < 1e-9


# --- which files ----------------------------------------------------------------------------------


def test_pose_files_may_lie_in_a_folder_of_their_own(root, copy):
    (copy / "poses").mkdir()
    for split in ("train", "test"):
        (copy / split).rename(copy / "poses" / split)
    assert source(copy).clips() == source(root).clips()
    assert source(copy).digest == source(root).digest


def test_the_order_of_files_changes_nothing(root, monkeypatch):
    before = source(root)
    glob, walk_files = Path.glob, os.walk
    monkeypatch.setattr(Path, "glob", lambda *a: sorted(glob(*a), reverse=True))
    monkeypatch.setattr(
        os, "walk", lambda top: ((d, s[::-1], f[::-1]) for d, s, f in walk_files(top))
    )
    again = source(root)
    assert (again.clips(), again.digest) == (before.clips(), before.digest)
    chosen = source(root, max_videos=2)
    monkeypatch.undo()
    assert chosen.clips() == source(root, max_videos=2).clips()


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".MP4"])
def test_videos_of_other_suffixes_and_deeper_folders_are_found(copy, suffix):
    (copy / "videos" / "deep").mkdir()
    (copy / "videos" / f"{LONG}.mp4").rename(copy / "videos" / "deep" / (LONG + suffix))
    posed, excluded = realestate10k(copy)
    assert excluded == ()
    assert [item.path for item in posed[1:]] == [f"videos/deep/{LONG}{suffix}"] * 2


def test_a_video_called_after_the_pose_file_wins_over_the_source_video(copy, walk):
    shutil.copy(copy / "videos" / "cut.mp4", copy / "videos" / "sourceOfCut.mp4")
    assert realestate10k(copy)[0][0].path == "videos/cut.mp4"
    (copy / "videos" / "cut.mp4").unlink()
    write(copy / "test" / "cut.txt", WATCH + "sourceOfCut", walk.lines(range(FRAMES)))
    (item,) = [item for item in realestate10k(copy)[0] if item.id == "test/cut"]
    assert isinstance(item, PosedVideo)
    assert (item.path, item.cut, item.begin_us) == ("videos/sourceOfCut.mp4", False, 0)


def test_two_videos_of_one_name_are_refused(copy):
    shutil.copy(copy / "videos" / "cut.mp4", copy / "videos" / "cut.webm")
    with pytest.raises(DataError, match="duplicate video ids"):
        source(copy).clips()


def test_hidden_files_are_passed_over(root, copy):
    (copy / "test" / ".cut.txt").write_text("unfinished")
    (copy / "videos" / ".cut.webm").write_text("unfinished")
    assert source(copy).digest == source(root).digest


def test_the_digest_depends_on_what_files_say_and_not_on_place_or_form(root, copy, walk):
    before = source(root)
    assert source(copy).digest == before.digest
    assert str(root) not in before.info.model_dump_json()
    file = copy / "test" / "early.txt"
    text = file.read_text()
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", " \r\n\r\n").encode())
    assert source(copy).digest == before.digest
    for number in (1, 3, 5, 7, 18):  # fx, px, k1 …, the last of t
        words = text.splitlines()[4].split()
        words[number] = repr(float(words[number]) + 1e-9)
        file.write_text(text.replace(text.splitlines()[4], " ".join(words)))
        assert source(copy, max_excluded=0.5).digest != before.digest
    file.write_text(text.replace(LONG, LONG + "&feature=x"))
    assert source(copy).digest != before.digest
    file.write_text(text)
    encode(copy / "videos" / f"{LONG}.mp4", walk.rgb, 8, crf=30)
    assert source(copy).digest != before.digest


def test_a_source_pickles(root):
    data = source(root)
    expected = data.load(["train/late@0"])
    again = pickle.loads(pickle.dumps(data))
    assert np.array_equal(again.load(["train/late@0"]), expected)
    assert np.array_equal(again.cameras("test/cut@1").K, data.cameras("test/cut@1").K)
    assert again.info == data.info


def test_nothing_is_read_before_the_first_question(tmp_path):
    data = source(tmp_path / "none")
    assert data.protocol["frames"] == 8
    with pytest.raises(DataError, match="not a folder"):
        data.clips()


def test_a_pose_file_that_changes_after_the_scan_is_noticed(copy, walk):
    data = source(copy)
    data.clips()
    write(copy / "test" / "cut.txt", WATCH + "sourceOfCut", walk.lines(range(FRAMES), BEGIN + 1))
    with pytest.raises(DataError, match="changed since it was scanned"):
        data.cameras("test/cut@0")


def test_a_root_of_another_layout_is_refused(root, copy, tmp_path):
    with pytest.raises(DataError, match="no pose files") as caught:
        source(root / "test").clips()
    assert "data.root" in str(caught.value)
    shutil.rmtree(copy / "videos")
    with pytest.raises(DataError, match="not a folder") as caught:
        source(copy).clips()
    assert "videos" in str(caught.value)
    (copy / "videos").mkdir()
    with pytest.raises(DataError, match="no videos in the folder"):
        source(copy).clips()


def test_the_configuration_names_the_options_of_the_class():
    options = OmegaConf.load(Path(conf.__path__[0], "data", "realestate10k.yaml"))
    target = get_class(options._target_)
    assert target is RealEstateData
    parameters = set(inspect.signature(target).parameters)
    assert set(options) - {"_target_", "summary"} == parameters
    assert OmegaConf.is_missing(options, "root")


# --- what cannot be used --------------------------------------------------------------------------


def reword(line: int, word: int, text: str) -> Callable[[list[str]], list[str]]:
    def edit(lines: list[str]) -> list[str]:
        words = lines[line].split()
        words[word] = text
        return [*lines[:line], " ".join(words), *lines[line + 1 :]]

    return edit


def turned(scale: float) -> Callable[[list[str]], list[str]]:
    """Stretches the first row of R on line 5."""

    def edit(lines: list[str]) -> list[str]:
        words = lines[4].split()
        words[7:10] = [repr(scale * float(word)) for word in words[7:10]]
        return [*lines[:4], " ".join(words), *lines[5:]]

    return edit


BAD: list[tuple[str, str, Callable[[list[str]], list[str]]]] = [
    ("line 3: 18 values instead of 19", "0.", lambda a: [*a[:2], a[2].rpartition(" ")[0], *a[3:]]),
    ("line 24: 1 values instead of 19", "553", lambda a: [*a[:23], a[23][:3]]),
    ("line 3: 20 values instead of 19", "7", lambda a: [*a[:2], a[2] + " 7", *a[3:]]),
    ("line 4: fy is no number", "half", reword(3, 2, "half")),
    ("line 4: P23 is no number", "1,5", reword(3, 18, "1,5")),
    ("line 6: timestamp is no integer", "1.5", reword(5, 0, "1.5")),
    ("line 6: timestamp is no integer", "-5", reword(5, 0, "-5")),
    ("line 6: timestamp is no integer", "99999", reword(5, 0, "9" * 5000)),
    ("line 5: P02 is not finite", "nan", reword(4, 9, "nan")),
    ("line 5: px is not finite", "-inf", reword(4, 3, "-inf")),
    ("line 5: P23 is not finite", "1e999", reword(4, 18, "1e999")),
    ("line 5: R is no rotation", "1e+200", reword(4, 9, "1e200")),
    ("line 2: fx or fy is not above 0", "0.0", reword(1, 1, "0")),
    ("line 5: R is no rotation", "[[", turned(1.002)),
    ("line 5: R is no rotation", "[[", turned(-1.0)),
    ("line 4: timestamp does not rise", "52677500", reword(3, 0, "52677500")),
    ("line 4: timestamp does not rise", "51", reword(3, 0, "51")),
    ("empty file", "no line", lambda a: []),
    ("empty file", "no line", lambda a: ["", "  "]),
    ("line 1: no URL", "52552500", lambda a: a[1:]),
    ("line 1: no URL", "a video", lambda a: ["a video", *a[1:]]),
    ("0 cameras", "a URL", lambda a: a[:1]),
    ("1 cameras", "a URL", lambda a: a[:2]),
]


@pytest.mark.parametrize(("what", "seen", "edit"), BAD, ids=range(len(BAD)))
def test_malformed_pose_files_are_told_by_line_and_excluded(copy, what, seen, edit):
    file = copy / "test" / "cut.txt"
    file.write_text("\n".join(edit(file.read_text().splitlines())))
    with pytest.raises(DataError) as caught:
        read_poses(file, copy)
    assert caught.value.what == what
    assert seen in str(caught.value.seen)
    assert str(file) in str(caught.value.seen)
    data = source(copy, max_excluded=0.4)
    (gone,) = data.info.excluded
    assert (gone.path, gone.reason) == ("test/cut.txt", what)
    assert {clip.video for clip in data.clips()} == {"test/early", "train/late"}


def test_small_errors_of_rounding_are_no_fault(copy):
    file = copy / "test" / "cut.txt"
    file.write_text("\n".join(turned(1.0002)(file.read_text().splitlines())))
    c2w = source(copy).cameras("test/cut@0").c2w
    assert np.abs(c2w[:, :3, :3] @ c2w[:, :3, :3].swapaxes(1, 2) - np.eye(3)).max() < 1e-9


def test_files_that_are_no_text_are_excluded(copy):
    (copy / "test" / "cut.txt").write_bytes(b"\xff\xfe\0")
    (copy / "test" / "early.txt").unlink()
    os.mkfifo(copy / "test" / "early.txt")
    reasons = [item.reason for item in source(copy, max_excluded=0.7).info.excluded]
    assert reasons == ["cannot read the listing: UnicodeDecodeError", "not a regular file"]
    with pytest.raises(DataError, match="FileNotFoundError"):
        read_poses("test/gone.txt", copy)


def test_what_has_no_usable_video_is_excluded_with_the_reason(copy, walk):
    every = range(FRAMES)
    write(copy / "test" / "gone.txt", WATCH + "goneSource", walk.lines(every))
    write(copy / "test" / "link.txt", "https://example.org/x.mp4", walk.lines(every))
    write(copy / "test" / "evil.txt", WATCH + "../../outside", walk.lines(every))
    encode(copy.parent / "outside.mp4", walk.rgb[:9], 8)
    write(copy / "test" / "bent.txt", WATCH + LONG, walk.lines(every, k=(0.01, -0.5)))
    write(copy / "test" / "brief.txt", WATCH + LONG, walk.lines(range(3, 8)))
    write(copy / "test" / "after.txt", WATCH + LONG, walk.lines(every, 2_500_000))
    write(copy / "test" / "beyond.txt", WATCH + LONG, walk.lines(every, 60_000_000))
    write(copy / "test" / "whole.txt", WATCH + "x", walk.lines(range(4, 15), BEGIN))
    shutil.copy(copy / "videos" / "cut.mp4", copy / "videos" / "whole.mp4")
    write(copy / "test" / "text.txt", WATCH + "x", walk.lines(every))
    (copy / "videos" / "text.mp4").write_text("#EXTM3U\n")
    with pytest.raises(DataError, match="9 of 12 pose files are unusable") as caught:
        source(copy).clips()
    assert "data.max_excluded=0.75" in str(caught.value)
    data = source(copy, max_excluded=0.75)
    assert {Path(item.path).stem: item.reason for item in data.info.excluded} == {
        "gone": "no video gone or goneSource",
        "link": "no video link, and its URL has no YouTube id",
        "evil": "no video evil, and its URL has no YouTube id",
        "bent": "distorted pictures: k1 = 0.01, k2 = -0.5",
        "brief": "too short: 0.625 of 1.000 seconds",
        "after": "too short: 0.500 of 1.000 seconds",
        "beyond": "too short: 0.000 of 1.000 seconds",
        "whole": "cut of 3.00 s, but cameras for 1.38 s",
        "text": "video text: not a video container: the file starts with b'#EXTM3U\\n'",
    }
    assert [item.path for item in data.info.excluded] == sorted(
        item.path for item in data.info.excluded
    )
    assert len(data.clips()) == 5
    assert data.digest != source(copy, "train").digest


def test_a_higher_frame_rate_than_the_videos_have_is_refused(root):
    with pytest.raises(DataError, match="frames would repeat") as caught:
        source(root, fps=12).clips()
    assert "8 frames per second" in str(caught.value)


def test_a_set_of_which_nothing_can_be_used_is_refused_whatever_may_be_excluded(copy):
    for video in (copy / "videos").iterdir():
        video.rename(video.with_stem("unrelated" + video.stem))
    with pytest.raises(DataError, match="3 of 3 pose files are unusable") as caught:
        source(copy, max_excluded=1).clips()
    assert "max_excluded=" not in str(caught.value)


@pytest.mark.parametrize(
    "inside", ["test/cut.txt", "test", "poses", "videos", f"videos/{LONG}.mp4"]
)
def test_links_that_lead_out_of_the_root_are_refused_and_never_an_exclusion(copy, inside):
    if inside == "poses":
        (copy / "poses").mkdir()
        for split in ("train", "test"):
            (copy / split).rename(copy / "poses" / split)
    outside = copy.parent / "outside"
    shutil.move(copy / inside, outside)
    (copy / inside).symlink_to(outside)
    for ask in (realestate10k, lambda root: source(root, max_excluded=1).clips()):
        with pytest.raises(DataError, match="path leaves the data root"):
            ask(copy)


def test_paths_that_leave_the_root_are_refused(root, copy):
    for path in ("../cut.txt", str(root / "test" / "cut.txt"), "test/../../x.txt"):
        with pytest.raises(DataError, match="path leaves the data root"):
            read_poses(path, copy)
    for split in ("../copy/test", "..", str(root / "test"), "videos"):
        with pytest.raises(UsageError, match="unknown split"):
            source(copy, split).clips()


def test_links_within_the_root_are_followed(root, copy):
    (copy / "test" / "cut.txt").rename(copy / "elsewhere.txt")
    (copy / "test" / "cut.txt").symlink_to(copy / "elsewhere.txt")
    assert source(copy).digest == source(root).digest
