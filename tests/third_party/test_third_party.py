"""A package outside of worldbench, built and installed as its users would, brings an adapter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldbench import record as records

PACKAGE = Path(__file__).parent / "fading_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages into which the wheel was installed, and nothing else."""
    root = tmp_path_factory.mktemp("third_party")
    source = shutil.copytree(PACKAGE, root / "source")  # a build leaves files beside its source
    # Nothing is downloaded: setuptools and all dependencies are those of these tests.
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(root), str(source)]
    subprocess.run([*pip, *wheel], check=True)
    (built,) = root.glob("*.whl")
    folder = root / "site"
    into = ["install", "--no-deps", "--no-index", "--target", str(folder), str(built)]
    subprocess.run([*pip, *into], check=True)
    return folder


def worldbench(site: Path, where: Path, *words: str) -> str:
    """Runs a command for which the package is installed; returns what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "worldbench.cli", *words],
        capture_output=True,
        text=True,
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_no_more_than_thirty_lines() -> None:
    lines = [file.read_text().splitlines() for file in PACKAGE.rglob("*.py")]
    assert sum(map(len, lines)) < 30


def test_it_is_listed_with_its_origin_and_shown(site: Path, tmp_path: Path) -> None:
    said = worldbench(site, tmp_path, "list", "adapters")
    (line,) = (line for line in said.splitlines() if line.split()[:1] == ["fading"])
    assert "[baseline]" in line
    assert line.endswith("The last frame, fading into the mean of the context.  (fading)")
    assert "share of the way that is gone" in worldbench(site, tmp_path, "show", "fading")


def test_it_passes_the_conformance_kit(site: Path, tmp_path: Path) -> None:
    said = worldbench(site, tmp_path, "check", "adapter=fading", "adapter.pace=0.3")
    assert "fading: 0 failed of" in said


def test_it_runs_in_a_sweep_beside_ours(
    site: Path, tmp_path: Path, small_data: Path, small_train: Path
) -> None:
    words = ["run", "-m", "adapter=copy_last,fading", "data=folder", f"data.root={small_data}"]
    words += [f"data.train={{root: {small_train}}}", "data.size=[64,64]", "suite.components=2"]
    words += ["data.frames=12", "suite.context=4", "suite.horizon=8", "num_workers=0"]
    words += ["device=cpu", "limit=2", f"records={tmp_path / 'records'}"]
    worldbench(site, tmp_path, *words)
    bodies = [records.read(file).body for file in (tmp_path / "records").rglob("*.json")]
    assert {body.adapter.name: body.status for body in bodies} == {
        "copy_last": "ok",
        "fading": "ok",
    }
