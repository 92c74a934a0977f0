"""Handing ``worldbench run`` over to Hydra, and Hydra's failures back to the user."""

import os
import sys
from collections.abc import Sequence

from worldbench.errors import WorldbenchError
from worldbench.registry import config_folders


def launch(arguments: Sequence[str]) -> int:
    """Runs Hydra's command line with our exit codes.

    Args:
        arguments: What follows ``worldbench run``: overrides and Hydra's own flags.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If a cell failed or the configuration is wrong.
    """
    if {"-h", "--help"} & set(arguments):
        print(_help())
        return 0
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from worldbench.compose import check_names, explain
    from worldbench.run import main

    sweep = bool({"-m", "--multirun"} & set(arguments))
    names = [argument for argument in arguments if not argument.startswith("-")]
    check_names(names, _config_dir(arguments), sweep=sweep)
    before = sys.argv
    # Hydra reads sys.argv, and prints failures itself unless told to raise them.
    sys.argv = ["worldbench", *_overrides_together(arguments)]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error) from error
    except WorldbenchError:
        raise
    except Exception as error:
        # The traceback has been logged by the job; here only the verdict is due.
        raise WorldbenchError(f"{type(error).__name__}: {error}") from error
    finally:
        sys.argv = before
    return 0


def _help() -> str:
    """Shows the options where they are written down; Hydra's help would want an adapter first."""
    folder = config_folders()[0].path
    options = (folder / "run.yaml").read_text(encoding="utf-8").partition("\nhydra:")[0]
    return "\n".join(
        [
            "usage: worldbench run [-m] [--config-dir DIR] adapter=NAME [OPTION=VALUE ...]",
            "",
            options.rstrip(),
            "",
            "Options of the chosen parts are adapter.OPTION, suite.OPTION, data.OPTION and",
            "tracker.OPTION; `worldbench show NAME` lists them, `worldbench list` the names.",
            "`worldbench run --cfg job adapter=NAME` shows what is composed; Hydra's other flags",
            "(--hydra-help) work too.",
        ]
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
