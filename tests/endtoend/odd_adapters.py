"""Adapters and trackers that misbehave, for tests; configured with --config-dir."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from worldbench.adapters.still import CopyLast
from worldbench.schema import AdapterCard, Record, digest


class _Odd(CopyLast):
    def __init__(self, name: str, *identity: object, stochastic: bool = False) -> None:
        super().__init__(name)
        self.card = AdapterCard(
            name=name,
            revision=digest([type(self).__name__, *identity]),
            family="baseline",
            capabilities=("generates",),
            stochastic=stochastic,
        )


class Raises(_Odd):
    def __init__(self, name: str, error: str = "RuntimeError") -> None:
        super().__init__(name, error)
        self.error = {"RuntimeError": RuntimeError, "KeyboardInterrupt": KeyboardInterrupt}[error]

    def generate(self, context: Tensor, horizon: int, **options: object) -> Tensor:
        raise self.error("the weights\nhave rusted away")


class CannotBeMade(_Odd):
    def __init__(self, name: str) -> None:
        raise RuntimeError("the vault is shut, password=hunter2")


class Leaves(_Odd):
    """Ends the process as if all were well."""

    def generate(self, context: Tensor, horizon: int, **options: object) -> Tensor:
        sys.exit(0)


class NotANumber(_Odd):
    def generate(self, context: Tensor, horizon: int, **options: object) -> Tensor:
        return super().generate(context, horizon, **options) * torch.nan


class Hungry(_Odd):
    """Copies the last frame, but has memory for two trials only; logs how many it was given."""

    def __init__(self, name: str, room: int, log: str) -> None:
        super().__init__(name)
        self.room, self.log = room, Path(log)

    def generate(self, context: Tensor, horizon: int, **options: object) -> Tensor:
        with self.log.open("a") as stream:
            stream.write(f"{len(context)}\n")
        if len(context) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().generate(context, horizon, **options)


class Slow(_Odd):
    """Adds noise seeded by item, slowly; logs the seeds of each call in a line."""

    def __init__(self, name: str, seconds: float, log: str) -> None:
        super().__init__(name, stochastic=True)
        self.seconds, self.log = seconds, Path(log)

    def generate(
        self,
        context: Tensor,
        horizon: int,
        *,
        samples: int,
        seeds: Sequence[int],
        **options: object,
    ) -> Tensor:
        still = super().generate(context, horizon, samples=samples, seeds=seeds)
        for seed, item in zip(seeds, still, strict=True):
            generator = torch.Generator().manual_seed(seed)
            item.add_(0.1 * torch.rand(item.shape, generator=generator)).clamp_(0, 1)
        with self.log.open("a") as stream:
            stream.write(" ".join(map(str, seeds)) + "\n")
        time.sleep(self.seconds)
        return still


class BrokenTracker:
    """Fails in the call named, and in no other."""

    def __init__(self, call: str) -> None:
        self.call = call

    def _maybe(self, call: str) -> None:
        if call == self.call:
            raise ConnectionError("no route to host")

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        self._maybe("start")

    def progress(self, done: int, total: int) -> None:
        self._maybe("progress")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._maybe("metrics")

    def record(self, record: Record) -> None:
        self._maybe("record")

    def trials(self, path: Path) -> None:
        self._maybe("trials")

    def videos(self, paths: Mapping[str, Path]) -> None:
        self._maybe("videos")

    def finish(self, *, failed: bool) -> None:
        self._maybe("finish")
