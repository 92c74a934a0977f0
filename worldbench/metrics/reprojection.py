"""Anchored reprojection: does a foreseen frame show, from its true pose, what a real frame showed?

A point that a pixel of a *real* context frame i shows has, by true depth and true poses, a place in
frame j. The rollout's frame j, sampled at those places, is compared with the real frame: by
normalised cross-correlation for pixels, by cosine for latents. Two rollout frames compared with
each other would reward blur, which agrees with itself; the real frame is the anchor that blur,
grey and copies of the past cannot agree with. Pixels that are displaced too little are left out:
there the copied last context frame is right as well. That holds of the *last* context frame as
anchor; from an earlier one displacements are larger and the copy, a step old, still mostly right
(on dollies of the worlds, 8 frames of context, the copy's mean NCC is .86 from the first and .63
from the last).

The loss of Zhou et al. 2017 turned into a measure: there depth and pose are predicted and the
frames are real, here depth and pose are true and the frame is predicted.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from worldbench.errors import ContractError, UsageError
from worldbench.metrics.correspondence import (
    Correspondence,
    correspond,
    correspond_tokens,
    warp,
)
from worldbench.stats import Skill, skill

__all__ = [
    "Correspondence",
    "anchored_skill",
    "correspond",
    "correspond_tokens",
    "fit_path_speed",
    "masked_ncc",
    "token_cosine",
    "warp",
]

MIN_PIXELS = 32
"""Pixels below which a correlation says little: its noise is about 1/√n."""

MIN_TOKENS = 8
"""The same for tokens, which are fewer and whose cosine averages over many dimensions each."""

MIN_GAP = 0.05
"""By which the real future must beat the floor: resampling alone costs it .01 to .02."""

_FLAT = 1e-6  # spread over size below which float32 values differ by rounding alone


def masked_ncc(
    predicted: Float[Tensor, "c h w"],
    real: Float[Tensor, "c h w"],
    mask: Bool[Tensor, "h w"],
    *,
    min_pixels: int = MIN_PIXELS,
) -> float | None:
    """Zero-mean normalised cross-correlation over the masked pixels.

    Each channel loses its own mean, so that a flat picture of the right tint has nothing left;
    then all channels are correlated as one vector, so that a channel with little contrast weighs
    little instead of adding its noise at full size.

    Args:
        predicted: The warped frame of the rollout.
        real: The real context frame.
        mask: Of a :class:`Correspondence`.
        min_pixels: Fewest masked pixels.

    Returns:
        A value in [−1, 1]; 0 for a prediction without contrast, which says nothing of the scene;
        None where pixels are too few or the real side has no contrast.

    Raises:
        ContractError: If shapes differ, or a masked value is not finite.
    """
    guess, truth = _masked(predicted, real, mask)
    if guess.shape[1] < min_pixels:
        return None
    a, b = (values - values.mean(dim=1, keepdim=True) for values in (guess, truth))
    if float(b.norm()) <= _FLAT * float(truth.norm()):
        return None
    if float(a.norm()) <= _FLAT * float(guess.norm()):
        return 0.0
    correlation = float((a * b).sum() / (a.norm() * b.norm()))
    return min(1.0, max(-1.0, correlation))


def token_cosine(
    predicted: Float[Tensor, "d h w"],
    real: Float[Tensor, "d y x"],
    places_in_tokens: Float64[Tensor, "y x 2"],
    mask: Bool[Tensor, "y x"],
    mean: Float[Tensor, " d"],
    *,
    min_tokens: int = MIN_TOKENS,
) -> float | None:
    """Mean cosine of predicted tokens, sampled where real tokens went, and those real tokens.

    Both lose the mean latent first: latents share a large offset, which alone would make any two
    of them alike.

    Args:
        predicted: Tokens of the rollout's frame j.
        real: Tokens of the real context frame i.
        places_in_tokens: Of :func:`correspond_tokens`.
        mask: Of :func:`correspond_tokens`.
        mean: Mean latent over real data.
        min_tokens: Fewest masked tokens.

    Returns:
        A value in [−1, 1], where a token predicted as the mean counts as 0; None where tokens are
        too few, real ones that equal the mean not counted.

    Raises:
        ContractError: If shapes differ, or a masked value is not finite.
    """
    guess, truth = _masked(warp(predicted, places_in_tokens), real, mask)
    centre = mean.double()[:, None]
    (a, says), (b, known) = (_directions(x, centre) for x in (guess, truth))
    if int(known.sum()) < min_tokens:
        return None
    cosine = torch.where(says, (a * b).sum(dim=0), 0.0)[known].clamp(-1, 1)
    return float(cosine.mean())


def _masked(predicted: Tensor, real: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    if predicted.shape != real.shape or predicted.shape[-2:] != mask.shape:
        raise ContractError(
            "prediction, real frame and mask differ in shape",
            seen=", ".join(str(tuple(x.shape)) for x in (predicted, real, mask)),
        )
    guess, truth = predicted.double()[:, mask], real.double()[:, mask]
    if not (guess.isfinite().all() and truth.isfinite().all()):
        raise ContractError("a compared value is not finite", accepted="finite pixels and latents")
    return guess, truth


def _directions(tokens: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors from the mean to each token, and where there is one."""
    away = tokens - mean
    length = away.norm(dim=0)
    apart = length > _FLAT * torch.maximum(tokens.norm(dim=0), mean.norm(dim=0))
    return away / torch.where(apart, length, 1.0), apart


def anchored_skill(
    value: float | None,
    floor: float | None,
    ceiling: float | None,
    *,
    standard_error: float | None = 0.0,
) -> Skill:
    """Places a score between the copied last context frame (0) and the real future (1).

    Meant for means over pairs of frames: the skill of a mean is steadier than a mean of skills.

    Args:
        value: Mean NCC or cosine of the rollout, over the same pairs as the other two.
        floor: The same of ``copy_last``.
        ceiling: The same of the real future.
        standard_error: Of ``ceiling − floor``, see :func:`worldbench.stats.skill`; 0 where there is
            a single clip and only :data:`MIN_GAP` can guard.

    Returns:
        The skill, undefined where something was not measured, or where the real future does not
        beat the floor by 0.05 and by 3 standard errors.
    """
    if value is None or floor is None or ceiling is None:
        named = {"rollout": value, "floor": floor, "ceiling": ceiling}
        absent = ", ".join(name for name, score in named.items() if score is None)
        return Skill(None, f"not measured: {absent}")
    # One-sided: skill() would take a ceiling below the floor for a metric where lower is better.
    if ceiling - floor < MIN_GAP:
        return Skill(
            None, f"the real future beats the floor by {ceiling - floor:.3g}, {MIN_GAP} needed"
        )
    return skill(value, floor, ceiling, standard_error=standard_error)


def fit_path_speed(scores: Sequence[float | None], speeds: Sequence[float]) -> float | None:
    """Speed along the camera's path, 1 being the true one, at which a rollout agrees best.

    The vertex of the parabola through the best score and its measured neighbours. Scores at slow
    speeds exist only if taken with ``parallax=0``.

    Args:
        scores: Score at each speed, None where not measured.
        speeds: Distinct speeds, in any order.

    Returns:
        The speed; the outermost one measured if the best is there, since a parabola says nothing
        beyond; None if fewer than two scores are measured or all are equal, as a grey rollout's.

    Raises:
        UsageError: If numbers of scores and speeds differ, or a speed repeats or is not finite.
    """
    if len(scores) != len(speeds) or len(set(speeds)) < len(speeds):
        raise UsageError(
            "scores and speeds do not match",
            seen=f"{len(scores)} scores at speeds {list(speeds)}",
            accepted="one score, or None, for each of distinct speeds",
        )
    if not all(map(math.isfinite, speeds)):
        raise UsageError("a speed is not finite", seen=list(speeds))
    known = sorted((x, y) for x, y in zip(speeds, scores, strict=True) if y is not None)
    if len({y for _, y in known}) < 2:
        return None
    best = max(range(len(known)), key=lambda k: known[k][1])
    if best in (0, len(known) - 1):
        return known[best][0]
    (x0, y0), (x1, y1), (x2, y2) = known[best - 1 : best + 2]
    left, right = (x1 - x0) * (y1 - y2), (x1 - x2) * (y1 - y0)
    if left == right:  # the three are level
        return x1
    return x1 - ((x1 - x0) * left - (x1 - x2) * right) / (2 * (left - right))
