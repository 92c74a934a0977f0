"""Handing ``worldbench run`` over to Hydra, and Hydra's failures back to the user."""

import os
import sys
from collections.abc import Sequence

from worldbench.compose import check_names, explain
from worldbench.errors import WorldbenchError


def launch(arguments: Sequence[str]) -> int:
    """Runs Hydra's command line with our exit codes.

    Args:
        arguments: What follows ``worldbench run``: overrides and Hydra's own flags.

    Returns:
        The exit code.

    Raises:
        WorldbenchError: If a cell failed or the configuration is wrong.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from worldbench.run import main

    check_names([a for a in arguments if not a.startswith("-")], _config_dir(arguments))
    before = sys.argv
    # Hydra reads sys.argv, and prints failures itself unless told to raise them.
    sys.argv = ["worldbench", *arguments]
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


def _config_dir(arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd"):
            return arguments[position + 1] if position + 1 < len(arguments) else None
        if argument.startswith("--config-dir="):
            return argument.partition("=")[2]
    return None
