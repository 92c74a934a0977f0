"""Pictures in class folders, as ImageNet-1K lies on disk, repeated as clips."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldbench.data.source import ClipSource
from worldbench.data.stills import StillData
from worldbench.errors import DataError, UsageError

GREEN = np.zeros((40, 60, 3), np.uint8)
GREEN[..., 1] = 200


def picture(path: Path, pixels: np.ndarray = GREEN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes in two splits, JPEG and PNG."""
    for split in ("train", "val"):
        for name, suffix in (("n01440764", "JPEG"), ("n01443537", "png")):
            for i in range(2):
                shade = np.full((40, 60, 3), 60 * i + 20 * (split == "val"), np.uint8)
                picture(tmp_path / split / name / f"{name}_{i}.{suffix}", GREEN // 2 + shade)
    return tmp_path


def test_every_picture_is_a_clip_of_equal_frames(root: Path) -> None:
    data = StillData("imagenet", str(root), split="val", train={"split": "train"}, size=(16, 24))
    assert isinstance(data, ClipSource)
    clips = data.clips()
    assert [clip.id for clip in clips] == [
        f"val/{name}/{name}_{i}" for name in ("n01440764", "n01443537") for i in range(2)
    ]
    assert [clip.label for clip in clips] == ["n01440764"] * 2 + ["n01443537"] * 2
    assert len({clip.cluster for clip in clips}) == 4
    loaded = data.load([clips[3].id, clips[0].id])
    assert loaded.shape == (2, 16, 16, 24, 3)
    assert (loaded == loaded[:, :1]).all()
    assert abs(int(loaded[0, 0, 8, 12, 1]) - 180) <= 2
    assert data.info.clips == data.info.clusters == 4
    assert data.train is not None
    assert len(data.train.clips()) == 4
    assert data.contents.isdisjoint(data.train.contents)


def test_options_of_the_training_split_stay_its_own(root: Path) -> None:
    data = StillData("imagenet", str(root), split="val", train={"split": "train", "max_videos": 1})
    assert data.train is not None
    assert len(data.train.clips()) == 1
    assert data.train.train is None
    bad = StillData("imagenet", str(root), train={"spilt": "train"})
    with pytest.raises(UsageError, match="did you mean 'split'"):
        _ = bad.train
    assert StillData("imagenet", str(root), split="val").train is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JPEG or PNG"),
        (b"GIF89a" + b"0" * 40, "no JPEG or PNG"),
        (b"\xff\xd8\xff\xe0" + b"0" * 40, "truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 40, "does not decode"),
    ],
)
def test_what_is_no_picture_is_excluded_with_the_reason(root: Path, data: bytes, why: str) -> None:
    (root / "val/n01440764/broken.jpg").write_bytes(data)
    with pytest.raises(DataError, match="1 of 5"):
        StillData("imagenet", str(root), split="val").clips()
    found = StillData("imagenet", str(root), split="val", max_excluded=0.5)
    assert len(found.clips()) == 4
    assert [item.path for item in found.info.excluded] == ["val/n01440764/broken.jpg"]
    assert why in found.info.excluded[0].reason


def test_a_truncated_jpeg_is_not_half_a_picture(root: Path) -> None:
    rng = np.random.default_rng(0)
    path = picture(root / "val/n01440764/cut.jpg", rng.integers(0, 255, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-40])
    found = StillData("imagenet", str(root), split="val", max_excluded=0.5)
    assert found.info.excluded[0].reason.startswith("truncated")


def test_links_out_of_the_root_and_fifos_are_refused(root: Path, tmp_path: Path) -> None:
    outside = picture(tmp_path.parent / f"{tmp_path.name}-outside.jpg")
    link = root / "val/n01440764/leak.jpg"
    link.symlink_to(outside)
    with pytest.raises(DataError, match="leaves the data root"):
        StillData("imagenet", str(root), split="val").clips()
    link.unlink()
    os.mkfifo(link)
    found = StillData("imagenet", str(root), split="val", max_excluded=0.5)
    assert found.info.excluded[0].reason == "not a regular file"


def test_a_picture_that_changes_after_the_scan_is_told(root: Path) -> None:
    data = StillData("imagenet", str(root), split="val")
    clip = data.clips()[0]
    rng = np.random.default_rng(0)
    picture(root / f"{clip.id}.JPEG", rng.integers(0, 255, (64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="changed since it was probed"):
        data.load([clip.id])


def test_a_folder_without_pictures_and_a_wrong_format_are_told(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        StillData("imagenet", str(tmp_path)).clips()
    with pytest.raises(UsageError, match="do not exist"):
        StillData("imagenet", str(tmp_path), frames=1)
    with pytest.raises(UsageError, match="max_videos is not a usable number"):
        StillData("imagenet", str(tmp_path), max_videos=0)
