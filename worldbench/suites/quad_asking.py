"""Asks every quad of a batch, by every operator an adapter has; shared by all suites of quads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.batches import to_pixels
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Batch, Row
from worldbench.suites.quad_scores import outcomes, trivial_outcomes
from worldbench.suites.quad_trials import Cut, cut_of, no_context, quad_clips
from worldbench.suites.surprise import SAMPLE_DISTANCE, Asking, operators_of


@runtime_checkable
class Reader(Protocol):
    """Reads rollouts of quads' contexts."""

    def read(
        self,
        adapter: Adapter,
        trials: Sequence[Trial],
        pairs: Float[Tensor, "n 2 t 3 h w"],
        cut: Cut,
        rolled: Float[Tensor, "n 2 s f 3 h w"] | None,
    ) -> list[list[Row]]:
        """Returns rows of each trial; ``rolled`` is None for adapters that foresee latents."""
        ...


@dataclass(frozen=True)
class QuadAsker:
    """Asks adapters about quads.

    Attributes:
        frames: Of every clip.
        asking: How questions are put.
        headline: Whether a trial counts in the headline.
        accuracy: The headline's name: the column of rows that the board compares.
        wider: Ids of the headline trials that every operator is asked about.
        read: Ids of the trials that are rolled out, of adapters that have futures of their own.
        reader: What reads rollouts.
    """

    frames: int
    asking: Asking
    headline: Callable[[Trial], bool]
    accuracy: str
    wider: frozenset[str]
    read: frozenset[str] = field(default_factory=frozenset)
    reader: Reader | None = None

    def rows(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks about the quads of a batch.

        Rows, in the order of the trials: one per trial and operator (role ``rollout`` for the
        headline operator, which the board compares; ``surprise`` for others), then one per space
        that rollouts are read in (role ``readout``). A trial without a legal context has one row
        that says so.

        Raises:
            ContractError: If the adapter's answers break the contract.
        """
        by_trial: list[list[Row]] = [[] for _ in batch.trials]
        cuts = [cut_of(adapter.card, trial, self.frames) for trial in batch.trials]
        for i, cut in enumerate(cuts):
            if cut is None:
                by_trial[i].append(_skipped(adapter.card, batch.trials[i]))
        for cut in sorted(
            {cut for cut in cuts if cut is not None}, key=lambda c: (c.context, c.end)
        ):
            places = [i for i, each in enumerate(cuts) if each == cut]
            for i, rows in zip(places, self._ask(adapter, batch, places, cut), strict=True):
                by_trial[i] += rows
        return [row for rows in by_trial for row in rows]

    def _ask(
        self, adapter: Adapter, batch: Batch, places: Sequence[int], cut: Cut
    ) -> list[list[Row]]:
        """Asks about trials that are cut at the same frames; returns the rows of each."""
        trials = [batch.trials[i] for i in places]
        clips = torch.stack([quad_clips(batch.of(i), cut) for i in places])
        rows: list[list[Row]] = [[] for _ in trials]
        rolled = self._rolled(adapter, trials, clips, cut)
        for number, operator in enumerate(operators_of(adapter.card)):
            asked = [i for i, t in enumerate(trials) if number == 0 or t.id in self.wider]
            if not asked:
                continue
            found = self._surprises(adapter, operator, trials, clips, cut, asked, rolled)
            for i, surprises in zip(asked, found, strict=True):
                row = _row(trials[i], cut, operator, headline=number == 0)
                row |= outcomes(surprises)
                if number == 0:
                    plain = self.headline(trials[i])
                    row[self.accuracy] = row["outcome"] if plain else None
                    row |= trivial_outcomes(clips[i], cut.context, prefixes=plain)
                rows[i].append(row)
        read = [i for i, trial in enumerate(trials) if trial.id in self.read]
        if read and self.reader is not None:
            own = [trials[i] for i in read]
            futures = None if rolled is None else torch.stack([rolled[i] for i in read])
            found_rows = self.reader.read(adapter, own, clips[read, :2], cut, futures)
            for i, more in zip(read, found_rows, strict=True):
                rows[i] += more
        return rows

    def _rolled(
        self,
        adapter: Adapter,
        trials: Sequence[Trial],
        clips: Float[Tensor, "n 4 t 3 h w"],
        cut: Cut,
    ) -> dict[int, Float[Tensor, "2 s f 3 h w"]] | None:
        """Rolls out A's and P's contexts where somebody asks for it: once for all who do."""
        own = operators_of(adapter.card)
        if SAMPLE_DISTANCE not in own:
            return None
        wanted = [
            i
            for i, trial in enumerate(trials)
            if own[0] == SAMPLE_DISTANCE or trial.id in self.wider | self.read
        ]
        if not wanted:
            return {}
        contexts = clips[wanted, :2, : cut.context].flatten(0, 1)
        ids = [trials[i].id for i in wanted for _ in range(2)]
        rolled = self.asking.rollouts(adapter, contexts, cut.horizon, ids)
        return dict(zip(wanted, rolled.reshape(len(wanted), 2, *rolled.shape[1:]), strict=True))

    def _surprises(
        self,
        adapter: Adapter,
        operator: str,
        trials: Sequence[Trial],
        clips: Float[Tensor, "n 4 t 3 h w"],
        cut: Cut,
        asked: Sequence[int],
        rolled: Mapping[int, Float[Tensor, "2 s f 3 h w"]] | None,
    ) -> Float[np.ndarray, "asked 4 steps"]:
        video = clips[list(asked)].flatten(0, 1)
        if operator == SAMPLE_DISTANCE:
            assert rolled is not None
            # I1 has A's context and I2 has P's: clips of one context share its rollouts.
            futures = torch.cat([rolled[i][[0, 1, 0, 1]] for i in asked])
            found = self.asking.sample_distance(adapter, futures, video[:, cut.context :])
        else:
            ids = [trials[i].id for i in asked for _ in range(4)]
            found = self.asking.surprise(adapter, operator, video, cut.context, ids)
        return found.reshape(len(asked), 4, -1)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns A, P, I1 and I2 side by side, and beside them what the adapter rolls out of A."""
        shown = {}
        for i, trial in enumerate(batch.trials):
            cut = cut_of(adapter.card, trial, self.frames)
            if cut is None:
                continue
            clips = quad_clips(batch.of(i), cut)
            panels = list(clips)
            rolled = self._rolled(adapter, [trial], clips[None], cut)
            if rolled:
                panels.append(torch.cat([clips[0, : cut.context], rolled[0][0, 0]]))
            shown[trial.id] = to_pixels(torch.cat(panels, dim=-1))
        return shown


def _row(trial: Trial, cut: Cut, operator: str, *, headline: bool) -> Row:
    return {
        "trial": trial.id,
        "cluster": trial.cluster,
        "role": "rollout" if headline else "surprise",
        "operator": operator,
        "context": cut.context,
        "horizon": cut.horizon,
    }


def _skipped(card: AdapterCard, trial: Trial) -> Row:
    why = no_context(card, trial)
    return {"trial": trial.id, "cluster": trial.cluster, "role": "skipped", "reason": why}
