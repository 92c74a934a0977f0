import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import intphys_movies as movies
import numpy as np
import pytest
from omegaconf import OmegaConf

import conf
from worldbench.data.frame_folders import FrameError, frame_files, read_frame
from worldbench.data.intphys import IntPhys2Data, IntPhysData
from worldbench.data.layouts.intphys import intphys
from worldbench.data.layouts.intphys2 import intphys2
from worldbench.data.quadruplets import Footage, Movie, Quadruplet, match, shared_prefix
from worldbench.data.source import ClipSource
from worldbench.errors import DataError, UsageError

SIZE = (movies.SIDE, movies.SIDE)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes in each of three blocks; every movie has 33 frames, 16 of which are used."""
    return movies.write_intphys(tmp_path_factory.mktemp("intphys"))


@pytest.fixture(scope="module")
def root2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    conditions = ("permanence", "immutability_texture", "continuity")
    return movies.write_intphys2(tmp_path_factory.mktemp("intphys2"), conditions=conditions)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """One scene of one block, to be damaged; the second is whole."""
    return movies.write_intphys(tmp_path / "dev", scenes=2, blocks=("O1",))


def source(root: Path, **options: object) -> IntPhysData:
    return IntPhysData("intphys", str(root), **{"size": SIZE, **options})  # type: ignore[arg-type]


def source2(root: Path, **options: object) -> IntPhys2Data:
    chosen = {"size": (32, 32), "step": 2, "min_frames": 16, **options}
    return IntPhys2Data("intphys2", str(root), **chosen)  # type: ignore[arg-type]


def kind(pixels: np.ndarray, scene: int) -> str:
    """Tells which movie a clip is, from its first and last frame alone."""
    first, last = (
        "A" if np.array_equal(f, rgb(i, scene)) else "P"
        for f, i in ((pixels[0], 0), (pixels[-1], 30))
    )
    return {"AA": "P1", "PP": "P2", "AP": "I1", "PA": "I2"}[first + last]


def rgb(number: int, scene: int) -> np.ndarray:
    return movies.picture(number, scene)[..., ::-1]


def test_each_movie_is_paired_with_the_one_it_begins_like_whatever_it_is_called(root):
    data = source(root)
    assert isinstance(data, ClipSource)
    assert [q.id for q in data.matched] == [f"O{b}/0{s}" for b in (1, 2, 3) for s in (1, 2)]
    for quadruplet in data.matched:
        scene = 10 * (int(quadruplet.id[1]) - 1) + int(quadruplet.id[-1]) - 1
        kinds = [kind(clip, scene) for clip in data.load(quadruplet.movies)]
        assert quadruplet.exact
        assert quadruplet.pairs == ((0, 2), (1, 3))
        assert {tuple(kinds[i] for i in pair) for pair in quadruplet.pairs} == {
            ("P1", "I1"),
            ("P2", "I2"),
        }
        assert quadruplet.factors == {"block": quadruplet.id[:2]}


def test_possible_movies_come_first_and_their_labels_are_those_of_the_status(root):
    data = source(root)
    for clip in data.clips():
        header = json.loads((root / clip.video / "status.json").read_text())["header"]
        assert clip.label == ("possible" if header["is_possible"] else "impossible")
    labels = [clip.label for clip in data.clips()]
    assert labels == ["possible", "possible", "impossible", "impossible"] * 6
    assert data.info.model_dump(exclude={"digest"}) == {
        "name": "intphys",
        "clips": 24,
        "clusters": 6,
        "excluded": (),
    }
    assert len(data.contents) == 24


def test_every_second_frame_is_used_and_as_many_as_published(root):
    data = source(root)
    assert (data.frames, data.fps) == (16, 7.5)
    possible = data.matched[0].movies[0]
    (clip,) = data.load([possible])
    assert kind(clip, 0) in ("P1", "P2")
    start = 0 if kind(clip, 0) == "P1" else 1000
    for index, frame in enumerate(clip):
        assert np.array_equal(frame, rgb(start + 2 * index, 0))
    assert source(root, step=1, min_frames=2).frames == 32
    # Of movies of 100 frames the published code uses 49 at step 2.
    assert (100 - 1) // 2 == 49


def test_pixels_count_and_not_the_bytes_of_files(root, tmp_path):
    data = source(root)
    copy = shutil.copytree(root, tmp_path / "copy")
    for path in copy.rglob("*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path)), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    again = source(copy)
    assert again.info.digest == data.info.digest
    assert again.matched == data.matched
    changed = next(iter(sorted(copy.rglob("*.png"))))
    cv2.imwrite(str(changed), movies.picture(7, 7))
    assert source(copy).info.digest != data.info.digest


def test_the_digest_depends_on_labels(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    for path in copy.rglob("status.json"):
        possible = json.loads(path.read_text())["header"]["is_possible"]
        path.write_text(json.dumps({"header": {"is_possible": not possible}}))
    assert source(copy).info.digest != source(root).info.digest


def test_unchanged_movies_are_not_decoded_again(root, monkeypatch):
    before = source(root).info.digest
    monkeypatch.setattr("worldbench.data.intphys.read_frame", lambda path: 1 / 0)
    assert source(root).info.digest == before


def test_a_source_pickles(root):
    data = source(root)
    data.info  # noqa: B018 - scanned before it travels
    again = pickle.loads(pickle.dumps(data))
    clip = data.clips()[3].id
    assert np.array_equal(again.load([clip]), data.load([clip]))


def test_blocks_can_be_chosen(root):
    data = source(root, blocks=["O3", "O1"])
    assert {q.factors["block"] for q in data.matched} == {"O1", "O3"}
    assert data.protocol["blocks"] == ["O3", "O1"]
    with pytest.raises(UsageError, match="unknown block 'O4'") as caught:
        intphys(root, blocks=["O4"])
    assert "O1, O2, O3" in str(caught.value)


def test_a_root_of_another_layout_is_refused(root, tmp_path):
    with pytest.raises(DataError, match="no blocks of IntPhys") as caught:
        intphys(root.parent)
    assert "data.root" in str(caught.value)
    with pytest.raises(DataError, match="no blocks of IntPhys"):
        intphys(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        intphys(tmp_path / "none")
    movies.write_scene(tmp_path / "O1" / "01")
    with pytest.raises(DataError, match="no block O2"):
        intphys(tmp_path, blocks=["O1", "O2"])
    movies.write_scene(tmp_path / "O7" / "01")
    with pytest.raises(DataError, match="unknown block O7"):
        intphys(tmp_path)


def scene(root: Path) -> Path:
    return root / "O1" / "01"


def frame(root: Path) -> Path:
    return scene(root) / "2" / "scene" / "scene_009.png"


def flip_label(root: Path, label: object) -> None:
    (scene(root) / "1" / "status.json").write_text(json.dumps({"header": {"is_possible": label}}))


def cut(path: Path, keep: Callable[[bytes], bytes]) -> None:
    path.write_bytes(keep(path.read_bytes()))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda r: frame(r).unlink(), "missing frame: number 9"),
    (lambda r: cut(frame(r), lambda b: b""), "empty file: 0 bytes"),
    (lambda r: cut(frame(r), lambda b: b[: len(b) // 2]), "truncated"),
    (lambda r: cut(frame(r), lambda b: b[:200] + b"\0\1\2\3" + b[204:]), "checksum"),
    (lambda r: cut(frame(r), lambda b: b"#EXTM3U\nfile:///etc/passwd\n" * 9), "not a PNG"),
    (lambda r: shutil.copy(frame(r), frame(r).with_name("other_9.png")), "two frames of number 9"),
    (lambda r: shutil.copy(frame(r), frame(r).with_name("x.png")), "without a number"),
    (lambda r: shutil.rmtree(frame(r).parent), "no folder of frames"),
    (lambda r: [p.unlink() for p in frame(r).parent.iterdir()], "no PNG frames"),
    (
        lambda r: [p.unlink() for p in frame(r).parent.iterdir() if p.name > "scene_020.png"],
        "too short: 9 of 16 frames",
    ),
    (lambda r: shutil.rmtree(scene(r) / "3"), "instead of 2 and 2"),
    (lambda r: shutil.copytree(scene(r) / "3", scene(r) / "5"), "instead of 2 and 2"),
    (lambda r: flip_label(r, True), "3 possible and 1 impossible movies"),
    (lambda r: flip_label(r, "yes"), "no label says of 1 of 4 movies"),
    (lambda r: (scene(r) / "4" / "status.json").unlink(), "no label says of 1 of 4 movies"),
    (lambda r: (scene(r) / "4" / "status.json").write_text("{"), "no label says of 1 of 4 movies"),
    (lambda r: (scene(r) / "4" / "status.json").write_text("[]"), "no label says of 1 of 4 movies"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=[reason for _, reason in DAMAGES])
def test_a_damaged_scene_is_excluded_as_a_whole_with_the_reason(one, damage, reason):
    whole = source(one).info
    damage(one)
    with pytest.raises(DataError, match="1 of 2 quadruplets are unusable") as caught:
        source(one).info  # noqa: B018
    assert reason in str(caught.value)
    assert "data.max_excluded=0.5" in str(caught.value)
    data = source(one, max_excluded=0.5)
    (excluded,) = data.info.excluded
    assert reason in excluded.reason
    assert excluded.path.startswith("O1/01")
    assert str(one) not in excluded.reason
    assert [q.id for q in data.matched] == ["O1/02"]
    assert data.info.digest != whole.digest


def test_a_set_without_labels_is_refused_even_if_everything_may_be_excluded(one):
    for path in one.rglob("status.json"):
        path.unlink()
    with pytest.raises(DataError, match="2 of 2 quadruplets are unusable") as caught:
        source(one, max_excluded=1).info  # noqa: B018
    assert "no label says" in str(caught.value)


@pytest.mark.parametrize("inside", ["frame", "scene", "movie", "status"])
def test_links_that_lead_out_of_the_root_are_refused_and_never_an_exclusion(one, inside):
    target = {
        "frame": frame(one),
        "scene": frame(one).parent,
        "movie": scene(one) / "2",
        "status": scene(one) / "2" / "status.json",
    }[inside]
    outside = one.parent / "outside"
    shutil.move(target, outside)
    target.symlink_to(outside)
    with pytest.raises(DataError, match="path leaves the data root"):
        source(one, max_excluded=1).info  # noqa: B018


def test_links_within_the_root_are_followed(one):
    before = source(one).info.digest
    shutil.move(frame(one), one / "elsewhere.png")
    frame(one).symlink_to(one / "elsewhere.png")
    assert source(one).info.digest == before


def test_a_frame_that_changes_after_the_scan_is_noticed(one):
    data = source(one)
    clip = data.matched[0].movies[0]
    changed = one / clip / "scene" / "scene_005.png"
    cv2.imwrite(str(changed), movies.picture(5, 5))
    with pytest.raises(DataError, match="changed since it was scanned"):
        data.load([clip])


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "scene_001.png"
    cv2.imwrite(str(path), np.zeros((1, 5000, 3), np.uint8))
    with pytest.raises(FrameError, match="larger than 4096 pixels"):
        read_frame(path)
    os.mkfifo(tmp_path / "scene_002.png")
    with pytest.raises(FrameError, match="not a regular file"):
        read_frame(tmp_path / "scene_002.png")
    assert [p.name for p in frame_files(tmp_path, tmp_path)] == ["scene_001.png", "scene_002.png"]


def test_frames_are_ordered_by_number(tmp_path):
    for name in ("f9.png", "f10.png", "f11.PNG", ".f12.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in frame_files(tmp_path, tmp_path)] == ["f9.png", "f10.png", "f11.PNG"]


def test_shorter_quadruplets_repeat_their_last_frame(tmp_path):
    movies.write_scene(tmp_path / "O1" / "01")
    movies.write_scene(tmp_path / "O1" / "02", scene=1, movies=movies.numbers(41))
    data = source(tmp_path)
    assert [q.frames for q in data.matched] == [16, 20]
    assert data.frames == 20
    clip = data.load([data.matched[0].movies[0]])[0]
    assert all(np.array_equal(clip[i], clip[15]) for i in range(16, 20))
    assert not np.array_equal(clip[14], clip[15])


def prints(*values: int) -> Footage:
    return Footage(len(values), 1.0, "", tuple(bytes([v]) for v in values))


def quadruplet(*movies: Movie) -> Quadruplet:
    return Quadruplet("q", "q", {}, movies)


def test_the_pairing_that_shares_most_frames_is_taken():
    assert shared_prefix(prints(1, 2, 3).prints, prints(1, 2, 4).prints) == 2
    assert shared_prefix(prints(1, 2).prints, prints(1, 2, 4).prints) == 2
    assert shared_prefix(prints(0).prints, prints(1).prints) == 0
    four = quadruplet(Movie("d", False), Movie("a", True), Movie("c", False), Movie("b", True))
    # All begin alike for one frame; then c goes on like b, and d like a.
    footage = {
        "a": prints(0, 1, 1, 1),
        "b": prints(0, 2, 2, 2),
        "c": prints(0, 2, 2, 1),
        "d": prints(0, 1, 2, 2),
    }
    found = match(four, footage)
    assert found.movies == ("a", "b", "d", "c")
    assert found.exact


def test_where_nothing_tells_the_pairs_apart_all_combinations_count():
    four = quadruplet(Movie("a", True), Movie("b", True), Movie("c", False), Movie("d", False))
    footage = {name: prints(0, n) for n, name in enumerate("abcd")}
    found = match(four, footage)
    assert not found.exact
    assert sorted(found.pairs) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_a_quadruplet_with_a_fault_is_not_paired():
    with pytest.raises(DataError, match="cannot be paired") as caught:
        match(quadruplet(Movie("a", True)), {"a": prints(0)})
    assert "1 possible and 0 impossible" in str(caught.value)


# IntPhys 2


def test_videos_are_paired_as_the_listing_says(root2):
    data = source2(root2)
    assert isinstance(data, ClipSource)
    assert [q.id for q in data.matched] == ["Main/0", "Main/1", "Main/2"]
    types = {line["file_name"]: line["type"] for line in movies.read_listing(root2 / "Main")}
    for found in data.matched:
        assert found.exact
        kinds = [types[path.removeprefix("Main/")] for path in found.movies]
        assert kinds == ["1_Possible", "2_Possible", "1_Impossible", "2_Impossible"]
    assert [q.factors["condition"] for q in data.matched] == [
        "permanence",
        "immutability",
        "continuity",
    ]
    assert [q.factors["camera"] for q in data.matched] == ["Moving", "Fixed", "Fixed"]
    assert (data.info.clips, data.info.clusters, data.fps) == (12, 3, 15.0)


def test_every_nth_frame_of_a_video_is_used(root2):
    data = source2(root2)
    assert data.frames == 17
    possible = data.load([data.matched[0].movies[0]])[0]
    assert possible.shape == (17, 32, 32, 3)
    levels = possible.mean(axis=(1, 2, 3))
    assert levels == pytest.approx([2 * i for i in range(17)], abs=2)


def test_the_order_of_lines_and_columns_and_the_older_columns_change_nothing(root2, tmp_path):
    before = source2(root2)
    copy = shutil.copytree(root2, tmp_path / "copy")
    lines = movies.read_listing(copy / "Main")
    lines = [dict(reversed(line.items())) for line in lines]
    scenes = [sorted(lines[i : i + 4], key=lambda line: line["name"]) for i in (0, 4, 8)]
    movies.write_listing(copy / "Main", [line for four in scenes for line in four])
    assert source2(copy).matched == before.matched
    for column in ("name", "filename"):
        older = [{**line, column: line["name"]} for line in lines]
        for line in older:
            del line["file_name"]
        movies.write_listing(copy / "Main", older)
        assert source2(copy).matched == before.matched


def test_conditions_can_be_chosen(root2):
    assert [q.id for q in source2(root2, conditions=["continuity"]).matched] == ["Main/2"]
    with pytest.raises(UsageError, match="unknown condition 'gravity'") as caught:
        intphys2(root2, conditions=["gravity"])
    assert "continuity, immutability, permanence" in str(caught.value)
    with pytest.raises(UsageError, match="unknown split 'HeldOut'") as caught:
        intphys2(root2, split="HeldOut")
    assert "Debug, Main" in str(caught.value)
    with pytest.raises(DataError, match="not a folder"):
        intphys2(root2, split="Debug")


def test_generations_of_one_scene_are_one_cluster(root2, tmp_path):
    copy = shutil.copytree(root2, tmp_path / "copy")
    lines = movies.read_listing(copy / "Main")
    merged = [{**line, "SceneIndex": "0"} for line in lines[:8]]
    movies.write_listing(copy / "Main", merged)
    data = source2(copy)
    assert [(q.id, q.cluster) for q in data.matched] == [
        ("Main/0.0", "Main/0"),
        ("Main/0.1", "Main/0"),
    ]
    assert data.info.clusters == 1
    assert data.matched[0].movies == source2(root2).matched[0].movies
    movies.write_listing(copy / "Main", [*merged[:7], lines[8], *lines[9:]])
    (excluded,) = source2(copy, max_excluded=0.5).info.excluded
    assert "4 possible and 3 impossible" in excluded.reason


def with_line(root: Path, **change: str) -> None:
    lines = movies.read_listing(root / "Main")
    movies.write_listing(root / "Main", [{**lines[0], **change}, *lines[1:]])


@pytest.fixture
def small2(tmp_path: Path) -> Path:
    return movies.write_intphys2(tmp_path)


def video(root: Path) -> Path:
    return root / "Main" / movies.read_listing(root / "Main")[0]["file_name"]


DAMAGES2: list[tuple[Callable[[Path], object], str]] = [
    (lambda r: video(r).unlink(), "missing file"),
    (lambda r: video(r).write_bytes(b""), "empty file: 0 bytes"),
    (lambda r: cut(video(r), lambda b: b[: len(b) // 2]), ""),
    (lambda r: video(r).write_text("#EXTM3U\n"), "not a video container"),
    (lambda r: with_line(r, type="2_Possible"), "movies of different pairs"),
    (lambda r: with_line(r, type="1_Impossible"), "1 possible and 3 impossible movies"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES2)
def test_a_damaged_quadruplet_of_videos_is_excluded_with_the_reason(small2, damage, reason):
    damage(small2)
    with pytest.raises(DataError, match="1 of 2 quadruplets are unusable"):
        source2(small2).info  # noqa: B018
    data = source2(small2, max_excluded=0.5)
    (excluded,) = data.info.excluded
    assert reason in excluded.reason
    assert [q.id for q in data.matched] == ["Main/1"]


@pytest.mark.parametrize(
    "change", [{"type": "possible"}, {"type": ""}, {"SceneIndex": ""}, {"file_name": ""}]
)
def test_a_line_that_says_nothing_is_an_error(small2, change):
    with_line(small2, **change)
    with pytest.raises(DataError, match="line 2 of the listing cannot be understood"):
        intphys2(small2)


@pytest.mark.parametrize("path", ["../../secret.mp4", "/etc/secret.mp4"])
def test_paths_of_the_listing_cannot_leave_the_split(small2, path):
    with_line(small2, file_name=path)
    with pytest.raises(DataError, match="path leaves the data root"):
        intphys2(small2)


def test_a_listing_without_a_column_or_a_split_without_a_listing_is_an_error(small2):
    lines = movies.read_listing(small2 / "Main")
    for column in ("SceneIndex", "type", "condition"):
        movies.write_listing(
            small2 / "Main", [{k: v for k, v in x.items() if k != column} for x in lines]
        )
        with pytest.raises(DataError, match=f"missing CSV column '{column}'"):
            intphys2(small2)
    nameless = [{k: v for k, v in x.items() if k not in ("name", "file_name")} for x in lines]
    movies.write_listing(small2 / "Main", nameless)
    with pytest.raises(DataError, match="missing CSV column 'file_name'"):
        intphys2(small2)
    (small2 / "Main" / "metadata.csv").unlink()
    with pytest.raises(DataError, match="cannot read the listing"):
        intphys2(small2)


def test_one_file_in_two_places_is_refused(small2):
    lines = movies.read_listing(small2 / "Main")
    with_line(small2, file_name=lines[5]["file_name"])
    with pytest.raises(DataError, match="duplicate video ids"):
        source2(small2).info  # noqa: B018


@pytest.mark.parametrize(
    "options",
    [{"step": 0}, {"min_frames": 1}, {"size": [8]}, {"size": [0, 8]}, {"fps": 0}],
)
def test_numbers_that_make_no_sense_are_refused(root, options):
    with pytest.raises(UsageError, match=r"data\."):
        source(root, **options)


@pytest.mark.parametrize(
    ("name", "kind_of"), [("intphys", IntPhysData), ("intphys2", IntPhys2Data)]
)
def test_the_configuration_names_every_option_with_its_default(name, kind_of):
    options = OmegaConf.load(Path(conf.__path__[0], "data", f"{name}.yaml"))
    assert options._target_ == f"worldbench.data.intphys.{kind_of.__name__}"
    plain = OmegaConf.to_container(options)
    assert isinstance(plain, dict)
    given = {k: v for k, v in plain.items() if k not in ("_target_", "summary", "root", "name")}
    made = kind_of("n", "somewhere", **given)
    assert made.protocol == kind_of("n", "somewhere").protocol
    assert made.max_excluded == 0.05
