import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_bench import Bench, Clips

from worldbench import cli
from worldbench import record as records
from worldbench.data.real import VideoData
from worldbench.data.video import encode


def value(bench: Bench, name: str, **factors: object) -> float:
    (found,) = (
        m.value
        for m in bench.record.body.metrics
        if m.name == name and m.factors.get("frame") == factors.get("frame")
    )
    assert found is not None
    return found


def rows_of(bench: Bench) -> list[dict[str, object]]:
    (path,) = bench.files
    rows: list[dict[str, object]] = pq.read_table(path.with_suffix(".parquet")).to_pylist()
    return rows


@pytest.fixture(scope="module")
def spoilt(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test videos with five files that are no videos or not long enough."""
    root = tmp_path_factory.mktemp("spoilt") / "videos"
    shutil.copytree(clips.root, root)
    whole = (root / "00.mp4").read_bytes()
    (root / "text.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    (root / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (root / "zero.mp4").touch()
    encode(root / "one_frame.mp4", np.zeros((1, 64, 64, 3), np.uint8), 15)
    (root / "readme.txt").write_text("not listed at all")
    return root


def test_a_folder_of_videos_becomes_records_and_a_board(bench: Bench, tmp_path: Path) -> None:
    for adapter in ("copy_last", "context_mean", "real_future"):
        assert bench.run(f"adapter={adapter}") == 0
    assert len(bench.files) == 3
    for path in bench.files:
        body = records.read(path).body
        assert body.status == "ok"
        assert body.suite.data.clips == 16
        assert body.suite.data.excluded == ()
        with_interval = {m.name for m in body.metrics if m.low is not None}
        assert {"psnr", "ssim", "kernel", "frechet_inf"} <= with_interval
        assert all(m.low <= m.value <= m.high for m in body.metrics if m.low is not None)
    out = tmp_path / "board"
    assert cli.main(["leaderboard", "--records", str(bench.root), "--out", str(out)]) == 0
    assert "copy_last" in (out / "leaderboard.json").read_text()
    words = ["leaderboard", "--records", str(bench.root), "--out", str(out)]
    assert cli.main([*words, "--check"]) == 0
    (out / "leaderboard.md").write_text("edited by hand")
    assert cli.main([*words, "--check"]) == 1


def test_the_record_says_how_it_came_about(bench: Bench) -> None:
    assert bench.run("adapter=copy_last", "limit=4") == 0
    provenance = bench.record.provenance
    assert provenance.command.startswith("worldbench run ")
    assert "adapter=copy_last" in provenance.command
    assert provenance.config["limit"] == 4
    assert provenance.device.startswith("cpu")
    assert provenance.peak_memory_mib > 10
    (path,) = bench.files
    assert provenance.trials_sha256 == records.file_digest(path.with_suffix(".parquet"))


def test_clips_of_another_rate_than_the_models_are_used_and_noted(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ("adapter=dit_random", "adapter.size=xs", "adapter.sampler_steps=1", "limit=4")
    assert bench.run(*model) == 0
    note = "the clips have 15 frames per second, not 8, for which dit_random was made"
    assert bench.record.provenance.notes == (note,)
    assert f"{note}; of data that can be resampled: data.fps=8" in capsys.readouterr().err


def test_a_second_run_finds_the_first_and_leaves_it_alone(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run("adapter=copy_last") == 0
    (path,) = bench.files
    before = path.stat().st_mtime_ns, path.read_bytes()
    capsys.readouterr()
    assert bench.run("adapter=copy_last") == 0
    assert "already measured" in capsys.readouterr().err
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_overwrite_measures_again_and_gets_the_same_body(bench: Bench) -> None:
    assert bench.run("adapter=linear_flow") == 0
    (path,) = bench.files
    before, written = bench.record, path.stat().st_mtime_ns
    assert bench.run("adapter=linear_flow", "overwrite=true") == 0
    assert path.stat().st_mtime_ns > written
    assert bench.record.body == before.body


def test_a_record_without_its_rows_is_measured_again(bench: Bench) -> None:
    assert bench.run("adapter=copy_last") == 0
    (path,) = bench.files
    before = bench.record.body
    path.with_suffix(".parquet").unlink()
    assert bench.run("adapter=copy_last") == 0
    assert path.with_suffix(".parquet").is_file()
    assert bench.record.body == before


def test_the_body_does_not_depend_on_workers(bench: Bench, tmp_path: Path) -> None:
    other = bench.at(tmp_path / "threads")
    assert bench.run("adapter=linear_flow", "num_workers=0", "batch_size=3") == 0
    assert other.run("adapter=linear_flow", "num_workers=3", "batch_size=3") == 0
    assert bench.record.body == other.record.body
    assert rows_of(bench) == rows_of(other)


def test_scores_do_not_depend_on_the_batch_size(bench: Bench, tmp_path: Path) -> None:
    name = bench.configure("slow", "Slow", seconds=0, log=str(tmp_path / "log"))
    other = bench.at(tmp_path / "small")
    assert bench.run(f"adapter={name}", "batch_size=8", config_dir=True) == 0
    assert other.run(f"adapter={name}", "batch_size=3", config_dir=True) == 0
    assert bench.record.body.key == other.record.body.key
    for a, b in zip(bench.record.body.metrics, other.record.body.metrics, strict=True):
        exact = a.name in ("psnr", "ssim")
        # Convolutions sum in another order at another batch size, and the kernel cubes that.
        assert a.value == pytest.approx(b.value, rel=1e-6 if exact else 1e-3)


def test_another_seed_is_another_question(bench: Bench, tmp_path: Path) -> None:
    name = bench.configure("slow", "Slow", seconds=0, log=str(tmp_path / "log"))
    assert bench.run(f"adapter={name}", "seed=0", config_dir=True) == 0
    first = value(bench, "psnr")
    assert bench.run(f"adapter={name}", "seed=1", config_dir=True) == 0
    assert len(bench.files) == 2
    second = {records.read(p).body.suite.protocol["seed"]: p for p in bench.files}[1]
    psnr = next(m.value for m in records.read(second).body.metrics if m.name == "psnr")
    assert psnr != first


def test_limit_takes_the_first_trials_and_is_part_of_the_question(bench: Bench) -> None:
    assert bench.run("adapter=copy_last") == 0
    first = [row for row in rows_of(bench) if row["role"] == "rollout"][:3]
    (whole,) = bench.files
    assert bench.run("adapter=copy_last", "limit=3") == 0
    (path,) = (path for path in bench.files if path != whole)
    rows = pq.read_table(path.with_suffix(".parquet")).to_pylist()
    scored = [row for row in rows if row["role"] == "rollout"]
    assert [row["psnr"] for row in scored] == [row["psnr"] for row in first]
    assert records.read(path).body.suite.protocol["limit"] == 3


def test_a_dry_run_writes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run("adapter=copy_last", "dry_run=true") == 0
    assert "8 trials in batches of 16" in capsys.readouterr().err
    assert not bench.root.exists()


def test_an_empty_folder_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, said = bench.run_apart("adapter=copy_last", f"data.root={tmp_path / 'empty'}")
    assert code == 3
    assert str(tmp_path / "empty") in said
    assert not bench.root.exists()  # a single run has told its user; a sweep must show the gap
    words = ["-m", "adapter=copy_last,context_mean", f"data.root={tmp_path / 'empty'}"]
    code, _ = bench.run_apart(*words)
    assert code == 3
    assert {records.read(path).body.status for path in bench.files} == {"failed"}
    assert len(bench.files) == 2


def test_a_dry_run_that_fails_writes_nothing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    nothing = f"data.root={tmp_path / 'empty'}"
    code, _ = bench.run_apart("adapter=copy_last", nothing, "dry_run=true")
    assert code == 3
    assert not bench.root.exists()


def test_unusable_videos_abort_the_run_with_counts_and_the_way_out(
    bench: Bench, spoilt: Path
) -> None:
    code, said = bench.run_apart("adapter=copy_last", f"data.root={spoilt}")
    assert code == 3
    assert "4 of 20 videos are unusable" in said
    assert "data.max_excluded=0.2" in said
    assert not bench.root.exists()


def test_unusable_videos_that_were_accepted_are_listed_with_reasons(
    bench: Bench, spoilt: Path
) -> None:
    assert bench.run("adapter=copy_last", f"data.root={spoilt}", "data.max_excluded=0.9") == 0
    data = bench.record.body.suite.data
    reasons = {item.path: item.reason for item in data.excluded}
    assert set(reasons) == {"text.mp4", "truncated.mp4", "zero.mp4", "one_frame.mp4"}
    assert "too short" in reasons["one_frame.mp4"]
    assert all(reasons.values())
    assert not any(str(spoilt) in reason for reason in reasons.values())
    assert data.clips == data.clusters == 16


def test_the_folder_may_have_moved(bench: Bench, clips: Clips, tmp_path: Path) -> None:
    assert bench.run("adapter=copy_last") == 0
    shutil.copytree(clips.root, tmp_path / "moved")
    other = bench.at(tmp_path / "other")
    assert other.run("adapter=copy_last", f"data.root={tmp_path / 'moved'}") == 0
    assert bench.record.body == other.record.body


def test_a_closed_system_is_scored_from_its_files(
    bench: Bench, clips: Clips, tmp_path: Path
) -> None:
    contexts, exported = tmp_path / "contexts", tmp_path / "exported"
    exported.mkdir()
    words = [*clips.overrides, "suite.context=4", "suite.horizon=8", "suite.components=2"]
    assert cli.main(["data", "contexts", "--out", str(contexts), *words]) == 0
    items = [json.loads(line) for line in (contexts / "items.jsonl").read_text().splitlines()]
    assert len(items) == 8
    source = VideoData("folder", str(clips.root), frames=12, size=(64, 64))
    for item in items:
        assert (contexts / f"{item['name']}.mp4").is_file()
        assert (item["context"], item["horizon"], item["fps"]) == (4, 8, 15)
        # The "closed system" is an oracle with a very good encoder.
        future = source.load([item["item_id"]])[0, 4:12]
        encode(exported / f"{item['name']}-0.mp4", future, 15, crf=1)
    theirs = ["adapter=video_folder", f"adapter.root={exported}", "adapter.name=oracle_files"]
    assert bench.run(*theirs) == 0
    assert bench.record.body.adapter.family == "replay"
    assert value(bench, "psnr") > 33
    floor = bench.at(tmp_path / "floor")
    assert floor.run("adapter=copy_last") == 0
    assert value(bench, "psnr") > value(floor, "psnr") + 10
    assert value(bench, "ssim") > value(floor, "ssim")


def test_exported_files_that_are_missing_are_named(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode(tmp_path / "00@0-0.mp4", np.zeros((8, 64, 64, 3), np.uint8), 15)
    assert bench.run("adapter=video_folder", f"adapter.root={tmp_path}") == 3
    assert "deeper" in capsys.readouterr().err  # the folder of a trial without a file


def test_an_adapter_that_cannot_be_asked_is_skipped(bench: Bench) -> None:
    assert bench.run("adapter=linear_flow", "suite.context=1") == 0
    body = bench.record.body
    assert body.status == "skipped"
    assert "context of 1 frames is not legal for linear_flow" in str(body.reason)
    assert body.metrics == ()


def test_an_adapter_that_raises_leaves_a_failed_record(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bench.configure("rusty", "Raises")
    assert bench.run(f"adapter={name}", config_dir=True) == 1
    body = bench.record.body
    assert body.status == "failed"
    assert str(body.reason).startswith("RuntimeError: the weights ")
    assert "\n" not in str(body.reason)
    assert "odd_adapters.py" in capsys.readouterr().err  # the traceback is shown


def test_an_adapter_that_cannot_be_made_leaves_a_failed_record_and_no_secret(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bench.configure("shut", "CannotBeMade")
    assert bench.run(f"adapter={name}", config_dir=True) == 1
    body = bench.record.body
    assert body.status == "failed"
    assert str(body.reason) == "RuntimeError: the vault is shut, password=REDACTED"
    said = capsys.readouterr().err
    assert "odd_adapters.py" in said  # the traceback is shown
    assert said.endswith("error: RuntimeError: the vault is shut, password=REDACTED\n")
    assert "hunter2" not in said


def test_a_misspelt_overwrite_replaces_nothing(bench: Bench) -> None:
    assert bench.run("adapter=copy_last") == 0
    (path,) = bench.files
    before = path.stat().st_mtime_ns
    assert bench.run("adapter=copy_last", "overwrite=flase") == 2
    assert path.stat().st_mtime_ns == before


def test_a_failed_cell_runs_again(bench: Bench) -> None:
    path = bench.configs / "adapter" / "mended.yaml"
    name = bench.configure("mended", "Hungry", room=0, log=os.devnull)
    assert bench.run(f"adapter={name}", config_dir=True) == 4
    assert bench.record.body.status == "failed"
    assert "single trial" in str(bench.record.body.reason)
    path.write_text(path.read_text().replace("room: 0", "room: 2"))
    assert bench.run(f"adapter={name}", config_dir=True) == 0
    assert bench.record.body.status == "ok"


def test_rollouts_that_are_not_finite_name_adapter_and_call(bench: Bench) -> None:
    name = bench.configure("blurry", "NotANumber")
    assert bench.run(f"adapter={name}", config_dir=True) == 1
    reason = str(bench.record.body.reason)
    assert reason.startswith("adapter 'blurry', call generate: values that are not finite")


def test_an_interrupted_run_says_so_and_leaves_no_record(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bench.configure("interrupted", "Raises", error="KeyboardInterrupt")
    assert bench.run(f"adapter={name}", config_dir=True) == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert bench.files == []


def test_a_batch_that_does_not_fit_is_halved(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "sizes"
    name = bench.configure("hungry", "Hungry", room=2, log=str(log))
    assert bench.run(f"adapter={name}", "batch_size=8", config_dir=True) == 0
    assert log.read_text().split() == ["8", "4", "2", "2", "4", "2", "2"]
    other = bench.at(tmp_path / "roomy")
    assert other.run("adapter=copy_last", "batch_size=8") == 0
    assert [row["psnr"] for row in rows_of(bench)] == [row["psnr"] for row in rows_of(other)]


@pytest.mark.parametrize("call", ["start", "progress", "record", "trials", "videos", "finish"])
def test_a_tracker_that_raises_never_stops_a_run(
    bench: Bench, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.configure("broken", "BrokenTracker", group="tracker", call=call)
    words = ("adapter=copy_last", "tracker=broken", "limit=2")
    assert bench.run(*words, config_dir=True) == 0
    assert bench.record.body.status == "ok"
    assert "tracking stopped, the run goes on" in capsys.readouterr().err


@pytest.mark.slow
def test_an_offline_wandb_run_goes_beside_the_record(bench: Bench, tmp_path: Path) -> None:
    words = ("tracker=wandb", f"tracker.directory={tmp_path}", "limit=4")
    assert bench.run("adapter=copy_last", *words) == 0
    assert bench.record.body.status == "ok"
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))


def test_clips_of_a_record_are_those_of_the_files(bench: Bench, clips: Clips) -> None:
    """The psnr of a row is that of the last context frame against the file's own future."""
    assert bench.run("adapter=copy_last", "limit=2") == 0
    row = rows_of(bench)[0]
    source = VideoData("folder", str(clips.root), frames=12, size=(64, 64))
    video = source.load([str(row["trial"])])[0].astype(np.float64) / 255
    error = ((video[4:] - video[3]) ** 2).mean(axis=(1, 2, 3))
    assert row["psnr"] == pytest.approx(float((-10 * np.log10(error)).mean()), abs=1e-4)
