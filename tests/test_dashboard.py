"""The W&B workspace, built offline, against the one that was looked at.

``python tests/test_dashboard.py`` writes the snapshot again.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_validate import contribute
from tracked_runs import FAKE_KEY, METRICS, home

from worldbench import cli
from worldbench.dashboard import shown
from worldbench.schema import MetricResult
from worldbench.wandb_tracker import metric_key

__all__ = ["home"]

SNAPSHOT = Path(__file__).with_name("workspace.json")
HEADLINES = [
    MetricResult(
        name="pair_accuracy",
        factors={"operator": operator},
        value=0.5,
        higher_is_better=True,
        headline=True,
    )
    for operator in ("latent_error", "denoising_error")
]

built_here = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is not installed"
)


def build(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the package's import warns of pydantic's older ways."""
    for name, headline in zip(("seer", "dreamer"), HEADLINES, strict=True):
        contribute(folder / "records", *METRICS, headline, name=name, seed=len(name))
    command = [sys.executable, "-m", "worldbench.cli", "dashboard", "--records", "records"]
    return subprocess.run(
        [*command, *words], cwd=folder, env=dict(os.environ), capture_output=True, text=True
    )


def test_adapters_asked_by_different_operators_share_a_panel(tmp_path: Path) -> None:
    paths = [contribute(tmp_path, h, name=f"a{i}", seed=i) for i, h in enumerate(HEADLINES)]
    from worldbench.record import read

    panels = shown(read(path).body for path in paths)["video_distance"]
    assert panels["pair_accuracy"] == sorted(metric_key(metric) for metric in HEADLINES)


@built_here
def test_the_workspace_is_the_one_that_was_looked_at(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing may be asked of it
    done = build(tmp_path, "--entity", "team", "--project", "worlds")
    assert done.returncode == 0, done.stderr
    assert done.stdout == SNAPSHOT.read_text()
    assert FAKE_KEY not in done.stdout + done.stderr
    again = build(tmp_path, "--entity", "team", "--project", "worlds", "--out", "view.json")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "view.json").read_text() == SNAPSHOT.read_text()


@pytest.mark.slow
@built_here
def test_publishing_without_a_server_is_the_machines_fault(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", FAKE_KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    done = build(tmp_path, "--entity", "team", "--publish")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "the workspace cannot be published" in done.stderr
    assert FAKE_KEY not in done.stdout + done.stderr


def test_publishing_needs_somebody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contribute(tmp_path)
    assert cli.main(["dashboard", "--records", str(tmp_path), "--publish"]) == 2
    assert "--entity" in capsys.readouterr().err


def test_without_records_there_is_nothing_to_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dashboard", "--records", str(tmp_path)]) == 1
    assert "no records" in capsys.readouterr().err


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contribute(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert cli.main(["dashboard", "--records", str(tmp_path)]) == 4
    assert "pip install 'worldbench-suite[dashboards]'" in capsys.readouterr().err


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        made = build(Path(folder), "--entity", "team", "--project", "worlds")
    SNAPSHOT.write_text(made.stdout)
    print(made.stderr, end="")
