"""The training loop: the same for every recipe, on one GPU, several, or a CPU.

Notable:
- clips are made first and stay on the device as bytes: a step copies nothing from the host
- chance follows from (seed, step, process) alone, so a resumed run repeats what it would have done:
  on a CPU its losses are the same to the last bit
- nothing waits for the device between two lines of the log
"""

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldbench.errors import WorldbenchError
from worldbench.schema import digest
from worldbench.tracking import Tracker
from worldbench_models.training import checkpoint, processes
from worldbench_models.training.checkpoint import Progressed
from worldbench_models.training.compute import TRAINING_PASSES, peak_tflops
from worldbench_models.training.learner import Learner, planned
from worldbench_models.training.log import RunLog, say_heldout, say_training
from worldbench_models.training.pool import (
    HELDOUT,
    SPEC,
    ClipPool,
    clips_of,
    data_identity,
    seed_of,
)
from worldbench_models.training.recipe import Plan, Recipe
from worldbench_models.training.settings import Settings
from worldbench_models.training.summary import finish, finished

logger = logging.getLogger(__name__)


def train(recipe: Recipe, settings: Settings, tracker: Tracker) -> Path:
    """Trains a model, or resumes or returns what is already there.

    Args:
        recipe: The model.
        settings: What was asked for.
        tracker: Is shown every number of the log.

    Returns:
        The weights' path, in the run's folder.

    Raises:
        WorldbenchError: If the loss is no longer finite, the folder belongs to another run or
            cannot be written. What was reached is kept.
    """
    plan = planned(recipe, settings.size, settings.steps, settings.batch_size)
    with processes.process_group(settings.device) as (rank, count):
        identity = _identity(recipe, settings, plan, count)
        done = None if settings.overwrite else finished(settings, identity)
        if done is not None:
            logger.info("already trained: %s (overwrite=true trains it again)", done)
            return done
        run = Run(recipe, settings, plan, identity, RunLog(settings.out, tracker), rank, count)
        return run.through()


class Run:
    """One training run of one process.

    Args:
        recipe: The model.
        settings: What was asked for.
        plan: Steps and batch size.
        identity: Digest of what a resumed run must have in common with this one.
        log: Where to write; only the first process does.
        rank: Number of this process.
        count: How many processes there are.
    """

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        plan: Plan,
        identity: str,
        log: RunLog,
        rank: int,
        count: int,
    ) -> None:
        self.recipe, self.settings, self.plan, self.identity = recipe, settings, plan, identity
        self.log, self.rank, self.count = log, rank, count
        self.batch = plan.batch_size // count
        self.learner = Learner(
            recipe,
            settings.size,
            settings.seed,
            steps=plan.steps,
            device=settings.device,
            autocast=settings.precision == "bf16",
        )
        self.done = Progressed(0, {"clips": 0.0, "training": 0.0, "heldout": 0.0})
        self.clip_flops = recipe.clip_flops(settings.size)
        self._resume()

    def through(self) -> Path:
        """Trains to the last step and writes weights and summary."""
        settings, steps = self.settings, self.plan.steps
        if self.rank == 0:
            self.log.start(self.done.step)
        with self._timed("clips"):
            pool, heldout = self._clips()
        loss_of = processes.shared(self.learner.objective, self.count)
        if settings.compile:
            loss_of = torch.compile(loss_of)  # type: ignore[assignment]
        try:
            while self.done.step < steps:
                self._interval(loss_of, pool)
                self._at_pauses(heldout)
        except KeyboardInterrupt:
            self._save()
            raise
        if self.rank == 0:
            finish(self.recipe, self)
        processes.wait()
        return settings.out / f"{settings.model}-{settings.size}.safetensors"

    def _clips(self) -> tuple[ClipPool, Tensor | None]:
        """Makes this process's share of the training clips, and the held-out ones for the first."""
        settings = self.settings
        made = partial(
            clips_of,
            device=settings.device,
            workers=settings.workers,
            folder=settings.clips_folder,
        )
        share = settings.clips // self.count
        clips = made(replace(SPEC, seed=SPEC.seed + self.rank * share), share)
        heldout = None
        if self.rank == 0:
            heldout = made(HELDOUT, settings.heldout_clips, title="held-out clips")
        processes.wait()
        return ClipPool(clips, seed_of(settings.seed, self.rank)), heldout

    def _interval(self, loss_of: nn.Module, pool: ClipPool) -> None:
        """Trains up to the next pause and writes a line of the log."""
        settings, first = self.settings, self.done.step
        last = min(_next_pause(first, settings), self.plan.steps)
        before = time.monotonic()
        for step in range(first, last):
            generator = torch.Generator(settings.device).manual_seed(
                seed_of(settings.seed, "step", step, self.rank)
            )
            clips = pool.batch(step, self.batch)
            loss, norm = self.learner.step(loss_of, clips, generator, step)
        told = {"loss": float(loss), "gradient_norm": float(norm)}  # waits for the device
        seconds = time.monotonic() - before
        self.done.step = last
        self.done.seconds["training"] += seconds
        self._refuse_nonsense(told["loss"])
        if self.rank == 0:
            line = self._line(last - first, seconds) | told
            self.log.write(line)
            say_training(line, self.plan.steps)

    def _line(self, steps: int, seconds: float) -> dict[str, Any]:
        settings = self.settings
        rate = steps * self.plan.batch_size / seconds
        tflops = TRAINING_PASSES * self.clip_flops * rate / 1e12
        peak = peak_tflops(settings.device, settings.precision)
        return {
            "step": self.done.step,
            "batch": self.plan.batch_size,
            "clips": self.done.step * self.plan.batch_size,
            "learning_rate": self.learner.learning_rate,
            "clips_per_second": round(rate, 2),
            "tflops": round(tflops, 4),
            "mfu": None if peak is None else round(tflops / (peak * self.count), 4),
        }

    def _at_pauses(self, heldout: Tensor | None) -> None:
        """Measures and saves where it is due; both at the end."""
        step, settings = self.done.step, self.settings
        last = step == self.plan.steps
        if heldout is not None and (last or step % settings.heldout_every == 0):
            with self._timed("heldout"):
                line = {
                    "step": step,
                    "heldout": self.recipe.heldout(self.learner.averaged, heldout),
                }
            self.log.write(line)
            say_heldout(line)
        if last or step % settings.checkpoint_every == 0:
            self._save()

    def _refuse_nonsense(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise WorldbenchError(
                "the loss is no longer finite",
                seen=f"{loss} at step {self.done.step}",
                accepted="a finite number",
                fix="a lower model.learning_rate, or precision=fp32; the last checkpoint in "
                f"{self.settings.out} is from before",
            )

    def _save(self) -> None:
        if self.rank == 0:
            checkpoint.save(self.settings.out, self.identity, self.done, self.learner.states())

    def _resume(self) -> None:
        settings = self.settings
        if settings.overwrite:
            return
        found = checkpoint.load(settings.out, self.identity, settings.device)
        if found is None:
            return
        self.done, states = found
        self.learner.load(states)
        logger.info("resuming after step %d of %d", self.done.step, self.plan.steps)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.done.seconds[what] += time.monotonic() - before


def _identity(recipe: Recipe, settings: Settings, plan: Plan, count: int) -> str:
    """Digests whatever changes the weights that come out."""
    return digest(
        {
            "recipe": vars(recipe),
            "model": settings.model,
            "size": settings.size,
            "precision": settings.precision,
            "plan": asdict(plan),
            "data": data_identity(settings.clips),
            "seed": settings.seed,
            "processes": count,
        }
    )


def _next_pause(step: int, settings: Settings) -> int:
    """Returns the next step at which a line, a measure or a checkpoint is due."""
    every = (settings.log_every, settings.heldout_every, settings.checkpoint_every)
    return min(step + n - step % n for n in every)
