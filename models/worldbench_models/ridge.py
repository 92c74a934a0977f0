"""What is read off latents: ridge regression in closed form, in float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

PENALTIES = tuple(10.0 ** (half / 2) for half in range(-10, 7))
"""Grid of λ for :func:`ridge_r2`, per row of standardised features: 1e-5 to 1e3, two a decade."""

HELD = 0.2
"""Share of the training rows on which λ is chosen."""

_ROUNDING = 1e-6  # of float32, relative to a column's size


@dataclass(frozen=True)
class Ridge:
    """How well columns are read off features.

    Attributes:
        r2: R² of each column on the test rows.
        penalty: λ chosen for each column.
        held_r2: R² of each column on the held-out training rows, with that λ.
    """

    r2: tuple[float, ...]
    penalty: tuple[float, ...]
    held_r2: tuple[float, ...]


def ridge_r2(
    train_x: Float[Tensor, "n d"],
    train_y: Float[Tensor, "n k"],
    test_x: Float[Tensor, "m d"],
    test_y: Float[Tensor, "m k"],
    *,
    group: int = 1,
    penalties: Sequence[float] = PENALTIES,
) -> Ridge:
    """Reads columns off features by ridge regression in closed form.

    Minimises mean (y − xw − b)² + λ‖w‖² over the training rows, features standardised there (Hoerl
    & Kennard 1970), one eigendecomposition for all λ. λ is chosen for each column on the last
    ``HELD`` of the training rows, after a fit to the others, then fitted again to all of them. Test
    rows choose nothing.

    Args:
        train_x: Features, finite.
        train_y: Truth; rows with a NaN are dropped, in the test part too.
        test_x: Features to score on.
        test_y: Their truth.
        group: Rows that belong together, such as the steps of a clip: none is split by the fold.
        penalties: Grid of λ.

    Returns:
        R² = 1 − Σ(y − ŷ)² / Σ(y − mean of the scored y)², and what was chosen.

    Raises:
        ValueError: If a part has no row or a column that does not vary.
    """
    clips = -(-len(train_x) // group)
    kept = torch.arange(len(train_x), device=train_x.device) < (clips - round(HELD * clips)) * group
    fit = _usable(train_x, train_y, kept)
    held = _usable(train_x, train_y, ~kept)
    scores = torch.stack([_r2(held[1], guess) for guess in _fitted(*fit, held[0], penalties)])
    best = scores.argmax(dim=0)
    every = _usable(train_x, train_y, torch.ones_like(kept))
    test = _usable(test_x, test_y, torch.ones(len(test_x), dtype=torch.bool, device=test_x.device))
    guesses = torch.stack(_fitted(*every, test[0], penalties))
    columns = torch.arange(len(best), device=best.device)
    r2 = _r2(test[1], guesses[best, :, columns].T)
    return Ridge(
        tuple(r2.tolist()),
        tuple(float(penalties[index]) for index in best.tolist()),
        tuple(scores[best, columns].tolist()),
    )


def _usable(
    x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], wanted: Bool[Tensor, " n"]
) -> tuple[Float64[Tensor, "m d"], Float64[Tensor, "m k"]]:
    rows = wanted & ~y.isnan().any(dim=1)
    return x[rows].double(), y[rows].double()


def _fitted(
    x: Float64[Tensor, "n d"],
    y: Float64[Tensor, "n k"],
    asked: Float64[Tensor, "m d"],
    penalties: Sequence[float],
) -> list[Float64[Tensor, "m k"]]:
    """Fits to x and y and returns what each λ says of other rows."""
    if len(x) < 2:
        raise ValueError(f"{len(x)} rows with a truth are too few to fit")
    centre, scale = x.mean(dim=0), x.std(dim=0, correction=0)
    # What varies less is rounding; divided by infinity, it gets no weight.
    plain = scale <= _ROUNDING * x.square().mean(dim=0).sqrt()
    scale = torch.where(plain, torch.inf, scale)
    rows, level = (x - centre) / scale, y.mean(dim=0)
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(x))
    turned = vectors.T @ (rows.T @ (y - level) / len(x))
    shown = (asked - centre) / scale @ vectors
    values = values.clamp_min(0)[:, None]
    return [shown @ (turned / (values + penalty)) + level for penalty in penalties]


def _r2(y: Float64[Tensor, "m k"], guess: Float64[Tensor, "m k"]) -> Float64[Tensor, " k"]:
    about = (y - y.mean(dim=0)).square().sum(dim=0) if len(y) else y.new_zeros(y.shape[1])
    if not bool((about > 0).all()):
        raise ValueError(f"{len(y)} rows to score on, with a column that does not vary")
    return 1 - (guess - y).square().sum(dim=0) / about
