from pathlib import Path

import cv2
import numpy as np
import pytest
from handmade_worlds import HandPlan, register

from worldbench.data.video import clip_times, decode, probe
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.show import preview as preview_module
from worldbench.data.worlds.show.preview import in_turn, preview
from worldbench.data.worlds.show.sheet import FROM_A, FROM_P, RUN, Row, contact_sheet, wrap
from worldbench.data.worlds.show.wall import panel
from worldbench.data.worlds.storage import build as build_module
from worldbench.errors import EnvironmentFault, UsageError

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: None)


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def share(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((picture == np.array(colour, np.uint8)).all(axis=-1).mean())


def test_a_set_gets_a_sheet_and_a_wall_without_being_built(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan())
    sheet, wall = preview(plan.name, tmp_path / "out" / "deep")
    picture = read(sheet)
    assert picture.shape[0] > 6 * 128
    assert picture.shape[1] > 8 * 128
    info = probe(wall)
    assert info.fps == 8
    assert info.frames == 48  # six seconds: the clip of one second again and again
    assert info.height > 3 * 192
    assert info.width > 2 * 3 * 192
    assert not list(tmp_path.rglob("*.npy"))


def test_frames_of_the_sheet_are_the_clip_s(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan(clips=1))
    picture = read(preview(plan.name, tmp_path, clips=1)[0])
    clip = plan.make(1, lambda done, total: None).clips[0]
    last = cv2.resize(
        render(clip.track).rgb.numpy()[-1], (128, 128), interpolation=cv2.INTER_NEAREST
    )
    found = cv2.matchTemplate(picture, last, cv2.TM_SQDIFF)
    assert found.min() < 1


def test_a_set_with_quads_shows_both_splices_and_marks_the_run(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan(quads=True))
    sheet, wall = preview(plan.name, tmp_path)
    picture = read(sheet)
    assert 4 * 96 < picture.shape[0] < 5 * 128
    # A and P fill half of all strips each; the run is 3 of 8 frames.
    assert share(picture, FROM_A) == pytest.approx(share(picture, FROM_P), rel=0.05)
    assert share(picture, RUN) == pytest.approx(share(picture, FROM_A) * 2 * 3 / 8, rel=0.1)
    assert probe(wall).frames == 48


def test_a_family_is_simulated_for_its_preview(monkeypatch, tmp_path: Path):
    sheet, wall = preview("collide", tmp_path, clips=2)
    assert sheet.name == "collide-sheet.png"
    assert read(sheet).shape[0] > 2 * 128
    first, last = decode(wall, [0.0, 15 / 8], size=None)
    assert np.abs(first.astype(int) - last).max() > 50
    assert probe(wall).frames == 48


def test_a_name_that_is_neither_set_nor_family_is_told(monkeypatch, tmp_path: Path):
    register(monkeypatch, HandPlan())
    with pytest.raises(UsageError, match=r"unknown set or family of worlds 'colide' .*'collide'"):
        preview("colide", tmp_path)


def test_a_folder_that_cannot_be_made_is_told(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        preview(plan.name, tmp_path / "file" / "below")


def test_walls_show_depth_and_slots_in_fixed_colours():
    rgb = np.zeros((1, 2, 2, 3), np.uint8)
    depth = np.array([[[1.5, 4.0], [9.0, 15.0]]], np.float32)
    slots = np.array([[[0, 1], [2, 17]]], np.uint8)
    shown = panel(rgb, depth, slots)
    assert shown.shape == (1, 2, 6, 3)
    brightness = shown[0, :, 2:4].sum(axis=-1).ravel()
    assert (np.diff(brightness.astype(int)) < 0).all()
    room, first, second, again = shown[0, :, 4:].reshape(4, 3)
    assert len({tuple(room), tuple(first), tuple(second)}) == 3
    assert (again == first).all()
    assert (panel(rgb, depth * 0 + 99, slots) == panel(rgb, depth * 0 + 15, slots)).all()


def test_walls_repeat_what_the_clips_show(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan())
    wall = preview(plan.name, tmp_path)[1]
    frames = decode(wall, clip_times(0, 16, 8), size=None).astype(int)
    assert np.abs(frames[:8] - frames[8:]).mean() < 2
    assert np.abs(frames[0] - frames[7]).mean() > np.abs(frames[0] - frames[8]).mean()


def test_captions_wrap_at_blanks_and_say_what_ascii_cannot():
    lines = wrap("one two three four five six seven eight nine ten", 120)
    assert len(lines) > 2
    assert " ".join(lines) == "one two three four five six seven eight nine ten"
    rows = [Row(np.zeros((2, 16, 16, 3), np.uint8), "a → b × 2 − 日", ("x",) * 30)]
    assert contact_sheet(rows, "é").std() > 0


def test_items_are_taken_of_each_kind_in_turn():
    assert in_turn("aaabbc", lambda x: x, 4) == ["a", "b", "c", "a"]
    assert in_turn("ab", lambda x: x, 9) == ["a", "b"]
    assert in_turn("", lambda x: x, 3) == []


def test_test_clips_are_shown_before_others(monkeypatch, tmp_path: Path):
    plan = register(monkeypatch, HandPlan())
    shown: list[str] = []
    real = preview_module.render
    monkeypatch.setattr(
        preview_module,
        "render",
        lambda track, **o: (shown.append(str(track.spec.seed)), real(track, **o))[1],
    )
    preview(plan.name, tmp_path, clips=3)
    assert all(int(seed) < 100 for seed in shown)
