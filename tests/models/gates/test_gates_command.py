from pathlib import Path

import numpy as np
import pytest
from gate_adapters import Surprised, constant, made, trained

from worldbench.errors import DataError, UsageError
from worldbench.record import file_digest
from worldbench_models.gates.__main__ import main
from worldbench_models.gates.gate import eye_gate
from worldbench_models.gates.measure import Settings
from worldbench_models.gates.report import measure_gates, read_report
from worldbench_models.gates.rollouts import SCENES, Rollouts
from worldbench_models.gates.trained import read_trained

_YAML = """
name: {name}
summary: Copies the last frame.
family: generative
_target_: gate_adapters.Remembered
weights: null
size: s
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A folder of configurations with the adapters ``tiny`` and ``tiny_random``."""
    folder = tmp_path / "conf" / "adapter"
    folder.mkdir(parents=True)
    for name in ("tiny", "tiny_random"):
        (folder / f"{name}.yaml").write_text(_YAML.format(name=name))
    return folder.parent


@pytest.mark.slow
@pytest.mark.usefixtures("clean_process")
def test_the_command_measures_every_gate_of_a_run(
    tmp_path: Path, conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "it's a run", mfu=0.41)
    options = "--clips 3 adapter.size=l --quads 2 --samples 2 --device cpu --workers 1"
    made.clear()
    assert main([str(run), *options.split(), "--config-dir", str(conf)]) == 0
    assert made == [("tiny", "weights", "l"), ("tiny_random", None, "xs")]
    report = read_report(run)
    assert report.weights_sha256 == file_digest(run / "tiny-xs.safetensors")
    assert report.rollouts_sha256 == file_digest(run / "rollouts.npz")
    statuses = {gate.name: gate.status for gate in report.gates}
    assert statuses["MFU of training"] == "passed"
    assert len(statuses) == 8
    assert [s for s in statuses.values() if s == "not measured"] == ["not measured"] * 7
    assert len(report.measured["forecast"]["error"]["linear_flow"]) == 12
    assert report.measured["presence"]["twin"]["visible"]["n"] == 2
    assert report.measured["presence"]["twin"]["occluded"]["ties"] == 2
    assert report.measured["presence"]["model"]["visible"]["levels"] == {"0.1": 1.0, "0.5": 0.5}
    rollouts = Rollouts.load(run / "rollouts.npz")
    assert rollouts.truth.shape == (len(SCENES), 16, 64, 64, 3)
    assert rollouts.samples.shape == (len(SCENES), 3, 12, 64, 64, 3)
    last = rollouts.truth[:, None, None, 3].astype(int)
    assert np.abs(rollouts.samples - last).mean() < 8  # they do continue these contexts


@pytest.mark.usefixtures("clean_process")
def test_unknown_adapters_and_folders_are_told_in_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(trained(tmp_path / "run"))
    assert main([run]) == 2
    assert "unknown adapter 'tiny'" in capsys.readouterr().err
    assert main([run, "--device", "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err
    assert main([str(tmp_path / "none")]) == 2
    assert "no such run folder" in capsys.readouterr().err


@pytest.mark.usefixtures("clean_process")
@pytest.mark.parametrize(
    "override",
    [
        *("adapter=copy_last", "adapter.weights=other.safetensors", "+adapter.weights=x"),
        *("++adapter._target_=os.getcwd", "~adapter", "adapter@adapter=copy_last"),
    ],
)
def test_nobody_else_than_the_run_chooses_the_weights(
    tmp_path: Path, conf: Path, override: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(tmp_path / "run")
    assert main([str(run), "--clips", "3", override, "--config-dir", str(conf)]) == 2
    assert "the run says which weights" in capsys.readouterr().err


def test_weights_that_the_summary_does_not_vouch_for_are_refused(tmp_path: Path) -> None:
    run = trained(tmp_path / "run")
    assert read_trained(run).sha256 == file_digest(run / "tiny-xs.safetensors")
    (run / "tiny-xs.safetensors").write_text("other weights")
    with pytest.raises(DataError, match="not those that the run's summary"):
        read_trained(run)
    (run / "tiny-xs.safetensors").unlink()
    with pytest.raises(DataError, match="no such file"):
        read_trained(run)
    for text in ("[]", "{", '{"model": "tiny", "size": "xs", "mfu": null}'):
        (run / "summary.json").write_text(text)
        with pytest.raises(DataError, match=r"summary\.json"):
            read_trained(run)


def test_unmeasured_mfu_has_the_reason_that_summary_and_log_tell(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", settings={"precision": "fp32"})
    peak, few = "no peak is known for fp32 on abacus", "too few lines after compilation"
    reason = read_trained(run).mfu()[1]
    assert peak in reason
    assert few in reason
    (run / "log.jsonl").write_text('{"step": 1, "mfu": null}\n{"step": 2, "mfu": null}\n')
    assert read_trained(run).mfu() == (None, peak)
    (run / "log.jsonl").write_text('{"step": 1, "mfu": 0.1}\n')
    assert read_trained(run).mfu() == (None, f"the log holds {few}")
    assert read_trained(trained(run, mfu=0.25)).mfu()[0] == 0.25


def test_an_adapter_that_is_only_surprised_has_the_gates_of_surprise(tmp_path: Path) -> None:
    run = read_trained(trained(tmp_path / "run"))
    settings = Settings(quads=2, workers=1)
    report = measure_gates(Surprised(constant), None, run, settings, lambda part: _ignore)
    assert [gate.name.split(",")[0] for gate in report.gates] == [
        *("presence", "presence", "presence of the twin", "MFU of training")
    ]
    assert report.gates[2].reason == "no twin was asked"
    assert "no peak is known" in str(report.gates[-1].reason)
    assert not (run.folder / "rollouts.npz").exists()
    assert report.rollouts_sha256 is None
    assert read_report(run.folder) == report


def _ignore(done: int, total: int) -> None:
    pass


def test_what_was_seen_replaces_that_nobody_looked(tmp_path: Path) -> None:
    run = read_trained(trained(tmp_path / "run"))
    settings = Settings(quads=1, workers=1)
    report = measure_gates(Surprised(constant), None, run, settings, lambda part: _ignore)
    count = len(report.gates)
    looked = report.with_gate(eye_gate()).with_gate(eye_gate(passed=True, text="all six kept"))
    assert len(looked.gates) == count + 1
    assert looked.weights_sha256 == run.sha256
    looked.write(tmp_path)
    assert read_report(tmp_path).gates[-1].reason == "all six kept"


def test_broken_reports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the gates"):
        read_report(tmp_path)
    for text in ("[]", "{", '{"schema": 2}', '{"schema": 1, "gates": [{"name": "a"}]}'):
        (tmp_path / "gates.json").write_text(text)
        with pytest.raises(DataError, match="cannot read the gates"):
            read_report(tmp_path)


def test_an_adapter_without_gates_is_refused(tmp_path: Path) -> None:
    class Idle:
        card = Surprised(constant).card

    with pytest.raises(UsageError, match="no gates"):
        measure_gates(
            Idle(), None, read_trained(trained(tmp_path)), Settings(), lambda part: _ignore
        )
