"""Sweeps as configurations: which cells they have, and which launchers carry them."""

import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from worldbench import cli, registry
from worldbench import record as records
from worldbench.compose import instantiate, register_search_path
from worldbench.schema import AdapterCard
from worldbench_models.training.command import Place, settings_of
from worldbench_models.training.folder import weights_file

pytestmark = pytest.mark.usefixtures("clean_process")

ALL = ("leaderboard", "quick", "scaling", "context_length")
NEED_FILES = {"fvd", "jedi", "intphys", "intphys2"}
"""Suites that ask for weights or data which cannot be shipped."""
PLUGINS = {
    "processes": "hydra_joblib_launcher",
    "slurm": "hydra_submitit_launcher",
    "slurm_here": "hydra_submitit_launcher",
    "ray_cluster": "hydra_ray_launcher",
}


@contextmanager
def composed(command: str, *words: str) -> Iterator[DictConfig]:
    """Composes as Hydra's command line does, with Hydra's own part."""
    register_search_path()
    with initialize_config_module("worldbench.conf", version_base="1.3"):
        config = hydra_compose(command, list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        try:
            yield config
        finally:
            HydraConfig.instance().cfg = None


def cells(experiment: str, *words: str) -> list[tuple[str, ...]]:
    """Expands a sweep into the overrides of each of its cells."""
    with composed("run", f"experiment={experiment}", "adapter=copy_last") as config:
        params = OmegaConf.to_container(config.hydra.sweeper.params)
    given = {word.partition("=")[0] for word in words}
    lines = [f"{key}={value}" for key, value in params.items() if key not in given]
    overrides = OverridesParser.create().parse_overrides([*lines, *words])
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [tuple(cell) for cell in batch]


@pytest.mark.parametrize("experiment", ALL)
def test_every_cell_names_what_there_is(experiment: str) -> None:
    found = cells(experiment)
    assert len(found) == len(set(found)) >= 4
    names: dict[str, set[str]] = {}
    for key, value in (word.split("=") for cell in found for word in cell):
        names.setdefault(key, set()).add(value)
    for group in ("adapter", "suite"):
        registry.require(group, sorted(names[group]))


def test_the_leaderboard_asks_everyone_everything_that_needs_no_files() -> None:
    found = cells("leaderboard")
    adapters = {cell[0].partition("=")[2] for cell in found}
    suites = {cell[1].partition("=")[2] for cell in found}
    assert set(itertools.product(adapters, suites)) == {
        tuple(word.partition("=")[2] for word in cell) for cell in found
    }
    ready = {n for n, e in registry.entries("adapter").items() if "???" not in e.path.read_text()}
    assert adapters == ready
    assert suites == set(registry.entries("suite")) - NEED_FILES


@pytest.mark.parametrize("model", ["dit", "jepa"])
@pytest.mark.parametrize(("size", "seed"), [("xs", 0), ("m", 2)])
def test_scaling_looks_for_weights_where_training_puts_them(
    model: str, size: str, seed: int
) -> None:
    with composed("train", f"model={model}", f"size={size}", f"seed={seed}", "device=cpu") as train:
        wanted = weights_file(settings_of(train, Place()))
    words = [f"adapter={model}", f"trained.size={size}", f"trained.seed={seed}"]
    with composed("run", "experiment=scaling", *words) as config:
        assert Path(config.adapter.weights) == wanted
        assert config.adapter.name == f"{model}-{size}-{seed}"


def test_scaling_covers_sizes_and_seeds() -> None:
    found = cells("scaling", "suite=cost")
    assert len(found) == 2 * 3 * 3


def test_every_context_length_is_legal_and_leaves_the_horizon() -> None:
    made: dict[str, AdapterCard] = {}
    for cell in cells("context_length"):
        with composed("run", *cell) as config:
            name, suite = str(config.adapter.name), config.suite
            if name not in made:
                made[name] = instantiate("adapter", config.adapter).card
        assert made[name].legal_context(suite.context), (name, suite.context)
        assert suite.context + suite.horizon <= 16


@pytest.mark.parametrize("launcher", PLUGINS)
def test_launchers_compose(launcher: str) -> None:
    needs(launcher)
    with composed("run", "adapter=copy_last", f"hydra/launcher={launcher}") as config:
        made: Any = OmegaConf.to_container(config.hydra.launcher)
    assert made["_target_"].startswith(f"hydra_plugins.{PLUGINS[launcher]}.")
    if launcher == "slurm":
        assert made["max_num_timeout"] > 0, "runs resume, so a job may come back"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["processes", "slurm_here"])
def test_a_sweep_runs_with_a_launcher(launcher: str, small_data: Path, tmp_path: Path) -> None:
    needs(launcher)
    words = [f"hydra/launcher={launcher}", "adapter=copy_last,context_mean,real_future"]
    words += ["suite=cost", "suite.quads=1", "data=folder", f"data.root={small_data}"]
    words += ["data.frames=16", "data.size=[32,32]", "num_workers=0", "device=cpu"]
    command = [sys.executable, "-m", "worldbench.cli", "run", "-m", *words]
    done = subprocess.run(
        [*command, f"records={tmp_path / 'records'}"],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = {r.body.adapter.name: r.body.status for _, r in records.read_all(tmp_path / "records")}
    assert found == {"copy_last": "ok", "context_mean": "ok", "real_future": "skipped"}


@pytest.mark.slow
def test_what_was_trained_is_scored_and_what_was_not_is_named(small_data: Path) -> None:
    train = ["model=dit", "size=xs", "steps=2", "batch_size=2", "clips=4", "heldout_clips=2"]
    assert cli.main(["train", *train, "workers=1", "device=cpu"]) == 0
    words = ["experiment=scaling", "adapter=dit", "trained.size=xs", "trained.seed=0,1"]
    words += ["suite=cost", "suite.quads=1", "data=folder", f"data.root={small_data}"]
    words += ["data.frames=16", "data.size=[64,64]", "num_workers=0", "device=cpu"]
    assert cli.main(["run", "-m", *words]) == 3
    found = {r.body.adapter.name: r.body for _, r in records.read_all(Path("runs/scaling"))}
    assert found["dit-xs-0"].status == "ok"
    assert found["dit-xs-1"].status == "failed"
    assert "runs/dit-xs-1/dit-xs.safetensors" in str(found["dit-xs-1"].reason)


def needs(launcher: str) -> None:
    """Skips where a launcher's plugin is not installed."""
    if importlib.util.find_spec(f"hydra_plugins.{PLUGINS[launcher]}") is None:
        pytest.skip(f"{PLUGINS[launcher]} is not installed")
