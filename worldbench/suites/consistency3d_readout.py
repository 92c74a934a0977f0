"""What of depth and of the camera's motion is read off latents by frozen linear maps.

Fitted on latents of real futures of training views, each future encoded alone, never on rollouts
and never on what is scored. Depth: from each token, by how much the logarithm of the depth at its
patch's centre differs from what is usual at its place, so that errors are factors. Pose: from
coarse grids of two latent steps, rotation vector and translation from one to the other; each is
read by a map of its own, from the grids or from their difference, as held-out training views ask
for.
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

VERSION = 2
"""Raised whenever read-outs of the same latents say something else; part of the protocol."""

_COARSE = (1, 2, 4)
"""Rows and columns of a latent step from which poses may be read."""

_PENALTIES = (1e3, 1e2, 1e1, *ridge.PENALTIES)
"""A pose has thousands of features and a hundred examples: where they tell nothing, only a penalty
far above the variance of a feature leaves the training views' mean."""


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

    def moved(self, rows: int, *, difference: bool) -> Float[Tensor, "p k"]:
        """Returns what poses of later steps from the first may be read from.

        Args:
            rows: Rows and columns of a step, at most as many as there are.
            difference: Whether it is the later step less the first, or the two side by side.
        """
        grids = self.tokens.double().cpu().permute(0, 3, 1, 2)
        side = (min(rows, grids.shape[2]), min(rows, grids.shape[3]))
        flat = adaptive_avg_pool2d(grids, side).flatten(1)
        first, later = flat[:1].expand_as(flat[1:]), flat[1:]
        return later - first if difference else torch.cat([first, later], dim=1)


@dataclass(frozen=True, eq=False)
class PoseMap:
    """Reads three numbers of a pose.

    Attributes:
        map: From what :meth:`Future.moved` returns.
        rows: Rows and columns of a step.
        difference: Whether it is read from the difference of steps.
    """

    map: ridge.Map
    rows: int
    difference: bool

    def __call__(self, future: Future) -> Float[Tensor, "p 3"]:
        """Returns what is read off a future."""
        return self.map(future.moved(self.rows, difference=self.difference))


@dataclass(frozen=True, eq=False)
class GeometryReadout:
    """Maps from latents of one space to depth and pose.

    Attributes:
        depth: Token to the logarithm of depth, less what is usual.
        usual: Mean logarithm of depth at each place over training views: what nobody need see.
        pose: What reads rotation vectors and what reads translations; None where futures have a
            single latent step.
        still: Mean of the training views' poses.
    """

    depth: ridge.Map
    usual: Float[Tensor, "h w"]
    pose: tuple[PoseMap, PoseMap] | None
    still: Float[Tensor, " 6"]

    def row(self, future: Future) -> Row:
        """Returns how near depth and pose come that are read off a future."""
        tokens = future.tokens.cpu()
        depth = (self.usual + self.depth(tokens)[..., 0]).exp()
        told = None
        if self.pose is not None:
            told = torch.cat([read(future) for read in self.pose], dim=1)
        return self._depth_row(depth, future) | self._pose_row(told, future)

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
    pose = None
    if poses.shape[1]:
        turns, moves = poses[..., :3], poses[..., 3:]
        pose = (_pose_map(futures, turns, clusters), _pose_map(futures, moves, clusters))
    return GeometryReadout(read, usual, pose, poses.mean(dim=(0, 1)))


def _pose_map(
    futures: Sequence[Future], targets: Float[Tensor, "n p 3"], clusters: Sequence[str]
) -> PoseMap:
    """Fits every kind of map and returns the one that misses held-out views by least."""
    flat = targets.flatten(0, 1)

    def fitted(rows: int, difference: bool) -> PoseMap:
        x = torch.cat([future.moved(rows, difference=difference) for future in futures])
        repeat = targets.shape[1]
        return PoseMap(ridge.fit(x, flat, clusters, repeat, _PENALTIES), rows, difference)

    def missed(one: PoseMap) -> float:
        return float((one.map.held_out - flat).square().sum())

    tried = [fitted(rows, difference) for rows in _COARSE for difference in (True, False)]
    return min(tried, key=missed)
