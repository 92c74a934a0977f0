import json
from pathlib import Path

import numpy as np
import pytest
from gate_adapters import Surprised, constant

from worldbench.errors import DataError, UsageError
from worldbench_models.gates.__main__ import main
from worldbench_models.gates.gate import eye_gate
from worldbench_models.gates.report import Settings, measure_gates, read_report
from worldbench_models.gates.rollouts import SCENES, Rollouts

_YAML = """
name: {name}
summary: Copies the last frame.
family: generative
_target_: gate_adapters.Tiny
"""


@pytest.mark.usefixtures("clean_process")
def test_the_command_measures_every_gate_of_an_adapter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "adapter").mkdir(parents=True)
    for name in ("tiny", "tiny_random"):
        (tmp_path / "conf" / "adapter" / f"{name}.yaml").write_text(_YAML.format(name=name))
    run = tmp_path / "run"
    run.mkdir()
    (run / "summary.json").write_text('{"mfu": 0.41}')
    command = f"adapter=tiny --run {run} --twin tiny_random --clips 3 --quads 2 --samples 2"
    command += f" --device cpu --workers 1 --config-dir {tmp_path / 'conf'}"
    assert main(command.split()) == 0
    report = read_report(run)
    statuses = {gate.name: gate.status for gate in report.gates}
    assert statuses["MFU of training"] == "passed"
    assert len(statuses) == 8
    assert [s for s in statuses.values() if s == "not measured"] == ["not measured"] * 7
    assert len(report.measured["forecast"]["error"]["linear_flow"]) == 12
    assert report.measured["presence"]["twin"]["visible"]["n"] == 2
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
    assert main(["adapter=no_such", "--run", str(tmp_path)]) == 2
    assert "no_such" in capsys.readouterr().err
    assert main(["adapter=copy_last", "--device", "abacus", "--run", str(tmp_path)]) == 2
    assert "abacus" in capsys.readouterr().err
    assert main(["adapter=copy_last", "--twin", "none", "--run", str(tmp_path / "none")]) == 2
    assert "no such run folder" in capsys.readouterr().err


def test_an_adapter_that_is_only_surprised_has_the_gates_of_surprise(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"mfu": null}')
    settings = Settings(quads=2, workers=1)
    report = measure_gates(Surprised(constant), None, tmp_path, settings, lambda part: _ignore)
    assert [gate.name.split(",")[0] for gate in report.gates] == [
        *("presence", "presence", "presence of the twin", "MFU of training")
    ]
    assert "unknown" in str(report.gates[-1].reason)
    assert not (tmp_path / "rollouts.npz").exists()
    assert read_report(tmp_path) == report


def _ignore(done: int, total: int) -> None:
    pass


def test_what_was_seen_replaces_that_nobody_looked(tmp_path: Path) -> None:
    settings = Settings(quads=1, workers=1)
    report = measure_gates(Surprised(constant), None, tmp_path, settings, lambda part: _ignore)
    count = len(report.gates)
    looked = report.with_gate(eye_gate()).with_gate(eye_gate(passed=True, text="all six kept"))
    assert len(looked.gates) == count + 1
    looked.write(tmp_path)
    assert read_report(tmp_path).gates[-1].reason == "all six kept"


def test_broken_reports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the gates"):
        read_report(tmp_path)
    for text in ("[]", "{", '{"schema": 2}', '{"schema": 1, "gates": [{"name": "a"}]}'):
        (tmp_path / "gates.json").write_text(text)
        with pytest.raises(DataError, match="cannot read the gates"):
            read_report(tmp_path)
    (tmp_path / "summary.json").write_text(json.dumps([]))
    with pytest.raises(DataError, match=r"summary\.json"):
        measure_gates(
            Surprised(constant), None, tmp_path, Settings(quads=1, workers=1), lambda part: _ignore
        )


def test_an_adapter_without_gates_is_refused(tmp_path: Path) -> None:
    class Idle:
        card = Surprised(constant).card

    with pytest.raises(UsageError, match="no gates"):
        measure_gates(Idle(), None, tmp_path, Settings(), lambda part: _ignore)
