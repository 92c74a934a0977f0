"""The working half of ``permanence``: asks every quad, and hands rollouts to the read-outs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from worldbench.adapter import Adapter
from worldbench.schema import Trial
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.permanence import is_headline
from worldbench.suites.permanence_rollouts import CONTRASTS, RolloutReader, foresees, is_read
from worldbench.suites.permanence_summary import summarise
from worldbench.suites.quad_asking import QuadAsker
from worldbench.suites.quad_trials import QuadSource, first
from worldbench.suites.surprise import Asking

if TYPE_CHECKING:
    from worldbench.suites.permanence import Permanence


@dataclass(frozen=True)
class PermanenceScorer:
    """Asks adapters about quads.

    Attributes:
        suite: Its options.
        data: The quads and their truth.
        trials: All trials, by id.
        wider: Ids of the headline trials that every operator is asked about.
        read: Ids of the trials that are rolled out.
        asking: How questions are put.
        reader: What reads rollouts.
    """

    suite: "Permanence"
    data: QuadSource
    trials: Mapping[str, Trial]
    wider: frozenset[str]
    read: frozenset[str]
    asking: Asking
    reader: RolloutReader

    @classmethod
    def load(cls, suite: "Permanence", data: QuadSource, setting: Setting) -> "PermanenceScorer":
        """Lists the trials; nothing is computed yet."""
        trials = {trial.id: trial for trial in suite.trials(data)}
        counted = [trial.id for trial in trials.values() if is_headline(trial)]
        kinds = [
            [t.id for t in trials.values() if is_read(t) and t.factors["violation"] == violation]
            for violation in CONTRASTS
        ]
        asking = Asking(setting, suite.samples)
        return cls(
            suite,
            data,
            trials,
            first(counted, suite.secondary),
            frozenset().union(*(first(kind, suite.rollouts) for kind in kinds)),
            asking,
            RolloutReader(data, asking),
        )

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks about the quads of a batch (:meth:`~worldbench.suites.quad_asking.QuadAsker.rows`).

        Raises:
            ContractError: If the adapter's answers break the contract.
        """
        return self._asker(adapter).rows(adapter, batch)

    def _asker(self, adapter: Adapter) -> QuadAsker:
        read = self.read if foresees(adapter.card) else frozenset()
        return QuadAsker(
            self.data.frames,
            self.asking,
            is_headline,
            "pair_accuracy",
            self.wider,
            read,
            self.reader,
        )

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Turns the rows of all trials into metrics."""
        return summarise(rows, self.trials, self.suite)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns A, P, I1 and I2 side by side, and beside them what the adapter rolls out of A."""
        return self._asker(adapter).examples(adapter, batch)
