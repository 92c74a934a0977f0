"""The command line. Nothing heavy is imported before the command that needs it is known.

Exit codes:
    0    done
    1    done, and the answer is no: a cell failed, a check failed, the board is stale, a record
         does not verify, the gate fails
    2    the command line or configuration is wrong
    3    the input data cannot be used
    4    the machine is in the way: a missing package, a read-only folder, another `worldbench`
    130  interrupted; finished work is kept and the same command resumes
"""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from worldbench import __version__
from worldbench.command import command_parser, log_plainly
from worldbench.errors import EnvironmentFault, UsageError, WorldbenchError, unknown_name
from worldbench.redaction import redact_error

COMMANDS = {
    "run": "score an adapter on a suite; -m sweeps (Hydra overrides: adapter=… suite=… data=…)",
    "train": "train a reference model; -m sweeps (Hydra overrides: model=… size=… seed=…)",
    "check": "put an adapter through the conformance kit: worldbench check adapter=NAME",
    "list": "list adapters, suites, data, trackers and models, also from installed packages",
    "show": "show one configuration with its options: worldbench show NAME",
    "data": "list, build, preview and export data; contexts for closed systems",
    "leaderboard": "build the board from records; --check exits 1 when it is stale",
    "compare": "two adapters or records, trial by trial: worldbench compare A B",
    "gate": "exit 1 when a candidate is worse than its baseline by more than is allowed",
    "verify": "run a record again and compare: worldbench verify RECORD",
    "validate": "check contributed records: form, place, rows, change; worldbench validate PATH",
    "diff": "what changes on the board between two folders of records, as Markdown",
    "dashboard": "a W&B workspace of the metrics in records; --publish sends it",
    "distance": "compare two folders of videos: worldbench distance REAL_DIR FAKE_DIR",
}
_USAGE = "worldbench COMMAND [arguments]"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: Arguments after the program's name; by default those of the process.

    Returns:
        The exit code; see the module's docstring.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        refuse_other_worldbench()
        return _dispatch(arguments)
    except WorldbenchError as error:
        print(f"error: {redact_error(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; finished work is kept: the same command resumes", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `worldbench list | head`: the reader has had enough, which is no failure.
        sys.stderr.close()
        return 0


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"worldbench {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        raise unknown_name("command", command, COMMANDS, fix="worldbench --help")
    runners: dict[str, Callable[[list[str]], int]] = {
        "run": _run,
        "train": _train,
        "check": _check,
        "list": _list,
        "show": _show,
        "data": _data,
        "leaderboard": _leaderboard,
        "compare": _compare,
        "gate": _gate,
        "verify": _verify,
        "validate": _validate,
        "diff": _diff,
        "dashboard": _dashboard,
        "distance": _distance,
    }
    return runners[command](rest)


def _help() -> str:
    lines = [
        "worldbench compares world models of both schools on one scale.",
        "",
        f"usage: {_USAGE}",
    ]
    lines += ["", *(f"  {name:<12} {text}" for name, text in COMMANDS.items())]
    exit_codes = (__doc__ or "").partition("Exit codes:\n")[2].rstrip()
    return "\n".join([*lines, "", "exit codes:", exit_codes])


def refuse_other_worldbench() -> None:
    """Refuses to run beside the unrelated PyPI project ``worldbench``, which has our import name.

    Raises:
        EnvironmentFault: If its distribution is installed in this environment.
    """
    try:
        other = distribution("worldbench")
    except PackageNotFoundError:
        return
    raise EnvironmentFault(
        "another project called 'worldbench' is installed here and shares our import name",
        seen=f"worldbench {other.version}",
        accepted="worldbench-suite alone",
        fix="pip uninstall -y worldbench; pip install --force-reinstall --no-deps worldbench-suite",
    )


def _run(arguments: list[str]) -> int:
    from worldbench.launch import launch

    return launch("run", arguments)


def _train(arguments: list[str]) -> int:
    from worldbench.launch import launch

    return launch("train", arguments)


def _check(arguments: list[str]) -> int:
    parser = command_parser("check", "Put an adapter through the conformance kit.")
    parser.add_argument("overrides", nargs="+", metavar="adapter=NAME", help="and its options")
    parser.add_argument("--config-dir", help="a folder with your own configurations")
    given = parser.parse_intermixed_args(arguments)
    log_plainly()
    from worldbench.conformance import check_configured

    return 0 if check_configured(given.overrides, given.config_dir) else 1


def _list(arguments: list[str]) -> int:
    from worldbench import registry

    parser = command_parser("list", "List what can be combined.")
    kinds = {f"{group}s" if group != "data" else "data": group for group in registry.GROUPS}
    parser.add_argument("kind", nargs="?", help=", ".join(kinds))
    parser.add_argument("--config-dir", help="a folder with your own configurations")
    given = parser.parse_args(arguments)
    groups = list(registry.GROUPS)
    if given.kind is not None:
        wanted = kinds.get(given.kind, given.kind)
        if wanted not in registry.GROUPS:
            raise unknown_name("kind", given.kind, kinds, fix="worldbench list")
        groups = [wanted]
    found = {group: registry.entries(group, given.config_dir) for group in groups}
    width = max((len(name) for named in found.values() for name in named), default=0)
    for group, named in found.items():
        print(f"{group}=")
        for entry in named.values():
            origin = "" if entry.origin == registry.OWN else f"  ({entry.origin})"
            family = f"[{entry.family}] " if entry.family else ""
            print(f"  {entry.name:<{width}} {family}{entry.summary}{origin}")
    return 0


def _show(arguments: list[str]) -> int:
    from worldbench import registry

    parser = command_parser("show", "Show a configuration with its options.")
    parser.add_argument("name")
    parser.add_argument("--config-dir", help="a folder with your own configurations")
    given = parser.parse_args(arguments)
    groups = {group: registry.entries(group, given.config_dir) for group in registry.GROUPS}
    found = [named[given.name] for named in groups.values() if given.name in named]
    if not found:
        names = [name for named in groups.values() for name in named]
        raise unknown_name("name", given.name, names, fix="worldbench list")
    for entry in found:
        print(f"# {entry.group}={entry.name}, from {entry.origin}: {entry.path}")
        print(entry.path.read_text(encoding="utf-8").rstrip())
        print(f"# override with {entry.group}.OPTION=VALUE")
    return 0


def _data(arguments: list[str]) -> int:
    from worldbench.data_commands import data

    return data(arguments)


def _leaderboard(arguments: list[str]) -> int:
    parser = command_parser("leaderboard", "Build the board from records.")
    parser.add_argument("--records", type=Path, default=Path("reports/records"))
    parser.add_argument("--out", type=Path, default=Path("reports"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when stale")
    given = parser.parse_args(arguments)
    log_plainly()
    if not given.records.is_dir():
        raise UsageError(
            "no records folder",
            seen=given.records,
            accepted="a folder written by `worldbench run`",
            fix="worldbench run -m adapter=copy_last,linear_flow suite=video_distance",
        )
    from worldbench import leaderboard

    board = leaderboard.build(given.records)
    if given.check:
        difference = leaderboard.stale(board, given.out)
        if difference:
            print(difference)
            print("stale: run `worldbench leaderboard` and commit the result", file=sys.stderr)
        return 1 if difference else 0
    written = leaderboard.write(board, given.out)
    leaderboard.show(board)
    print("\n".join(str(path.resolve()) for path in written))
    return 0


def _compare(arguments: list[str]) -> int:
    from worldbench.compare_command import compare

    return compare(arguments)


def _gate(arguments: list[str]) -> int:
    from worldbench.gate_command import gate

    return gate(arguments)


def _verify(arguments: list[str]) -> int:
    parser = command_parser("verify", "Run a record again and compare.")
    parser.add_argument("record", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="data.root=DIR", help="what moved since")
    parser.add_argument("--limit", type=int, help="compare the rows of N trials only")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run classes that are neither worldbench's nor an installed plugin's: a record of "
        "your own",
    )
    given = parser.parse_intermixed_args(arguments)
    log_plainly()
    from worldbench.verify import verify

    outcome = verify(given.record, given.overrides, given.limit, trust=given.trust)
    print(outcome.report)
    return 0 if outcome.agrees else 1


def _validate(arguments: list[str]) -> int:
    from worldbench.validate_command import validate

    return validate(arguments)


def _diff(arguments: list[str]) -> int:
    from worldbench.diff_command import diff

    return diff(arguments)


def _dashboard(arguments: list[str]) -> int:
    from worldbench.dashboard_command import dashboard

    return dashboard(arguments)


def _distance(arguments: list[str]) -> int:
    from worldbench.distance_command import distance

    return distance(arguments)


if __name__ == "__main__":
    sys.exit(main())
