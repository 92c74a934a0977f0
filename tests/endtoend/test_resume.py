"""Killed, starved and doubled runs all end in the record of an undisturbed one."""

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_bench import Bench

from worldbench.parts import read_rows
from worldbench.schema import Trial
from worldbench.suite import Setting


def slow(bench: Bench, log: Path, seconds: float = 0.0) -> list[str]:
    """Configures the slow adapter; its answers depend on neither the delay nor the log."""
    name = bench.configure("slow", "Slow", seconds=seconds, log=str(log))
    return [f"adapter={name}", "batch_size=2"]


def undisturbed(bench: Bench, tmp_path: Path) -> object:
    other = bench.at(tmp_path / "undisturbed")
    words = slow(bench, Path(os.devnull))
    assert other.run(*words, config_dir=True) == 0
    return other.record.body


def part_files(bench: Bench) -> list[Path]:
    return sorted(bench.root.glob("*/*/*/*.parts/*.parquet"))


def asked(bench: Bench, log: Path) -> list[list[int]]:
    """Positions, in the suite's list, of the trials of each call, told from their seeds."""
    (path,) = bench.files
    rows = read_rows(path.with_suffix(".parquet"))
    trials = [Trial(row["trial"], "", ()) for row in rows if row["role"] == "rollout"]
    position = {s: i for i, s in enumerate(Setting(torch.device("cpu")).seeds_for(trials))}
    return [[position[int(s)] for s in line.split()] for line in log.read_text().splitlines()]


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def no_space_after(writes: int) -> Callable[[int], None]:
    """An fsync that finds the disk full after so many writes."""
    left = [writes]

    def fsync(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fsync


def test_a_killed_run_resumes_after_its_last_finished_batch(bench: Bench, tmp_path: Path) -> None:
    expected = undisturbed(bench, tmp_path)
    log = tmp_path / "log"
    words = slow(bench, log, seconds=1.0)
    process = bench.start(*words)
    wait_for(lambda: len(part_files(bench)) >= 1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert bench.files == []
    finished = [int(path.stem) for path in part_files(bench)]
    log.unlink()

    assert bench.run(*slow(bench, log), config_dir=True) == 0
    assert bench.record.body == expected
    assert part_files(bench) == []
    assert asked(bench, log) == [[i, i + 1] for i in (0, 2, 4, 6) if i not in finished]


def test_a_full_disk_keeps_the_finished_batches(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = undisturbed(bench, tmp_path)  # also fills the cache
    log = tmp_path / "log"
    words = slow(bench, log)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space_after(2))
        assert bench.run(*words, config_dir=True) == 4
    said = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in said
    assert "the same command resumes" in said
    assert [path.name for path in part_files(bench)] == ["00000000.parquet", "00000002.parquet"]
    assert not list(bench.root.glob("**/.*"))  # no temporary file is left
    log.unlink()

    assert bench.run(*words, config_dir=True) == 0
    assert asked(bench, log) == [[4, 5], [6, 7]]
    assert bench.record.body == expected


def test_an_overwrite_that_finds_the_disk_full_leaves_the_finished_record(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = slow(bench, tmp_path / "log")
    assert bench.run(*words, config_dir=True) == 0
    (path,) = bench.files
    kept = {file: file.read_bytes() for file in (path, path.with_suffix(".parquet"))}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space_after(4 + 1))  # four batches, then the rows
        assert bench.run(*words, "overwrite=true", config_dir=True) == 4
    assert {file: file.read_bytes() for file in kept} == kept
    assert not list(bench.root.glob("**/.*"))
    (tmp_path / "log").unlink()
    assert bench.run(*words, "overwrite=true", config_dir=True) == 0
    assert not (tmp_path / "log").exists()  # all batches were finished
    assert part_files(bench) == []


def starved(bench: Bench, words: list[str], batches: int, patch: pytest.MonkeyPatch) -> None:
    """Runs until so many batches are finished."""
    with patch.context() as inner:
        inner.setattr(os, "fsync", no_space_after(batches))
        assert bench.run(*words, config_dir=True) == 4
    assert len(part_files(bench)) == batches


def test_a_damaged_part_is_measured_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(bench, tmp_path)
    log = tmp_path / "log"
    words = slow(bench, log)
    starved(bench, words, 3, monkeypatch)
    cut, garbled, _ = part_files(bench)
    cut.write_bytes(cut.read_bytes()[:-20])
    garbled.write_bytes(b"\x00" * garbled.stat().st_size)
    log.unlink()
    assert bench.run(*words, config_dir=True) == 0
    assert asked(bench, log) == [[0, 1], [2, 3], [6, 7]]
    assert bench.record.body == expected


def test_a_run_resumed_with_another_batch_size_counts_every_trial_once(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(bench, tmp_path)
    words = slow(bench, tmp_path / "log")
    starved(bench, words, 2, monkeypatch)  # trials 0 to 3
    bigger = [words[0], "batch_size=3"]  # its second batch, 3 to 5, holds a finished trial
    assert bench.run(*bigger, config_dir=True) == 0
    (path,) = bench.files
    rows = [row for row in read_rows(path.with_suffix(".parquet")) if row["role"] == "rollout"]
    assert len(rows) == len({row["trial"] for row in rows}) == 8
    assert {m.n for m in bench.record.body.metrics} == {m.n for m in expected.metrics}


def test_overwrite_starts_from_the_first_batch(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    words = slow(bench, log)
    assert bench.run(*words, config_dir=True) == 0  # fills the cache
    (path,) = bench.files
    path.unlink()
    starved(bench, words, 2, monkeypatch)
    log.unlink()
    assert bench.run(*words, "overwrite=true", config_dir=True) == 0
    assert asked(bench, log) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_two_processes_on_one_cell_measure_it_once(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = slow(bench, log, seconds=0.5)
    processes = [bench.start(*words) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sum("already measured" in text for text in said) == 1
    assert asked(bench, log) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert bench.record.body.status == "ok"
    assert part_files(bench) == []
