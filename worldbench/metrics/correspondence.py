"""Correspondences by geometry: where what frame i shows is seen in frame j, and sampling there.

Pixel (row i, column j) has its centre at (j + ½, i + ½), so that (x, y) of a place is a position in
the picture, not an index; depth is along the camera's axis, metres; cameras look along z, x right,
y down (OpenCV). Computed in float64, any number of pairs of frames at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError, UsageError
from worldbench.metrics.pose import relative_pose

_EDGE = 1e-9
"""By so much may rounding put a place outside of the outermost centres or short of the parallax."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Where what frame i shows is seen in frame j.

    Attributes:
        places: (x, y) in frame j of each pixel or token of frame i, in pixels or tokens; finite but
            meaningless where the mask is False.
        mask: Where the place is in front of the camera and inside of the frame, shows the same
            surface and is displaced enough.
    """

    places: Float64[Tensor, "*b h w 2"]
    mask: Bool[Tensor, "*b h w"]


def correspond(
    depth_i: Float[Tensor, "*b h w"],
    K: Float[Tensor, "3 3"],  # noqa: N803 - as everywhere for intrinsics
    c2w_i: Float[Tensor, "*b 4 4"],
    depth_j: Float[Tensor, "*b h w"],
    c2w_j: Float[Tensor, "*b 4 4"],
    *,
    parallax: float = 2.0,
    agreement: float = 0.03,
) -> Correspondence:
    """Places of the pixels of frame i in frame j: :func:`correspond_tokens` with one-pixel patches.

    Args:
        depth_i: Metres; holes (not finite or not positive) have no place.
        K: Intrinsics in pixels.
        c2w_i: Camera to world.
        depth_j: As ``depth_i``.
        c2w_j: As ``c2w_i``.
        parallax: Smallest displacement |place in j − place in i| in pixels; 0 switches it off.
        agreement: Largest |z − z_j| / z of a point at depth z in camera j.

    Returns:
        Places in pixels, and the mask.

    Raises:
        UsageError: If ``parallax`` is negative or ``agreement`` not positive.
        DataError: If sizes differ, ``K`` has no inverse or a pose is not finite.
    """
    return correspond_tokens(
        depth_i, K, c2w_i, depth_j, c2w_j, patch=1, parallax=parallax, agreement=agreement
    )


def correspond_tokens(
    depth_i: Float[Tensor, "*b h w"],
    K: Float[Tensor, "3 3"],  # noqa: N803
    c2w_i: Float[Tensor, "*b 4 4"],
    depth_j: Float[Tensor, "*b h w"],
    c2w_j: Float[Tensor, "*b 4 4"],
    *,
    patch: int,
    parallax: float = 2.0,
    agreement: float = 0.03,
) -> Correspondence:
    """Places of the tokens of frame i in the token grid of frame j, from maps of pixels.

    A token stands for the surface at its patch's centre. Depth between pixel centres is read
    bilinearly in 1/z, which on a plane is affine in the picture: exact on slanted walls and floors,
    where the nearest pixel is off by more than the tolerance at grazing angles. Across a depth edge
    the blend belongs to neither surface and is rejected, and rightly, as colours blend there too.

    Args:
        depth_i: As in :func:`correspond`.
        K: Intrinsics in pixels.
        c2w_i: Camera to world.
        depth_j: As ``depth_i``.
        c2w_j: As ``c2w_i``.
        patch: Side of a token's patch in pixels.
        parallax: Smallest displacement in tokens.
        agreement: As in :func:`correspond`.

    Returns:
        Places in tokens (centres at + ½), and the mask, ``h`` and ``w`` over ``patch``.

    Raises:
        UsageError: As :func:`correspond`, and if patches do not tile the frame.
        DataError: As :func:`correspond`.
    """
    _check(depth_i, depth_j, K, patch, parallax, agreement)
    intrinsics, (height, width) = K.double(), depth_i.shape[-2:]
    centres = _centres(height // patch, width // patch, depth_i.device)
    start = (centres * patch).expand(*depth_i.shape[:-2], -1, -1, -1)
    near = _at(depth_i, start)  # 1/z
    known = near > _EDGE  # by rounding a hole gets a trace of its neighbours
    z = torch.where(known, 1 / near, 1.0)
    rays = functional.pad(start, (0, 1), value=1.0) @ torch.linalg.inv(intrinsics).T
    pose = relative_pose(c2w_i, c2w_j)[..., None, :, :]
    moved = (rays * z[..., None]) @ pose[..., :3, :3].mT + pose[..., None, :3, 3]
    z = moved[..., 2]
    ahead = known & (z > 0)
    places = (moved @ intrinsics.T)[..., :2] / torch.where(ahead, z, 1.0)[..., None]
    agree = (z - 1 / _at(depth_j, places)).abs() < agreement * z
    places = places / patch
    most = places.new_tensor([width // patch, height // patch]) - 0.5
    inside = ((places >= 0.5 - _EDGE) & (places <= most + _EDGE)).all(dim=-1)
    displaced = (places - centres).norm(dim=-1) >= parallax - _EDGE
    return Correspondence(places, ahead & inside & agree & displaced)


def _check(
    depth_i: Tensor, depth_j: Tensor, matrix: Tensor, patch: int, parallax: float, agreement: float
) -> None:
    if depth_i.shape != depth_j.shape:
        sizes = f"{tuple(depth_i.shape)} and {tuple(depth_j.shape)}"
        raise DataError("the depth maps differ in shape", seen=sizes)
    if not (matrix.isfinite().all() and float(torch.linalg.det(matrix.double())) != 0):
        raise DataError("the intrinsics have no inverse", seen=matrix.tolist())
    if patch < 1 or any(side % patch for side in depth_i.shape[-2:]):
        sides = f"{patch} px in {tuple(depth_i.shape[-2:])}"
        raise UsageError("patches do not tile the frame", seen=sides, accepted="a divisor of both")
    if not (parallax >= 0 and agreement > 0):
        raise UsageError(
            "thresholds make no sense",
            seen=f"parallax={parallax}, agreement={agreement}",
            accepted="parallax >= 0, agreement > 0",
        )


def _centres(height: int, width: int, device: torch.device) -> Float64[Tensor, "h w 2"]:
    y, x = (torch.arange(n, dtype=torch.float64, device=device) + 0.5 for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _at(depth: Tensor, places: Tensor) -> Float64[Tensor, "*b y x"]:
    """1/z at places; a hole is infinitely far, which agrees with no surface."""
    known = depth.isfinite() & (depth > 0)
    inverse = torch.where(known, 1 / depth.double(), 0.0)
    return warp(inverse[..., None, :, :], places)[..., 0, :, :]


def warp(
    frame_j: Float[Tensor, "*b c h w"], places: Float64[Tensor, "*b y x 2"]
) -> Float64[Tensor, "*b c y x"]:
    """Samples frame j bilinearly: what it shows of frame i.

    Args:
        frame_j: A frame or a grid of tokens.
        places: Of a :class:`Correspondence`, in units of the frame's own grid; outside of the
            outermost centres the border goes on.

    Returns:
        Values at the places.
    """
    lead, size = frame_j.shape[:-3], frame_j.shape[-3:]
    grid = 2 * places / places.new_tensor([size[2], size[1]]) - 1
    sampled = functional.grid_sample(
        frame_j.double().reshape(-1, *size),
        grid.reshape(-1, *grid.shape[-3:]),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return sampled.reshape(*lead, *sampled.shape[-3:])
