"""The contract between the loop and a suite.

A suite is declarative: it names its trials and protocol. Its scorer, made once the data and the
device are known, turns batches into rows and rows into metrics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.data.source import ClipSource
from worldbench.progress import Progress
from worldbench.scale import Scale
from worldbench.schema import AdapterCard, MetricResult, Trial, seed_of

Row = dict[str, Any]
"""One line of the trials table: ``trial``, ``cluster``, ``role`` and a suite's own columns."""


@dataclass(frozen=True)
class Setting:
    """How a run is carried out.

    Attributes:
        device: Where adapter and extractor run.
        precision: ``fp32``, ``bf16`` or ``fp16``: autocast around the adapter's calls.
        batch_size: Trials at once.
        num_workers: Threads that decode ahead of the model; 0 decodes when a batch is due.
        seed: Of the rollouts; ``seeds_for`` derives each trial's own from it.
        limit: Only the first N trials, or all.
        progress: Where progress is told.
    """

    device: torch.device
    precision: str = "fp32"
    batch_size: int = 16
    num_workers: int = 0
    seed: int = 0
    limit: int | None = None
    progress: Progress = field(default_factory=Progress)

    def autocast(self) -> torch.autocast:
        """Returns the context in which adapters are called."""
        kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds[self.precision]
        return torch.autocast(self.device.type, dtype=kind, enabled=kind != torch.float32)

    def seeds_for(self, trials: Sequence[Trial]) -> list[int]:
        """Returns the seed of each trial, derived from the run's seed and the trial's id alone.

        A trial's noise is then the same in any batch and under any limit. Hashed, not summed: with
        sums the runs of seeds 0 and 1 would share the noise of all trials but one, and would not be
        independent draws.
        """
        return [self.seed_for(trial.id) for trial in trials]

    def seed_for(self, trial: str) -> int:
        """Returns the seed of one trial, by its id."""
        return seed_of(self.seed, trial)


@dataclass(frozen=True)
class Batch:
    """Trials with their clips.

    Attributes:
        trials: The trials.
        clips: The videos of each trial, trial after trial, ``n t 3 h w``, float32 in [0, 1], on the
            run's device.
        ordinal: Position of the first trial in the suite's list.
    """

    trials: tuple[Trial, ...]
    clips: Float[Tensor, "n t 3 h w"]
    ordinal: int

    def __getitem__(self, part: slice) -> "Batch":
        """Returns neighbouring trials with their clips."""
        first, last, _ = part.indices(len(self.trials))
        ends = np.cumsum([0, *(len(trial.clips) for trial in self.trials)])
        clips = self.clips[int(ends[first]) : int(ends[last])]
        return Batch(self.trials[part], clips, self.ordinal + first)

    def of(self, i: int) -> Float[Tensor, "c t 3 h w"]:
        """Returns the clips of the i-th trial, in the order in which it names them."""
        return self[i : i + 1].clips


@dataclass(frozen=True)
class Summary:
    """What a suite concludes: its metrics, and the rows that the record keeps."""

    metrics: tuple[MetricResult, ...]
    rows: tuple[Row, ...]


@runtime_checkable
class Scorer(Protocol):
    """A suite at work, with everything it needs loaded."""

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Puts one batch of questions to the adapter."""
        ...

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Turns the rows of all trials, in trial order, into metrics with intervals."""
        ...

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns a few videos that show what the adapter did, for trackers."""
        ...


@runtime_checkable
class Notes(Protocol):
    """Has more to say of a run: what another machine would not repeat, hence no metric."""

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the record's provenance, known when all trials have been scored."""
        ...


@runtime_checkable
class Fits(Protocol):
    """Fits heads of its own within a run: another machine's rounding moves a few of its answers.

    Attributes:
        slack: By how much a score may then differ when a record is verified, by metric; in the
            metric's unit.
    """

    slack: ClassVar[Mapping[str, float]]


@runtime_checkable
class BeyondRows(Protocol):
    """Makes metrics of more than the rows that a record keeps, e.g. of the features of rollouts.

    They can only be checked by running all trials again.

    Attributes:
        beyond_rows: What else they are made of, in words.
    """

    beyond_rows: ClassVar[str]


@runtime_checkable
class Scaled(Protocol):
    """Has metrics that worldbench doesn't ship, and tells what their values are read on.

    Attributes:
        scales: Floors and ceilings by metric, for the board; they become part of the protocol.
    """

    scales: ClassVar[Mapping[str, Scale]]


@runtime_checkable
class Suite(Protocol):
    """Versioned trials and a protocol.

    Attributes:
        name: As records and the board show it.
        version: Raised whenever scores change their meaning.
        accepts: Capabilities of which an adapter needs at least one.
        metric_versions: Version of each metric's arithmetic.
        samples: Rollouts that the suite asks for per trial.
    """

    name: str
    version: str
    accepts: tuple[str, ...]
    metric_versions: Mapping[str, str]
    samples: int

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists every trial, in a fixed order."""
        ...

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns everything that fixes the meaning of the scores, JSON-serialisable."""
        ...

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None if it can."""
        ...

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Loads what scoring needs."""
        ...


def lacks_capability(card: AdapterCard, accepts: Sequence[str]) -> str | None:
    """Says which capability an adapter would need, or None if it has one that is accepted."""
    if set(accepts) & set(card.capabilities):
        return None
    has = ", ".join(card.capabilities) or "none"
    return f"the suite needs an adapter that {' or '.join(accepts)}; {card.name} has: {has}"
