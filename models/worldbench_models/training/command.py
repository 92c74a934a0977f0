"""``worldbench train``: Hydra composes, one model is trained, its weights are written."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from worldbench.compose import instantiate, register_search_path
from worldbench.errors import UsageError
from worldbench.job import log_failure, sweep_name
from worldbench.options import at_least, choose_device, one_of, yes_or_no
from worldbench.redaction import redact, refuse_api_keys
from worldbench.schema import SAFE_NAME
from worldbench.tracking import Guarded, NoTracker
from worldbench_models.training.settings import Settings

logger = logging.getLogger(__name__)

SIZES = ("xs", "s", "m", "l")
PRECISIONS = ("auto", "bf16", "fp32")
_HEADER = ("name", "summary", "family")


@dataclass(frozen=True)
class Place:
    """Which of torchrun's processes this is; without torchrun, the only one.

    Attributes:
        rank: Number among all processes; 0 logs and tracks.
        local_rank: Number among those of this machine.
        processes: How many there are on all machines.
    """

    rank: int = 0
    local_rank: int = 0
    processes: int = 1

    @classmethod
    def found(cls) -> "Place":
        """Reads the variables that torchrun sets."""
        if "LOCAL_RANK" not in os.environ:
            return cls()
        return cls(*(int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")))


def main() -> None:
    """Runs under Hydra's command line (``sys.argv``), single or as a multirun."""
    register_search_path()
    hydra.main(version_base="1.3", config_path="pkg://worldbench.conf", config_name="train")(job)()


def job(config: DictConfig) -> None:
    """Trains one model.

    Raises:
        WorldbenchError: If the configuration is wrong or the training fails.
    """
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    refuse_api_keys(resolved)
    place = Place.found()
    first = place.rank == 0
    tracker = Guarded(instantiate("tracker", config.tracker) if first else NoTracker())
    failed = True
    try:
        settings = settings_of(config, place)
        recipe = instantiate("model", config.model)
        from worldbench_models.training.loop import train

        name = f"{settings.model}-{settings.size}-{settings.seed}"
        tracker.start(name=name, group=sweep_name(), config=redact(resolved))
        weights = train(recipe, settings, tracker)
        failed = False
    except Exception as error:
        log_failure(error)
        raise
    finally:
        tracker.finish(failed=failed)
    if first:
        logger.info("weights: %s", weights)


def settings_of(config: DictConfig, place: Place) -> Settings:
    """Checks and resolves the options of a configuration.

    Raises:
        UsageError: For the first option that is not usable.
    """
    name = str(config.model.name)
    if not SAFE_NAME.fullmatch(name):
        raise UsageError(
            f"model {name!r} cannot be trained: its name becomes the name of a file",
            accepted="1-64 letters, digits, '.', '_' or '-', a letter or digit first",
            fix="model.name=my_model",
        )
    device = device_of(str(config.device), place)
    on_gpu = device.type == "cuda"
    precision = one_of("precision", config.precision, PRECISIONS)
    if precision == "auto":
        precision = "bf16" if on_gpu else "fp32"
    model: Any = OmegaConf.to_container(config.model, resolve=True)
    options = {key: value for key, value in model.items() if key not in _HEADER}
    return Settings(
        model=name,
        options=redact(options),
        size=one_of("size", config.size, SIZES),
        device=device,
        precision=precision,
        compile=on_gpu if config.compile == "auto" else yes_or_no("compile", config.compile),
        steps=_optional("steps", config.steps),
        batch_size=_optional("batch_size", config.batch_size),
        clips=at_least("clips", config.clips, 1),
        heldout_clips=at_least("heldout_clips", config.heldout_clips, 1),
        clips_folder=None if config.clips_folder is None else _path(config.clips_folder),
        seed=at_least("seed", config.seed, 0),
        workers=_optional("workers", config.workers),
        out=_path(config.out),
        overwrite=yes_or_no("overwrite", config.overwrite),
        log_every=at_least("log_every", config.log_every, 1),
        heldout_every=at_least("heldout_every", config.heldout_every, 1),
        checkpoint_every=at_least("checkpoint_every", config.checkpoint_every, 1),
        keep_weights=bool(yes_or_no("keep_weights", config.keep_weights)),
    )


def device_of(name: str, place: Place) -> torch.device:
    """Resolves the device of one process: under torchrun, each takes the GPU of its local rank.

    Raises:
        UsageError: If there is no such device, or several processes would share a GPU.
    """
    if place.processes > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        there = torch.cuda.device_count()
        if place.local_rank >= there:
            raise UsageError(
                "there are more processes than GPUs",
                seen=f"local rank {place.local_rank} with {there} GPUs",
                accepted="one process per GPU",
                fix=f"torchrun --nproc-per-node {there} -m worldbench.cli train ...",
            )
        return torch.device("cuda", place.local_rank)
    device = choose_device(name)
    if place.processes > 1 and device.type == "cuda":
        raise UsageError(
            "several processes would train on one GPU",
            seen=f"device={name} in {place.processes} processes",
            accepted="auto, cpu, cuda",
            fix="device=auto",
        )
    return device


def _path(value: object) -> Path:
    return Path(str(value)).expanduser()


def _optional(option: str, value: object) -> int | None:
    return None if value is None else at_least(option, value, 1)
