"""A sweep in W&B: its cells in one group, and a run that sums it up, all of it offline."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tracked_runs import FAKE_KEY, METRICS, a_record, home, logged, written

from worldbench import cli
from worldbench import record as records
from worldbench.schema import MetricResult, Record
from worldbench.tracking import WandbTracker
from worldbench.wandb_charts import breakdowns
from worldbench.wandb_sweep import cells_of, note_cell

__all__ = ["home"]


def runs_of(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


def opened(run: Path) -> object:
    (found,) = (r.run for r in logged(run) if r.WhichOneof("record_type") == "run")
    return found


def tables(run: Path) -> dict[str, dict]:
    media = run / "files" / "media" / "table"
    return {
        str(path.relative_to(media)).rpartition("_rows_")[0]: json.loads(path.read_text())
        for path in media.rglob("*.table.json")
    }


def renamed(record: Record, adapter: str, **changes: object) -> Record:
    card = record.body.adapter.model_copy(update={"name": adapter})
    body = record.body.model_copy(update={"adapter": card, **changes})
    return record.model_copy(update={"body": body})


def test_what_was_broken_down_becomes_bars(tmp_path: Path, home: Path) -> None:
    levels = [
        MetricResult(name="top1", factors={"share": s}, value=s / 2, higher_is_better=True)
        for s in (0.1, 0.5)
    ]
    tracker = WandbTracker(directory=str(tmp_path))
    tracker.start(name="n", group="g", config={})
    tracker.record(a_record(*METRICS, *levels))
    tracker.finish(failed=False)
    (run,) = runs_of(tmp_path)
    found = tables(run)
    assert found["plots/top1_table"]["data"] == [["share=0.1", 0.05], ["share=0.5", 0.25]]
    assert set(found) == {"metrics", "plots/top1_table"}, "one value is no breakdown"
    assert set(breakdowns(METRICS)) == set()


def test_a_summary_run_has_a_row_per_cell_and_bars_per_suite(tmp_path: Path, home: Path) -> None:
    group = tmp_path / "sweep"
    group.mkdir()
    headline = METRICS[0].model_copy(update={"headline": True})
    for adapter, value in (("b", 20.0), ("a", 21.5)):
        metric = headline.model_copy(update={"value": value, "low": None, "high": None})
        note_cell(str(group), renamed(a_record(metric), adapter))
    token = f"needs token={FAKE_KEY}"
    note_cell(
        str(group),
        renamed(a_record(*METRICS), "c", status="failed", reason=token, metrics=(), key="c"),
    )
    cells = cells_of(str(group))
    assert [cell["adapter"] for cell in cells] == ["a", "b", "c"]

    tracker = WandbTracker(directory=str(tmp_path / "out"))
    tracker.sweep(str(group), cells)
    (run,) = runs_of(tmp_path / "out")
    told = opened(run)
    assert (told.display_name, told.job_type, told.run_group) == ("summary", "summary", str(group))
    found = tables(run)
    names = found["cells"]["columns"]
    rows = [dict(zip(names, row, strict=True)) for row in found["cells"]["data"]]
    assert [(r["adapter"], r["status"], r["value"]) for r in rows] == [
        ("a", "ok", 21.5),
        ("b", "ok", 20.0),
        ("c", "failed", None),
    ]
    assert found["plots/video_distance_table"]["data"] == [["a", 21.5], ["b", 20.0]]
    kept = {
        u.key: json.loads(u.value_json)
        for r in logged(run)
        for u in r.summary.update
        if u.key.startswith("cells")
    }
    assert kept == {"cells": 3, "cells/ok": 2, "cells/failed": 1}
    (code,) = (r.exit.exit_code for r in logged(run) if r.HasField("exit"))
    assert code == 1, "a sweep with a failed cell has failed"
    for path, content in written(group, tmp_path / "out", home):
        assert FAKE_KEY.encode() not in content, f"{path} holds a secret"


def test_cells_of_no_sweep_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    note_cell("single", a_record(*METRICS))
    assert not list(tmp_path.iterdir())
    assert cells_of("single") == []


def summary_of(folder: Path, cells: int) -> Path:
    """Returns the one summary run of a sweep, whose cells are of its group."""
    told = {run: opened(run) for run in runs_of(folder)}
    assert Counter(run.job_type for run in told.values()) == {"cell": cells, "summary": 1}
    assert len({run.run_group for run in told.values()}) == 1
    return next(run for run, it in told.items() if it.job_type == "summary")


def words(small_data: Path, *more: str) -> list[str]:
    cell = ["suite=cost", "data=folder", f"data.root={small_data}", "data.frames=16"]
    cell += ["data.size=[16,16]", "num_workers=0", "device=cpu", "records=records"]
    return ["run", "-m", *cell, "tracker=wandb", *more]


@pytest.mark.usefixtures("clean_process", "home")
def test_a_summary_run_is_made_also_when_a_cell_fails(
    small_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ("adapter=copy_last", "suite.quads=1,5")  # eight videos of two clips each
    assert cli.main(words(small_data, *sweep, "data.clips_per_video=1")) == 3
    found = tables(summary_of(tmp_path, cells=2))["cells"]
    statuses = Counter(row[found["columns"].index("status")] for row in found["data"])
    assert statuses == {"ok": 1, "failed": 1}


@pytest.mark.slow
def test_a_sweep_of_twelve_cells_is_tracked_offline(
    small_data: Path, tmp_path: Path, home: Path
) -> None:
    """In a process of its own, with a key in the environment and WANDB_MODE as users have it."""
    assert "WANDB_MODE" not in os.environ
    sweep = ("adapter=copy_last,context_mean,real_future", "suite.quads=1,2", "seed=0,1")
    done = subprocess.run(
        [sys.executable, "-m", "worldbench.cli", *words(small_data, *sweep)],
        cwd=tmp_path,
        env={**os.environ, "WANDB_API_KEY": FAKE_KEY},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "tracking stopped" not in done.stderr
    assert FAKE_KEY not in done.stdout + done.stderr
    found = [record for _, record in records.read_all(tmp_path / "records")]
    assert len(found) == 12
    assert len(tables(summary_of(tmp_path, cells=12))["cells"]["data"]) == 12
    for path, content in written(tmp_path):
        assert FAKE_KEY.encode() not in content, f"{path} holds the key"
