import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provenances import provenance

from worldbench import record as records
from worldbench.errors import EnvironmentFault, RecordError
from worldbench.record import (
    read,
    read_all,
    record_key,
    record_path,
    write,
    write_atomic,
    write_together,
)
from worldbench.schema import AdapterCard, Body, DataInfo, Record, SuiteInfo


def a_record(adapter: str = "still", key: str = "k" * 64, **body: Any) -> Record:
    return Record(
        body=Body(
            **{"status": "skipped", "reason": "it cannot be asked", **body},
            key=key,
            adapter=AdapterCard(name=adapter, revision="r" * 64, family="baseline"),
            suite=SuiteInfo(
                name="video_distance",
                version="1",
                data=DataInfo(name="clips", digest="d" * 64, clips=3, clusters=3),
                protocol={"horizon": 8},
            ),
        ),
        provenance=provenance(),
    )


def place(root: Path, record: Record) -> Path:
    body = record.body
    return record_path(root, body.adapter, body.suite.name, body.suite.version, body.key)


def store(root: Path, record: Record) -> Path:
    path = place(root, record)
    write(path, record)
    return path


def edited(path: Path, **top: Any) -> Path:
    path.write_text(json.dumps({**json.loads(path.read_text()), **top}))
    return path


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_record_reads_back_as_written(tmp_path: Path) -> None:
    record = a_record(reason="Größe ≠ 64 × 64")
    path = store(tmp_path, record)
    assert read(path) == record
    assert "Größe ≠ 64 × 64" in path.read_text(encoding="utf-8")
    assert path.read_text().endswith("}\n")


def test_a_record_stands_where_adapter_suite_and_key_say(tmp_path: Path) -> None:
    path = store(tmp_path, a_record("still"))
    relative = path.relative_to(tmp_path)
    assert relative == Path("still", "r" * 12, "video_distance@1", "k" * 12 + ".json")


def test_equal_records_are_equal_bytes(tmp_path: Path) -> None:
    first, second = store(tmp_path / "a", a_record()), store(tmp_path / "b", a_record())
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("what", range(6))
def test_the_key_depends_on_every_part_of_the_question(what: int) -> None:
    question: list[Any] = ["r", "suite", "1", {"psnr": "1"}, "d", {"horizon": 8}]
    other: list[Any] = ["s", "other", "2", {"psnr": "2"}, "e", {"horizon": 9}]
    assert record_key(*question) == record_key(*question)
    assert record_key(*question[:what], other[what], *question[what + 1 :]) != record_key(*question)


def test_the_key_does_not_depend_on_the_order_of_options() -> None:
    a = record_key("r", "s", "1", {}, "d", {"x": 1, "y": 2})
    assert a == record_key("r", "s", "1", {}, "d", {"y": 2, "x": 1})


@pytest.mark.parametrize(
    ("call", "failure", "error"),
    [
        ("fsync", no_space, EnvironmentFault),
        ("fsync", killed, KeyboardInterrupt),
        ("fdopen", no_space, EnvironmentFault),
    ],
)
def test_a_write_that_fails_in_the_middle_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    failure: Callable[..., None],
    error: type[BaseException],
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failure)
        with pytest.raises(error):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr(Path, "replace", no_space)
    with pytest.raises(EnvironmentFault):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_files_written_together_none_is_new_before_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_together({one: b"old", two: b"old"})
    left = [1]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            no_space()

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentFault, match="two"):
        write_together({one: b"new", two: b"new"})
    assert (one.read_bytes(), two.read_bytes()) == (b"old", b"old")
    assert sorted(tmp_path.iterdir()) == [one, two]


def test_a_full_disk_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(EnvironmentFault) as caught:
        write_atomic(tmp_path / "file", b"x")
    assert str(tmp_path / "file") in str(caught.value)
    assert caught.value.seen == os.strerror(errno.ENOSPC)
    assert "free space" in str(caught.value.fix)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("folder", ["file/below", "/proc/worldbench"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot write"):
        write_atomic(tmp_path / folder / "record.json", b"x")


def test_written_files_are_as_open_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused(tmp_path: Path, version: object) -> None:
    path = edited(store(tmp_path, a_record()), schema=version)
    with pytest.raises(RecordError, match="unknown schema version") as caught:
        read(path)
    assert caught.value.seen == version
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe", b"[1]", b"3", b"null"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"1" * 5000, id="long"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=str(path)):
        read(path)


@pytest.mark.parametrize(
    ("number", "seen"),
    [("NaN", "NaN is no number"), ("-Infinity", "-Infinity is no number"), ("1e999", "protocol")],
)
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(
    tmp_path: Path, number: str, seen: str
) -> None:
    path = store(tmp_path, a_record())
    path.write_text(path.read_text().replace('"horizon": 8', f'"horizon": {number}'))
    with pytest.raises(RecordError, match=seen):
        read(path)


def test_what_is_nested_too_deep_to_walk_through_is_refused(tmp_path: Path) -> None:
    path = store(tmp_path, a_record())
    told = path.read_text()
    for depth in (30, 200):
        nested = "[" * depth + "]" * depth
        path.write_text(told.replace('"horizon": 8', f'"horizon": {nested}'))
        if depth == 30:
            assert read(path).body.suite.protocol["horizon"]
    with pytest.raises(RecordError, match="nested deeper than 64"):
        read(path)


def test_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot read record"):
        read(tmp_path / "none.json")


def test_a_record_that_does_not_validate_names_the_field(tmp_path: Path) -> None:
    path = store(tmp_path, a_record())
    body = json.loads(path.read_text())["body"]
    with pytest.raises(RecordError, match=r"body\.status"):
        read(edited(path, body={**body, "status": "splendid"}))
    with pytest.raises(RecordError, match=r"body\.rank"):
        read(edited(path, body={**body, "rank": 1}))


def test_all_records_come_in_path_order(tmp_path: Path) -> None:
    paths = sorted(store(tmp_path, a_record(name)) for name in ("b", "a", "c"))
    assert [path for path, _ in read_all(tmp_path)] == paths


def test_a_misplaced_record_is_refused_with_its_place(tmp_path: Path) -> None:
    path = store(tmp_path, a_record("still"))
    elsewhere = place(tmp_path, a_record("moving"))
    elsewhere.parent.mkdir(parents=True)
    path.rename(elsewhere)
    with pytest.raises(RecordError, match="does not stand where its content says") as caught:
        list(read_all(tmp_path))
    assert caught.value.seen == elsewhere
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "given", [".", "out", "out/records/still", "out/records/still/rrrrrrrrrrrr"]
)
def test_a_folder_above_or_below_that_of_the_records_is_refused_with_theirs(
    tmp_path: Path, given: str
) -> None:
    records_folder = tmp_path / "out" / "records"
    path = store(records_folder, a_record())
    (tmp_path / "out" / "leaderboard.json").write_text('{"schema": 1, "sections": []}')
    with pytest.raises(RecordError, match="stands where none of") as caught:
        list(read_all(tmp_path / given))
    assert caught.value.seen == path
    assert f"--records {records_folder}, if that was meant" in str(caught.value.fix)


def test_a_stray_record_is_refused_and_other_json_is_none_of_ours(tmp_path: Path) -> None:
    path = store(tmp_path, a_record())
    (tmp_path / "leaderboard.json").write_text('{"schema": 1, "sections": []}')
    assert [found for found, _ in read_all(tmp_path)] == [path]
    stray = tmp_path / "stray.json"
    stray.write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match="stands where none of") as caught:
        list(read_all(tmp_path))
    assert caught.value.seen == stray
    assert "--records" not in str(caught.value.fix)


def test_a_file_has_the_digest_that_sha256sum_prints(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert records.file_digest(path) == expected
