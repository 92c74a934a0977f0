"""Every command that the documentation shows can be given."""

import argparse
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doc_pages import DOCS, PAGES, ROOT, commands, files
from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from wandb.cli.cli import cli as cli_of_wandb

from worldbench import cli
from worldbench.compose import check_names, compose, register_search_path

pytestmark = pytest.mark.usefixtures("clean_process")

SHOWN = [
    pytest.param(page, command, id=f"{page.stem}:{command}")
    for page in PAGES
    for command in commands(page)
]
LAUNCHERS = {
    "processes": "hydra_joblib_launcher",
    "slurm": "hydra_submitit_launcher",
    "slurm_here": "hydra_submitit_launcher",
    "ray_cluster": "hydra_ray_launcher",
}
"""By name, the module that brings what it is made of."""


class _Parsed(Exception):  # noqa: N818 - what happened, not what went wrong
    """The arguments were understood; nothing has been done."""


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands stop as soon as their arguments are understood."""
    for name in ("parse_args", "parse_intermixed_args"):
        parse = getattr(argparse.ArgumentParser, name)

        def parse_and_stop(self, *given, parse=parse, **named):
            parse(self, *given, **named)
            raise _Parsed

        monkeypatch.setattr(argparse.ArgumentParser, name, parse_and_stop)


def cells(words: list[str]) -> list[list[str]]:
    """Expands a sweep as Hydra does; a comma within brackets makes none."""
    overrides = OverridesParser.create().parse_overrides(words)
    return [list(cell) for batch in BasicSweeper.split_arguments(overrides, None) for cell in batch]


def without_launcher(words: list[str]) -> list[str]:
    """Leaves out a launcher that is not installed here; there must be one of that name."""
    names = [word.partition("=")[2] for word in words if word.startswith("hydra/launcher=")]
    for name in names:
        assert (ROOT / "conf" / "hydra" / "launcher" / f"{name}.yaml").is_file(), name
        if importlib.util.find_spec(f"hydra_plugins.{LAUNCHERS[name]}") is None:
            return [word for word in words if not word.startswith("hydra")]
    return words


@contextmanager
def own_configurations(words: list[str], folder: Path) -> Iterator[tuple[list[str], str | None]]:
    """Puts an adapter called NAME where ``--config-dir DIR`` says that it is."""
    if "--config-dir" not in words:
        yield words, None
        return
    (folder / "adapter").mkdir()
    header = "name: NAME\nsummary: Yours.\nfamily: baseline\n_target_: yours.Model\n"
    (folder / "adapter" / "NAME.yaml").write_text(header)
    yield [word for word in words if word not in ("--config-dir", "DIR")], str(folder)


def composes(verb: str, words: list[str], folder: Path) -> None:
    """Composes every cell, and looks whether every option has arrived."""
    sweep = "-m" in words
    with own_configurations([word for word in words if word != "-m"], folder) as (plain, own):
        plain = without_launcher(plain)
        check_names(plain, own, command="train" if verb == "train" else "run", sweep=sweep)
        found = cells(plain)
        named = any(word.startswith("experiment=") for word in plain)
        assert sweep == (len(found) > 1 or named), "-m belongs to sweeps and to nothing else"
        for cell in found:
            if named and not any(word.startswith("adapter=") for word in cell):
                cell = [*cell, "adapter=copy_last"]
            config = _train(cell) if verb == "train" else compose(cell, own)
            for given in OverridesParser.create().parse_overrides(cell):
                key = given.key_or_group
                if "." in key and not key.startswith("hydra"):
                    assert OmegaConf.select(config, key) == given.value()


def _train(words: list[str]):
    register_search_path()
    with initialize_config_module("worldbench.conf", version_base="1.3"):
        return hydra_compose("train", words)


def is_there(program: str, words: list[str]) -> None:
    """Looks whether what another program is asked for is there."""
    if program == "pip":
        assert words[0] == "install"
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        if extra := re.fullmatch(r"worldbench-suite\[(\w+)\]", words[1]):
            assert extra[1] in project["optional-dependencies"]
        else:
            assert any(name.startswith(words[1].removeprefix("./")) for name in _shown_files())
    elif program == "wandb":
        sync = cli_of_wandb.commands[words[0]]
        known = {name for option in sync.params for name in option.opts}
        assert known >= {word for word in words if word.startswith("--")}
    else:
        assert program == "python"
        script = (ROOT / words[0]).read_text(encoding="utf-8")
        assert all(f'"{word}"' in script for word in words if word.startswith("--"))


def _shown_files() -> list[str]:
    return [name for page in PAGES for name in files(page)]


def _brought(page: Path, command: str) -> bool:
    """Says whether a command is about what the page itself brings; its own test runs those."""
    return page.name == "add_a_suite.md" and "suite=arrow" in command


@pytest.mark.parametrize(("page", "command"), SHOWN)
@pytest.mark.usefixtures("parse_only")
def test_a_command_can_be_given(page: Path, command: str, tmp_path: Path) -> None:
    program, *words = [w for w in shlex.split(command) if not re.match(r"[A-Z_]+=", w)]
    if program != "worldbench":
        return is_there(program, words)
    if _brought(page, command):
        return None
    verb = words.pop(0)
    if verb in ("check", "run", "train"):
        return composes(verb, words, tmp_path)
    with pytest.raises(_Parsed):
        cli.main([verb, *words])
    if words[:1] == ["contexts"]:
        plain = [word for word in words[1 : words.index("--out")] if "=" in word]
        composes("run", [*plain, "adapter=real_future"], tmp_path)
    return None


def test_a_wrong_command_is_found(tmp_path: Path, parse_only: None) -> None:
    for command in (
        "worldbench compare dit",
        "worldbench gate dit jepa",
        "worldbench data contexts",
    ):
        with pytest.raises(SystemExit):
            test_a_command_can_be_given(DOCS / "x.md", command, tmp_path)
    with pytest.raises(AssertionError, match="-m belongs"):
        composes("run", ["-m", "adapter=dit"], tmp_path)


def test_there_are_commands_for_every_family() -> None:
    text = "\n".join(commands(DOCS / "foreign_models.md"))
    for adapter in ("vjepa2", "vjepa", "diffusers", "NAME"):
        assert f"check adapter={adapter} " in text or f"run adapter={adapter} " in text
    for suite in ("permanence", "video_distance", "probe", "intphys"):
        assert f"suite={suite}" in text


def test_every_command_line_of_ours_is_documented() -> None:
    shown = {command.split()[1] for page in PAGES for command in commands(page) if " " in command}
    assert set(cli.COMMANDS) <= shown
