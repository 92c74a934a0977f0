"""``python -m worldbench.suites.show OUT --adapter dit --adapter jepa``."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from omegaconf import DictConfig

from worldbench.adapter import Adapter
from worldbench.compose import compose, instantiate
from worldbench.data.source import ClipSource
from worldbench.errors import UsageError, WorldbenchError
from worldbench.options import at_least, choose_device
from worldbench.record import unwritable, write_atomic
from worldbench.redaction import redact_command
from worldbench.schema import Trial
from worldbench.suite import Setting
from worldbench.suites.permanence import Permanence
from worldbench.suites.quad_trials import QuadSource, quad_source
from worldbench.suites.show.asked import Interview, chosen
from worldbench.suites.show.page import Source, page, slug
from worldbench.suites.show.rollout_figure import rollout_figure
from worldbench.suites.show.surprise_figure import surprise_figure

_PROGRAM = "python -m worldbench.suites.show"


def main(arguments: Sequence[str] | None = None) -> int:
    """Asks adapters about a few quads and writes pictures of it.

    Returns:
        0, or an error's exit code.
    """
    description = "Pictures of the suite permanence: quads, surprises, rollouts."
    parser = parser_of(_PROGRAM, description, "permanence_quick")
    parser.add_argument("--quad", action="append", default=[], metavar="ID", help="which quads")
    return run(parser, _show, arguments)


def parser_of(program: str, description: str, data: str) -> argparse.ArgumentParser:
    """Makes the parser of a command that shows what adapters answer.

    Args:
        program: What is typed.
        description: What it makes.
        data: The set that is shown unless another is asked for.
    """
    parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    parser.add_argument("out", type=Path, help="the folder for README.md and its figures")
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="'NAME [adapter.OPTION=VALUE …]'",
        help="whom to ask; again for several",
    )
    parser.add_argument("--data", default=data, help="a set, and options")
    parser.add_argument("--seed", type=int, default=0, help="of the rollouts")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument("--config-dir", help="a folder with your own configurations")
    return parser


def run(
    parser: argparse.ArgumentParser,
    show: Callable[[argparse.Namespace, str], list[Path]],
    arguments: Sequence[str] | None,
) -> int:
    """Runs such a command and lists what it wrote; returns 0, or an error's exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    asked = parser.parse_args(argv)
    # A folder elsewhere goes by its last name: what is committed tells no paths of a machine.
    out = Path(asked.out.name) if asked.out.is_absolute() else asked.out
    told = [str(out) if word == str(asked.out) else word for word in argv]
    try:
        written = show(asked, redact_command([*parser.prog.split(), *told]))
    except WorldbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(str(path) for path in written))
    return 0


def _show(asked: argparse.Namespace, command: str) -> list[Path]:
    configs = configurations(asked.adapter, asked.data, asked.config_dir)
    setting = Setting(choose_device(asked.device), seed=at_least("--seed", asked.seed, 0))
    data, suite = instantiate("data", configs[0].data), instantiate("suite", configs[0].suite)
    source = quad_source(data, suite.name)
    trials = chosen(suite.trials(source), asked.quad)
    adapters = [instantiate("adapter", config.adapter) for config in configs]
    # Before minutes of asking, not after them.
    require_writable(asked.out)
    return write(asked.out, suite, source, adapters, trials, setting, command)


def configurations(
    adapters: Sequence[str],
    data: str,
    config_dir: str | None = None,
    *,
    suite: str = "permanence",
    program: str = _PROGRAM,
) -> list[DictConfig]:
    """Composes one configuration per adapter, all of one suite and data.

    Args:
        adapters: Names, each followed by overrides such as ``adapter.root=DIR``.
        data: The same of the data.
        config_dir: A folder with configurations of one's own.
        suite: The suite's name.
        program: What to call in an error's advice.

    Raises:
        UsageError: If there is no adapter, or one of them or the data does not compose.
    """
    if not adapters:
        raise UsageError(
            "nobody to ask",
            accepted="one or more of --adapter NAME",
            fix=f"{program} OUT --adapter copy_last; worldbench list adapters",
        )
    of_data = _overrides("data", data)
    return [
        compose([*_overrides("adapter", each), f"suite={suite}", *of_data], config_dir)
        for each in adapters
    ]


def _overrides(group: str, said: str) -> list[str]:
    try:
        words = shlex.split(said)
    except ValueError:
        words = []
    if not words:
        raise UsageError(
            f"--{group} names nothing",
            seen=repr(said),
            accepted=f"a name and its options: --{group} 'NAME {group}.OPTION=VALUE'",
            fix=f"worldbench list {group if group == 'data' else group + 's'}",
        )
    return [f"{group}={words[0].removeprefix(f'{group}=')}", *words[1:]]


def require_writable(out: Path) -> None:
    """Makes a folder and sees that files can be made in it.

    Raises:
        EnvironmentFault: If not.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise unwritable(out, error) from error


def write(
    out: Path,
    suite: Permanence,
    data: ClipSource,
    adapters: Sequence[Adapter],
    trials: Sequence[Trial],
    setting: Setting,
    command: str,
) -> list[Path]:
    """Asks, draws and writes; the same answers give the same bytes.

    Args:
        out: The folder.
        suite: The suite with its options.
        data: A source of quads.
        adapters: Who is asked.
        trials: About which quads.
        setting: Device and seed.
        command: What the page says it was made by.

    Returns:
        The files, the page first.

    Raises:
        WorldbenchError: If an adapter breaks the contract or a file cannot be written.
    """
    source: QuadSource = quad_source(data, suite.name)
    interview = Interview.of(suite, source, adapters, setting)
    quads = [interview.ask(trial) for trial in trials]
    about = Source(f"{suite.name}@{suite.version}", source.info, command)
    files = {"README.md": page(quads, about)}
    for quad in quads:
        files[f"surprise-{slug(quad.trial.id)}.svg"] = surprise_figure(quad)
        if quad.read:
            files[f"rollout-{slug(quad.trial.id)}.svg"] = rollout_figure(quad)
    for name, content in files.items():
        write_atomic(out / name, content.encode())
    return [out / name for name in files]


if __name__ == "__main__":
    sys.exit(main())
