"""The working half of ``cost``: makes every call, counts it and takes its time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8

from worldbench.adapter import Adapter
from worldbench.flops import Counted, count
from worldbench.schema import AdapterCard, MetricResult
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.cost_questions import Asked, Questions, at_own_size
from worldbench.suites.means import mean_of
from worldbench.suites.surprise import headline_operator

if TYPE_CHECKING:
    from worldbench.suites.cost import Cost

CALLS = {
    "encode": "GFLOP a clip",
    "predict": "GFLOP a second foreseen",
    "generate": "GFLOP a second foreseen",
    "surprise": "GFLOP a quad",
}
"""What is asked, and what its cost is told per."""

_FREE = "no matrix product, convolution or attention; other arithmetic does not count"


@dataclass(frozen=True)
class CostScorer:
    """Counts what calls cost.

    Attributes:
        suite: Lengths.
        fps: Of the data, for adapters without a rate of their own.
        setting: Device, precision, seed.
    """

    suite: "Cost"
    fps: float
    setting: Setting
    _seconds: dict[str, list[float]] = field(default_factory=dict)

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks everything about every pair of clips; one row per pair and call."""
        return [
            row
            for i, trial in enumerate(batch.trials)
            for row in self._rows(adapter, trial.id, trial.cluster, batch.of(i))
        ]

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Averages counts over pairs; a call that could not be counted has the reason instead."""
        found = [_parameters(rows)]
        for call, unit in CALLS.items():
            found.append(_operations(call, unit, [row for row in rows if row["call"] == call]))
        return Summary(tuple(found), tuple(rows))

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns nothing: costs make no videos."""
        return {}

    @property
    def notes(self) -> tuple[str, ...]:
        """How long calls took on this machine, for the record's provenance."""
        return tuple(
            f"{call}: {median(taken):.4g} s (median of {len(taken)} calls, {self._length(call)})"
            for call, taken in self._seconds.items()
        )

    def _length(self, call: str) -> str:
        suite = self.suite
        return {
            "encode": f"a clip of {suite.frames} frames",
            "surprise": f"the 4 clips of a quad, {suite.frames} frames each",
        }.get(call, f"{suite.horizon} frames after {suite.context}")

    def _rows(self, adapter: Adapter, trial: str, cluster: str, pair: torch.Tensor) -> list[Row]:
        card, suite = adapter.card, self.suite
        clips = at_own_size(card, pair[:, : suite.frames])
        seed = self.setting.seed_for(trial)
        questions = Questions(adapter, clips, suite.context, trial, seed)
        rows: list[Row] = []
        for call in CALLS:
            asked = questions.of(call)
            row: Row = {"trial": trial, "cluster": cluster, "role": "cost", "call": call}
            row |= {"parameters": card.parameters, "gflops": None, "told": None}
            if isinstance(asked, str):
                row["told"] = asked
            else:
                counted = self._counted(call, asked)
                row["gflops"] = self._told_per(call, card, counted)
                row["told"] = counted.why_incomplete or _beside(call, card, counted)
            rows.append(row)
        return rows

    def _counted(self, call: str, asked: Asked) -> Counted:
        """Counts a call. Whatever is done only once is done before, and the clock goes after."""
        with torch.inference_mode(), self.setting.autocast():
            asked.check(asked.call())
            found = count(asked.call)
            self._wait()
            started = time.perf_counter()
            asked.call()
            self._wait()
        self._seconds.setdefault(call, []).append(time.perf_counter() - started)
        return found

    def _wait(self) -> None:
        if self.setting.device.type == "cuda":
            torch.cuda.synchronize(self.setting.device)

    def _told_per(self, call: str, card: AdapterCard, counted: Counted) -> float | None:
        if counted.uncounted:
            return None
        gflops = counted.flops / 1e9
        if call not in ("predict", "generate"):
            return gflops
        return gflops / (self.suite.horizon / (card.fps or self.fps))


def _beside(call: str, card: AdapterCard, counted: Counted) -> str | None:
    operator = f"by {headline_operator(card)}" if call == "surprise" else None
    free = _FREE if counted.flops == 0 else None
    return "; ".join(part for part in (operator, free) if part) or None


def _parameters(rows: Sequence[Row]) -> MetricResult:
    number = rows[0]["parameters"]
    common = {"name": "parameters", "higher_is_better": False}
    if number is None:
        return MetricResult(**common, status="skipped", reason="the adapter's card does not tell")
    return MetricResult(**common, value=number)


def _operations(call: str, unit: str, rows: Sequence[Row]) -> MetricResult:
    told = list(dict.fromkeys(row["told"] for row in rows if row["told"] is not None))
    if any(row["gflops"] is None for row in rows):
        return MetricResult(
            name=f"{call}_gflops",
            unit=unit,
            higher_is_better=False,
            status="skipped",
            reason="; ".join(told),
        )
    return mean_of(
        f"{call}_gflops",
        rows,
        lambda row: float(row["gflops"]),
        {},
        better=False,
        unit=unit,
        bounded=False,
        reason="; ".join(told) or None,
    )
