"""What latents are worth: their rank and spread, how well they are foreseen, what is read off them.

Pure functions on any device, in float64 where sums are long. They watch a training for collapse
(design §11) and are what the gates of a predictor measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

PENALTIES = tuple(10.0 ** (half / 2) for half in range(-10, 7))
"""Grid of λ for :func:`ridge_r2`, per row of standardised features: 1e-5 to 1e3, two a decade."""

HELD = 0.2
"""Share of the training rows on which λ is chosen."""


def rank_me(features: Float[Tensor, "n d"]) -> float:
    """Returns the effective rank of features: in how many directions they vary, softly counted.

    The exponential of the entropy of σ / Σσ over the singular values of the centred features:
    RankMe (Garrido et al. 2023, arXiv 2210.02885, eq. 3; its ε guards the logarithm alone, and
    0 log 0 is 0 here), after Roy & Vetterli 2007. Centred (design §11), so that one large mean
    does not hide, or pass for, the directions in which features differ. k equal singular values
    give k.

    Args:
        features: One row per sample; its rank is at most min(n - 1, d).

    Returns:
        1 to min(n, d); 0 if nothing varies at all.
    """
    rows = features.double()
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    total = values.sum()
    if float(total) == 0:
        return 0.0
    share = values / total
    return float(torch.exp(-torch.xlogy(share, share).sum()))


def spread(features: Float[Tensor, "n d"]) -> float:
    """Returns the mean over channels of the standard deviation over rows (n - 1), 0 if collapsed.

    As VICReg watches it (Bardes et al. 2022, arXiv 2105.04906, §4.1).
    """
    return float(features.double().std(dim=0).mean())


@dataclass(frozen=True, eq=False)
class Constants:
    """What can be said of latents before seeing any context, fitted on real ones.

    Attributes:
        mean: The one mean of all tokens.
        median: Of each position and channel over clips and steps: what never moves.
    """

    mean: Float[Tensor, " d"]
    median: Float[Tensor, "h w d"]


def constants(real: Float[Tensor, "n t h w d"]) -> Constants:
    """Fits the constant baselines of :func:`prediction_skill`.

    Args:
        real: Latents of clips that are not scored, encoded as those that are.
    """
    flat = real.flatten(0, 1)
    mean = flat.mean(dim=(0, 1, 2), dtype=torch.float64).to(real.dtype)
    rows = [row.median(dim=0).values for row in flat.unbind(dim=1)]  # the whole would be copied
    return Constants(mean, torch.stack(rows))


BASELINES = ("mean", "median", "copy", "still")
"""``mean`` and ``median`` of :class:`Constants`; the latents of the last context step, copied
(poor where latents tell the step they are at, or how long the clip is); and those of a future in
which the last context frame stands still, which only what moves can beat."""


@dataclass(frozen=True, eq=False)
class Skills:
    """Errors of a prediction and of its baselines, one per clip, so that clips can be resampled.

    Each is the mean absolute error over a clip's future tokens and channels.

    Attributes:
        prediction: Of what was predicted.
        mean: Of the global mean.
        median: Of the median of each position and channel.
        copy: Of the last context step's latents, copied to every future step.
        still: Of the latents of a future in which the last context frame stands still.
    """

    prediction: Float64[Tensor, " n"]
    mean: Float64[Tensor, " n"]
    median: Float64[Tensor, " n"]
    copy: Float64[Tensor, " n"]
    still: Float64[Tensor, " n"]

    def against(self, baseline: str) -> float:
        """Returns 1 − Σ error of the prediction / Σ error of the baseline over clips.

        Args:
            baseline: One of :data:`BASELINES`.

        Returns:
            1 for a perfect prediction, 0 for one as good as the baseline, below 0 for a worse one.

        Raises:
            ValueError: If there is no such baseline, or it makes no error to compare with.
        """
        if baseline not in BASELINES:
            raise ValueError(f"baseline {baseline!r} is none of {', '.join(BASELINES)}")
        below = float(getattr(self, baseline).sum())
        if below == 0:
            raise ValueError(f"{baseline} makes no error: latents that never differ have no skill")
        return 1 - float(self.prediction.sum()) / below


def prediction_skill(
    predicted: Float[Tensor, "n f h w d"],
    came: Float[Tensor, "n f h w d"],
    last: Float[Tensor, "n h w d"],
    still: Float[Tensor, "n f h w d"],
    known: Constants,
) -> Skills:
    """Compares predicted latents with those that came, in L1 as V-JEPA's loss has it.

    The skill of forecasts is that of meteorology (Murphy 1988, Mon. Weather Rev. 116), with
    absolute in the place of squared errors (Bardes et al. 2024, arXiv 2404.08471, eq. 1).

    Args:
        predicted: Latents of the future, from the context alone.
        came: Latents of the real future.
        last: Real latents of the last context step.
        still: Latents of the future, were every frame of it the last of the context.
        known: Constant baselines, fitted on other clips.

    Returns:
        Errors by clip.
    """
    return Skills(
        _clip_error(predicted, came),
        _clip_error(known.mean.expand_as(came), came),
        _clip_error(known.median.expand_as(came), came),
        _clip_error(last[:, None].expand_as(came), came),
        _clip_error(still, came),
    )


def joined(parts: Sequence[Skills]) -> Skills:
    """Puts the clips of several batches together."""
    return Skills(
        torch.cat([part.prediction for part in parts]),
        torch.cat([part.mean for part in parts]),
        torch.cat([part.median for part in parts]),
        torch.cat([part.copy for part in parts]),
        torch.cat([part.still for part in parts]),
    )


def _clip_error(one: Tensor, other: Tensor) -> Float64[Tensor, " n"]:
    return (one.float() - other.float()).abs().mean(dim=(1, 2, 3, 4), dtype=torch.float64)


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
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
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
