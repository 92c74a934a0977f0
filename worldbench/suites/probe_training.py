"""Chooses and fits probes: where features are taken and how heads are set, then the heads.

All is chosen on a fold of the labels that a probe is given, never on others: with few labels, on a
fold of the few. The place (layer, noise level) is chosen by the logistic probe, whose grid has as
many heads for every model; the other probes are set at that place, by grids that are the same for
all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldbench.probes.attentive_fit import Step, Tokens
from worldbench.probes.changes import Change
from worldbench.probes.credit import credit, surprise_at
from worldbench.probes.extraction import Pooled
from worldbench.probes.families import (
    ATTENTIVE,
    LOGISTIC,
    RIDGE,
    Heads,
    Settings,
    Subset,
    fit_mean,
    fit_tokens,
    grid_of,
    told,
)
from worldbench.probes.folds import selection_fold
from worldbench.probes.grid import FeatureCell
from worldbench.suite import Row

_Value = TypeVar("_Value")


Asked = Callable[[Tensor], Float[Tensor, "n k"]]
"""Maps what a probe sees of clips to classes' scores."""


@dataclass(frozen=True)
class Items:
    """Labelled clips to learn from.

    Attributes:
        labels: Class of each.
        clusters: Scene or source video of each.
        classes: All classes, in order.
    """

    labels: tuple[str, ...]
    clusters: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def targets(self) -> Int64[Tensor, " n"]:
        """The classes as numbers."""
        number = {name: i for i, name in enumerate(self.classes)}
        return torch.tensor([number[label] for label in self.labels])

    def of(self, index: Sequence[int]) -> "Items":
        """Returns some of them."""
        return replace(
            self,
            labels=tuple(self.labels[i] for i in index),
            clusters=tuple(self.clusters[i] for i in index),
        )


@dataclass(frozen=True)
class Choice:
    """What a fold chose.

    Attributes:
        cell: Where features are taken.
        settings: Of the heads, by probe.
        grid: One row per head that was tried, with what the fold said of it; none where there was
            nothing to choose on.
    """

    cell: FeatureCell
    settings: dict[str, float | Step]
    grid: tuple[Row, ...]


@dataclass(frozen=True)
class Fitted:
    """A probe at work.

    Attributes:
        probe: Which.
        cell: Where it takes features.
        change: What is done to clips before.
        factors: What else tells it from others: control, share, split.
        labels: How many it was given.
        setting: Of its head.
        scores: Maps what it sees of clips to classes' scores.
    """

    probe: str
    cell: FeatureCell
    change: Change
    factors: Mapping[str, str | float | int]
    labels: int
    setting: str
    scores: Asked


TokensAt = Callable[[FeatureCell], Tokens]
"""Gives all tokens of the items in a cell."""


def choose(
    items: Items, pooled: Pooled, tokens: TokensAt, probes: Sequence[str], settings: Settings
) -> Choice:
    """Chooses the cell and every probe's setting on a fold of the items.

    By accuracy on the fold; of equals, the one that is least surprised by the right classes, or for
    ridge, whose scores are no probabilities, the strongest penalty; then the first.

    Args:
        items: What may be learnt from.
        pooled: Their mean tokens, in every cell.
        tokens: Gives all of their tokens.
        probes: Which are set beside the logistic one.
        settings: Of the attentive probe.
    """
    cells = list(pooled)
    grid = grid_of(LOGISTIC, len(cells))
    held = selection_fold(items.labels, items.clusters)
    if held is None:
        usual = {probe: _middle(grid_of(probe)) for probe in (LOGISTIC, *probes)}
        return Choice(_middle(cells), usual, ())
    out = torch.tensor(held)
    fold = _Fold(items.targets, out, len(items.classes), settings)
    rows: list[Row] = []
    best: tuple[tuple[float, float], FeatureCell, float | Step] | None = None
    for cell in cells:
        found = fold.tried(LOGISTIC, cell, grid, pooled[cell], None)
        rows += [row for _, _, row in found]
        rank, setting, _ = max(found, key=lambda each: each[0])
        if best is None or rank > best[0]:
            best = rank, cell, setting
    assert best is not None
    _, cell, chosen = best
    answer: dict[str, float | Step] = {LOGISTIC: chosen}
    for probe in probes:
        if probe == LOGISTIC:
            continue
        seen = tokens(cell) if probe == ATTENTIVE else None
        found = fold.tried(probe, cell, grid_of(probe), pooled[cell], seen)
        rows += [row for _, _, row in found]
        answer[probe] = max(found, key=lambda each: each[0])[1]
    return Choice(cell, answer, tuple(rows))


@dataclass(frozen=True)
class _Fold:
    targets: Int64[Tensor, " n"]
    out: Tensor
    classes: int
    settings: Settings

    def tried(
        self,
        probe: str,
        cell: FeatureCell,
        grid: Sequence[float | Step],
        x: Float[Tensor, "n d"],
        tokens: Tokens | None,
    ) -> list[tuple[tuple[float, float], float | Step, Row]]:
        """Fits heads without the fold and asks them about it: rank, setting and row of each."""
        index, held = torch.arange(len(self.out))[~self.out], torch.arange(len(self.out))[self.out]
        if tokens is None:
            heads = fit_mean(
                probe, x[index], self.targets[index], self.classes, grid, self.settings.device
            )
            scores = heads(x[held])
        else:
            part = Subset(tokens, index)
            heads = fit_tokens(part, self.targets[index], self.classes, grid, self.settings)
            scores = torch.cat([heads(tokens.take(some)) for some in torch.split(held, 64)], dim=1)
        right = credit(scores, self.targets[held], 1).mean(dim=1)
        lost = torch.zeros(len(grid)) if probe == RIDGE else surprise_at(scores, self.targets[held])
        return [
            (
                (float(right[i]), -float(lost[i])),
                setting,
                {
                    "probe": probe,
                    "layer": cell.layer,
                    "depth": cell.depth,
                    "noise": cell.noise,
                    "setting": told(setting),
                    "fold_top1": float(right[i]),
                    "fold_surprise": None if probe == RIDGE else float(lost[i]),
                    "fold_clips": len(held),
                },
            )
            for i, setting in enumerate(grid)
        ]


def fit_chosen(
    probe: str,
    items: Items,
    targets: Int64[Tensor, " n"],
    setting: float | Step,
    x: Float[Tensor, "n d"] | Tokens,
    settings: Settings,
) -> Asked:
    """Fits one head of a probe on all items.

    Args:
        probe: Which.
        items: What is learnt from.
        targets: Their classes as numbers; shuffled ones for a control.
        setting: As chosen.
        x: Mean tokens, or for the attentive probe all tokens.
        settings: Of the attentive probe.
    """
    classes = len(items.classes)
    heads: Heads
    if isinstance(x, Tensor):
        heads = fit_mean(probe, x, targets, classes, (setting,), settings.device)
    else:
        heads = fit_tokens(x, targets, classes, (setting,), settings)
    return lambda seen: heads(seen)[0]


def _middle(grid: Sequence[_Value]) -> _Value:
    return grid[len(grid) // 2]
