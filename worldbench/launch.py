"""Handing ``worldbench run`` and ``train`` to Hydra, and Hydra's failures back to the user."""

import importlib
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from traceback import walk_tb
from typing import Any

from worldbench.application import MODULES, application
from worldbench.errors import EnvironmentFault, WorldbenchError
from worldbench.redaction import refuse_secrets
from worldbench.registry import GROUPS


def launch(command: str, arguments: Sequence[str]) -> int:
    """Runs Hydra's command line with our exit codes.

    Args:
        command: ``run`` or ``train``.
        arguments: What follows the command: overrides and Hydra's own flags.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If the job failed or the configuration is wrong.
    """
    if {"-h", "--help"} & set(arguments):
        print(_help(command))
        return 0
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from worldbench.compose import check_names, explain

    sweep = bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(arguments))
    names = [argument for argument in arguments if not argument.startswith("-")]
    check_names(names, _config_dir(arguments), command=command, sweep=sweep)
    if sweep:
        refuse_secrets(names)
    main = _main_of(command)
    before = sys.argv
    # Hydra reads sys.argv, and prints failures itself unless told to raise them.
    sys.argv = ["worldbench", *_overrides_together(arguments)]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, command) from error
    except WorldbenchError:
        raise
    except Exception as error:
        if sweep and isinstance(error, OSError) and not _of_a_job(error):
            raise EnvironmentFault(
                "cannot write the folder of the sweep",
                seen=error,
                accepted="a writable folder with free space",
                fix="hydra.sweep.dir=DIR, or the same command in another folder",
            ) from error
        # The traceback has been logged by the job; here only the verdict is due.
        raise WorldbenchError(f"{type(error).__name__}: {error}") from error
    finally:
        sys.argv = before
    return 0


def _of_a_job(error: OSError) -> bool:
    """Tells failures of a job, also of one in another process, from those of Hydra around it."""
    from hydra.core.utils import JobReturn

    # Whatever a job raises, Hydra keeps, and raises again where the job's value is asked for.
    asked = vars(JobReturn)["return_value"].fget.__code__
    return any(frame.f_code is asked for frame, _ in walk_tb(error.__traceback__))


def _main_of(command: str) -> Callable[[], Any]:
    try:
        main: Callable[[], Any] = importlib.import_module(MODULES[command]).main
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`worldbench {command}` needs a module that is not installed",
            seen=error,
            accepted=f"{MODULES[command].partition('.')[0]} and what it depends on",
            fix="pip install --force-reinstall worldbench-suite",
        ) from error
    return main


def _help(command: str) -> str:
    """Shows the options where they are written down; Hydra's help would want a name first."""
    app = application(command)
    *parts, last = (f"{group}.OPTION" for group in app.groups if group in GROUPS)
    name = app.required[0]
    more = (
        f"Options of the chosen parts are {', '.join(parts)} and {last}; `worldbench show NAME` "
        f"lists them, `worldbench list` the names. `worldbench {command} --cfg job {name}=NAME` "
        "shows what is composed; Hydra's other flags (--hydra-help) work too."
    )
    return "\n".join(
        [f"usage: {app.usage}", "", app.text, "", *textwrap.wrap(more, 88, break_on_hyphens=False)]
    )


def _overrides_together(arguments: Sequence[str]) -> list[str]:
    """Puts overrides before flags: argparse refuses ``adapter=a,b -m seed=0,1`` otherwise."""
    overrides: list[str] = []
    flags: list[str] = []
    previous = ""
    for word in arguments:
        after_flag = previous.startswith("-") and "=" not in previous
        is_value = after_flag and ("=" not in word or previous in ("--config-dir", "-cd"))
        (flags if word.startswith("-") or is_value else overrides).append(word)
        previous = word
    return [*overrides, *flags]


def _config_dir(arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd"):
            return arguments[position + 1] if position + 1 < len(arguments) else None
        if argument.startswith("--config-dir="):
            return argument.partition("=")[2]
    return None
