"""Checkpoints: written whole or not at all, read without running code, refused when foreign."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worldbench.errors import DataError, UsageError
from worldbench.record import write_atomic
from worldbench_models.training.folder import CHECKPOINT

_UNREADABLE = (
    *(OSError, EOFError, pickle.UnpicklingError),
    *(RuntimeError, LookupError, TypeError, ValueError, AttributeError),  # of damaged pickles
)


@dataclass
class Progressed:
    """How far a run has come.

    Attributes:
        step: Optimiser steps done.
        seconds: Seconds spent so far, by what they were spent on.
    """

    step: int
    seconds: dict[str, float]


def save(folder: Path, identity: str, done: Progressed, states: dict[str, Any]) -> None:
    """Writes a checkpoint.

    Args:
        folder: Of the run.
        identity: Digest of everything that a resumed run must have in common with this one.
        done: How far it is.
        states: State dicts by name.

    Raises:
        EnvironmentFault: If the disk is full or read-only; the last checkpoint is still there.
    """
    content = {
        "identity": identity,
        "step": done.step,
        "seconds": done.seconds,
        "states": states,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomic(folder / CHECKPOINT, stream.getvalue())


def load(
    folder: Path, identity: str, device: torch.device
) -> tuple[Progressed, dict[str, Any]] | None:
    """Reads the checkpoint of a run, if it has one.

    Raises:
        DataError: If the file is damaged.
        UsageError: If it belongs to a run with other options.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        found, states = content["identity"], content["states"]
        done = Progressed(content["step"], content["seconds"])
    except _UNREADABLE as error:
        raise DataError(
            f"cannot read the checkpoint {path}",
            seen=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            accepted="a file that `worldbench train` wrote",
            fix="overwrite=true starts again; or restore the file",
        ) from error
    if found != identity:
        raise UsageError(
            f"{folder} holds an unfinished run with other options",
            seen=f"options {found[:12]}",
            accepted=f"options {identity[:12]}: model, sizes, seed, data, steps, learning rates, "
            "number of processes",
            fix="out=ANOTHER_FOLDER, or overwrite=true to start again",
        )
    return done, states
