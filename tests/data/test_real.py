"""Frames are told apart by a barcode: eight vertical bars that spell the frame number in binary."""

import json
import os
import pickle
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

import conf
from worldbench.data.real import VideoData
from worldbench.data.source import Clip, ClipFormat, ClipSource
from worldbench.data.video import encode
from worldbench.errors import DataError, UsageError

FORMAT = {"frames": 8, "fps": 10, "size": (32, 64)}


def write(path: Path, frames: int = 32, first: int = 0) -> Path:
    """Writes frames numbered from ``first`` on, at 10 fps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = (first + np.arange(frames)) % 256
    bits = (numbers[:, None] >> np.arange(8)) & 1
    bars = np.repeat(bits.astype(np.uint8) * 200 + 25, 8, axis=1)
    encode(path, np.broadcast_to(bars[:, None, :, None], (frames, 32, 64, 3)).copy(), 10)
    return path


def numbers(clip: np.ndarray) -> list[int]:
    bars = clip.reshape(len(clip), 32, 8, 8, 3)[:, :, :, 2:6].mean(axis=(1, 3, 4))
    return [int(n) for n in ((bars > 128) << np.arange(8)).sum(axis=1)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five videos of 32 frames in two classes, numbered from 0, 40, 80, 120, 160."""
    root = tmp_path_factory.mktemp("videos")
    for index, name in enumerate(("a/one", "a/two", "b/three", "b/four", "b/five")):
        write(root / f"{name}.mp4", first=40 * index)
    return root


def ids(data: VideoData) -> list[str]:
    return [clip.id for clip in data.clips()]


def test_a_folder_gives_windows_that_do_not_overlap(root):
    data = VideoData("videos", str(root), **FORMAT)
    assert isinstance(data, ClipSource)
    clips = data.clips()
    assert clips[0] == Clip("a/one@0", "a/one", "a/one", "", 0.0)
    assert [clip.id for clip in clips[:4]] == [f"a/one@{k}" for k in range(4)]
    assert [clip.start for clip in clips[:4]] == pytest.approx([0, 0.8, 1.6, 2.4])
    assert len(clips) == 20
    seen = [n for video in data.load([clip.id for clip in clips]) for n in numbers(video)]
    # a/one starts at 0, a/two at 40, b/five at 160, b/four at 120, b/three at 80.
    expected = [first + n for first in (0, 40, 160, 120, 80) for n in range(32)]
    assert seen == expected


def test_loading_returns_the_clips_in_the_order_asked_for(root):
    data = VideoData("videos", str(root), **FORMAT)
    wanted = ["b/three@2", "a/one@3", "b/three@0", "a/two@1", "a/one@3"]
    loaded = data.load(wanted)
    assert loaded.shape == (5, 8, 32, 64, 3)
    assert loaded.dtype == np.uint8
    assert [numbers(clip)[0] for clip in loaded] == [96, 24, 80, 48, 24]
    assert all(np.diff(numbers(clip)).tolist() == [1] * 7 for clip in loaded)
    assert data.load([]).shape == (0, 8, 32, 64, 3)


def test_a_lower_frame_rate_skips_frames(root):
    data = VideoData("videos", str(root), frames=8, fps=5, size=(32, 64))
    assert len(data.clips()) == 10
    assert numbers(data.load(["a/two@1"])[0]) == list(range(56, 72, 2))


def test_a_higher_frame_rate_than_the_videos_have_is_refused(root):
    data = VideoData("videos", str(root), frames=8, fps=12, size=(32, 64))
    with pytest.raises(DataError, match="5 of 5 videos are unusable") as caught:
        data.clips()
    assert "10 frames per second, fewer than data.fps=12: frames would repeat" in str(caught.value)
    assert "lower data.fps" in str(caught.value)
    # 2 % are left to rates such as 29.97, and at the rate itself every frame is shown once.
    data = VideoData("videos", str(root), frames=8, fps=10.1, size=(32, 64))
    assert numbers(data.load(["a/one@1"])[0]) == list(range(8, 16))


def test_pixels_are_resized_and_cropped_at_the_centre(root):
    clip = VideoData("videos", str(root), frames=8, fps=10, size=(16, 16)).load(["a/one@0"])[0]
    # Half the size, then the middle of 32 columns: bits 2 to 5 of the barcode remain, 4 wide.
    bits = [(clip[:, :, 4 * b + 1 : 4 * b + 3].mean(axis=(1, 2, 3)) > 128) for b in range(4)]
    assert [sum(int(bit[t]) << b for b, bit in enumerate(bits)) for t in range(8)] == [
        (t >> 2) & 15 for t in range(8)
    ]


@pytest.mark.parametrize(
    ("most", "windows"),
    [(1, [0]), (2, [0, 3]), (3, [0, 2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])],
)
def test_clips_per_video_are_spread_over_the_video(root, most, windows):
    data = VideoData("videos", str(root), **FORMAT, clips_per_video=most)
    assert ids(data)[: len(windows)] == [f"a/one@{k}" for k in windows]
    assert len(data.clips()) == 5 * len(windows)
    last = f"b/three@{windows[-1]}"
    assert numbers(data.load([last])[0])[0] == 80 + 8 * windows[-1]


@pytest.mark.parametrize(
    ("seconds", "starts"),
    [(0.79, []), (0.8, [0]), (1.59, [0]), (1.6, [0, 0.8]), (2.5, [0, 0.8, 1.6])],
)
def test_a_stretch_holds_as_many_windows_as_fit_whole(seconds, starts):
    windows = ClipFormat(8, 10.0, (32, 64)).windows(3.0, 3.0 + seconds)
    assert [k for k, _ in windows] == list(range(len(starts)))
    assert [start - 3.0 for _, start in windows] == pytest.approx(starts)


def test_max_videos_is_a_stable_choice_that_grows(root, tmp_path):
    chosen = [
        {clip.video for clip in VideoData("v", str(root), **FORMAT, max_videos=n).clips()}
        for n in (1, 2, 3, 4, 5, 9)
    ]
    assert [len(videos) for videos in chosen] == [1, 2, 3, 4, 5, 5]
    assert all(small <= large for small, large in pairwise(chosen))
    copy = shutil.copytree(root, tmp_path / "elsewhere")
    again = VideoData("v", str(copy), **FORMAT, max_videos=2)
    assert {clip.video for clip in again.clips()} == chosen[1]


def test_videos_too_short_for_a_clip_are_excluded_and_counted(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "with_short")
    write(copy / "b" / "short.mp4", frames=7)
    write(copy / "b" / "just.mp4", frames=8, first=200)
    data = VideoData("videos", str(copy), **FORMAT, max_excluded=0.2)
    assert data.info.clips == 21
    assert data.info.clusters == 6
    ((path, reason),) = [(item.path, item.reason) for item in data.info.excluded]
    assert path == "b/short.mp4"
    assert reason == "too short: 0.700 of 0.800 seconds"
    assert numbers(data.load(["b/just@0"])[0]) == list(range(200, 208))
    with pytest.raises(DataError, match="1 of 7 videos are unusable") as caught:
        VideoData("videos", str(copy), **FORMAT).clips()
    assert "data.max_excluded=" in str(caught.value)


def test_class_folders_label_clips_and_can_be_filtered(root):
    data = VideoData("videos", str(root), "class_folders", **FORMAT)
    assert {clip.label for clip in data.clips() if clip.video.startswith("a/")} == {"a"}
    only = VideoData("videos", str(root), "class_folders", classes=["a"], **FORMAT)
    assert {clip.video for clip in only.clips()} == {"a/one", "a/two"}
    assert only.protocol["classes"] == ["a"]
    with pytest.raises(UsageError, match="unknown class 'c'"):
        VideoData("videos", str(root), "class_folders", classes=["c"], **FORMAT).clips()


def test_kinetics_reads_its_csv(tmp_path):
    write(tmp_path / "abc_000003_000013.mp4")
    write(tmp_path / "riding_a_bike" / "def_000000_000010.mp4", first=40)
    listing = tmp_path / "annotations.csv"
    listing.write_text(
        "label,youtube_id,time_start,time_end,split\n"
        "running,abc,3,13,train\nriding a bike,def,0,10,validate\n"
    )
    options = {"annotations": str(listing), **FORMAT}
    both = VideoData("k", str(tmp_path), "kinetics", **options)
    assert {c.label for c in both.clips()} == {"running", "riding a bike"}
    one = VideoData("k", str(tmp_path), "kinetics", split="validate", **options)
    assert {c.video for c in one.clips()} == {"riding_a_bike/def_000000_000010"}
    # Files hold the cut alone: the CSV's seconds set no stretch.
    assert numbers(both.load(["abc_000003_000013@3"])[0]) == list(range(24, 32))


def test_path_label_reads_its_list(root, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_text("b/four.mp4 7\na/one.mp4 0\n")
    data = VideoData("p", str(root), "path_label", annotations=str(listing), **FORMAT)
    assert {(c.video, c.label) for c in data.clips()} == {("a/one", "0"), ("b/four", "7")}


def test_ssv2_reads_its_folder_of_json(tmp_path):
    for index in (1, 2):
        write(tmp_path / "videos" / f"{index}.mp4", first=40 * index)
    annotations = tmp_path / "labels"
    annotations.mkdir()
    (annotations / "labels.json").write_text(json.dumps({"Holding something": "0"}))
    for name, split in ((1, "train"), (2, "validation")):
        item = {"id": str(name), "template": "Holding [something]"}
        (annotations / f"{split}.json").write_text(json.dumps([item]))
    options = {"annotations": str(annotations), **FORMAT}
    both = VideoData("s", str(tmp_path / "videos"), "ssv2", **options)
    assert {c.video for c in both.clips()} == {"1", "2"}
    assert {c.label for c in both.clips()} == {"Holding something"}
    one = VideoData(
        "s",
        str(tmp_path / "videos"),
        "ssv2",
        split="validation",
        train={"split": "train"},
        **options,
    )
    assert {c.video for c in one.clips()} == {"2"}
    assert one.train is not None
    assert {c.video for c in one.train.clips()} == {"1"}


def test_the_training_split_keeps_the_format_and_changes_what_it_is_told(root, tmp_path):
    write(tmp_path / "other" / "c" / "six.mp4", first=5)
    data = VideoData(
        "videos",
        str(root),
        frames=8,
        fps=5,
        size=[16, 16],
        max_videos=2,
        train={"root": str(tmp_path / "other"), "clips_per_video": 1},
    )
    train = data.train
    assert train is not None
    assert train is data.train
    assert train.name == "videos/train"
    assert (train.frames, train.fps, train.format.size) == (8, 5.0, (16, 16))
    assert [clip.id for clip in train.clips()] == ["c/six@0"]
    assert train.train is None
    assert VideoData("videos", str(root)).train is None


def test_the_training_split_has_at_most_2048_videos_unless_told_otherwise(root):
    def train(**options: object) -> VideoData:
        found = VideoData("v", str(root), **FORMAT, max_videos=1, train=options).train
        assert found is not None
        return found

    assert train().protocol["max_videos"] == 2048
    assert train(max_videos=None).protocol["max_videos"] is None
    assert train(max_videos=3).info.clusters == 3
    with pytest.raises(UsageError, match=r"unknown option of data\.train 'max_video'") as caught:
        train(max_video=3)
    assert "max_videos" in str(caught.value).partition("accepted:")[2]


def test_cuts_of_one_source_video_are_one_cluster(root, tmp_path):
    names = ("v_Run_g01_c01", "v_Run_g01_c02", "v_Run_g02_c01", "other")
    for name in names:
        (tmp_path / "Run").mkdir(exist_ok=True)
        shutil.copy(root / "a" / "one.mp4", tmp_path / "Run" / f"{name}.mp4")

    def clusters(pattern: str | None) -> list[str]:
        data = VideoData("v", str(tmp_path), **FORMAT, cluster=pattern, clips_per_video=2, train={})
        assert data.protocol["cluster"] == pattern
        assert data.train is not None
        assert data.train.cluster == pattern
        found = {clip.video: clip.cluster for clip in data.clips()}
        assert data.info.clusters == len(set(found.values()))
        return [found[f"Run/{name}"].removeprefix("Run/") for name in names]

    assert clusters(None) == list(names)
    assert clusters(r"(.*_g\d+)_c\d+$") == ["v_Run_g01", "v_Run_g01", "v_Run_g02", "other"]
    assert clusters(r"g\d+") == ["g01", "g01", "g02", "other"]
    assert clusters(r"(none)?$") == list(names)


def test_a_cluster_that_is_no_regular_expression_is_refused(root):
    with pytest.raises(UsageError, match=r"data\.cluster is no regular expression") as caught:
        VideoData("v", str(root), cluster="(_c")
    assert "data.cluster=" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "video", "cluster"),
    [
        ("kinetics", "running/a_-c_000003_000013", "a_-c"),
        ("kinetics", "a_-c_000030_000040", "a_-c"),
        ("folder", "a_-c_000030_000040", "a_-c_000030_000040"),
    ],
)
def test_the_configured_clusters_are_those_of_the_data_set(tmp_path, name, video, cluster):
    options = OmegaConf.load(Path(conf.__path__[0], "data", f"{name}.yaml"))
    write(tmp_path / f"{video}.mp4")
    data = VideoData("v", str(tmp_path), **FORMAT, cluster=options.cluster)
    assert {clip.cluster for clip in data.clips()} == {cluster}


def test_something_something_is_cut_at_its_own_rate():
    assert OmegaConf.load(Path(conf.__path__[0], "data", "ssv2.yaml")).fps == 12


def test_a_file_name_that_is_not_utf8_is_refused(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    try:
        (copy / "a" / "one.mp4").rename(copy / "a" / os.fsdecode(b"\xff.mp4"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="file name is not UTF-8") as caught:
        VideoData("videos", str(copy), **FORMAT).clips()
    assert r"/a/\udcff.mp4" in str(caught.value)


def test_splits_of_class_folders_serve_for_training(root, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(root / "a", tmp_path / split / "a")
    data = VideoData(
        "v", str(tmp_path), "class_folders", split="val", train={"split": "train"}, **FORMAT
    )
    assert data.train is not None
    assert {c.video for c in data.clips()} == {"val/a/one", "val/a/two"}
    assert {c.video for c in data.train.clips()} == {"train/a/one", "train/a/two"}


def test_the_digest_depends_on_content_and_not_on_place(root, tmp_path):
    here = VideoData("videos", str(root), **FORMAT)
    copy = shutil.copytree(root, tmp_path / "copy")
    there = VideoData("other name", str(copy), **FORMAT)
    assert here.info.digest == here.digest == there.digest
    assert ids(here) == ids(there)
    assert str(root) not in here.info.model_dump_json()
    write(copy / "a" / "one.mp4", first=1)
    assert VideoData("videos", str(copy), **FORMAT).digest != here.digest
    (copy / "a" / "one.mp4").rename(copy / "a" / "uno.mp4")
    assert VideoData("videos", str(copy), **FORMAT).digest != here.digest


def test_the_protocol_is_the_format_and_the_choice_of_videos(root):
    data = VideoData("videos", str(root), **FORMAT, clips_per_video=2, max_videos=3)
    assert data.protocol == {
        "frames": 8,
        "fps": 10.0,
        "size": [32, 64],
        "clips_per_video": 2,
        "split": None,
        "classes": None,
        "max_videos": 3,
        "cluster": None,
    }
    assert json.loads(json.dumps(data.protocol)) == data.protocol


def test_nothing_is_read_before_the_first_question(tmp_path):
    data = VideoData("videos", str(tmp_path / "none"), **FORMAT)
    assert data.protocol["frames"] == 8
    with pytest.raises(DataError, match="not a folder"):
        data.clips()


def test_a_source_survives_pickling(root):
    data = VideoData("videos", str(root), **FORMAT)
    expected = data.load(["a/two@1"])
    assert np.array_equal(pickle.loads(pickle.dumps(data)).load(["a/two@1"]), expected)


def test_a_file_that_changed_since_the_scan_is_refused(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    data = VideoData("videos", str(copy), **FORMAT)
    data.clips()
    write(copy / "a" / "one.mp4", frames=9)
    with pytest.raises(DataError, match="changed since it was probed"):
        data.load(["a/one@0"])


def test_an_unknown_layout_names_its_nearest_match(root):
    with pytest.raises(UsageError, match="did you mean 'kinetics'") as caught:
        VideoData("videos", str(root), "kinetic", annotations="x.csv")
    assert "class_folders, folder, hmdb51, kinetics, path_label, ssv2, ucf101" in str(caught.value)


@pytest.mark.parametrize("layout", ["kinetics", "path_label", "ssv2"])
def test_listed_layouts_need_their_annotations(root, layout):
    with pytest.raises(UsageError, match="needs its annotations") as caught:
        VideoData("videos", str(root), layout)
    assert "data.annotations=PATH" in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [
        {"frames": 1},
        {"fps": 0},
        {"fps": -5.0},
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"size": (128,)},
        {"size": (0, 128)},
    ],
)
def test_formats_that_make_no_sense_are_refused(root, option):
    with pytest.raises(UsageError, match="clips of this format do not exist"):
        VideoData("videos", str(root), **{**FORMAT, **option})


@pytest.mark.parametrize("option", ["clips_per_video", "max_videos"])
@pytest.mark.parametrize("count", [0, -1])
def test_counts_that_leave_nothing_are_refused(root, option, count):
    with pytest.raises(UsageError, match=f"data.{option} is not a usable number"):
        VideoData("videos", str(root), **FORMAT, **{option: count})
