import json
import os
from pathlib import Path

import numpy as np
import pytest

from worldbench.data.layouts import class_folders, folder, kinetics, path_label, ssv2
from worldbench.data.manifest import Video, scan
from worldbench.data.video import encode
from worldbench.errors import DataError, UsageError


def put(root: Path, *paths: str) -> Path:
    """Readers open no video, so empty files serve wherever nothing is scanned."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def paths(videos: tuple[Video, ...]) -> list[str]:
    return [video.path for video in videos]


def test_a_folder_lists_every_video_below_it_sorted_and_nothing_hidden(tmp_path: Path) -> None:
    put(tmp_path, "b.mp4", "a.MKV", "x/y/c.webm", "notes.txt", ".part/d.mp4", "x/.e.mp4")
    assert paths(folder(tmp_path)) == ["a.MKV", "b.mp4", "x/y/c.webm"]
    assert folder(tmp_path)[2].id == "x/y/c"
    assert folder(tmp_path)[0].label is None


def test_an_empty_or_missing_folder_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    put(tmp_path, "notes.txt")
    with pytest.raises(DataError, match="no videos in the folder") as caught:
        folder(tmp_path)
    assert "mounted and unpacked" in str(caught.value)
    with pytest.raises(DataError, match="not a folder") as caught:
        folder(tmp_path / "none")
    assert "set the root" in str(caught.value)


def test_same_names_with_two_suffixes_are_duplicates(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="duplicate video ids") as caught:
        folder(put(tmp_path, "a.mp4", "a.webm", "b.mp4"))
    assert "rename or remove" in str(caught.value)


@pytest.mark.parametrize("path", [b"\xff.mp4", b"\xff/a.mp4"])
def test_names_that_are_not_utf8_are_refused(tmp_path: Path, path: bytes) -> None:
    try:
        put(put(tmp_path, "b.mp4"), os.fsdecode(path))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="file name is not UTF-8") as caught:
        folder(tmp_path)
    assert r"\udcff" in str(caught.value)
    assert "rename it" in str(caught.value)
    if path == b"\xff/a.mp4":
        with pytest.raises(DataError, match="file name is not UTF-8"):
            folder(tmp_path / os.fsdecode(b"\xff"))


@pytest.mark.parametrize("leak", ["leak.mp4", "class"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, leak: str) -> None:
    root = put(tmp_path / "root", "a.mp4")
    outside = put(tmp_path / "outside", "b.mp4")
    (root / leak).symlink_to(outside / "b.mp4" if leak.endswith("mp4") else outside)
    with pytest.raises(DataError, match="leaves the data root") as caught:
        folder(root)
    assert "copy them below it" in str(caught.value)


def test_class_folders_label_their_videos(tmp_path: Path) -> None:
    put(tmp_path, "run/a.mp4", "jump/b.mp4", "jump/take 2/c.mp4")
    videos = class_folders(tmp_path)
    assert [(v.path, v.label, v.split) for v in videos] == [
        ("jump/b.mp4", "jump", None),
        ("jump/take 2/c.mp4", "jump", None),
        ("run/a.mp4", "run", None),
    ]
    assert paths(class_folders(tmp_path, classes=["run"])) == ["run/a.mp4"]


def test_class_folders_below_split_folders_carry_both(tmp_path: Path) -> None:
    put(tmp_path, "train/run/a.mp4", "val/run/a.mp4", "val/jump/b.mp4")
    videos = class_folders(tmp_path)
    assert [(v.label, v.split) for v in videos] == [
        ("run", "train"),
        ("jump", "val"),
        ("run", "val"),
    ]
    assert paths(class_folders(tmp_path, split="train")) == ["train/run/a.mp4"]
    with pytest.raises(UsageError, match="unknown split 'test'") as caught:
        class_folders(tmp_path, split="test")
    assert "train, val" in str(caught.value)


def test_no_such_class_names_the_alternatives(tmp_path: Path) -> None:
    put(tmp_path, "run/a.mp4", "jump/b.mp4")
    with pytest.raises(
        UsageError, match=r"unknown class 'jmp' \(did you mean 'jump'\?\)"
    ) as caught:
        class_folders(tmp_path, classes=["run", "jmp"])
    assert "jump, run" in str(caught.value)
    assert "correct `classes`" in str(caught.value)


def test_a_video_outside_any_class_folder_is_an_error(tmp_path: Path) -> None:
    put(tmp_path, "run/a.mp4", "b.mp4")
    with pytest.raises(DataError, match="1 videos lie in no class folder") as caught:
        class_folders(tmp_path)
    assert "b.mp4" in str(caught.value)
    assert "move them into class folders" in str(caught.value)


KINETICS = """label,youtube_id,time_start,time_end,split
abseiling,-3B32lodo2M,59,69,train
"air drumming",0WhHvEtP9qM,4,14,train
air drumming,with space_,120,130,validate
playing, broken
zumba,missing0000,1.0,11.0,train
"""


def write_kinetics(tmp_path: Path, text: str = KINETICS.replace("playing, broken\n", "")) -> Path:
    listing = tmp_path / "kinetics.csv"
    listing.write_text(text)
    return listing


def test_kinetics_finds_files_flat_by_label_and_by_split(tmp_path: Path) -> None:
    root = put(
        tmp_path / "root",
        "-3B32lodo2M_000059_000069.mp4",
        "train/air_drumming/0WhHvEtP9qM_000004_000014.mkv",
        "air drumming/with space__000120_000130.mp4",
        "unlisted_000001_000002.mp4",
    )
    listing = write_kinetics(tmp_path)
    assert [(v.path, v.label, v.split) for v in kinetics(listing, root)] == [
        ("-3B32lodo2M_000059_000069.mp4", "abseiling", "train"),
        ("air drumming/with space__000120_000130.mp4", "air drumming", "validate"),
        ("missing0000_000001_000011.mp4", "zumba", "train"),
        ("train/air_drumming/0WhHvEtP9qM_000004_000014.mkv", "air drumming", "train"),
    ]
    assert paths(kinetics(listing, root, classes=["abseiling"])) == [
        "-3B32lodo2M_000059_000069.mp4"
    ]
    assert len(kinetics(listing, root, split="validate")) == 1


def test_kinetics_rows_without_a_file_are_excluded_by_the_scan(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    encode(tmp_path / "root/a_000001_000002.mp4", np.zeros((3, 16, 16, 3), np.uint8), 10)
    rows = "label,youtube_id,time_start,time_end,split\nx,a,1,2,train\nx,b,1,2,train\n"
    videos = kinetics(write_kinetics(tmp_path, rows), tmp_path / "root")
    result = scan(videos, tmp_path / "root", max_excluded=0.5)
    assert [(e.path, e.reason) for e in result.excluded] == [
        ("b_000001_000002.mp4", "missing file")
    ]
    assert [entry.id for entry in result.entries] == ["a_000001_000002"]


def test_a_missing_kinetics_column_is_named_beside_those_present(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "a.mp4")
    listing = write_kinetics(tmp_path, "youtube_id,time_start,time_end,split\na,1,2,test\n")
    with pytest.raises(DataError, match="missing CSV column 'label'") as caught:
        kinetics(listing, root)
    assert "columns youtube_id, time_start, time_end, split" in str(caught.value)
    assert "add the column" in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        *("playing, broken", "x,a,one,2,train", "x,a,1,,train", "x,a,nan,2,train"),
        *("x,a,inf,2,train", "x,a,1,1e400,train", "x,a\0b,1,2,train"),
        pytest.param(f"x,{'a' * 200_000},1,2,train", id="a field of 200 kB"),
    ],
)
def test_a_malformed_kinetics_row_is_told_by_its_line(tmp_path: Path, row: str) -> None:
    root = put(tmp_path / "root", "a.mp4")
    listing = write_kinetics(tmp_path, f"label,youtube_id,time_start,time_end,split\n{row}\n")
    with pytest.raises(DataError, match="line 2 of the listing") as caught:
        kinetics(listing, root)
    assert f"in {listing}" in str(caught.value)
    assert "correct or remove the line" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_header_that_is_no_csv_is_told_by_its_line(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "a.mp4")
    with pytest.raises(DataError, match="line 1 of the listing"):
        kinetics(write_kinetics(tmp_path, f"label,{'x' * 200_000}\n"), root)


def test_a_kinetics_id_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "a.mp4")
    listing = write_kinetics(
        tmp_path, "label,youtube_id,time_start,time_end,split\nx,../a,1,2,train\n"
    )
    with pytest.raises(DataError, match="leaves the data root"):
        kinetics(listing, root)


def test_repeated_kinetics_rows_are_duplicates(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "a.mp4")
    row = "x,a,1,2,train\n"
    listing = write_kinetics(tmp_path, "label,youtube_id,time_start,time_end,split\n" + row * 2)
    with pytest.raises(DataError, match="duplicate video ids") as caught:
        kinetics(listing, root)
    assert "a_000001_000002" in str(caught.value)


def test_path_label_lists_are_read_in_all_their_spellings(tmp_path: Path) -> None:
    root = put(tmp_path / "root", "sub/deep.mp4")
    listing = tmp_path / "train.csv"
    lines = [
        "a.mp4 3",
        "b.mp4,run",
        "sub/with some blanks.mp4 12",
        "with, comma.mp4 jump",
        "spaced.webm , 7",
        "c.mp4,riding a bike",
        "tab.avi\t4",
        "comma, and blanks.mp4,5",
        "",
        f"{root}/sub/deep.mp4 9",
    ]
    listing.write_text("\n".join(lines) + "\n")
    assert {v.path: v.label for v in path_label(listing, root, split="train")} == {
        "a.mp4": "3",
        "b.mp4": "run",
        "sub/with some blanks.mp4": "12",
        "with, comma.mp4": "jump",
        "spaced.webm": "7",
        "c.mp4": "riding a bike",
        "tab.avi": "4",
        "comma, and blanks.mp4": "5",
        "sub/deep.mp4": "9",
    }
    assert {v.split for v in path_label(listing, root, split="train")} == {"train"}
    assert paths(path_label(listing, root, classes=["run"])) == ["b.mp4"]


@pytest.mark.parametrize("line", ["a.mp4", "path label", "a.mp4,", "3 a.mp4", "a\0b.mp4 3"])
def test_a_line_without_path_or_label_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"ok.mp4 1\n{line}\n")
    with pytest.raises(DataError, match="line 2 of the listing") as caught:
        path_label(tmp_path / "list.txt", tmp_path)
    assert ("text without NUL" if "\0" in line else "video.mp4 label") in str(caught.value)
    assert f"in {tmp_path / 'list.txt'}" in str(caught.value)


@pytest.mark.parametrize("path", ["../x.mp4", "/etc/x.mp4", "a/../../x.mp4", "leak.mp4"])
def test_listed_paths_that_leave_the_root_are_refused(tmp_path: Path, path: str) -> None:
    root = put(tmp_path / "root", "a.mp4")
    put(tmp_path, "x.mp4")
    (root / "leak.mp4").symlink_to(tmp_path / "x.mp4")
    (tmp_path / "list.txt").write_text(f"{path} 1\n")
    with pytest.raises(DataError, match="leaves the data root") as caught:
        path_label(tmp_path / "list.txt", root)
    assert "set the root to a folder that contains the files" in str(caught.value)


def test_a_missing_or_binary_listing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    for name in ["none.txt", "binary.txt"]:
        with pytest.raises(DataError, match="cannot read the listing") as caught:
            path_label(tmp_path / name, tmp_path)
        assert "check the path" in str(caught.value)


def write_ssv2(folder: Path, prefix: str = "") -> Path:
    folder.mkdir()
    labels = {"Holding something": "0", "Putting something behind something": "1"}
    train = [{"id": "74225", "label": "holding a pen", "template": "Holding [something]"}]
    template = "Putting [something] behind [something]"
    validation = [{"id": 9, "template": template}, {"id": "404", "template": template}]
    files = {"labels": labels, "train": train, "validation": validation}
    for name, content in files.items():
        (folder / f"{prefix}{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("prefix", ["", "something-something-v2-"])
def test_something_something_labels_are_templates_without_brackets(
    tmp_path: Path, prefix: str
) -> None:
    annotations = write_ssv2(tmp_path / "labels", prefix)
    root = put(tmp_path / "root", "20bn/74225.webm", "9.mp4", "1000.webm")
    assert [(v.path, v.label, v.split) for v in ssv2(annotations, root)] == [
        ("20bn/74225.webm", "Holding something", "train"),
        ("404.webm", "Putting something behind something", "validation"),
        ("9.mp4", "Putting something behind something", "validation"),
    ]
    assert paths(ssv2(annotations, root, splits=["train"])) == ["20bn/74225.webm"]
    assert paths(ssv2(annotations, root, classes=["Holding something"])) == ["20bn/74225.webm"]


def test_malformed_something_something_annotations_are_errors(tmp_path: Path) -> None:
    annotations = write_ssv2(tmp_path / "labels")
    root = put(tmp_path / "root", "9.mp4")
    for content in ["{", "{}", '[{"id": 1}]', '[{"id": 1, "template": "Unknown [thing]"}]', "[3]"]:
        (annotations / "train.json").write_text(content)
        with pytest.raises(DataError, match=r"malformed .* train\.json") as caught:
            ssv2(annotations, root)
        assert "fetch the annotations" in str(caught.value)
    (annotations / "train.json").unlink()
    with pytest.raises(DataError, match="cannot read the listing"):
        ssv2(annotations, root)


def test_a_nul_character_in_a_something_something_id_is_an_error(tmp_path: Path) -> None:
    annotations = write_ssv2(tmp_path / "labels")
    (annotations / "train.json").write_text(
        '[{"id": "a\\u0000b", "template": "Holding [something]"}]'
    )
    with pytest.raises(DataError, match="NUL"):
        ssv2(annotations, put(tmp_path / "root", "9.mp4"))


def test_two_files_of_one_something_something_id_are_an_error(tmp_path: Path) -> None:
    annotations = write_ssv2(tmp_path / "labels")
    with pytest.raises(DataError, match="two files for video id '9'") as caught:
        ssv2(annotations, put(tmp_path / "root", "9.mp4", "copy/9.webm"))
    assert "remove one of them" in str(caught.value)
