import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade_worlds import HandPlan, register

from worldbench.data.worlds import ship
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.storage import build as build_module
from worldbench.data.worlds.storage import samples, shards
from worldbench.data.worlds.storage.build import build, plan_of
from worldbench.data.worlds.storage.inventory import families, inventory
from worldbench.errors import DataError, EnvironmentFault, UsageError

Log = pytest.LogCaptureFixture
Patch = pytest.MonkeyPatch


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: Patch) -> Path:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "worlds"


@pytest.fixture
def plan(cache: Path, monkeypatch: Patch) -> HandPlan:
    """Six clips in three shards of two; nothing is shipped."""
    monkeypatch.setattr(shards, "CLIPS", 2)
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: None)
    return register(monkeypatch, HandPlan())


@pytest.fixture
def rendered(monkeypatch: Patch) -> list[int]:
    """Counts the clips of every call of the renderer."""
    calls: list[int] = []
    real = shards.render_rgb

    def counting(tracks, **options):
        calls.append(len(tracks))
        return real(tracks, **options)

    monkeypatch.setattr(shards, "render_rgb", counting)
    return calls


@pytest.fixture
def shipped(plan: HandPlan, monkeypatch: Patch, tmp_path: Path) -> Path:
    """The set's packed file, shipped into a folder of its own."""
    path = ship.ship(plan.name, tmp_path / "shipped")
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: path.read_bytes())
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}


def test_a_set_is_rendered_into_shards_that_hold_its_clips(plan, rendered):
    built = build(plan.name)
    assert rendered == [2, 2, 2]
    assert sorted(p.name for p in built.folder.iterdir()) == [
        *("00000.npy", "00001.npy", "00002.npy", "index.json"),
    ]
    loaded = built.load([clip.id for clip in built.content.clips])
    assert (loaded.shape, loaded.dtype) == ((6, 8, 32, 32, 3), np.uint8)
    for clip, pixels in zip(built.content.clips, loaded, strict=True):
        assert np.array_equal(pixels, render(clip.track).rgb.numpy())
    assert all(isinstance(shard, np.memmap) for shard in built.shards.values())


def test_the_folder_is_named_after_content_and_size_and_says_what_made_it(plan):
    built = build(plan.name)
    assert built.folder.name == f"by_hand-{built.content.digest[:12]}-32x32-r{shards.RENDERER}"
    index = json.loads((built.folder / "index.json").read_text())
    assert (index["torch"], index["renderer"]) == (torch.__version__, shards.RENDERER)


def test_a_second_build_simulates_and_renders_nothing(plan, rendered):
    first = build(plan.name)
    second = build(plan.name)
    assert rendered == [2, 2, 2]
    assert len(plan.made) == 1
    assert second.content.digest == first.content.digest
    assert np.array_equal(second.pixels("test/1"), first.pixels("test/1"))


def test_another_size_is_another_folder(plan):
    native, small = build(plan.name), build(plan.name, size=16)
    assert small.pixels("test/0").shape == (8, 16, 16, 3)
    assert small.folder != native.folder
    assert len(plan.made) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_a_damaged_shard_is_told_and_rendered_again_alone(plan, rendered, caplog: Log, damage):
    built = build(plan.name)
    before = files_of(built.folder)
    victim = built.folder / "00001.npy"
    if damage == "flip":
        content = bytearray(before[victim.name])
        content[-5] ^= 1
        victim.write_bytes(bytes(content))
    elif damage == "remove":
        victim.unlink()
    else:
        victim.write_bytes(before[victim.name][: 0 if damage == "empty" else 700])
    with caplog.at_level(logging.WARNING):
        build(plan.name)
    assert rendered == [2, 2, 2, 2]
    assert files_of(built.folder) == before
    assert caplog.text.count("00001.npy is missing or damaged") == 1


@pytest.mark.parametrize("index", [b"", b"[]", b'{"shards": 3}', b"\xff"])
def test_an_index_that_does_not_read_is_made_again(plan, rendered, index):
    built = build(plan.name)
    before = files_of(built.folder)
    (built.folder / "index.json").write_bytes(index)
    assert files_of(build(plan.name).folder) == before
    assert len(rendered) == 6


def test_a_killed_build_goes_on_at_the_next_shard(plan, rendered, monkeypatch: Patch):
    counting = shards.render_rgb

    def killed(tracks, **options):
        if len(rendered) == 1:
            raise KeyboardInterrupt
        return counting(tracks, **options)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "render_rgb", killed)
        with pytest.raises(KeyboardInterrupt):
            build(plan.name)
    assert rendered == [2]
    built = build(plan.name)
    assert rendered == [2, 2, 2]
    assert len(plan.made) == 1
    assert np.array_equal(built.pixels("test/0"), render(built.content.clips[0].track).rgb.numpy())


def test_one_and_two_processes_give_the_same_bytes(plan, monkeypatch: Patch, tmp_path: Path):
    monkeypatch.setattr(shards, "_WORTH_PROCESSES", 0)
    one = files_of(build(plan.name, workers=1).folder)
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(shards, "render_rgb", None)  # unusable here: the processes must do it
    two = files_of(build(plan.name, workers=2).folder)
    assert len(two) == 3
    assert two == one


class Deadly(np.ndarray):
    """An array that kills the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_process_that_dies_is_told_and_finished_shards_stay(plan, rendered, monkeypatch: Patch):
    content = build(plan.name, size=16).content
    monkeypatch.setattr(shards, "_WORTH_PROCESSES", 0)
    last = content.clips[-1].track
    object.__setattr__(last, "pos", last.pos.view(Deadly))
    monkeypatch.setattr(build_module, "content_of", lambda *_, **__: (content, None))
    with pytest.raises(EnvironmentFault, match="a process that renders died") as caught:
        build(plan.name, workers=2)
    assert "finished shards are kept" in str(caught.value)
    object.__setattr__(last, "pos", np.asarray(last.pos))
    del rendered[:]
    finished = len(list(build_module.folder_of("by_hand", content.digest, (32, 32)).glob("*.npy")))
    build(plan.name, workers=1)
    assert len(rendered) >= 3 - finished
    assert len(rendered) < 4


def test_threads_are_given_back(plan):
    torch.set_num_threads(2)
    try:
        build(plan.name, workers=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_damaged_simulated_content_is_simulated_again(plan, cache: Path, caplog: Log):
    digest = build(plan.name).content.digest
    (path,) = cache.glob("*.worlds")
    path.write_bytes(path.read_bytes()[:-20])
    assert build(plan.name).content.digest == digest
    assert len(plan.made) == 2
    assert "simulating the set again" in caplog.text


def test_shipped_content_is_not_simulated(plan, shipped, rendered):
    del plan.made[:]
    built = build(plan.name)
    assert plan.made == []
    assert built.pixels("train/0").shape == (8, 32, 32, 3)


def test_shipped_content_of_another_plan_is_not_used(shipped, monkeypatch: Patch):
    changed = register(monkeypatch, HandPlan(clips=2))
    assert len(build(changed.name).content.clips) == 4
    assert changed.made


def test_a_damaged_shipped_file_is_refused(plan, shipped):
    shipped.write_bytes(shipped.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged or of another kind") as caught:
        build(plan.name)
    assert "reinstall worldbench-suite" in str(caught.value)


def redrawn(monkeypatch: Patch, cache: Path, change) -> None:
    """Empties the cache and changes what the renderer gives."""
    for path in cache.rglob("*.npy"):
        path.unlink()
    real = shards.render_rgb
    monkeypatch.setattr(shards, "render_rgb", lambda t, **o: change(real(t, **o)))


def test_samples_catch_a_renderer_that_draws_something_else(
    plan, shipped, cache, monkeypatch: Patch
):
    with monkeypatch.context() as patch:
        redrawn(patch, cache, lambda rgb: rgb.flip(3))
        with pytest.raises(DataError, match="renderer and the shipped set 'by_hand' disagree") as c:
            build(plan.name)
    assert "99.9 %" in str(c.value)
    with pytest.raises(DataError, match="disagree"):  # nor later, from the cache
        build(plan.name)


def test_samples_allow_one_level_and_rare_pixels(plan, shipped, cache, monkeypatch: Patch):
    redrawn(monkeypatch, cache, lambda rgb: (rgb.clamp(max=254) + 1).to(torch.uint8))
    build(plan.name)


def test_samples_catch_a_change_of_few_pixels_by_two_levels(
    plan, shipped, cache, monkeypatch: Patch
):
    def change(rgb):
        rgb = rgb.clamp(max=253)
        rgb[..., :4, :] += 2
        return rgb

    redrawn(monkeypatch, cache, change)
    with pytest.raises(DataError, match="disagree"):
        build(plan.name)


def test_samples_are_not_compared_at_other_sizes(plan, shipped):
    assert build(plan.name, size=48).pixels("test/0").shape == (8, 48, 48, 3)


def test_samples_of_a_clip_are_few_bytes_from_two_frames(plan):
    built = build(plan.name)
    pixels = {at: built.pixels(clip.id) for at, clip in enumerate(built.content.clips)}
    assert samples.sample(built.content, pixels)["rgb"].nbytes == 6 * 384


@pytest.mark.parametrize("place", ["file/below", "/proc/worldbench"])
def test_a_cache_that_cannot_be_written_is_an_environment_fault(
    plan, place, monkeypatch: Patch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORLDBENCH_CACHE", place)
    with pytest.raises(EnvironmentFault, match="WORLDBENCH_CACHE"):
        build(plan.name)


def test_a_full_disk_is_an_environment_fault_and_leaves_no_litter(plan, monkeypatch: Patch):
    content = build(plan.name, size=16).content

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(EnvironmentFault, match="No space left on device"):
            build(plan.name)
    folder = build_module.folder_of(plan.name, content.digest, (32, 32))
    assert list(folder.iterdir()) == []
    assert build(plan.name).load(["test/0"]).shape == (1, 8, 32, 32, 3)


def test_unknown_sets_sizes_and_clips_are_told(plan):
    with pytest.raises(UsageError, match=r"unknown set of worlds 'by_hnd' .*'by_hand'"):
        plan_of("by_hnd")
    with pytest.raises(UsageError, match="16 to 1024"):
        build(plan.name, size=8)
    with pytest.raises(UsageError, match="no such clip") as caught:
        build(plan.name).pixels("test/99")
    assert "test/0" in str(caught.value)


def test_the_inventory_says_what_is_made(plan):
    (item,) = inventory()
    assert (item.clips, item.shipped, item.built) == (None, False, False)
    build(plan.name, size=16)
    (item,) = inventory()
    assert (item.clips, item.shipped, item.built) == (6, False, False)
    build(plan.name)
    (item,) = inventory()
    assert (item.clips, item.quads, item.shipped, item.built) == (6, 0, False, True)
    assert "occluder_pass" in families()


def test_the_shipping_command_writes_the_same_file_and_tells_size_and_digest(
    plan, monkeypatch: Patch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(ship, "SHIPPED", tmp_path / "package")
    assert ship.main([plan.name]) == 0
    said = capsys.readouterr().out
    path = tmp_path / "package" / "by_hand.worlds"
    first = path.read_bytes()
    assert f"6 clips, {len(first)} bytes" in said
    assert build(plan.name).content.digest in said
    assert ship.main([plan.name]) == 0
    assert path.read_bytes() == first


def test_the_shipping_command_knows_its_names(plan, capsys: pytest.CaptureFixture[str]):
    assert ship.main([]) == 2
    assert "python -m worldbench.data.worlds.ship NAME" in capsys.readouterr().err
    assert ship.main(["nothing"]) == 2
    assert "unknown set of worlds" in capsys.readouterr().err
