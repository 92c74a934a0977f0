"""UCF101 and HMDB51 from lists and folders written on the spot."""

from pathlib import Path

import numpy as np
import pytest

from worldbench.data.layouts import hmdb51, ucf101
from worldbench.data.real import VideoData
from worldbench.data.video import encode
from worldbench.errors import DataError, UsageError


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def lists(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def ucf(tmp_path: Path) -> tuple[Path, Path]:
    files = [f"{c}/v_{c}_g0{g}_c01.avi" for c in ("Archery", "YoYo") for g in (1, 2)]
    return (
        lists(
            tmp_path / "ucfTrainTestlist",
            classInd="1 Archery\n2 YoYo\n",
            trainlist01=f"{files[1]} 1\n{files[3]} 2\n",
            testlist01=f"{files[0]}\n{files[2]}\n\n",
            trainlist02=f"{files[0]} 1\n",
            testlist02=f"{files[1]}\n",
        ),
        put(tmp_path / "UCF-101", *files),
    )


def test_ucf101_lists_each_fold_with_its_labels(tmp_path: Path) -> None:
    annotations, root = ucf(tmp_path)
    videos = ucf101(annotations, root, split="test1")
    assert [(v.path, v.label, v.split) for v in videos] == [
        ("Archery/v_Archery_g01_c01.avi", "Archery", "test1"),
        ("YoYo/v_YoYo_g01_c01.avi", "YoYo", "test1"),
    ]
    assert len(ucf101(annotations, root, split="train1")) == 2
    assert [v.path for v in ucf101(annotations, root, split="train2")] == [
        "Archery/v_Archery_g01_c01.avi"
    ]
    assert len(ucf101(annotations, root, split="test1", classes=["YoYo"])) == 1
    whole = ucf101(annotations, root)
    assert len(whole) == 4
    assert {v.split for v in whole} == {None}
    with pytest.raises(UsageError, match="unknown split 'test9'"):
        ucf101(annotations, root, split="test9")


def test_hmdb51_reads_what_a_file_is_used_for(tmp_path: Path) -> None:
    annotations = lists(
        tmp_path / "splits",
        brush_hair_test_split1="one two.avi 1 \nb.avi 2 \nc.avi 0 \n",
        chew_test_split1="d.avi 2\n",
        chew_test_split2="d.avi 1\n",
    )
    root = put(tmp_path / "hmdb", "brush_hair/one two.avi", "brush_hair/b.avi", "chew/d.avi")
    assert [(v.path, v.label) for v in hmdb51(annotations, root, split="test1")] == [
        ("brush_hair/b.avi", "brush_hair"),
        ("chew/d.avi", "chew"),
    ]
    assert [v.path for v in hmdb51(annotations, root, split="train1")] == ["brush_hair/one two.avi"]
    assert len(hmdb51(annotations, root)) == 4


@pytest.mark.parametrize("line", ["v_Archery_g01_c01.avi 1", "Archery/clip 1", "Archery/clip.txt"])
def test_lines_that_name_no_video_are_told(tmp_path: Path, line: str) -> None:
    root = put(tmp_path / "root", "Archery/a.avi")
    annotations = lists(tmp_path / "lists", testlist01=f"Archery/a.avi\n{line}\n")
    with pytest.raises(DataError, match="line 2 of the listing"):
        ucf101(annotations, root, split="test1")
    annotations = lists(tmp_path / "hmdb", chew_test_split1="d.avi 3\n")
    with pytest.raises(DataError, match="line 1 of the listing"):
        hmdb51(annotations, root)


def test_paths_of_lists_stay_in_the_root(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "Archery/a.avi")
    annotations = lists(tmp_path / "lists", testlist01="../outside/a.avi\n")
    with pytest.raises(DataError, match="leaves the data root"):
        ucf101(annotations, root)
    annotations = lists(tmp_path / "hmdb", chew_test_split1="../../a.avi 1\n")
    with pytest.raises(DataError, match="leaves the data root"):
        hmdb51(annotations, root)


def test_a_folder_without_lists_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "Archery/a.avi")
    with pytest.raises(DataError, match="no lists") as caught:
        ucf101(root, root)
    assert "trainlist01.txt" in str(caught.value)


def test_folds_are_data_with_a_training_split(tmp_path: Path) -> None:
    annotations, root = ucf(tmp_path)
    rng = np.random.default_rng(0)
    for path in root.glob("*/*.avi"):
        path.unlink()
        # Matroska would do as well: what counts is what is inside, under a name of the list.
        encode(path.with_suffix(".mp4"), rng.integers(0, 255, (20, 32, 32, 3), np.uint8), 15)
        path.with_suffix(".mp4").rename(path)
    data = VideoData(
        "ucf101",
        str(root),
        "ucf101",
        annotations=str(annotations),
        split="test1",
        train={"split": "train1"},
        cluster=r"(.*_g\d+)_c\d+$",
        size=(16, 16),
    )
    assert [clip.label for clip in data.clips()] == ["Archery", "YoYo"]
    assert data.clips()[0].cluster == "Archery/v_Archery_g01"
    assert data.train is not None
    assert {c.video for c in data.train.clips()}.isdisjoint({c.video for c in data.clips()})
    assert data.load([data.clips()[0].id]).shape == (1, 16, 16, 16, 3)
