"""What of depth and of the camera's motion is read off latents by frozen linear maps.

Fitted on latents of real futures of training views, each future encoded alone, never on rollouts
and never on what is scored. Depth: from each token, by how much the logarithm of the depth at its
patch's centre differs from what is usual at its place, so that errors are factors. Pose: from
coarse grids of two latent steps, rotation vector and translation from one to the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldbench.metrics.depth import depth_report
from worldbench.metrics.pose import (
    pose_to_target,
    relative_pose,
    rotation_error,
    target_to_pose,
    translation_angle,
)
from worldbench.suite import Row
from worldbench.suites import ridge
from worldbench.suites.view_geometry import View

VERSION = 1
"""Raised whenever read-outs of the same latents say something else; part of the protocol."""

_COARSE = (1, 2, 4)
"""Rows and columns of a latent step from which poses may be read; which, held-out training views
tell."""


@dataclass(frozen=True, eq=False)
class Future:
    """Latents of a future with the truth.

    Attributes:
        view: The truth.
        tokens: Latents.
        frames: The frame that each latent step stands for.
    """

    view: View
    tokens: Float[Tensor, "f h w d"]
    frames: Sequence[int]

    @property
    def depth(self) -> Float[Tensor, "f h w"]:
        """Depth at the centres of the tokens' patches, metres."""
        rows, columns = self.tokens.shape[1:3]
        whole = self.view.depth[list(self.frames)].double().cpu()
        high, wide = whole.shape[1] // rows, whole.shape[2] // columns
        # The centre lies between pixels where a patch has an even side: the mean of the nearest.
        top, left = (slice((side - 1) // 2, side // 2 + 1) for side in (high, wide))
        cut = whole.reshape(len(whole), rows, high, columns, wide)
        return cut[:, :, top][:, :, :, :, left].mean(dim=(2, 4))

    @property
    def poses(self) -> Float[Tensor, "p 6"]:
        """Rotation vector and translation from the first step to each later one."""
        cameras = self.view.cameras[list(self.frames)].cpu()
        return pose_to_target(relative_pose(cameras[:1].expand_as(cameras[1:]), cameras[1:]))

    def coarse(self, rows: int) -> Float[Tensor, "p k"]:
        """Returns the first latent step beside each later one, a few rows and columns of each."""
        grids = self.tokens.double().cpu().permute(0, 3, 1, 2)
        side = (min(rows, grids.shape[2]), min(rows, grids.shape[3]))
        flat = adaptive_avg_pool2d(grids, side).flatten(1)
        return torch.cat([flat[:1].expand_as(flat[1:]), flat[1:]], dim=1)


@dataclass(frozen=True, eq=False)
class GeometryReadout:
    """Maps from latents of one space to depth and pose.

    Attributes:
        depth: Token to the logarithm of depth, less what is usual.
        usual: Mean logarithm of depth at each place over training views: what nobody need see.
        pose: Coarse grids of two steps to rotation vector and translation; None where futures have
            a single latent step.
        coarse: How coarse these grids are.
        still: Mean of the training views' poses.
    """

    depth: ridge.Map
    usual: Float[Tensor, "h w"]
    pose: ridge.Map | None
    coarse: int
    still: Float[Tensor, " 6"]

    def row(self, future: Future) -> Row:
        """Returns how near depth and pose come that are read off a future."""
        tokens = future.tokens.cpu()
        depth = (self.usual + self.depth(tokens)[..., 0]).exp()
        return self._depth_row(depth, future) | self._pose_row(
            None if self.pose is None else self.pose(future.coarse(self.coarse)), future
        )

    def usual_row(self, future: Future) -> Row:
        """Returns how near the training views' mean comes, which looks at nothing."""
        depth = self.usual.exp().expand_as(future.depth)
        told = None if self.pose is None else self.still.expand_as(future.poses)
        return self._depth_row(depth, future) | self._pose_row(told, future)

    @staticmethod
    def _depth_row(depth: Float[Tensor, "f h w"], future: Future) -> Row:
        report = depth_report(depth, future.depth)
        if report is None:
            return {}
        found: Row = {}
        for fit, scores in (("raw", report.raw), ("fitted", report.fitted)):
            for name in ("delta1", "delta2", "delta3", "abs_rel"):
                found[f"depth.{fit}.{name}"] = getattr(scores, name)
        return found

    @staticmethod
    def _pose_row(told: Float[Tensor, "p 6"] | None, future: Future) -> Row:
        if told is None or not len(told):
            return {"pose.rotation": None, "pose.direction": None}
        said, true = target_to_pose(told), target_to_pose(future.poses)
        rotation = rotation_error(said[:, :3, :3], true[:, :3, :3])
        angles = [
            translation_angle(one[:3, 3], other[:3, 3])
            for one, other in zip(said, true, strict=True)
        ]
        known = [angle for angle in angles if angle is not None]
        return {
            "pose.rotation": float(rotation.mean()),
            "pose.direction": sum(known) / len(known) if known else None,
        }


def fit_geometry(futures: Sequence[Future], clusters: Sequence[str]) -> GeometryReadout:
    """Fits both maps on real futures of training views.

    Args:
        futures: All of one length.
        clusters: The scene of each.

    Raises:
        ValueError: If there are fewer than two scenes.
    """
    depth = torch.stack([future.depth for future in futures]).log()
    tokens = torch.stack([future.tokens.cpu() for future in futures])
    flat = tokens.flatten(0, 3)
    usual = depth.mean(dim=(0, 1))
    rest = (depth - usual).flatten()[:, None]
    read = ridge.fit(flat, rest, clusters, repeat=depth[0].numel())
    poses = torch.stack([future.poses for future in futures])
    maps: dict[int, ridge.Map] = {}
    for rows in _COARSE if poses.shape[1] else ():
        coarse = torch.cat([future.coarse(rows) for future in futures])
        maps[rows] = ridge.fit(coarse, poses.flatten(0, 1), clusters, repeat=poses.shape[1])

    def missed(rows: int) -> float:
        return float((maps[rows].held_out - poses.flatten(0, 1)).square().sum())

    best = min(maps, key=missed, default=_COARSE[0])
    return GeometryReadout(read, usual, maps.get(best), best, poses.mean(dim=(0, 1)))
