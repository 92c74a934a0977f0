"""The training clips: made once, kept on the device, dealt out by the step's number alone."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from worldbench.data.worlds import SceneSpec, training_clips
from worldbench.data.worlds.spec import VERSION
from worldbench.data.worlds.storage.shards import RENDERER
from worldbench.errors import DataError, UsageError
from worldbench.progress import Progress
from worldbench.record import unwritable
from worldbench.schema import digest
from worldbench_models.patches import FPS, FRAMES, RESOLUTION

logger = logging.getLogger(__name__)

SPEC = SceneSpec("train_random", 0, split="train", frames=FRAMES, fps=FPS, size=RESOLUTION)
"""What the reference models learn from: the broad mixture of the worlds."""

HELDOUT = replace(SPEC, split="calibration")


@dataclass(frozen=True)
class ClipPool:
    """Clips on a device, and the order in which they are shown.

    Every clip is shown once before any is shown again, in an order that follows from the seed and
    the round. A batch follows from its step alone, so a resumed run sees what it would have seen.

    Attributes:
        clips: The clips.
        seed: Of the order.
    """

    clips: UInt8[Tensor, "n t h w 3"]
    seed: int

    def batch(self, step: int, size: int) -> UInt8[Tensor, "b t h w 3"]:
        """Returns the clips of a step.

        Raises:
            UsageError: If there are fewer clips than a batch holds.
        """
        a_round = len(self.clips) // size
        if a_round == 0:
            raise UsageError(
                "there are fewer training clips than a process takes per step",
                seen=f"{len(self.clips)} clips, {size} per step",
                accepted="at least as many clips",
                fix=f"clips={size} or more, or a smaller batch_size",
            )
        generator = torch.Generator().manual_seed(seed_of(self.seed, "order", step // a_round))
        order = torch.randperm(len(self.clips), generator=generator)
        chosen = order[step % a_round * size :][:size]
        return self.clips[chosen.to(self.clips.device)]


def seed_of(*what: object) -> int:
    """Returns a seed that follows from what it is for."""
    return int(digest(list(what))[:15], 16)


def data_identity(clips: int) -> dict[str, Any]:
    """Says what the training clips are: the digest covers their specs and how they are made."""
    spec = SPEC.to_dict()
    made = ["training", VERSION, RENDERER, spec, clips]
    return {"spec": spec, "clips": clips, "digest": digest(made)}


def clips_of(
    spec: SceneSpec,
    count: int,
    device: torch.device,
    *,
    workers: int | None = None,
    folder: Path | None = None,
    title: str = "training clips",
) -> UInt8[Tensor, "n t h w 3"]:
    """Makes clips, or loads them from a folder that keeps them from run to run.

    Args:
        spec: Family, split, format and first seed.
        count: How many.
        device: Where they go.
        workers: Processes that simulate; one per core if None.
        folder: Where to keep them; 196 kB for each clip of 16 × 64 × 64. None keeps nothing.
        title: What progress is called.

    Raises:
        DataError: If a kept file is not what its name says.
        EnvironmentFault: If the folder cannot be written, or a worker dies.
    """
    shape = (count, spec.frames, *spec.size, 3)
    kept = None
    if folder is not None:
        key = digest(["kept", VERSION, RENDERER, spec.to_dict(), count])
        kept = folder / f"{spec.split}-{count}-{key[:12]}.npy"
        if kept.exists():
            return _load(kept, shape).to(device)
    with Progress().task(title, count) as step:
        clips, spent = training_clips(
            spec, count, device=device, workers=workers, tell=lambda done, _: step.to(done)
        )
    logger.info("%s", json.dumps({title: count, "seconds": round(spent.seconds, 1)}))
    if kept is not None:
        _keep(kept, clips)
    return clips


def _load(path: Path, shape: tuple[int, ...]) -> UInt8[Tensor, "n t h w 3"]:
    try:
        stored = np.load(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read kept clips {path}",
            seen=error,
            accepted="a file that an earlier run finished",
            fix=f"delete it: it is made again ({path})",
        ) from error
    if stored.shape != shape or stored.dtype != np.uint8:
        raise DataError(
            f"kept clips {path} are not what their name says",
            seen=f"{stored.dtype} {stored.shape}",
            accepted=f"uint8 {shape}",
            fix="delete the file: it is made again",
        )
    return torch.from_numpy(stored)


def _keep(path: Path, clips: UInt8[Tensor, "n t h w 3"]) -> None:
    """Writes clips through a temporary file: gigabytes, so not as one block of bytes."""
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            np.save(stream, clips.cpu().numpy())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise unwritable(path, error) from error
