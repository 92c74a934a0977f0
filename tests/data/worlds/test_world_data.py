import pickle
from pathlib import Path

import numpy as np
import pytest
from handmade_worlds import HandPlan, register

from worldbench.data.source import ClipSource
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.storage import build as build_module
from worldbench.data.worlds.storage import shards
from worldbench.errors import UsageError

Patch = pytest.MonkeyPatch


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: Patch) -> HandPlan:
    """Five test and five training clips, two to a shard: the third shard has both splits."""
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shards, "CLIPS", 2)
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: None)
    return register(monkeypatch, HandPlan(clips=5))


def test_a_set_is_a_clip_source(plan):
    data = WorldData(plan.name)
    assert isinstance(data, ClipSource)
    assert (data.frames, data.fps) == (8, 8.0)
    clips = data.clips()
    assert [clip.id for clip in clips] == [f"test/{k}" for k in range(5)]
    assert [clip.cluster for clip in clips[:3]] == ["test-0", "test-0", "test-1"]
    assert [clip.label for clip in clips[:2]] == ["slow ball", "fast ball"]
    assert (data.info.clips, data.info.clusters, data.info.excluded) == (5, 3, ())


def test_nothing_happens_before_the_first_question(plan, tmp_path: Path):
    WorldData(plan.name)
    WorldData("no_such_set")
    assert plan.made == []
    assert not (tmp_path / "cache").exists()


def test_names_and_tracks_need_no_pictures(plan, tmp_path: Path):
    data = WorldData(plan.name)
    assert data.info.clips == len(data.clips()) == len(data.contents) == 5
    assert data.track("test/1").digest in data.contents
    assert data.protocol["size"] == [32, 32]
    assert not list(tmp_path.rglob("*.npy"))


def test_clips_load_in_the_order_asked_for(plan):
    data = WorldData(plan.name)
    loaded = data.load(["test/4", "test/0", "test/4"])
    assert loaded.shape == (3, 8, 32, 32, 3)
    assert np.array_equal(loaded[1], render(data.track("test/0")).rgb.numpy())
    assert np.array_equal(loaded[0], loaded[2])
    assert data.load([]).shape == (0, 8, 32, 32, 3)


def test_loaded_clips_are_copies(plan):
    data = WorldData(plan.name)
    data.load(["test/0"])[:] = 0
    assert data.load(["test/0"]).any()


def test_only_shards_of_the_split_are_rendered(plan, tmp_path: Path):
    data = WorldData(plan.name)
    data.load(["test/0"])
    names = sorted(path.name for path in tmp_path.rglob("*.npy"))
    assert names == ["00000.npy", "00001.npy", "00002.npy"]
    assert data.train is not None
    data.train.load(["train/4"])
    assert len(list(tmp_path.rglob("*.npy"))) == 5
    assert data.load(["test/4"]).any()


def test_the_training_split_shares_no_track_with_the_test_split(plan):
    data = WorldData(plan.name, size=16)
    train = data.train
    assert train is not None
    assert train.train is None
    assert {clip.id for clip in train.clips()} == {f"train/{k}" for k in range(5)}
    assert not data.contents & train.contents
    assert train.load(["train/0"]).shape == (1, 8, 16, 16, 3)
    assert train.info.digest != data.info.digest
    assert len(plan.made) == 1


def test_a_set_without_a_training_split_has_none(plan, monkeypatch: Patch):
    content = WorldData(plan.name).content
    alone = [clip for clip in content.clips if clip.split == "test"]
    object.__setattr__(content, "clips", tuple(alone))
    monkeypatch.setattr("worldbench.data.worlds.data.content_of", lambda *_, **__: (content, None))
    assert WorldData(plan.name).train is None


def test_the_digest_is_of_tracks_and_split_whatever_the_pictures(plan, monkeypatch: Patch):
    first = WorldData(plan.name).info.digest
    assert WorldData(plan.name, size=16).info.digest == first
    changed = register(monkeypatch, HandPlan(clips=4))
    assert WorldData(changed.name).info.digest != first


def test_a_sample_is_the_same_clips_in_the_set_s_order(plan):
    few = [clip.id for clip in WorldData(plan.name, max_clips=3).clips()]
    fewer = [clip.id for clip in WorldData(plan.name, max_clips=2).clips()]
    assert len(few) == 3
    assert few == sorted(few)
    assert set(fewer) < set(few)
    assert WorldData(plan.name, max_clips=9).info.clips == 5


def test_it_pickles_in_a_few_bytes_and_reads_on_elsewhere(plan):
    data = WorldData(plan.name, max_clips=4, size=(16, 16))
    ids = [clip.id for clip in data.clips()]
    before = data.load(ids)
    assert data.train is not None
    packed = pickle.dumps(data)
    assert len(packed) < 500
    assert np.array_equal(pickle.loads(packed).load(ids), before)


def test_unknown_names_are_told(plan):
    with pytest.raises(UsageError, match=r"unknown split of by_hand 'tset'.*'test'"):
        WorldData(plan.name, split="tset").clips()
    with pytest.raises(UsageError, match="no such clip") as caught:
        WorldData(plan.name).load(["train/0"])
    assert "clips()" in str(caught.value)
    with pytest.raises(UsageError, match="unknown set of worlds"):
        WorldData("by_hnd").clips()


@pytest.mark.parametrize(
    "options", [{"max_clips": 0}, {"workers": 0}, {"size": [64]}, {"size": (1, 2, 3)}]
)
def test_options_that_make_no_sense_are_refused_at_once(options):
    with pytest.raises(UsageError, match="fix:  "):
        WorldData("any", **options)
