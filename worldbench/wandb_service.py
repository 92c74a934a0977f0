"""The wandb package and the service process that it starts."""

import sys
from typing import Any

from worldbench.errors import EnvironmentFault


def import_wandb() -> Any:
    """Imports the package.

    Raises:
        EnvironmentFault: If it is not there.
    """
    try:
        import wandb
    except ImportError as error:
        raise _no_wandb(str(error)) from error
    # A `wandb` folder of offline runs in the working directory imports as an empty package.
    if not hasattr(wandb, "init"):
        raise _no_wandb("a folder called wandb stands where the package should be")
    return wandb


def _no_wandb(seen: str) -> EnvironmentFault:
    return EnvironmentFault(
        "the wandb package cannot be imported",
        seen=seen,
        accepted="wandb 0.27 or newer",
        fix="pip install 'wandb>=0.27', or run with tracker=none",
    )


def end_service(wandb: Any, run: Any, hooks: tuple[Any, Any]) -> None:
    """Ends W&B's process, and undoes the hooks on sys that wandb leaves behind.

    Args:
        wandb: The package.
        run: The run that is over, if there was one; another one that is open keeps the process.
        hooks: ``sys.exit`` and ``sys.excepthook`` as they were before.

    Raises:
        EnvironmentFault: If the process reports an error.
    """
    # A run that could not be finished still counts as active.
    if wandb.setup().most_recent_active_run not in (None, run):
        return
    try:
        wandb.teardown()
    except SystemExit as error:
        # wandb ends the whole program when its service process reports an error.
        raise EnvironmentFault(
            "the W&B service ended with an error",
            seen=f"exit code {error.code}",
            fix="look into debug-core.log in the logs folder of the W&B run",
        ) from error
    finally:
        for name, before in zip(("exit", "excepthook"), hooks, strict=True):
            owner = getattr(getattr(sys, name), "__self__", None)
            if type(owner).__module__.startswith("wandb."):
                setattr(sys, name, before)
