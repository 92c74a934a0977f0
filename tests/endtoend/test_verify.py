import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_bench import Bench, Clips

from worldbench import cli
from worldbench.agreement import compare_rows
from worldbench.data.video import encode
from worldbench.parts import table_bytes


@pytest.fixture(scope="module")
def measured(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of linear_flow, made once."""
    bench = Bench(clips, tmp_path_factory.mktemp("measured"), clips.root)
    assert bench.run("adapter=linear_flow") == 0
    (path,) = bench.files
    return path


@pytest.fixture
def record(measured: Path, tmp_path: Path) -> Path:
    """A copy of the record, to spoil."""
    folder = shutil.copytree(measured.parent, tmp_path / "copy")
    return folder / measured.name


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_record_verifies(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(record.parent.iterdir())
    assert cli.main(["verify", str(record)]) == 0
    assert "verified: 9 metrics agree" in capsys.readouterr().out
    assert sorted(record.parent.iterdir()) == before


def test_a_few_trials_of_a_record_verify(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(record), "--limit", "3"]) == 0
    said = capsys.readouterr().out
    assert "verified: 3 rows agree" in said
    (line,) = (line for line in said.splitlines() if line.startswith("not checked"))
    assert "frechet[" in line
    assert "psnr {frame=last}" in line


def test_a_fitted_answer_may_flip_and_a_share_of_them_beyond_the_slack_may_not() -> None:
    stored = [{"trial": str(i), "role": "rollout", "correct": 1.0, "cost": 2.0} for i in range(200)]

    def flipped(count: int, **other: float) -> list[dict]:
        return [
            row | ({"correct": 0.0} | other if i < count else {}) for i, row in enumerate(stored)
        ]

    slack = {"top1": 0.02, "cost": 0.0}
    assert compare_rows(stored, flipped(4), slack).agrees
    assert not compare_rows(stored, flipped(5), slack).agrees
    assert compare_rows(stored, flipped(1)[:3], slack).agrees
    assert not compare_rows(stored, flipped(2)[:3], slack).agrees
    assert not compare_rows(stored, flipped(1, cost=2.1), slack).agrees
    assert not compare_rows(stored, flipped(1)[:3]).agrees, "of what nothing was fitted for"


def test_an_altered_value_does_not_verify(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def improve(content: dict) -> None:
        (psnr,) = (
            m for m in content["body"]["metrics"] if m["name"] == "psnr" and not m["factors"]
        )
        psnr["value"] += 1

    edit(record, improve)
    assert cli.main(["verify", str(record)]) == 1
    said = capsys.readouterr().out
    assert "does not verify" in said
    (line,) = (line for line in said.splitlines() if "recorded" in line)
    assert line.startswith("  psnr value: recorded ")


def test_an_invented_metric_does_not_verify(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def invent(content: dict) -> None:
        (psnr,) = (
            m for m in content["body"]["metrics"] if m["name"] == "psnr" and not m["factors"]
        )
        content["body"]["metrics"].append({**psnr, "name": "wonder"})

    edit(record, invent)
    assert cli.main(["verify", str(record)]) == 1
    assert "wonder: recorded ok, now None" in capsys.readouterr().out


def test_altered_rows_are_an_error(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = record.with_suffix(".parquet")
    rows.write_bytes(rows.read_bytes() + b"\n")
    assert cli.main(["verify", str(record)]) == 1
    assert "missing or were altered" in capsys.readouterr().err


def test_altered_rows_with_a_matching_digest_do_not_verify(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows_file = record.with_suffix(".parquet")
    rows = pq.read_table(rows_file).to_pylist()
    rows[0]["psnr"] += 1
    rows_file.write_bytes(table_bytes(rows))
    from worldbench.record import file_digest

    edit(record, lambda content: content["provenance"].update(trials_sha256=file_digest(rows_file)))
    assert cli.main(["verify", str(record), "--limit", "8"]) == 1
    assert f"{rows[0]['trial']} psnr: recorded" in capsys.readouterr().out


def test_a_mean_that_rows_of_no_trial_prop_up_does_not_verify(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from worldbench.record import file_digest

    rows_file = record.with_suffix(".parquet")
    rows = pq.read_table(rows_file).to_pylist()
    for row in rows:
        if row["role"] == "reference":
            row["psnr"] = 60.0
    rows_file.write_bytes(table_bytes(rows))
    told = [row["psnr"] for row in rows if row["psnr"] is not None]

    def flatter(content: dict) -> None:
        content["provenance"]["trials_sha256"] = file_digest(rows_file)
        for metric in content["body"]["metrics"]:
            if metric["name"] == "psnr" and not metric["factors"]:
                metric.update(value=sum(told) / len(told))

    edit(record, flatter)
    assert cli.main(["verify", str(record), "--limit", "2"]) == 1
    assert "psnr: recorded " in capsys.readouterr().out


@pytest.mark.parametrize("part", ["suite", "adapter", "data"])
def test_a_record_runs_nothing_that_is_not_ours(
    part: str, record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    foreign = {"_target_": "shutil.copyfile", "src": str(record), "dst": str(made)}
    edit(record, lambda content: content["provenance"]["config"].update({part: foreign}))
    assert cli.main(["verify", str(record), "--limit", "2"]) == 1
    said = capsys.readouterr().err
    assert "seen:     'shutil.copyfile'" in said
    assert "--trust" in said
    assert not made.exists()


def test_an_adapter_of_ones_own_is_run_on_request(
    clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(clips, tmp_path / "records", tmp_path / "configs")
    name = bench.configure("slow", "Slow", seconds=0.0, log=os.devnull)
    assert bench.run(f"adapter={name}", config_dir=True) == 0
    (path,) = bench.files
    assert cli.main(["verify", str(path), "--limit", "2"]) == 1
    assert "would run what is neither ours" in capsys.readouterr().err
    assert cli.main(["verify", str(path), "--limit", "2", "--trust"]) == 0


def test_the_data_may_have_moved(
    record: Path, clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(clips.root, tmp_path / "moved")
    edit(record, lambda content: content["provenance"]["config"]["data"].update(root="/gone"))
    assert cli.main(["verify", str(record), "--limit", "2", f"data.root={moved}"]) == 0
    assert "verified" in capsys.readouterr().out


def test_other_data_are_another_question(
    record: Path, clips: Clips, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(clips.root, tmp_path / "other")
    encode(other / "00.mp4", np.full((12, 64, 64, 3), 128, np.uint8), 15)
    assert cli.main(["verify", str(record), f"data.root={other}"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("another question was asked:\n  data digest: recorded ")
    assert len(said.splitlines()) == 2


def test_another_suite_option_is_another_question(
    record: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", str(record), "suite.horizon=6"]) == 1
    assert "protocol: recorded" in capsys.readouterr().out


def test_an_unknown_override_is_refused(record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(record), "data.rot=/somewhere"]) == 2
    assert "data.rot" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_below_one_is_refused(record: Path, limit: str) -> None:
    assert cli.main(["verify", str(record), "--limit", limit]) == 2


def test_a_skipped_record_cannot_be_verified(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run("adapter=linear_flow", "suite.context=1") == 0
    (path,) = bench.files
    assert cli.main(["verify", str(path)]) == 1
    assert "only a record with status ok" in capsys.readouterr().err
