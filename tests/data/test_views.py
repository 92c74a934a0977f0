"""Views of a video: where segments begin, and which part a crop shows."""

from pathlib import Path

import numpy as np
import pytest

from worldbench.data.real import VideoData
from worldbench.data.video import encode
from worldbench.data.views import Views, covering
from worldbench.errors import UsageError


def test_segments_are_spread_over_a_video_and_overlap_where_it_is_short() -> None:
    assert Views(3).starts(0.0, 10.0, 2.0) == pytest.approx([0.0, 4.0, 8.0])
    assert Views(1).starts(0.0, 10.0, 2.0) == pytest.approx([4.0])
    assert Views(3).starts(1.0, 4.0, 2.0) == pytest.approx([1.0, 1.5, 2.0])
    assert Views(2).starts(0.0, 2.0, 2.0) == pytest.approx([0.0, 0.0])


def test_views_that_do_not_exist_are_refused() -> None:
    for segments, crops in ((0, 1), (8, 2), (2, 0)):
        with pytest.raises(UsageError, match="no such views"):
            Views(segments, crops)


@pytest.mark.parametrize(("height", "width"), [(4, 10), (10, 4), (4, 4)])
def test_three_crops_go_along_the_longer_side(height: int, width: int) -> None:
    columns = np.arange(width)[None, :] + 100 * np.arange(height)[:, None]
    clip = np.broadcast_to(columns[None, :, :, None], (2, height, width, 3)).astype(np.uint8)
    found = [Views(1, 3).cropped(clip, (4, 4), crop) for crop in range(3)]
    assert {crop.shape for crop in found} == {(2, 4, 4, 3)}
    assert (found[0] == clip[:, :4, :4]).all()
    assert (found[2] == clip[:, -4:, -4:]).all()
    assert (found[1] == Views(1).cropped(clip, (4, 4), 0)).all()


def test_a_picture_that_covers_is_no_smaller_on_either_side() -> None:
    assert covering((240, 320), (128, 128)) == (128, 171)
    assert covering((320, 240), (128, 128)) == (171, 128)
    assert covering((64, 64), (128, 96)) == (128, 128)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 24 frames at 8 fps: the left third is dark, brightness rises with time."""
    root = tmp_path_factory.mktemp("videos") / "class"
    root.mkdir()
    frames = np.full((24, 32, 96, 3), 60, np.uint8)
    frames += (4 * np.arange(24, dtype=np.uint8))[:, None, None, None]
    frames[:, :, :32] = 0
    encode(root / "a.mp4", frames, 8)
    encode(root / "b.mp4", frames[::-1].copy(), 8)
    return root.parent


def data(videos: Path, **options: object) -> VideoData:
    form = {"frames": 8, "fps": 8, "size": (32, 32), "train": {}}
    return VideoData("videos", str(videos), "class_folders", **{**form, **options})


def test_views_are_clips_of_one_video(videos: Path) -> None:
    seen = data(videos, segments=3, crops=3)
    clips = seen.clips()
    assert len(clips) == 18
    assert [clip.id for clip in clips[:4]] == [
        "class/a@s0c0",
        "class/a@s0c1",
        "class/a@s0c2",
        "class/a@s1c0",
    ]
    assert {clip.cluster for clip in clips} == {"class/a", "class/b"}
    loaded = seen.load([clip.id for clip in clips[:9]]).mean(axis=(1, 2, 3, 4))
    by_segment = loaded.reshape(3, 3)
    assert (by_segment[:, 0] < 8).all()
    assert (np.diff(by_segment[:, 1]) > 20).all()
    assert np.allclose(by_segment[:, 1], by_segment[:, 2], atol=4)
    turned = seen.load([clips[4].id, clips[0].id, clips[4].id])
    assert (turned[0] == turned[2]).all()
    assert (turned[0] == seen.load([clips[4].id])[0]).all()


def test_training_videos_are_seen_in_segments_but_in_the_middle(videos: Path) -> None:
    train = data(videos, segments=2, crops=3).train
    assert train is not None
    assert [clip.id for clip in train.clips()] == [
        f"class/{name}@s{k}c0" for name in "ab" for k in range(2)
    ]


def test_without_views_nothing_changes(videos: Path) -> None:
    plain, seen = data(videos), data(videos, segments=3)
    assert "segments" not in plain.protocol
    assert [clip.id for clip in plain.clips()][:3] == [f"class/a@{k}" for k in range(3)]
    assert seen.protocol["segments"] == 3
    assert (plain.load(["class/a@1"]) == seen.load(["class/a@s1c0"])).all()
    assert data(videos, crops=3).clips()[2].id == "class/a@s0c2"
