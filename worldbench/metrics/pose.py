"""Relative camera pose: errors of rotation and of the direction of translation, read-out targets.

Poses are camera-to-world, x right, y down, z forward (OpenCV). The scale of a translation cannot be
seen in a video whose scene is unknown, so only its direction is scored, as in the literature on
two-view geometry (e.g. Jin et al. 2021, "Image Matching across Wide Baselines").
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.errors import ContractError, DataError

MIN_BASELINE = 1e-3
"""Metres: poses of the worlds are rounded to 15 µm, about 1° of direction over this length."""

_ORTHONORMAL = 1e-3  # float32 matrices pass, scaled or sheared ones do not


def relative_pose(
    a_c2w: Float[Tensor, "*b 4 4"], b_c2w: Float[Tensor, "*b 4 4"]
) -> Float64[Tensor, "*b 4 4"]:
    """Pose b_from_a: takes points from camera a's coordinates to camera b's.

    Args:
        a_c2w: Camera to world, metres.
        b_c2w: The same of the other camera.

    Returns:
        ``inv(b_c2w) @ a_c2w``. The inverse is the matrix's own, not the transpose of its rotation:
        float32 poses are orthonormal to 1e-7 only.

    Raises:
        DataError: If a pose is not finite.
    """
    a, b = a_c2w.double(), b_c2w.double()
    for name, pose in (("a_c2w", a), ("b_c2w", b)):
        if not pose.isfinite().all():
            raise DataError(f"{name} has values that are not finite", accepted="finite 4 × 4 poses")
    relative: Tensor = torch.linalg.solve(b, a)
    return relative


def rotation_matrix(vector: Float[Tensor, "*b 3"]) -> Float64[Tensor, "*b 3 3"]:
    """Rotation from a rotation vector of any length, so that a read-out's output always is one.

    Rodrigues' formula, I + sinc θ V + ½ sinc²(θ/2) V², which has no special case at θ = 0.

    Args:
        vector: Axis times angle θ in radians.

    Returns:
        Rotation matrices.

    Raises:
        ContractError: If a value is not finite.
    """
    v = vector.double()
    if not v.isfinite().all():
        raise ContractError("a rotation vector is not finite", accepted="three finite radians")
    angle = v.norm(dim=-1)[..., None, None]
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    rows = ((zero, -z, y), (z, zero, -x), (-y, x, zero))
    cross = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    first = torch.sinc(angle / math.pi)  # torch.sinc(u) is sin(πu) / πu
    second = torch.sinc(angle / (2 * math.pi)).square() / 2
    eye = torch.eye(3, dtype=v.dtype, device=v.device)
    rotation: Tensor = eye + first * cross + second * cross @ cross
    return rotation


def rotation_vector(rotation: Float[Tensor, "*b 3 3"]) -> Float64[Tensor, "*b 3"]:
    """Rotation vector, of length at most π, of a rotation.

    By way of the unit quaternion from its largest component (Shepperd 1978) and an arctangent: as
    accurate near 0 and 180° as anywhere, where the arccosine of the trace loses half the digits.

    Args:
        rotation: Rotation matrices.

    Returns:
        Axis times angle in radians; at exactly 180° either of the two.

    Raises:
        DataError: If a matrix is no rotation to within 1e-3.
    """
    r = rotation.double()
    eye = torch.eye(3, dtype=r.dtype, device=r.device)
    skewed = (r @ r.mT - eye).abs().amax(dim=(-2, -1))
    if not bool(((skewed < _ORTHONORMAL) & (torch.linalg.det(r) > 0)).all()):
        raise DataError(
            "a matrix is no rotation",
            accepted="orthonormal to within 1e-3, determinant +1",
            fix="pass the upper left 3 × 3 of a rigid pose",
        )
    quaternion = _quaternion(r)
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sine = imaginary.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, real)
    # As sine → 0 the ratio tends to 2, and that is its value to the last digit well before.
    ratio = torch.where(sine > 1e-12, angle / sine.clamp(min=1e-12), 2.0)
    return imaginary * ratio


def _quaternion(r: Float64[Tensor, "*b 3 3"]) -> Float64[Tensor, "*b 4"]:
    """Unit quaternions (w, x, y, z) with w ≥ 0, from the longest row of 4 q qᵀ."""
    (a, b, c), (d, e, f), (g, h, i) = ([r[..., k, n] for n in range(3)] for k in range(3))
    rows = (
        (1 + a + e + i, h - f, c - g, d - b),
        (h - f, 1 + a - e - i, b + d, c + g),
        (c - g, b + d, 1 - a + e - i, f + h),
        (d - b, c + g, f + h, 1 - a - e + i),
    )
    outer = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    longest = outer.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    row = torch.take_along_dim(outer, longest, dim=-2)[..., 0, :]
    unit = row / row.norm(dim=-1, keepdim=True)
    return torch.where(unit[..., :1] < 0, -unit, unit)


def rotation_error(
    predicted: Float[Tensor, "*b 3 3"], true: Float[Tensor, "*b 3 3"]
) -> Float64[Tensor, "*b"]:
    """Angle of the rotation that leads from one rotation to the other (the geodesic distance).

    Args:
        predicted: Rotation matrices.
        true: Rotation matrices.

    Returns:
        Degrees in [0, 180], accurate at both ends.

    Raises:
        DataError: If a matrix is no rotation to within 1e-3.
    """
    between = rotation_vector(predicted.double().mT @ true.double())
    return torch.rad2deg(between.norm(dim=-1))


def translation_angle(
    predicted: Float[Tensor, "3"],
    true: Float[Tensor, "3"],
    *,
    min_baseline: float = MIN_BASELINE,
) -> float | None:
    """Angle between the directions of two translations.

    Args:
        predicted: Any unit of length.
        true: Metres.
        min_baseline: Metres below which the true translation has no direction to speak of.

    Returns:
        Degrees in [0, 180]; None where the true baseline is shorter than ``min_baseline``; 90, what
        a random direction expects, for a prediction of no motion at all.

    Raises:
        ContractError: If the prediction is not finite.
        DataError: If the truth is not finite.
    """
    guess, truth = predicted.double(), true.double()
    if not guess.isfinite().all():
        raise ContractError("a predicted translation is not finite", seen=guess.tolist())
    if not truth.isfinite().all():
        raise DataError("a true translation is not finite", seen=truth.tolist())
    if float(truth.norm()) < min_baseline:
        return None
    if not bool(guess.any()):
        return 90.0
    guess, truth = guess / guess.norm(), truth / truth.norm()
    sine = torch.linalg.cross(guess, truth).norm()
    return float(torch.rad2deg(torch.atan2(sine, guess @ truth)))


def pose_to_target(pose: Float[Tensor, "*b 4 4"]) -> Float64[Tensor, "*b 6"]:
    """The six numbers a linear read-out learns: rotation vector in radians, translation in metres.

    Smooth up to 180°, where the vector jumps to its opposite; no clip of the worlds turns so far.

    Args:
        pose: Rigid poses, e.g. of :func:`relative_pose`.

    Returns:
        The targets.

    Raises:
        DataError: If a pose's rotation is none to within 1e-3.
    """
    return torch.cat([rotation_vector(pose[..., :3, :3]), pose[..., :3, 3].double()], dim=-1)


def target_to_pose(target: Float[Tensor, "*b 6"]) -> Float64[Tensor, "*b 4 4"]:
    """Rigid poses from any six numbers; the inverse of :func:`pose_to_target`.

    Args:
        target: Rotation vector in radians, translation in metres.

    Returns:
        The poses.

    Raises:
        ContractError: If a value is not finite.
    """
    if not target.isfinite().all():
        raise ContractError("a pose target is not finite", accepted="six finite numbers")
    pose = torch.eye(4, dtype=torch.float64, device=target.device)
    pose = pose.repeat(*target.shape[:-1], 1, 1)
    pose[..., :3, :3] = rotation_matrix(target[..., :3])
    pose[..., :3, 3] = target[..., 3:].double()
    return pose
