"""The working half of the IntPhys suites: surprises of four movies, and who surprised more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.batches import to_pixels
from worldbench.data.quadruplets import Matched
from worldbench.schema import Trial
from worldbench.stats import pair_score
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.intphys_summary import AGGREGATES, HEADLINE, MINIMUM, Column, summarise
from worldbench.suites.surprise import Asking

if TYPE_CHECKING:
    from worldbench.suites.intphys import IntPhys, View

_POSSIBLE, _IMPOSSIBLE = slice(0, 2), slice(2, 4)


@dataclass(frozen=True)
class IntPhysScorer:
    """Asks about every movie of a quadruplet, and compares.

    Attributes:
        suite: Windows, contexts and samples.
        quadruplets: By trial id.
        setting: Device, precision, seed.
    """

    suite: "IntPhys"
    quadruplets: Mapping[str, Matched]
    setting: Setting

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Returns one row per quadruplet."""
        # As many windows at once as there are trials: where memory runs out, the batch is halved,
        # and this with it.
        at_once = len(batch.trials)
        return [
            self._row(adapter, trial, batch.of(i), at_once) for i, trial in enumerate(batch.trials)
        ]

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Averages the scores over quadruplets."""
        factors = {name: q.factors for name, q in self.quadruplets.items()}
        return summarise(rows, self.suite.contexts, factors)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns each quadruplet as it was shown: possible above, who belongs to them below."""
        found = {}
        for i, trial in enumerate(batch.trials):
            movies = batch.of(i)[:, : self.quadruplets[trial.id].frames]
            rows = [torch.cat([*movies[side]], dim=-1) for side in (_POSSIBLE, _IMPOSSIBLE)]
            found[trial.id] = to_pixels(torch.cat(rows, dim=-2))
        return found

    def _row(
        self, adapter: Adapter, trial: Trial, movies: Float[Tensor, "4 t 3 h w"], at_once: int
    ) -> Row:
        quadruplet = self.quadruplets[trial.id]
        views = self.suite.views(adapter.card, quadruplet.frames)
        # Contexts share the views of the beginning: each is asked once and counts once.
        distinct = sorted({view for seen in views.values() for view in seen})
        row: Row = {"trial": trial.id, "cluster": trial.cluster, "role": "rollout", "sample": 0}
        row |= {"exact": quadruplet.exact, "shorter": self.suite.untaken(adapter.card)}
        for place, operator in enumerate(self.suite.asked_operators(adapter.card)):
            asked = self._surprises(adapter, operator, trial.id, movies, distinct, at_once)
            row |= _scores(operator, views, asked, quadruplet, headline=place == 0)
        return row

    def _surprises(
        self,
        adapter: Adapter,
        operator: str,
        trial: str,
        movies: Float[Tensor, "4 t 3 h w"],
        views: Sequence["View"],
        at_once: int,
    ) -> dict["View", Float64[np.ndarray, " 4"]]:
        """Returns the mean surprise of each movie in each view, over the view's latent steps."""
        asking = Asking(self.setting, self.suite.samples)
        found: dict[View, Float64[np.ndarray, " 4"]] = {}
        for context, part in _parts(views, at_once):
            windows = [movies[:, v.start : v.start + self.suite.window] for v in part]
            # The four movies share all noise at each place; other places draw their own.
            noise_keys = [f"{trial}@{v.start}" for v in part for _ in range(len(movies))]
            steps = asking.surprise(adapter, operator, torch.cat(windows), context, noise_keys)
            means = steps.mean(axis=1).reshape(len(part), len(movies))
            found.update(zip(part, means, strict=True))
        return found


def _parts(views: Sequence["View"], at_once: int) -> Iterable[tuple[int, Sequence["View"]]]:
    """Cuts views into parts of one context each."""
    for context in sorted({view.context for view in views}):
        same = [view for view in views if view.context == context]
        for i in range(0, len(same), at_once):
            yield context, same[i : i + at_once]


def _scores(
    operator: str,
    views: Mapping[int, Sequence["View"]],
    asked: Mapping["View", Float64[np.ndarray, " 4"]],
    quadruplet: Matched,
    *,
    headline: bool,
) -> Row:
    """Returns the columns of one operator."""
    everything = np.stack([*asked.values()])
    ours = pair_score(everything[:, _IMPOSSIBLE], everything[:, _POSSIBLE])
    row: Row = {HEADLINE if headline else f"{HEADLINE}.{operator}": ours}
    # Beside the scores, so that other scores can be made of a record: P1, P2, I1, I2.
    row |= {f"surprise.{operator}.{n}": float(s) for n, s in enumerate(everything.mean(axis=0))}
    series = {context: np.stack([asked[view] for view in seen]) for context, seen in views.items()}
    lines: list[tuple[int | str, Float64[np.ndarray, "windows 4"]]] = [*series.items()]
    if len({len(values) for values in series.values()}) == 1:
        # What the published code calls filtered: the least surprised context at each place.
        lines.append((MINIMUM, np.stack([*series.values()]).min(axis=0)))
    for context, values in lines:
        for aggregate in AGGREGATES:
            column = Column(operator, context, aggregate)
            row[column.name] = relative_score(values, quadruplet.pairs, aggregate)
    return row


def relative_score(
    surprises: Float64[np.ndarray, "windows 4"], pairs: Sequence[tuple[int, int]], aggregate: str
) -> float:
    """Returns the share of pairs whose impossible movie surprises more, ties ½.

    The relative accuracy of Garrido et al. 2025 (arXiv 2502.11831), of one quadruplet.

    Args:
        surprises: Of the movies P1, P2, I1, I2, window by window.
        pairs: Places of a possible movie and the impossible one that belongs to it.
        aggregate: ``mean`` or ``max`` over windows.
    """
    over = surprises.max(axis=0, keepdims=True) if aggregate == "max" else surprises
    return float(np.mean([pair_score(over[:, i], over[:, p]) for p, i in pairs]))
