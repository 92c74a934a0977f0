import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from handmade_worlds import HandPlan, register

from worldbench.data.layouts import kinetics, ssv2
from worldbench.data.manifest import scan
from worldbench.data.real import VideoData
from worldbench.data.video import clip_times, decode
from worldbench.data.worlds.show.export import LAYOUTS, export
from worldbench.data.worlds.show.export_layouts import class_folders, youtube_id
from worldbench.data.worlds.storage import build as build_module
from worldbench.data.worlds.storage.build import build
from worldbench.errors import EnvironmentFault, UsageError
from worldbench.record import file_digest

Patch = pytest.MonkeyPatch
LABELS = ("something rolls slowly", "Rolling/spinning: something fast")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: Patch) -> HandPlan:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: None)
    return register(monkeypatch, HandPlan(labels=LABELS))


def files_of(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): file_digest(p) for p in root.rglob("*") if p.is_file()}


def same_pictures(data: VideoData, plan: HandPlan) -> None:
    """Every clip that a reader finds is one of the set's, with its label, up to the codec."""
    built = build(plan.name)
    by_label = {
        (clip.label, clip.id): built.pixels(clip.id).astype(float) for clip in built.content.clips
    }
    for clip in data.clips():
        read = data.load([clip.id])[0]
        errors = {key: np.abs(read - pixels).mean() for key, pixels in by_label.items()}
        nearest = min(errors, key=lambda key: errors[key])
        assert errors[nearest] < 4
        assert nearest[0] == clip.label


def test_kinetics_is_read_back_with_labels_and_splits(plan, tmp_path: Path):
    out = tmp_path / "k"
    done = export(plan.name, "kinetics", out)
    assert (done.written, done.kept) == (6, 0)
    videos = kinetics(out / "annotations.csv", out)
    assert sorted((v.split, v.label) for v in videos) == sorted(
        (split, LABELS[k % 2]) for split in ("train", "validate") for k in range(3)
    )
    assert all(re.fullmatch(r"[\w-]{11}_\d{6}_\d{6}\.mp4", v.path) for v in videos)
    assert len(scan(videos, out).entries) == 6
    data = VideoData(
        "k",
        str(out),
        "kinetics",
        annotations=str(out / "annotations.csv"),
        split="validate",
        train={"split": "train"},
        cluster=r"([^/]+)_\d{6}_\d{6}$",
        frames=8,
        fps=8,
        size=(32, 32),
    )
    # Clips of one scene are cuts of one source, as intervals need it.
    assert (data.info.clips, data.info.clusters) == (3, 2)
    assert data.train is not None
    assert data.train.info.clips == 3
    same_pictures(data, plan)


def test_something_something_is_read_back_with_labels_and_splits(plan, tmp_path: Path):
    out = tmp_path / "s"
    export(plan.name, "ssv2", out)
    videos = ssv2(out, out)
    assert sorted((v.split, v.label) for v in videos) == sorted(
        (split, LABELS[k % 2]) for split in ("train", "validation") for k in range(3)
    )
    assert {v.path for v in videos} == {f"{n}.mp4" for n in range(1, 7)}
    items = json.loads((out / "train.json").read_text())
    assert {item["template"] for item in items} == {
        *("[something] rolls slowly", "Rolling/spinning: [something] fast")
    }
    assert set(json.loads((out / "labels.json").read_text())) == set(LABELS)
    data = VideoData(
        *("s", str(out), "ssv2"),
        **{"annotations": str(out), "split": "validation", "frames": 8, "fps": 8},
        size=(32, 32),
    )
    assert data.info.clips == 3
    same_pictures(data, plan)


def test_imagenet_has_one_middle_frame_per_clip_in_class_folders(plan, tmp_path: Path):
    out = tmp_path / "i"
    export(plan.name, "imagenet", out)
    pictures = sorted(out.glob("*/*/*.jpg"))
    assert len(pictures) == 6
    assert {p.parts[-3] for p in pictures} == {"train", "val"}
    folders = json.loads((out / "classes.json").read_text())
    assert set(folders.values()) == set(LABELS)
    assert all(re.fullmatch(r"[\w.-]+", name) for name in folders)
    built = build(plan.name)
    clip = built.content.clips[0]
    name = youtube_id(built.content.digest + clip.id)
    (path,) = out.glob(f"val/*/{name}.jpg")
    assert folders[path.parent.name] == clip.label
    read = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    assert np.abs(read - built.pixels(clip.id)[4]).mean() < 3


def test_several_frames_per_clip_are_middles_of_equal_stretches(plan, tmp_path: Path):
    export(plan.name, "imagenet", tmp_path / "i", frames_per_clip=4)
    names = [path.stem for path in (tmp_path / "i").glob("*/*/*.jpg")]
    assert len(names) == 24
    assert {name[-3:] for name in names} == {"001", "003", "005", "007"}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_second_export_keeps_what_is_intact_and_repairs_the_rest(plan, layout, tmp_path: Path):
    out = tmp_path / "out"
    export(plan.name, layout, out)
    before = files_of(out)
    victims = sorted(name for name in before if name.endswith((".mp4", ".jpg")))[:2]
    (out / victims[0]).unlink()
    (out / victims[1]).write_bytes(b"half a file")
    again = export(plan.name, layout, out)
    assert (again.written, again.kept) == (2, 4)
    assert files_of(out) == before


def test_an_interrupted_export_goes_on(plan, tmp_path: Path, monkeypatch: Patch):
    from worldbench.data.worlds.show import export as module
    from worldbench.data.worlds.show import export_layouts

    monkeypatch.setattr(module, "_EVERY", 2)
    real, calls = export_layouts.encode, []

    def killed(path, video, fps, **options):
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(path)
        real(path, video, fps, **options)

    with monkeypatch.context() as patch:
        patch.setattr(export_layouts, "encode", killed)
        with pytest.raises(KeyboardInterrupt):
            export(plan.name, "kinetics", tmp_path / "k")
    done = export(plan.name, "kinetics", tmp_path / "k")
    assert (done.written, done.kept) == (4, 2)
    assert len(kinetics(tmp_path / "k" / "annotations.csv", tmp_path / "k")) == 6


def test_another_size_scales_the_pictures(plan, tmp_path: Path):
    export(plan.name, "ssv2", tmp_path / "s", size=48)
    assert decode(tmp_path / "s" / "1.mp4", clip_times(0, 8, 8), size=None).shape == (8, 48, 48, 3)


def test_a_folder_with_something_else_is_left_alone(plan, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds something else") as caught:
        export(plan.name, "kinetics", out)
    assert "choose another folder" in str(caught.value)
    export(plan.name, "kinetics", tmp_path / "k")
    with pytest.raises(UsageError, match="holds something else"):
        export(plan.name, "ssv2", tmp_path / "k")
    assert files_of(out).keys() == {"thesis.txt"}


def test_a_set_without_labels_is_refused_and_labelled_ones_named(tmp_path: Path, monkeypatch):
    from worldbench.data.worlds import sets

    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_module, "shipped_bytes", lambda name: None)
    labelled = {name: plan for name, plan in sets.SETS.items() if name.startswith("worlds_motion")}
    bare = HandPlan(labels=())
    monkeypatch.setattr(sets, "SETS", {bare.name: bare, **labelled})
    with pytest.raises(UsageError, match="without labels") as caught:
        export(bare.name, "kinetics", tmp_path / "out")
    assert "worlds_motion, worlds_motion_quick" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_unknown_layouts_and_frame_counts_are_told(plan, tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown layout 'kinetic' .*'kinetics'"):
        export(plan.name, "kinetic", tmp_path / "out")
    with pytest.raises(UsageError, match="1 to 8"):
        export(plan.name, "imagenet", tmp_path / "out", frames_per_clip=9)


def test_a_folder_that_cannot_be_written_is_told(plan, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        export(plan.name, "kinetics", tmp_path / "file" / "below")


def test_class_folders_are_safe_and_distinct():
    folders = class_folders(["a b", "a/b", "A_B", "../..", "", "über", "x" * 300])
    assert len({name.lower() for name in folders.values()}) == 7
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) for name in folders.values())
    assert max(map(len, folders.values())) < 100
