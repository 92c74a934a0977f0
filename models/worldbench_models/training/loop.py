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
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldbench.errors import UsageError, WorldbenchError
from worldbench.schema import digest, seed_of
from worldbench.tracking import Tracker
from worldbench_models.training import checkpoint, processes
from worldbench_models.training.checkpoint import Progressed
from worldbench_models.training.compute import peak_tflops
from worldbench_models.training.folder import asked, claim, finished, weights_file
from worldbench_models.training.interrupt import Interrupts
from worldbench_models.training.learner import Learner, planned
from worldbench_models.training.log import RunLog, say_heldout, say_training
from worldbench_models.training.pool import ClipPool, heldout_clips, training_pool
from worldbench_models.training.recipe import Plan, Recipe
from worldbench_models.training.settings import Settings
from worldbench_models.training.summary import finish, keep

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
        UsageError: If the clips do not suffice, or the folder belongs to another run.
        WorldbenchError: If loss or weights are no longer finite, or the folder cannot be written.
            What was reached is kept.
        KeyboardInterrupt: After the step in progress has been finished and saved.
    """
    plan = planned(recipe, settings.size, settings.steps, settings.batch_size)
    with processes.process_group(settings.device) as (rank, count):
        _refuse_uneven(settings, plan, count)
        wanted = asked(settings, plan, count)
        if rank == 0:
            claim(settings, wanted)
        processes.wait()
        identity = digest(wanted)
        done = finished(settings, identity)
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
        self.training_flops = recipe.training_flops(settings.size)
        self._resume()

    def through(self) -> Path:
        """Trains to the last step and writes weights and summary."""
        settings = self.settings
        if self.rank == 0:
            self.log.start(self.done.step)
        with self._timed("clips"):
            pool = training_pool(settings, self.rank, self.count)
            heldout = heldout_clips(settings) if self.rank == 0 else None
            processes.wait()
        loss_of = processes.shared(self.learner.objective, self.count)
        if settings.compile:
            loss_of = torch.compile(loss_of)  # type: ignore[assignment]
            self.learner.compile()
        if self.done.step > 0:
            self._measure(heldout)  # unless it was interrupted before that
        with Interrupts() as interrupts:
            while self.done.step < self.plan.steps:
                self._interval(loss_of, pool, interrupts)
                self._measure(heldout)
                self._save_where_due(now=interrupts.asked)
                if interrupts.asked:
                    raise KeyboardInterrupt
        if self.rank == 0:
            finish(self.recipe, self)
        processes.wait()
        return weights_file(settings)

    def _interval(self, loss_of: nn.Module, pool: ClipPool, interrupts: Interrupts) -> None:
        """Trains up to the next pause and writes a line of the log."""
        settings, first = self.settings, self.done.step
        last = min(_next_pause(first, settings), self.plan.steps)
        before = time.monotonic()
        while self.done.step < last and not interrupts.asked:
            step = self.done.step
            generator = torch.Generator(settings.device).manual_seed(
                seed_of(settings.seed, "step", step, self.rank)
            )
            clips = pool.batch(step, self.batch)
            loss, norm = self.learner.step(loss_of, clips, generator, step)
            self.done.step += 1
        if self.done.step == first:
            return
        told = {"loss": float(loss), "gradient_norm": float(norm)}  # waits for the device
        seconds = time.monotonic() - before
        self.done.seconds["training"] += seconds
        self._refuse_nonsense(told)
        if self.rank == 0 and self.done.step == last:
            line = self._line(last - first, seconds) | told
            self.log.write(line)
            say_training(line, self.plan.steps)

    def _line(self, steps: int, seconds: float) -> dict[str, Any]:
        settings = self.settings
        rate = steps * self.plan.batch_size / seconds
        tflops = self.training_flops * rate / 1e12
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

    def _measure(self, heldout: Tensor | None) -> None:
        """Measures the averaged weights where that is due and has not been done."""
        step = self.done.step
        due = step == self.plan.steps or step % self.settings.heldout_every == 0
        if heldout is None or not due or self.log.has_heldout(step):
            return
        with self._timed("heldout"):
            line = {"step": step, "heldout": self.recipe.heldout(self.learner.averaged, heldout)}
        if self.settings.keep_weights:
            keep(self.recipe, self)
        self.log.write(line)
        say_heldout(line)

    def _save_where_due(self, *, now: bool) -> None:
        step = self.done.step
        due = step == self.plan.steps or step % self.settings.checkpoint_every == 0
        # Of several processes one may have stopped a step before another: only pauses are shared.
        if self.rank == 0 and (due or (now and self.count == 1)):
            checkpoint.save(self.settings.out, self.identity, self.done, self.learner.states())

    def _refuse_nonsense(self, told: dict[str, float]) -> None:
        """Makes sure that nothing broken is ever saved.

        Raises:
            WorldbenchError: If loss, gradient or weights are not finite.
        """
        if all(math.isfinite(value) for value in told.values()) and self.learner.finite():
            return
        raise WorldbenchError(
            "the training diverged: loss, gradient or weights are no longer finite",
            seen=", ".join(f"{name} {value}" for name, value in told.items())
            + f" at step {self.done.step}",
            accepted="finite numbers",
            fix="a lower model.learning_rate, or precision=fp32, with overwrite=true; the last "
            f"checkpoint in {self.settings.out} is from before",
        )

    def _resume(self) -> None:
        found = checkpoint.load(self.settings.out, self.identity, self.settings.device)
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


def _refuse_uneven(settings: Settings, plan: Plan, count: int) -> None:
    """Refuses what cannot be dealt out to the processes, before any clip is made.

    Raises:
        UsageError: If shares would be unequal, or a process has less than it takes per step.
    """
    enough = max(settings.clips, plan.batch_size)
    for option, seen, least in [
        ("batch_size", plan.batch_size, plan.batch_size),
        ("clips", settings.clips, enough),
    ]:
        if seen % count or seen < least:
            raise UsageError(
                f"{option} cannot be dealt out",
                seen=f"{option}={seen}, {plan.batch_size} clips per step, {count} process(es)",
                accepted="a multiple of the processes; of clips at least what a step takes",
                fix=f"{option}={-(-least // count) * count}",
            )


def _next_pause(step: int, settings: Settings) -> int:
    """Returns the next step at which a line, a measure or a checkpoint is due.

    The first step gets a line of its own: it says how long all of it will take.
    """
    if step == 0:
        return 1
    every = (settings.log_every, settings.heldout_every, settings.checkpoint_every)
    return min(step + n - step % n for n in every)
