"""Two-view geometry: fundamental matrices, and how far matches lie from their epipolar lines.

Cameras are camera-to-world 4×4 matrices, x right, y down, z forward (OpenCV), with intrinsics K in
pixels. Points are (x, y) in pixels; pixel (row i, column j) has its centre at (j + ½, i + ½).
Formulas are those of Hartley and Zisserman, *Multiple View Geometry*, 2nd edition.
"""
# ruff: noqa: N803, N806 - K and F are what everyone calls them

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float64

from worldbench.errors import DataError

Points = Float64[np.ndarray, "n 2"]
Matrix = Float64[np.ndarray, "3 3"]

MIN_MATCHES = 10
"""Fewer matches say nothing about a pair of frames (Yu et al. 2023)."""

_FLOAT32 = float(np.finfo(np.float32).eps)
_EXPLAINED = 0.9
"""Share of the inliers that a homography must fit to count as an explanation. Measured at a
tolerance of ½ px: .98 to 1 for a pure rotation, a pan and a frozen frame; .06 to .25 for a stereo
pair of a motorcycle."""


def fundamental(
    K_a: Float[np.ndarray, "3 3"],
    c2w_a: Float[np.ndarray, "4 4"],
    K_b: Float[np.ndarray, "3 3"],
    c2w_b: Float[np.ndarray, "4 4"],
) -> Matrix:
    """Fundamental matrix of two known cameras: x_bᵀ F x_a = 0 for views of the same point.

    F = K_b⁻ᵀ [t]× R K_a⁻¹, where R and t map the axes of camera a to those of b (H&Z eq. 9.2). For
    cameras that differ by a translation alone F is antisymmetric, so that x ↦ x satisfies it
    exactly: such a pair cannot tell a frozen video from a moving one.

    Args:
        K_a: Intrinsics of the first camera, pixels.
        c2w_a: Its pose, camera to world.
        K_b: Intrinsics of the second camera.
        c2w_b: Its pose, in the same world and unit of length.

    Returns:
        F, of Frobenius norm 1.

    Raises:
        DataError: If a value is not finite, or the centres coincide up to float32 rounding.
    """
    given = {"K_a": K_a, "c2w_a": c2w_a, "K_b": K_b, "c2w_b": c2w_b}
    for name, array in given.items():
        if not np.isfinite(array).all():
            raise DataError(f"camera {name} is not finite", accepted="finite numbers")
    pose_a, pose_b = c2w_a.astype(np.float64), c2w_b.astype(np.float64)
    # The difference of the centres, not an inverse of the whole pose: moving the world changes
    # nothing but rounding.
    baseline = pose_a[:3, 3] - pose_b[:3, 3]
    reach = max(float(np.linalg.norm(pose[:3, 3])) for pose in (pose_a, pose_b))
    if float(np.linalg.norm(baseline)) <= _FLOAT32 * reach:
        raise DataError(
            "two cameras at the same place have no epipolar geometry",
            seen=f"{np.linalg.norm(baseline):.3g} apart, {reach:.3g} from the origin",
            accepted=f"centres further apart than {_FLOAT32:.1g} of that distance",
            fix="leave the pair out, or take frames between which the camera travels",
        )
    rotation = np.linalg.solve(pose_b[:3, :3], pose_a[:3, :3])
    x, y, z = np.linalg.solve(pose_b[:3, :3], baseline)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    inverse_a, inverse_b = (np.linalg.inv(K.astype(np.float64)) for K in (K_a, K_b))
    return _unit(inverse_b.T @ cross @ rotation @ inverse_a)


def symmetric_epipolar_distance(F: Matrix, x_a: Points, x_b: Points) -> Float64[np.ndarray, " n"]:
    """SED = ½ (|d_a| + |d_b|), d being the distance of a point from the other's epipolar line.

    TSED's definition (Yu et al. 2023, "Long-term photometric consistent novel view synthesis with
    diffusion models", arXiv 2304.10700, and its code). kornia's ``symmetrical_epipolar_distance``
    is another quantity: d_a² + d_b².

    Args:
        F: Fundamental matrix, x_bᵀ F x_a = 0; any scale.
        x_a: Points of the first frame, pixels.
        x_b: Their matches in the second.

    Returns:
        Pixels, one per match. A point on the epipole itself has no line and adds 0.

    Raises:
        DataError: If values are not finite.
    """
    residual, lines_a, lines_b = _residuals(F, x_a, x_b)
    return residual * (1 / _norms(lines_a[:, :2]) + 1 / _norms(lines_b[:, :2])) / 2


def sampson_error(F: Matrix, x_a: Points, x_b: Points) -> Float64[np.ndarray, " n"]:
    """First-order distance of a match from the nearest one that satisfies F (H&Z eq. 11.9).

    Not squared: ``cv2.sampsonDistance`` returns its square.

    Args:
        F: As for :func:`symmetric_epipolar_distance`.
        x_a: Points of the first frame, pixels.
        x_b: Their matches in the second.

    Returns:
        Pixels in the four-dimensional space of (x_a, x_b), one per match.

    Raises:
        DataError: As :func:`symmetric_epipolar_distance`.
    """
    residual, lines_a, lines_b = _residuals(F, x_a, x_b)
    gradient = np.concatenate([lines_a[:, :2], lines_b[:, :2]], axis=1)
    return residual / _norms(gradient)


@dataclass(frozen=True, slots=True, eq=False)
class EstimatedFundamental:
    """A fundamental matrix fitted to matches, if they determine one.

    Attributes:
        F: The matrix, of Frobenius norm 1; ``None`` unless the status is ``"ok"``.
        inliers: Matches whose SED is below the tolerance; none without a model.
        displacement: Their median displacement, pixels; ``None`` without inliers.
        by_homography: Share of them that a homography fits as closely; ``None`` if not tried.
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
    """Fits F to matches robustly, for real videos without poses (GC-RANSAC, Barath and Matas 2018).

    A video scores well against an F fitted to itself, a frozen one perfectly. So the fit counts
    only if the inliers move and no homography explains them: otherwise they leave F undetermined,
    as frozen, panned and purely rotated views of anything do.

    Args:
        x_a: Points of the first frame, pixels.
        x_b: Their matches in the second.
        seed: Of the sampling; equal seeds and matches give equal results.
        parallax: Smallest median displacement of the inliers, pixels.
        tolerance: Largest SED of an inlier, and transfer error of a homography's, pixels.

    Returns:
        The fit with its status.

    Raises:
        DataError: If values are not finite.
    """
    _checked(x_a, x_b)
    none, count = np.zeros(len(x_a), dtype=bool), len(x_a)
    if count < MIN_MATCHES:
        reason = f"{count} matches, {MIN_MATCHES} needed"
        return EstimatedFundamental(None, none, None, None, "too few matches", reason)
    F = _fitted(x_a, x_b, seed, tolerance)
    if F is None:
        reason = f"no matrix fits {MIN_MATCHES} of {count} matches within {tolerance:g} px"
        return EstimatedFundamental(None, none, None, None, "no model", reason)
    inliers = symmetric_epipolar_distance(F, x_a, x_b) < tolerance
    a, b = x_a[inliers], x_b[inliers]
    moved = float(np.median(np.linalg.norm(a - b, axis=1)))
    if moved < parallax:
        reason = f"inliers move by {moved:.2g} px in the median, {parallax:g} needed"
        return EstimatedFundamental(None, inliers, moved, None, "little parallax", reason)
    share = _fitted_by_homography(a, b, seed, tolerance)
    if share >= _EXPLAINED:
        reason = f"a homography fits {share:.0%} of the inliers within {tolerance:g} px"
        return EstimatedFundamental(None, inliers, moved, share, "homography", reason)
    return EstimatedFundamental(_unit(F), inliers, moved, share, "ok", None)


def _fitted(x_a: Points, x_b: Points, seed: int, tolerance: float) -> Matrix | None:
    F = _robust(cv2.findFundamentalMat, x_a, x_b, seed, tolerance)
    inliers = F is not None and symmetric_epipolar_distance(F, x_a, x_b) < tolerance
    if F is None or np.sum(inliers) < MIN_MATCHES:
        return None
    # Once more to all inliers. In 20 scenes of 160 matches (.1 px of noise) and 40 random ones, 5
    # seeds each, exact points lay at most .05 px from their lines in the median; .18 px without
    # this step, .19 px with USAC_MAGSAC.
    again, _ = cv2.findFundamentalMat(x_a[inliers], x_b[inliers], cv2.FM_8POINT)
    if again is None:  # as of a frozen pair, which leaves nothing to solve
        return F
    kept = symmetric_epipolar_distance(again, x_a, x_b) < tolerance
    return again if kept.sum() >= np.sum(inliers) else F


def _fitted_by_homography(x_a: Points, x_b: Points, seed: int, tolerance: float) -> float:
    homography = _robust(cv2.findHomography, x_a, x_b, seed, tolerance)
    if homography is None:
        return 0.0
    moved = cv2.perspectiveTransform(x_a[:, None], homography)[:, 0]
    return float(np.mean(np.linalg.norm(moved - x_b, axis=1) < tolerance))


def _robust(
    fit: Callable[..., Any], x_a: Points, x_b: Points, seed: int, tolerance: float
) -> Matrix | None:
    # OpenCV's preset USAC_ACCURATE with a seed.
    options = cv2.UsacParams()
    options.threshold, options.confidence, options.maxIterations = tolerance, 0.9999, 10_000
    options.sampler, options.score = cv2.SAMPLING_UNIFORM, cv2.SCORE_METHOD_MSAC
    options.loMethod, options.loIterations, options.loSampleSize = cv2.LOCAL_OPTIM_GC, 10, 50
    options.final_polisher, options.final_polisher_iterations = cv2.LSQ_POLISHER, 10
    options.randomGeneratorState, options.isParallel = seed, False
    try:
        model, _ = fit(x_a, x_b, options)
    except cv2.error as error:
        if "model.empty()" in str(error):  # OpenCV 5 polishes the model that it did not find
            return None
        raise
    return None if model is None or model.shape != (3, 3) else model.astype(np.float64)


def _residuals(
    F: Matrix, x_a: Points, x_b: Points
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
    """|x_bᵀ F x_a|, and the epipolar lines in the first and in the second frame."""
    _checked(x_a, x_b)
    a, b = (np.concatenate([x, np.ones((len(x), 1))], axis=1) for x in (x_a, x_b))
    lines_a, lines_b = b @ F, a @ F.T
    return np.abs((b * lines_b).sum(axis=1)), lines_a, lines_b


def _checked(x_a: Points, x_b: Points) -> None:
    if not (np.isfinite(x_a).all() and np.isfinite(x_b).all()):
        raise DataError("points of matches are not finite", accepted="finite pixels")


def _norms(rows: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
    norms = np.linalg.norm(rows, axis=1)
    return np.where(norms > 0, norms, np.inf)  # any point is on the line that an epipole lacks


def _unit(F: Matrix) -> Matrix:
    unit: Matrix = F / np.linalg.norm(F)
    return unit
