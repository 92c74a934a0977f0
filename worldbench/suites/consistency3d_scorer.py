"""The working half of ``consistency3d``: hands quads to who asks them, views to who reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8

from worldbench.adapter import Adapter, Generates
from worldbench.batches import to_pixels
from worldbench.data.source import ClipSource
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.consistency3d import is_headline, is_view
from worldbench.suites.consistency3d_summary import summarise
from worldbench.suites.consistency3d_views import ViewReader, looks_at_views
from worldbench.suites.quad_asking import QuadAsker
from worldbench.suites.quad_trials import QuadSource, first
from worldbench.suites.real_views import RealViewReader
from worldbench.suites.surprise import Asking
from worldbench.suites.training_views import TrainingViews
from worldbench.suites.view_rows import view_cut

if TYPE_CHECKING:
    from worldbench.suites.consistency3d import Consistency3D


@dataclass(frozen=True)
class Consistency3DScorer:
    """Asks adapters about quads and views.

    Attributes:
        suite: Its options.
        data: The quads and views.
        trials: All trials, by id.
        quads: Asks about quads.
        views: Asks about views.
    """

    suite: "Consistency3D"
    data: ClipSource
    trials: Mapping[str, Trial]
    quads: QuadAsker
    views: ViewReader | RealViewReader

    @classmethod
    def load(
        cls, suite: "Consistency3D", data: ClipSource, setting: Setting
    ) -> "Consistency3DScorer":
        """Lists the trials; nothing is computed yet."""
        trials = {trial.id: trial for trial in suite.trials(data)}
        counted = [trial.id for trial in trials.values() if is_headline(trial)]
        asking = Asking(setting, suite.samples)
        wider = first(counted, suite.secondary)
        frames = int(data.protocol["frames"])
        quads = QuadAsker(frames, asking, is_headline, "rigidity_accuracy", wider)
        if isinstance(data, QuadSource):
            training = TrainingViews(data, setting)
            return cls(suite, data, trials, quads, ViewReader(data, asking, training))
        return cls(suite, data, trials, quads, RealViewReader(data, asking))

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks about a batch; rows in the order of the trials.

        Raises:
            ContractError: If the adapter's answers break the contract.
            DataError: If there are no training views to fit read-outs on.
        """
        rows: list[Row] = []
        start = 0
        for views, group in groupby(batch.trials, key=is_view):
            part = batch[start : start + len(list(group))]
            start += len(part.trials)
            rows += self._views(adapter, part) if views else self.quads.rows(adapter, part)
        return rows

    def _views(self, adapter: Adapter, batch: Batch) -> list[Row]:
        cut, real = view_cut(adapter.card, self.quads.frames), not isinstance(self.data, QuadSource)
        if cut is None or not looks_at_views(adapter.card, real=real):
            why = _why_not(adapter.card, legal=cut is not None, real=real)
            return [
                {"trial": t.id, "cluster": t.cluster, "role": "skipped", "reason": why}
                for t in batch.trials
            ]
        video = torch.stack([batch.of(i)[0] for i in range(len(batch.trials))])
        return [row for rows in self.views.rows(adapter, batch.trials, video, cut) for row in rows]

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Turns the rows of all trials into metrics."""
        return summarise(rows, self.trials)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns quads as ``permanence`` shows them, and views beside their rollouts."""
        shown: dict[str, UInt8[np.ndarray, "t h w 3"]] = {}
        for i, trial in enumerate(batch.trials):
            cut = view_cut(adapter.card, self.quads.frames)
            if not is_view(trial):
                shown |= self.quads.examples(adapter, batch[i : i + 1])
            elif cut is not None and isinstance(adapter, Generates):
                video = batch.of(i)[:, : cut.end]
                context = video[:, : cut.context]
                rolled = self.quads.asking.rollouts(adapter, context, cut.horizon, [trial.id])
                both = [video[0], torch.cat([context[0], rolled[0, 0]])]
                shown[trial.id] = to_pixels(torch.cat(both, dim=-1))
        return shown


def _why_not(card: AdapterCard, *, legal: bool, real: bool) -> str:
    if not legal:
        return f"no context that is legal for {card.name} leaves a future"
    if real:
        return f"{card.name} generates no pixels: of real views nothing else is measured"
    return f"{card.name} neither generates nor encodes: there is no view to look at"
