"""What a training run was asked for, besides the model's own options."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Settings:
    """Options of ``worldbench train``, checked and resolved for this process.

    Attributes:
        model: Name of the model's configuration, e.g. ``dit``.
        options: The model's own options, without secrets.
        size: ``xs``, ``s``, ``m`` or ``l``.
        device: Where this process trains; with several processes, each its own.
        precision: ``bf16`` (autocast) or ``fp32``.
        compile: Whether the network is compiled.
        steps: Optimiser steps; None is the model's own number for the size.
        batch_size: Clips per step over all processes; None is the model's own number.
        clips: Different training clips.
        heldout_clips: Clips that are never trained on.
        clips_folder: Where rendered clips are kept for other runs; None keeps none.
        seed: Of weights, noise and the order of clips.
        workers: Processes that simulate clips; None is one per core.
        out: The folder of the run.
        overwrite: Whether to start from scratch where a run exists.
        log_every: Steps between lines of the log.
        heldout_every: Steps between held-out measures.
        checkpoint_every: Steps between checkpoints.
        keep_weights: Whether the weights of every held-out measure stay, and not the last alone.
    """

    model: str
    options: Mapping[str, Any]
    size: str
    device: torch.device
    precision: str
    compile: bool
    steps: int | None
    batch_size: int | None
    clips: int
    heldout_clips: int
    clips_folder: Path | None
    seed: int
    workers: int | None
    out: Path
    overwrite: bool
    log_every: int
    heldout_every: int
    checkpoint_every: int
    keep_weights: bool = False
