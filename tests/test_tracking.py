import json
import logging
import math
import os
import pty
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hydra.utils import instantiate
from tracked_runs import FAKE_KEY, METRICS, a_record, home, logged, written

from worldbench.errors import EnvironmentFault, UsageError
from worldbench.redaction import REDACTED, refuse_api_keys
from worldbench.schema import (
    Record,
)
from worldbench.tracking import (
    Guarded,
    NoTracker,
    Tracker,
    WandbTracker,
    redact,
    redact_command,
)
from worldbench.wandb_tracker import MAX_TABLE_ROWS, summary

__all__ = ["home"]

CONF = Path(__file__).parents[1] / "conf" / "tracker"
OTHER_SECRET = "hf_" + "q7" * 12


def write_rows(path: Path, rows: int) -> Path:
    pq.write_table(
        pa.table(
            {
                "psnr": [None if i % 7 == 3 else float(i) for i in range(rows)],
                "features": [[0.0, 1.0]] * rows,
                "role": ["rollout"] * rows,
                "cluster": [f"scene{i // 4}" for i in range(rows)],
                "trial": [f"t{i:05d}" for i in range(rows)],
            }
        ),
        path,
    )
    return path


def services() -> list[int]:
    """Ids of the W&B service processes that this process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z" and "wandb" in command:
            found.append(int(stat.parent.name))
    return found


def test_offline_wandb_run_holds_everything_and_no_secret(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("SOME_HUB_TOKEN", OTHER_SECRET)
    monkeypatch.setattr(sys, "argv", ["worldbench", f"foo.token={OTHER_SECRET}"])
    videos = {}
    for title in ("best", "worst"):
        videos[title] = tmp_path / f"{title}.mp4"
        videos[title].write_bytes(title.encode() * 100)
    out = tmp_path / "out"
    hooks = (sys.exit, sys.excepthook)

    tracker = WandbTracker(directory=str(out), tags=["quick"])
    tracker.start(
        name="copy_last on video_distance",
        group="sweep-7",
        config={
            "suite": {"horizon": 8, "source": f"https://me:{OTHER_SECRET}@host/data"},
            "hub": {"access_token": "swordfish-1", "note": f"uses {OTHER_SECRET}"},
        },
    )
    assert services(), "the check below would pass vacuously"
    tracker.progress(2, 5)
    tracker.record(a_record(*METRICS))
    tracker.trials(write_rows(tmp_path / "rows.parquet", 10))
    tracker.videos(videos)
    tracker.finish(failed=False)

    assert not services()
    assert (sys.exit, sys.excepthook) == hooks
    (run,) = (out / "wandb").glob("offline-run-*")
    copies = {path.read_bytes() for path in run.glob("files/media/videos/example/*.mp4")}
    assert copies == {path.read_bytes() for path in videos.values()}
    (table,) = run.glob("files/media/table/trials_*.table.json")
    content = json.loads(table.read_text())
    assert content["columns"] == ["trial", "cluster", "role", "psnr"]
    assert content["data"][3] == ["t00003", "scene0", "rollout", None]
    assert len(content["data"]) == 10

    records = logged(run)
    (opened,) = (r.run for r in records if r.WhichOneof("record_type") == "run")
    config = {item.key: json.loads(item.value_json) for item in opened.config.update}
    assert opened.run_group == "sweep-7"
    assert opened.display_name == "copy_last on video_distance"
    assert list(opened.tags) == ["quick"]
    assert config["suite"] == {"horizon": 8, "source": f"https://{REDACTED}@host/data"}
    assert config["hub"] == {"access_token": REDACTED, "note": f"uses {REDACTED}"}
    (metrics,) = run.glob("files/media/table/metrics_*.table.json")
    assert [row[:3] for row in json.loads(metrics.read_text())["data"]] == [
        ["psnr", "", 21.5],
        ["frechet[effnetlite0-dt-pca64]", "extractor=effnetlite0-dt-pca64", 3.25],
        ["pair_accuracy", "condition=occluded, violation=presence", 0.5],
        ["ssim", "", None],
    ]
    kept = {u.key: json.loads(u.value_json) for r in records for u in r.summary.update if u.key}
    assert kept["psnr"] == 21.5
    assert kept["frechet[effnetlite0-dt-pca64]/high"] == 3.5
    assert kept["ssim/reason"] == "clips below 11 pixels"
    assert kept["trials_total"] == 10
    history = [
        {u.nested_key[0]: u.value_json for u in r.history.item if u.nested_key} for r in records
    ]
    assert any(row.get("progress/done") == "2" for row in history)

    assert not list(home.rglob("staging/*")), "offline runs are whole in their own folder"
    for path, content_bytes in written(out, home):
        for secret in (FAKE_KEY, OTHER_SECRET, "swordfish-1"):
            assert secret.encode() not in content_bytes, f"{path} holds a secret"


def test_numbers_of_a_training_run_are_drawn_over_its_steps(tmp_path: Path, home: Path) -> None:
    tracker = WandbTracker(directory=str(tmp_path / "out"))
    tracker.start(name="n", group="g", config={})
    tracker.metrics({"loss": 4.0}, 50)
    tracker.metrics({"loss": 3.0, "heldout/denoising/0.1": 0.5}, 100)
    tracker.metrics({"loss": 3.5}, 60)  # resumed from an earlier checkpoint
    tracker.metrics({"loss": math.nan}, 150)
    tracker.finish(failed=False)

    (run,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    records = logged(run)
    rows = [
        {(u.key or u.nested_key[0]): u.value_json for u in r.history.item}
        for r in records
        if r.WhichOneof("record_type") == "history"
    ]
    shown = [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]
    assert shown == [
        {"step": "50", "loss": "4"},
        {"step": "100", "loss": "3", "heldout/denoising/0_1": "0.5"},
        {"step": "60", "loss": "3.5"},
        {"step": "150", "loss": "NaN"},
    ]
    axes = {r.metric.name: r.metric.step_metric for r in records if r.HasField("metric")}
    assert axes.pop("step", "") == ""
    assert axes == {"loss": "step", "heldout/denoising/0_1": "step"}


def test_two_offline_runs_follow_each_other_in_one_process(tmp_path: Path, home: Path) -> None:
    for failed in (True, False):
        tracker = WandbTracker(directory=str(tmp_path / "out"))
        tracker.start(name="n", group="g", config={})
        tracker.finish(failed=failed)
        tracker.finish(failed=failed)
    runs = (tmp_path / "out" / "wandb").glob("offline-run-*")
    codes = [r.exit.exit_code for run in runs for r in logged(run) if r.HasField("exit")]
    assert sorted(codes) == [0, 1]


HEAD = """
import logging, subprocess, time
import worldbench.wandb_tracker as module
from worldbench.tracking import Guarded, WandbTracker
module.INIT_TIMEOUT_S = 2.0
logging.basicConfig(level=logging.WARNING)
"""
ONLINE = """
tracker = Guarded(WandbTracker(mode="online"))
tracker.start(name="n", group="g", config={})
tracker.progress(1, 2)
tracker.finish(failed=False)
print("run survived")
"""
KILLED = """
started = []
class Popen(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        started.append(self)
subprocess.Popen = Popen
tracker = Guarded(WandbTracker())
tracker.start(name="n", group="g", config={})
(service,) = (process for process in started if "wandb" in str(process.args))
service.kill()
for done in range(40):
    tracker.progress(done, 40)
    time.sleep(0.05)
tracker.finish(failed=False)
print("run survived")
"""


def separate_run(script: str, folder: Path, **stdio: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + script],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=str(CONF.parents[1])),
        **stdio,
    )


def output_of(script: str, folder: Path) -> bytes:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = separate_run(script, folder, stdin=subprocess.DEVNULL, **pipes)
    try:
        text, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, text
    return text


def test_online_without_a_key_does_not_prompt_at_a_terminal(tmp_path: Path, home: Path) -> None:
    ours, theirs = pty.openpty()
    process = separate_run(ONLINE, tmp_path, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    text = b""
    try:
        while chunk := os.read(ours, 65536):
            text += chunk
    except OSError:  # Linux reports the end of a terminal so
        pass
    finally:
        os.close(ours)
        watchdog.cancel()
    assert process.wait(timeout=30) == 0
    assert b"run survived" in text
    assert text.count(b"WARNING") == 1
    assert b"wandb login" in text
    assert b"Enter your choice" not in text


def test_online_without_a_reachable_server_gives_up_and_keeps_the_key(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    started = time.monotonic()
    text = output_of(ONLINE, tmp_path)
    assert b"run survived" in text
    assert text.count(b"WARNING") == 1
    assert time.monotonic() - started < 30
    assert FAKE_KEY.encode() not in text
    for path, content in written(tmp_path):
        assert FAKE_KEY.encode() not in content, f"{path} holds the key"


def test_a_killed_wandb_service_costs_one_warning(tmp_path: Path, home: Path) -> None:
    text = output_of(KILLED, tmp_path)
    assert b"run survived" in text
    assert text.count(b"WARNING") == 1
    assert b"Traceback" not in text


def test_importing_tracking_imports_neither_wandb_nor_torch() -> None:
    code = "import sys, worldbench.tracking; print({'wandb', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error, self.calls = error, list[str]()

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        self.calls.append("start")

    def progress(self, done: int, total: int) -> None:
        self.calls.append("progress")
        raise self.error

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.calls.append("metrics")

    def record(self, record: Record) -> None:
        self.calls.append("record")

    def trials(self, path: Path) -> None:
        self.calls.append("trials")

    def videos(self, paths: Mapping[str, Path]) -> None:
        self.calls.append("videos")

    def finish(self, *, failed: bool) -> None:
        self.calls.append(f"finish failed={failed}")
        raise self.error


def test_guarded_warns_once_closes_the_tracker_and_leaves_it_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = Failing(OSError("broken pipe to https://me:pw123@host, api_key=abc"))
    tracker = Guarded(inner)
    with caplog.at_level(logging.WARNING):
        tracker.start(name="n", group="g", config={})
        tracker.progress(1, 2)
        tracker.progress(2, 2)
        tracker.metrics({"loss": 1.0}, 3)
        tracker.record(a_record(*METRICS))
        tracker.finish(failed=False)
    assert inner.calls == ["start", "progress", "finish failed=True"]
    (entry,) = caplog.records
    message = entry.getMessage()
    for fix in ("wandb login", "WANDB_API_KEY", "tracker=none", "broken pipe"):
        assert fix in message
    assert "pw123" not in message
    assert "abc" not in message


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_guarded_lets_the_user_stop_the_run(error: BaseException) -> None:
    with pytest.raises(type(error)):
        Guarded(Failing(error)).progress(1, 2)


def test_guarded_passes_everything_on_to_a_working_tracker(tmp_path: Path) -> None:
    seen: list[tuple[str, object]] = []

    class Listening(NoTracker):
        def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
            seen.append(("start", (name, group, config)))

        def progress(self, done: int, total: int) -> None:
            seen.append(("progress", (done, total)))

        def metrics(self, values: Mapping[str, float], step: int) -> None:
            seen.append(("metrics", (values, step)))

        def record(self, record: Record) -> None:
            seen.append(("record", record))

        def trials(self, path: Path) -> None:
            seen.append(("trials", path))

        def videos(self, paths: Mapping[str, Path]) -> None:
            seen.append(("videos", paths))

        def finish(self, *, failed: bool) -> None:
            seen.append(("finish", failed))

    record, tracker = a_record(*METRICS), Guarded(Listening())
    tracker.start(name="n", group="g", config={"a": 1})
    tracker.progress(1, 2)
    tracker.metrics({"loss": 0.5}, 3)
    tracker.record(record)
    tracker.trials(tmp_path)
    tracker.videos({"v": tmp_path})
    tracker.finish(failed=True)
    assert seen == [
        ("start", ("n", "g", {"a": 1})),
        ("progress", (1, 2)),
        ("metrics", ({"loss": 0.5}, 3)),
        ("record", record),
        ("trials", tmp_path),
        ("videos", {"v": tmp_path}),
        ("finish", True),
    ]


def test_a_missing_wandb_package_is_an_environment_fault(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(EnvironmentFault, match="pip install"):
        WandbTracker().start(name="n", group="g", config={})
    Guarded(WandbTracker()).start(name="n", group="g", config={})
    assert "pip install" in caplog.text


def test_a_folder_of_runs_is_not_taken_for_the_wandb_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", type(sys)("wandb"))
    with pytest.raises(EnvironmentFault, match="folder called wandb"):
        WandbTracker().start(name="n", group="g", config={})


@pytest.mark.parametrize("config", [{"tracker": {"api_key": "abc"}}, {"a": [{"wandbApiKey": 1}]}])
def test_a_config_with_an_api_key_is_refused_without_repeating_it(
    config: dict[str, object],
) -> None:
    with pytest.raises(UsageError) as refusal:
        WandbTracker().start(name="n", group="g", config=config)
    assert "WANDB_API_KEY" in str(refusal.value)
    assert "abc" not in str(refusal.value)
    refuse_api_keys(redact(config))


def test_an_api_key_argument_is_refused() -> None:
    with pytest.raises(UsageError, match="environment only"):
        WandbTracker(api_key=FAKE_KEY)


def test_an_unknown_mode_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'offline'"):
        WandbTracker(mode="ofline")


def test_a_summary_has_numbers_intervals_and_reasons() -> None:
    assert summary(a_record(*METRICS)) == {
        "status": "ok",
        "reason": "",
        "psnr": 21.5,
        "psnr/low": 20.0,
        "psnr/high": 23.0,
        "frechet[effnetlite0-dt-pca64]": 3.25,
        "frechet[effnetlite0-dt-pca64]/low": 3.0,
        "frechet[effnetlite0-dt-pca64]/high": 3.5,
        "pair_accuracy{condition=occluded,violation=presence}": 0.5,
        "ssim/status": "skipped",
        "ssim/reason": "clips below 11 pixels",
    }


def test_a_long_table_is_thinned_evenly(tmp_path: Path) -> None:
    from worldbench.wandb_tracker import _rows

    columns, rows, total = _rows(write_rows(tmp_path / "rows.parquet", 3 * MAX_TABLE_ROWS))
    assert columns == ["trial", "cluster", "role", "psnr"]
    assert total == 3 * MAX_TABLE_ROWS
    assert [row[0] for row in rows] == [f"t{3 * i:05d}" for i in range(MAX_TABLE_ROWS)]


def test_redaction_reaches_every_depth_and_keeps_the_rest() -> None:
    config = {
        "api_key": None,
        "seed": 3,
        "nested": {"list": [{"PASSWORD": 12345, "fps": 8.0}], "HfToken": {"value": "x"}},
        "url": "s3://user:pa@ss@bucket/path@v2",
        "overrides": ["adapter.secret=[a,b]", "batch_size=4"],
    }
    assert redact(config) == {
        "api_key": None,
        "seed": 3,
        "nested": {"list": [{"PASSWORD": REDACTED, "fps": 8.0}], "HfToken": REDACTED},
        "url": f"s3://{REDACTED}@bucket/path@v2",
        "overrides": [f"adapter.secret={REDACTED}", "batch_size=4"],
    }
    assert "12345" in str(config), "the original must stay as it was"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("foo.api_key=hunter2", f"foo.api_key={REDACTED}"),
        ("+tracker.api_key='hunter2 hunter2'", f"+tracker.api_key={REDACTED}"),
        ("--token=hunter2", f"--token={REDACTED}"),
        ("tracker={mode:online,api_key:hunter2}", f"tracker={{mode:online,api_key:{REDACTED}}}"),
        ('x={"secret": "hunter2, hunter2"}', f'x={{"secret": {REDACTED}}}'),
        ("data=https://me:hunter2@host/a@b", f"data=https://{REDACTED}@host/a@b"),
        ("url=https://h/?token=hunter2&page=1", f"url=https://h/?token={REDACTED}&page=1"),
        ("WANDB_API_KEY=hunter2", f"WANDB_API_KEY={REDACTED}"),
        ("suite=video_distance", "suite=video_distance"),
        ("name=it's fine: key of C", "name=it's fine: key of C"),
    ],
)
def test_a_command_loses_its_secrets_and_nothing_else(argument: str, expected: str) -> None:
    assert shlex.split(redact_command(["worldbench", "run", argument])) == [
        "worldbench",
        "run",
        expected,
    ]


def test_the_word_after_a_secret_flag_is_redacted() -> None:
    command = redact_command(["worldbench", "--api-key", "hunter2", "--token", "--limit", "3"])
    assert command == f"worldbench --api-key {REDACTED} --token --limit 3"


def test_values_of_secret_variables_are_redacted_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOME_HUB_TOKEN", OTHER_SECRET)
    assert OTHER_SECRET not in redact_command(["worldbench", f"adapter.hub={OTHER_SECRET}"])


@pytest.mark.parametrize("name", ["none", "wandb"])
def test_a_tracker_config_instantiates_after_its_header(name: str) -> None:
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert config.pop("name") == name
    assert config.pop("summary")
    config.pop("defaults", None)  # Hydra's own
    tracker: Tracker = instantiate(config)
    assert isinstance(tracker, WandbTracker if name == "wandb" else NoTracker)
    tracker.finish(failed=False)
