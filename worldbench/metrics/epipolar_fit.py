"""Fundamental matrices fitted to matches, for real videos whose cameras nobody knows.

A video scores well against a matrix fitted to itself, a frozen one perfectly. So a fit counts only
if its matches determine it: if they move, and no homography explains them. Conventions are those of
:mod:`worldbench.metrics.epipolar`.
"""
# ruff: noqa: N806 - F is what everyone calls it

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float64

from worldbench.metrics.epipolar import (
    MIN_MATCHES,
    Matrix,
    Points,
    require_finite,
    symmetric_epipolar_distance,
    unit,
)

_AGREEING = 0.6
"""Share of the matches that F must fit. Seven degrees of freedom fit up to 10 of 20 random matches
and 13 of 60 within ½ px; real pairs of 15 matches and more agree to at least three quarters."""

_EXPLAINED = 0.9
"""Share of the inliers that a homography must fit to count as an explanation. Measured at ½ px: .98
to 1 for a pure rotation, a pan and a frozen frame; .06 to .25 for a stereo pair of a motorcycle."""


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedFundamental:
    """A fundamental matrix fitted to matches, if they determine one.

    Attributes:
        F: The matrix, of Frobenius norm 1; ``None`` unless the status is ``"ok"``.
        inliers: Matches whose SED is below the tolerance; none without a model.
        displacement: Their median displacement, pixels; ``None`` without inliers.
        by_homography: Share of them that a homography fits as closely; ``None`` if not tried or
            if there is none.
        status: ``"ok"``, or what is in the way.
        reason: The same in words, with numbers; ``None`` if ``"ok"``.
    """

    F: Matrix | None
    inliers: Bool[np.ndarray, " n"]
    displacement: float | None
    by_homography: float | None
    status: Literal["ok", "too few matches", "no model", "little parallax", "homography"]
    reason: str | None


def estimate_fundamental(
    x_a: Points, x_b: Points, seed: int, *, parallax: float = 2.0, tolerance: float = 0.5
) -> EstimatedFundamental:
    """Fits F to matches robustly: GC-RANSAC (Barath and Matas 2018), then all inliers together.

    Args:
        x_a: Points of the first frame, pixels.
        x_b: Their matches in the second.
        seed: Of the sampling; equal seeds and matches give equal results.
        parallax: Smallest median displacement of the inliers, pixels.
        tolerance: Largest SED of an inlier, and transfer error of a homography's, pixels.

    Returns:
        The fit with its status. Points that stay, pan or turn together, that lie on a plane or on
        a line leave F undetermined, and it is ``None``.

    Raises:
        DataError: If values are not finite.
    """
    require_finite(x_a, x_b)
    none, count = np.zeros(len(x_a), dtype=bool), len(x_a)
    if count < MIN_MATCHES:
        reason = f"{count} matches, {MIN_MATCHES} needed"
        return EstimatedFundamental(None, none, None, None, "too few matches", reason)
    F = _fitted(x_a, x_b, seed, tolerance)
    inliers = none if F is None else symmetric_epipolar_distance(F, x_a, x_b) < tolerance
    if F is None or inliers.sum() < max(MIN_MATCHES, _AGREEING * count):
        reason = f"no matrix fits {_AGREEING:.0%} of {count} matches within {tolerance:g} px"
        return EstimatedFundamental(None, none, None, None, "no model", reason)
    a, b = x_a[inliers], x_b[inliers]
    moved = float(np.median(np.linalg.norm(a - b, axis=1)))
    if moved < parallax:
        reason = f"inliers move by {moved:.2g} px in the median, {parallax:g} needed"
        return EstimatedFundamental(None, inliers, moved, None, "little parallax", reason)
    share = _fitted_by_homography(a, b, seed, tolerance)
    if share is None:
        reason = "inliers determine not even a homography, as points of a line do"
        return EstimatedFundamental(None, inliers, moved, None, "no model", reason)
    if share >= _EXPLAINED:
        reason = f"a homography fits {share:.0%} of the inliers within {tolerance:g} px"
        return EstimatedFundamental(None, inliers, moved, share, "homography", reason)
    return EstimatedFundamental(unit(F), inliers, moved, share, "ok", None)


def checkerboard(x_a: Points, size: tuple[int, int], *, cells: int = 8) -> Bool[np.ndarray, " n"]:
    """Deals matches out to two halves, by where they are in the first frame.

    Neighbours fall into one half together, mostly, so that neither is told by the other where a
    keypoint is that both repeat; and either half is spread over the whole frame.

    Args:
        x_a: Points of the first frame, pixels.
        size: Its height and width in pixels.
        cells: Squares of the board along the shorter side.

    Returns:
        Whether a point lies on a black square.
    """
    squares = np.floor(x_a * (cells / min(size))).astype(np.int64)
    black: Bool[np.ndarray, " n"] = squares.sum(axis=1) % 2 == 0
    return black


def _fitted(x_a: Points, x_b: Points, seed: int, tolerance: float) -> Matrix | None:
    F = _robust(cv2.findFundamentalMat, x_a, x_b, seed, tolerance)
    if F is None:
        return None
    inliers = symmetric_epipolar_distance(F, x_a, x_b) < tolerance
    if inliers.sum() < MIN_MATCHES:
        return None
    # In 20 scenes of 160 matches (.1 px of noise) and 40 random ones, 5 seeds each, exact points
    # lay at most .05 px from their lines in the median; .18 px without this step, .19 px with
    # OpenCV's USAC_MAGSAC.
    again, _ = cv2.findFundamentalMat(x_a[inliers], x_b[inliers], cv2.FM_8POINT)
    if again is None:  # as of a frozen pair, which leaves nothing to solve
        return F
    refined: Float64[np.ndarray, "3 3"] = again
    kept = symmetric_epipolar_distance(refined, x_a, x_b) < tolerance
    return refined if kept.sum() >= inliers.sum() else F


def _fitted_by_homography(x_a: Points, x_b: Points, seed: int, tolerance: float) -> float | None:
    homography = _robust(cv2.findHomography, x_a, x_b, seed, tolerance)
    if homography is None:
        return None
    moved = cv2.perspectiveTransform(x_a[:, None], homography)[:, 0]
    return float(np.mean(np.linalg.norm(moved - x_b, axis=1) < tolerance))


def _robust(
    fit: Callable[..., Any], x_a: Points, x_b: Points, seed: int, tolerance: float
) -> Matrix | None:
    # OpenCV's preset USAC_ACCURATE, spelled out because presets take no seed.
    options = cv2.UsacParams()
    options.threshold, options.confidence, options.maxIterations = tolerance, 0.9999, 10_000
    options.sampler, options.score = cv2.SAMPLING_UNIFORM, cv2.SCORE_METHOD_MSAC
    options.loMethod, options.loIterations, options.loSampleSize = cv2.LOCAL_OPTIM_GC, 10, 50
    options.final_polisher, options.final_polisher_iterations = cv2.LSQ_POLISHER, 10
    options.randomGeneratorState, options.isParallel = seed, False
    try:
        model, _ = fit(x_a, x_b, options)
    except cv2.error as error:
        if "model.empty()" in str(error):  # OpenCV 5 may polish the model that it did not find
            return None
        raise
    return None if model is None or model.shape != (3, 3) else model.astype(np.float64)
