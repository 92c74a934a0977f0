"""Ridge regression whose penalty is chosen by leaving whole scenes out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PENALTIES = tuple(10.0**power for power in range(0, -7, -1))
"""Ridge penalties tried, strongest first, in shares of the columns' mean variance."""

_FOLDS = 4


@dataclass(frozen=True)
class Map:
    """A linear map, fitted and frozen.

    Attributes:
        weights: ``d k``.
        offset: ``k``.
        penalty: One of those tried.
        held_out: What maps of this penalty say of each training item, fitted without its scene.
    """

    weights: Float[Tensor, "d k"]
    offset: Float[Tensor, " k"]
    penalty: float
    held_out: Float[Tensor, "n k"]

    def __call__(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        """Maps features, in float64."""
        return x.double() @ self.weights + self.offset


def fit(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n k"],
    clusters: Sequence[str],
    repeat: int = 1,
    penalties: Sequence[float] = PENALTIES,
) -> Map:
    """Fits min ‖(x − x̄) w − (y − ȳ)‖² + n·p·v‖w‖², v the mean variance of x's columns.

    One eigendecomposition of the normal equations, or of the dual where there are fewer items than
    columns, serves all penalties of a fold.

    Args:
        x: Features.
        y: Targets.
        clusters: Scene of each group of ``repeat`` neighbouring items.
        repeat: Items per entry of ``clusters``.
        penalties: Those tried, in shares as :data:`PENALTIES`; of equals the first counts.

    Raises:
        ValueError: If there are fewer than two scenes.
    """
    x, y = x.double().cpu(), y.double().cpu()
    folds = [fold.repeat_interleave(repeat) for fold in _folds(clusters)]
    held = {penalty: torch.empty_like(y) for penalty in penalties}
    for out in folds:
        for penalty, solved in _solutions(x[~out], y[~out], penalties).items():
            weights, offset = solved
            held[penalty][out] = x[out] @ weights + offset
    best = min(penalties, key=lambda penalty: float((held[penalty] - y).square().sum()))
    weights, offset = _solutions(x, y, (best,))[best]
    return Map(weights, offset, best, held[best])


def _solutions(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], penalties: Sequence[float]
) -> dict[float, tuple[Float[Tensor, "d k"], Float[Tensor, " k"]]]:
    """Solves for every penalty with one eigendecomposition of the smaller Gram matrix."""
    centre, level = x.mean(dim=0), y.mean(dim=0)
    x, y = x - centre, y - level
    scale = float(x.square().sum()) / x.shape[1] or 1.0  # n·v; constant features get no weight
    primal = x.shape[0] >= x.shape[1]
    values, vectors = torch.linalg.eigh(x.T @ x if primal else x @ x.T)
    right = vectors.T @ (x.T @ y if primal else y)
    found = {}
    for penalty in penalties:
        shrunk = right / (values.clamp(min=0) + penalty * scale)[:, None]
        weights = vectors @ shrunk if primal else x.T @ (vectors @ shrunk)
        found[penalty] = (weights, level - centre @ weights)
    return found


def _folds(clusters: Sequence[str]) -> list[Bool[Tensor, " n"]]:
    """Deals scenes out to folds, in the order of a hash of their names."""
    names = sorted(set(clusters), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(names) < 2:
        raise ValueError(f"cross-validation needs at least two scenes, got {len(names)}")
    dealt = [set(names[i::_FOLDS]) for i in range(min(_FOLDS, len(names)))]
    return [torch.tensor([name in fold for name in clusters]) for fold in dealt]
