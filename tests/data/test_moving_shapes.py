import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldbench.data.embedded import MovingShapes
from worldbench.data.layouts import kinetics
from worldbench.data.moving_shapes import MOTIONS, ShapesSpec, build, draw
from worldbench.data.real import VideoData
from worldbench.data.video import probe
from worldbench.errors import EnvironmentFault
from worldbench.record import file_digest

SPEC = ShapesSpec(train=6, validate=6)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    return tmp_path


def contents(root: Path) -> dict[str, str]:
    return {p.name: file_digest(p) for p in sorted(root.iterdir())}


def test_the_same_spec_draws_the_same_pixels():
    for index in range(6):
        label, first = draw(SPEC, "train", index)
        assert label == f"{MOTIONS[index]} shapes"
        assert first.shape == (16, 64, 64, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, draw(SPEC, "train", index)[1])


def test_a_video_does_not_depend_on_how_many_there_are():
    more = ShapesSpec(train=60, validate=60)
    assert np.array_equal(draw(SPEC, "train", 5)[1], draw(more, "train", 5)[1])


def test_splits_seeds_and_videos_draw_different_pixels():
    drawn = [
        draw(spec, split, index)[1].tobytes()
        for spec in (SPEC, replace(SPEC, seed=1))
        for split in ("train", "validate")
        for index in range(6)
    ]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("index", range(12))
def test_every_video_moves_and_has_texture(index):
    _, video = draw(SPEC, "validate", index)
    assert video.std(axis=(1, 2)).min() > 3
    change = np.abs(np.diff(video.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert change.max() > 0.5  # grey levels; shapes may rest at first or leave the picture


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"seed": 1},
        {"train": 7},
        {"validate": 7},
        {"frames": 8},
        {"fps": 4},
        {"size": 32},
        {"crf": 20},
    ],
)
def test_the_digest_changes_with_every_part_of_the_spec(change):
    assert replace(SPEC, **change).digest != SPEC.digest
    assert SPEC.digest == ShapesSpec(train=6, validate=6).digest


def test_the_set_is_built_in_kinetics_layout(own_cache):
    told: list[tuple[int, int]] = []
    root = build(SPEC, lambda done, total: told.append((done, total)))
    assert root.is_relative_to(own_cache)
    assert told == [(k, 12) for k in range(1, 13)]
    with (root / "annotations.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["split"] for row in rows] == ["train"] * 6 + ["validate"] * 6
    assert [row["label"] for row in rows] == [f"{motion} shapes" for motion in MOTIONS] * 2
    videos = kinetics(root / "annotations.csv", root, split="validate")
    assert len(videos) == 6
    assert all((root / video.path).is_file() for video in videos)
    info = probe(root / videos[0].path)
    assert (info.frames, info.height, info.width) == (16, 64, 64)


def test_building_again_changes_nothing(own_cache):
    root = build(SPEC)
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.iterdir()}
    assert build(SPEC) == root
    assert {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in root.iterdir()} == before


def test_two_specs_live_side_by_side(own_cache):
    assert build(SPEC) != build(replace(SPEC, seed=1))


@pytest.mark.parametrize("name", ["valid000003_000000_000002.mp4", "annotations.csv", "index.json"])
@pytest.mark.parametrize("content", [None, b"", b"[1, 2]", b"\0\0\0\x18ftypisom damaged"])
def test_a_deleted_or_damaged_file_is_made_again(own_cache, name, content):
    root = build(SPEC)
    before = contents(root)
    assert name in before
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    assert build(SPEC) == root
    assert contents(root) == before


def test_an_interrupted_build_is_finished(own_cache):
    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(SPEC, interrupt)
    broken = build(SPEC)
    found = contents(broken)
    assert len(found) == 14
    for path in broken.iterdir():
        path.unlink()
    assert contents(build(SPEC)) == found


def test_a_cache_that_cannot_be_written_is_the_machines_fault(tmp_path, monkeypatch):
    (tmp_path / "data").write_text("in the way")
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="cache folder"):
        build(SPEC)


@pytest.fixture
def small_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldbench.data.embedded.ShapesSpec", lambda: SPEC)


def test_clips_read_back_are_the_drawn_ones_but_for_compression(own_cache, small_shapes):
    data = MovingShapes()
    clips = data.clips()
    assert len(clips) == 6
    assert sorted({clip.label for clip in clips}) == sorted(f"{m} shapes" for m in MOTIONS)
    videos = data.load([clip.id for clip in clips])
    for clip, video in zip(clips, videos, strict=True):
        index = int(clip.video[5:11])
        label, drawn = draw(SPEC, "validate", index)
        assert clip.label == label
        # Colour is stored at half the resolution, so that only brightness comes back sharp.
        brightness = (video.astype(float) - drawn) @ np.array([0.299, 0.587, 0.114])
        psnr = 10 * np.log10(255**2 / (brightness**2).mean(axis=(1, 2)))
        assert psnr.min() > 35


def test_the_embedded_set_has_a_training_split_of_its_own(own_cache, small_shapes):
    data = MovingShapes()
    train = data.train
    assert isinstance(train, VideoData)
    assert train.train is None
    assert (data.info.name, train.info.name) == ("moving_shapes", "moving_shapes/train")
    assert not {c.id for c in data.clips()} & {c.id for c in train.clips()}
    assert data.digest == train.digest == SPEC.digest
    assert data.info.clusters == train.info.clusters == 6
    assert data.protocol != train.protocol


def test_the_embedded_set_is_made_only_when_asked_for(own_cache, small_shapes):
    data = MovingShapes(max_videos=2)
    assert data.frames == 16
    assert data.protocol["max_videos"] == 2
    assert not any(own_cache.iterdir())
    assert len(data.clips()) == 2


@pytest.mark.slow
def test_the_default_set_is_made_whole(own_cache):
    data = MovingShapes()
    assert data.info.clips == 512
    assert data.train is not None
    assert data.train.info.clips == 256
