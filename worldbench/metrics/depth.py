"""Depth read out of latents: share of close pixels (δ) and relative error, raw and after a fit.

δ_k is the share of pixels with max(d/d*, d*/d) < 1.25^k, and the absolute relative error the mean
of |d − d*| / d* (Eigen et al. 2014). Each is also given after the scale and shift that fit best in
the least squares (Ranftl et al. 2020, MiDaS), which forgives what a lens and a scene of unknown
size leave open.

MiDaS fits disparity, because its network predicts disparity. Here the fit is in depth: a fit in
disparity needs positive predictions, of which a single one near zero would decide the whole fit.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.errors import ContractError

MIN_PIXELS = 3
"""Pixels with a true depth below which there is no report: a line fits any two."""

_FLAT = 1e-9  # share of the values' norm below which their spread is rounding


@dataclass(frozen=True, slots=True)
class DepthScores:
    """How close depths came.

    Attributes:
        delta1: Share of pixels within a factor of 1.25.
        delta2: Within 1.25².
        delta3: Within 1.25³.
        abs_rel: Mean of |d − d*| / d*; unlike the shares it is unbounded, and a depth behind the
            camera adds what it adds.
    """

    delta1: float
    delta2: float
    delta3: float
    abs_rel: float


@dataclass(frozen=True, slots=True)
class DepthReport:
    """Depth scores of one map, or of several that share one fit.

    Attributes:
        raw: Of the prediction as it is, metres.
        fitted: After scale and shift.
        scale: The scale, not negative.
        shift: The shift, metres.
        pixels: Pixels with a true depth.
    """

    raw: DepthScores
    fitted: DepthScores
    scale: float
    shift: float
    pixels: int


def depth_report(predicted: Float[Tensor, "*s"], true: Float[Tensor, "*s"]) -> DepthReport | None:
    """Scores a depth map raw and after one least-squares fit over all its pixels.

    Args:
        predicted: Metres, of any sign: a read-out may say anything finite. Values that are not
            positive, before or after the fit, count as misses for every δ.
        true: Metres along the camera's axis; holes (not finite or not positive) are left out. MiDaS
            fits frame by frame; a whole clip passed at once also asks for one scale through time.

    Returns:
        The report; None where fewer than 3 pixels have a true depth.

    Raises:
        ContractError: If shapes differ, or a prediction is not finite.
    """
    if predicted.shape != true.shape:
        raise ContractError(
            "predicted and true depth differ in shape",
            seen=f"{tuple(predicted.shape)} and {tuple(true.shape)}",
        )
    if not predicted.isfinite().all():
        raise ContractError("a predicted depth is not finite", accepted="finite metres")
    known = true.isfinite() & (true > 0)
    guess, truth = predicted.double()[known], true.double()[known]
    if len(truth) < MIN_PIXELS:
        return None
    scale, shift = scale_and_shift(guess, truth)
    return DepthReport(
        raw=_scores(guess, truth),
        fitted=_scores(scale * guess + shift, truth),
        scale=scale,
        shift=shift,
        pixels=len(truth),
    )


def scale_and_shift(
    predicted: Float[Tensor, " n"], target: Float[Tensor, " n"]
) -> tuple[float, float]:
    """Scale s ≥ 0 and shift t that minimise Σ (s·predicted + t − target)².

    Unlike in MiDaS, s may not be negative: a map that has near and far the wrong way round would
    be turned over and rewarded. Where the free optimum is negative the constrained one is
    s = 0 and the mean of the target.

    Args:
        predicted: Depths, or whatever is to be fitted (disparities, logarithms).
        target: The same, true.

    Returns:
        Scale and shift; (0, mean of the target) for a constant prediction.
    """
    x, y = predicted.double(), target.double()
    spread, mean = x - x.mean(), float(y.mean())
    size = float(spread.norm())
    if size <= _FLAT * float(x.norm()):
        return 0.0, mean
    unit = spread / size  # squares of tiny or huge spreads would leave the range of floats
    scale = max(float(unit @ (y - mean)) / size, 0.0)
    return scale, mean - scale * float(x.mean())


def _scores(guess: Float64[Tensor, " n"], truth: Float64[Tensor, " n"]) -> DepthScores:
    # Both ratios of a negative depth are below any threshold: the naive formula calls it a hit.
    ratio = torch.where(guess > 0, torch.maximum(guess / truth, truth / guess), torch.inf)
    first, second, third = (float((ratio < 1.25**k).double().mean()) for k in (1, 2, 3))
    return DepthScores(first, second, third, float(((guess - truth).abs() / truth).mean()))
