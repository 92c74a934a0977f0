"""The training clips: made once, kept on the device, dealt out by the step's number alone."""

import logging
import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from worldbench.data.worlds import SceneSpec, training_clips
from worldbench.data.worlds.simulation import cores
from worldbench.data.worlds.spec import VERSION
from worldbench.data.worlds.storage.shards import RENDERER
from worldbench.errors import DataError, UsageError
from worldbench.progress import Progress
from worldbench.record import file_digest, locked, unwritable, write_atomic
from worldbench.schema import digest, seed_of
from worldbench_models.patches import FPS, FRAMES, RESOLUTION
from worldbench_models.training.processes import here
from worldbench_models.training.settings import Settings

logger = logging.getLogger(__name__)

SPEC = SceneSpec("train_random", 0, split="train", frames=FRAMES, fps=FPS, size=RESOLUTION)
"""What the reference models learn from: the broad mixture of the worlds."""

HELDOUT = replace(SPEC, split="calibration", seed=500_000)
"""Clips for held-out measures; gates draw theirs from the beginning of the split."""

_CLIP_BYTES = FRAMES * RESOLUTION[0] * RESOLUTION[1] * 3


@dataclass(frozen=True)
class ClipPool:
    """Clips on a device, and the order in which they are shown.

    In a round no clip is shown twice; those that would not fill a last batch wait for the next
    round. The order follows from the seed and the round, and a batch from its step alone, so a
    resumed run sees what it would have seen.

    Attributes:
        clips: The clips.
        seed: Of the order.
    """

    clips: UInt8[Tensor, "n t h w 3"]
    seed: int

    def batch(self, step: int, size: int) -> UInt8[Tensor, "b t h w 3"]:
        """Returns the clips of a step; ``size`` is at most the number of clips."""
        a_round = len(self.clips) // size
        order = _order(len(self.clips), self.seed, step // a_round)
        chosen = order[step % a_round * size :][:size]
        return self.clips[chosen.to(self.clips.device)]


@lru_cache(maxsize=1)  # a round has hundreds of steps
def _order(clips: int, seed: int, number: int) -> Int64[Tensor, " n"]:
    generator = torch.Generator().manual_seed(seed_of(seed, "order", number))
    return torch.randperm(clips, generator=generator)


def data_identity(clips: int, processes: int = 1) -> dict[str, Any]:
    """Says what the training clips are: the digest covers their specs and how they are made.

    Each process balances the factors of its own share, so several make other clips than one.
    """
    spec = SPEC.to_dict()
    made = ["training", VERSION, RENDERER, spec, clips, *([processes] if processes > 1 else [])]
    return {"spec": spec, "clips": clips, "digest": digest(made)}


def training_pool(settings: Settings, rank: int, count: int) -> ClipPool:
    """Makes a process's share of the training clips.

    Raises:
        UsageError: If they do not fit into the device's memory.
    """
    share = settings.clips // count
    spec = replace(SPEC, seed=SPEC.seed + rank * share)
    _refuse_too_many(share, settings.device)
    return ClipPool(_made(settings, spec, share, "training clips"), seed_of(settings.seed, rank))


def heldout_clips(settings: Settings) -> UInt8[Tensor, "n t h w 3"]:
    """Makes the held-out clips, the same in every run."""
    return _made(settings, HELDOUT, settings.heldout_clips, "held-out clips")


def _made(
    settings: Settings, spec: SceneSpec, count: int, title: str
) -> UInt8[Tensor, "n t h w 3"]:
    workers = settings.workers or max(1, cores() // here())
    before = time.monotonic()
    made = clips_of(
        spec,
        count,
        settings.device,
        workers=workers,
        folder=settings.clips_folder,
        title=title,
    )
    size, seconds = count * _CLIP_BYTES / 1e6, time.monotonic() - before
    logger.info("%d %s, %.0f MB on %s, in %.0f s", count, title, size, settings.device, seconds)
    return made


def _refuse_too_many(count: int, device: torch.device) -> None:
    free = (
        torch.cuda.mem_get_info(device)[0]
        if device.type == "cuda"
        else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    if count * _CLIP_BYTES > 0.8 * free:
        raise UsageError(
            f"the training clips do not fit into the memory of {device}",
            seen=f"{count} clips of {_CLIP_BYTES / 1e6:.2f} MB, {free / 1e9:.1f} GB free",
            accepted="80 % of what is free",
            fix=f"clips={int(0.5 * free / _CLIP_BYTES)}, and size=xs on a small machine",
        )


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
        DataError: If a kept file is damaged.
        EnvironmentFault: If the folder cannot be written, or a worker dies.
    """
    if folder is None:
        return _rendered(spec, count, device, workers, title)
    key = digest(["kept", VERSION, RENDERER, spec.to_dict(), count])
    path = folder / f"{spec.split}-{count}-{key[:12]}.npy"
    with locked(path, partial(unwritable, path)):  # of two runs one renders and the other waits
        if path.exists():
            return _load(path).to(device)
        clips = _rendered(spec, count, device, workers, title)
        _keep(path, clips)
        return clips


def _rendered(
    spec: SceneSpec, count: int, device: torch.device, workers: int | None, title: str
) -> UInt8[Tensor, "n t h w 3"]:
    with Progress().task(title, count) as step:
        clips, _ = training_clips(
            spec, count, device=device, workers=workers, tell=lambda done, _: step.to(done)
        )
    return clips


def _load(path: Path) -> UInt8[Tensor, "n t h w 3"]:
    digest_file = path.with_suffix(".sha256")
    wanted = digest_file.read_text() if digest_file.exists() else None
    seen = file_digest(path)
    if seen != wanted:
        raise DataError(
            f"the kept clips {path} are damaged",
            seen=f"sha256 {seen}",
            accepted=f"sha256 {wanted}",
            fix=f"rm {path}: they are made again",
        )
    return torch.from_numpy(np.load(path))


def _keep(path: Path, clips: UInt8[Tensor, "n t h w 3"]) -> None:
    """Writes clips through a temporary file: gigabytes, so not as one block of bytes."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as stream:
            np.save(stream, clips.cpu().numpy())
        write_atomic(path.with_suffix(".sha256"), file_digest(part).encode())
        part.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)
