import os
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from small_bench import HERE, Bench

from worldbench import record as records
from worldbench.run import job


def outcomes(bench: Bench) -> dict[str, str]:
    bodies = [records.read(path).body for path in bench.files]
    return {body.adapter.name: body.status for body in bodies}


def test_a_sweep_fills_a_record_per_cell(bench: Bench) -> None:
    words = ("adapter=copy_last,context_mean", "suite=video_distance", "seed=0,1", "limit=2")
    assert bench.run("-m", *words) == 0
    bodies = [records.read(path).body for path in bench.files]
    cells = {(body.adapter.name, body.suite.protocol["seed"]) for body in bodies}
    assert cells == {(a, s) for a in ("copy_last", "context_mean") for s in (0, 1)}
    commands = [records.read(path).provenance.command for path in bench.files]
    # Each record's command is that of its own cell.
    assert all("," not in word for c in commands for word in c.split() if "adapter=" in word)


def test_a_failing_cell_does_not_stop_the_sweep(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bench.configure("rusty", "Raises")
    words = (f"adapter=copy_last,{name},context_mean", "limit=2")
    assert bench.run("-m", *words, config_dir=True) == 1
    assert outcomes(bench) == {"copy_last": "ok", "rusty": "failed", "context_mean": "ok"}
    assert "error: RuntimeError" in capsys.readouterr().err


def test_a_cell_that_exits_does_not_end_the_sweep(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    name = bench.configure("gone", "Leaves")
    words = (f"adapter={name},copy_last", "limit=2")
    assert bench.run("-m", *words, config_dir=True) == 1
    assert outcomes(bench) == {"gone": "failed", "copy_last": "ok"}
    assert "error: RuntimeError: sys.exit(0) was called" in capsys.readouterr().err


def test_a_sweep_is_not_given_secrets(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bench.configure("gated", "Leaves", huggingface_token=None)
    folder = bench.root.parent / "sweep"
    words = ("-m", f"adapter={name}", f"hydra.sweep.dir={folder}", "dry_run=true")
    assert bench.run(*words, "adapter.huggingface_token=hf_hunter2", config_dir=True) == 2
    said = capsys.readouterr()
    assert "adapter.huggingface_token=REDACTED" in said.err
    assert "hf_hunter2" not in said.err + said.out
    assert not folder.exists()
    monkeypatch.setenv("MY_SECRET", "hf_hunter2")
    words = (*words, "adapter.huggingface_token=${oc.env:MY_SECRET}")
    assert bench.run(*words, config_dir=True) == 2  # the adapter takes no such option
    said = capsys.readouterr()
    assert "huggingface_token" in said.err
    assert "hf_hunter2" not in said.err + said.out + (folder / "multirun.yaml").read_text()


def test_an_unknown_name_stops_a_sweep_before_it_starts(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.run("-m", "adapter=copy_last,context_maen") == 2
    assert "did you mean 'context_mean'?" in capsys.readouterr().err
    assert not bench.root.exists()


@pytest.mark.slow
def test_a_sweep_runs_in_parallel_processes(bench: Bench) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    name = bench.configure("rusty", "Raises")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "worldbench.cli", "run", "--config-dir", str(bench.configs)),
            *("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "limit=2"),
            *(f"adapter=copy_last,{name},context_mean,linear_flow", *bench.arguments),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    assert done.returncode == 1, done.stderr
    assert outcomes(bench) == {
        **dict.fromkeys(("copy_last", "context_mean", "linear_flow"), "ok"),
        name: "failed",
    }


def test_a_job_returns_its_headline_value_to_the_sweeper(bench: Bench, tmp_path: Path) -> None:
    words = [*bench.arguments, "adapter=copy_last"]
    with initialize_config_module("worldbench.conf", version_base="1.3"):
        config = compose("run", words, return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        try:
            value = job(_without_hydra(config))
        finally:
            HydraConfig.instance().cfg = None
    headline = bench.record.body.headline
    assert headline is not None
    assert headline.name == "frechet_inf"
    assert value == headline.value
    assert value is not None


def _without_hydra(config):
    from omegaconf import open_dict

    config = config.copy()
    with open_dict(config):
        del config["hydra"]
    return config
