"""Where features are taken: layers by relative depth and noise levels, the same budget for all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldbench.adapter import Encodes, EncodesNoisy, Layered

DEPTHS = (0.25, 0.5, 0.75, 1.0)
"""Share of a network's layers after which features are taken."""

NOISE = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Share of noise in clips, for models that take noisy ones."""

BUDGET = 100
"""Heads that a selection chooses from, whatever the model: one with fewer layers or without noise
levels gets as many more penalties in the same range, so that none has more tries than another."""

WEAKEST, STRONGEST = 1e-2, 1e4
"""Penalties, beside the summed loss of all items: scikit-learn's 1/C and ridge's alpha."""


@dataclass(frozen=True)
class FeatureCell:
    """One place where features are taken.

    Attributes:
        layer: As the adapter calls it; None is its default.
        depth: Share of the layers up to it; 1 where the adapter names none.
        noise: Share of noise in the clips; None where there is no such thing.
    """

    layer: str | None
    depth: float
    noise: float | None

    def __str__(self) -> str:
        place = "its default layer" if self.layer is None else f"layer {self.layer}"
        return place if self.noise is None else f"{place}, noise {self.noise:g}"


def feature_cells(
    adapter: Encodes, depths: Sequence[float] = DEPTHS, noise: Sequence[float] = NOISE
) -> tuple[FeatureCell, ...]:
    """Lists the cells of an adapter, by noise level and depth."""
    names: tuple[str | None, ...] = (None,)
    if isinstance(adapter, Layered):
        names = tuple(adapter.layers)
    at = dict.fromkeys(max(0, round(depth * len(names)) - 1) for depth in depths)
    levels: tuple[float | None, ...] = (None,)
    if isinstance(adapter, EncodesNoisy):
        low, high = adapter.noise_range
        levels = tuple(level for level in noise if low <= level <= high)
    return tuple(FeatureCell(names[i], (i + 1) / len(names), level) for level in levels for i in at)


def penalties(cells: int, budget: int = BUDGET) -> tuple[float, ...]:
    """Returns the penalties for each of so many cells, strongest first, evenly in their logarithm.

    At least two, whatever the budget.
    """
    count = max(2, budget // cells)
    return tuple(float(v) for v in np.geomspace(STRONGEST, WEAKEST, count))
