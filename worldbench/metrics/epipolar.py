"""Two-view geometry: fundamental matrices, and how far matches lie from their epipolar lines.

Cameras are camera-to-world 4×4 matrices, x right, y down, z forward (OpenCV), with intrinsics K in
pixels. Points are (x, y) in pixels; pixel (row i, column j) has its centre at (j + ½, i + ½).
Formulas are those of Hartley and Zisserman, *Multiple View Geometry*, 2nd edition.
"""
# ruff: noqa: N803 - K and F are what everyone calls them

import numpy as np
from jaxtyping import Float, Float64

from worldbench.errors import DataError

Points = Float64[np.ndarray, "n 2"]
Matrix = Float64[np.ndarray, "3 3"]

MIN_MATCHES = 10
"""Fewer matches say nothing about a pair of frames (Yu et al. 2023)."""

_FLOAT32 = float(np.finfo(np.float32).eps)


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
    return unit(inverse_b.T @ cross @ rotation @ inverse_a)


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
    distances: Float64[np.ndarray, " n"]
    distances = residual * (1 / _norms(lines_a[:, :2]) + 1 / _norms(lines_b[:, :2])) / 2
    return distances


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
    errors: Float64[np.ndarray, " n"] = residual / _norms(gradient)
    return errors


def require_finite(x_a: Points, x_b: Points) -> None:
    """Refuses points that are NaN or infinite.

    Raises:
        DataError: If there are any.
    """
    if not (np.isfinite(x_a).all() and np.isfinite(x_b).all()):
        raise DataError("points of matches are not finite", accepted="finite pixels")


def unit(F: Matrix) -> Matrix:
    """Scales a matrix to Frobenius norm 1."""
    scaled: Matrix = F / np.linalg.norm(F)
    return scaled


def _residuals(
    F: Matrix, x_a: Points, x_b: Points
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, "n 3"], Float64[np.ndarray, "n 3"]]:
    """|x_bᵀ F x_a|, and the epipolar lines in the first and in the second frame."""
    require_finite(x_a, x_b)
    a, b = (np.concatenate([x, np.ones((len(x), 1))], axis=1) for x in (x_a, x_b))
    lines_a, lines_b = b @ F, a @ F.T
    return np.abs((b * lines_b).sum(axis=1)), lines_a, lines_b


def _norms(rows: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, " n"]:
    norms: Float64[np.ndarray, " n"] = np.linalg.norm(rows, axis=1)
    norms[norms == 0] = np.inf  # of an epipole, which has no line: no point is off it
    return norms
