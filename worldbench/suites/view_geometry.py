"""The truth of a view of a still life: depth, cameras, and what is seen again where."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from worldbench.data.worlds.pictures.admission import intrinsics
from worldbench.data.worlds.pictures.render import render_depth
from worldbench.data.worlds.track import Track
from worldbench.metrics.correspondence import Correspondence, correspond_tokens
from worldbench.metrics.reprojection import MIN_PIXELS, MIN_TOKENS
from worldbench.metrics.tsed import THRESHOLDS

PIXELS_MOVED, TOKENS_MOVED = 2.0, 1.0
"""Pixels, or tokens, by which what is compared must have moved. In a grid of 8 × 8 hardly anything
moves by two tokens and stays in view; what moves by one is in another token all the same."""

SPEEDS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Speeds along the camera's path at which a rollout is tried on; 1 is the true one."""

FRAMES_APART = 4
"""Frames between those of a pair of TSED: neighbours hardly move, and who stays still passes."""

RULES: dict[str, Any] = {
    "anchor": "last frame of the context",
    "pixels_moved": PIXELS_MOVED,
    "tokens_moved": TOKENS_MOVED,
    "agreement": 0.03,
    "speeds": list(SPEEDS),
    "fewest": {"pixels": MIN_PIXELS, "tokens": MIN_TOKENS},
    "tsed": {
        "frames_apart": FRAMES_APART,
        "thresholds": list(THRESHOLDS),
        "estimated": "fitted to either half of a checkerboard, judged on the other",
    },
}
"""What the numbers of a view mean; part of the protocol."""

LATENT_RULES: dict[str, Any] = {
    "less": "mean over training views by family, step and place, of what is foreseen its own",
    "against": "the real future, in tokens whose surface the anchor shows elsewhere",
}
"""What latents are compared with, and what is subtracted before; part of the protocol."""


@dataclass(frozen=True, eq=False)
class View:
    """A view at the size of its pictures.

    Attributes:
        track: What is seen.
        size: Height and width.
        device: Where depth is rendered.
    """

    track: Track
    size: tuple[int, int]
    device: torch.device

    @cached_property
    def depth(self) -> Float32[Tensor, "t h w"]:
        """Depth of every frame, metres."""
        return render_depth(self.track, size=self.size, device=self.device)

    @cached_property
    def intrinsics(self) -> Float64[Tensor, "3 3"]:
        """Intrinsics in pixels of this size."""
        return torch.from_numpy(intrinsics(self.track, *self.size)).double().to(self.device)

    @cached_property
    def cameras(self) -> Float64[Tensor, "t 4 4"]:
        """Camera to world at every frame."""
        return torch.from_numpy(self.track.camera_c2w).double().to(self.device)

    def again(
        self, frames: list[int], others: list[int], patch: int, parallax: float
    ) -> Correspondence:
        """Returns where what frames show is seen in other frames, pair by pair.

        Args:
            frames: The frames whose pixels, or tokens, are looked for.
            others: In which; as many.
            patch: Side of a token's patch in pixels; 1 for pixels.
            parallax: By how many of them what counts has moved.
        """
        return correspond_tokens(
            self.depth[frames],
            self.intrinsics,
            self.cameras[frames],
            self.depth[others],
            self.cameras[others],
            patch=patch,
            parallax=parallax,
        )

    def along(self, frame: int, steps: Float64[np.ndarray, " n"], patch: int) -> Correspondence:
        """Returns where what a frame shows is seen from places on the camera's path.

        Args:
            frame: The frame whose pixels, or tokens, are looked for.
            steps: How many frames further along each place is, in fractions of frames too; beyond
                the clip the camera goes on as before, and from outside the room nothing is seen.
            patch: As in :meth:`again`.
        """
        poses = path(self.track.camera_c2w, frame + steps)
        low, high = self.track.room
        within = ((poses[:, :3, 3] > low) & (poses[:, :3, 3] < high)).all(axis=1)
        poses[~within] = self.track.camera_c2w[frame]
        depth = render_depth(seen_from(self.track, poses), size=self.size, device=self.device)
        places = torch.from_numpy(poses).to(self.device)
        again = correspond_tokens(
            self.depth[frame].expand_as(depth),
            self.intrinsics,
            self.cameras[frame].expand_as(places),
            depth,
            places,
            patch=patch,
            parallax=0.0,
        )
        there = torch.from_numpy(within).to(self.device)[:, None, None]
        return Correspondence(again.places, again.mask & there)


def patch_of(size: tuple[int, int], rows: int, columns: int) -> int | None:
    """Returns the side of square patches that tile a picture of some size; None if none do."""
    side = size[0] // rows
    return side if side and (rows * side, columns * side) == size else None


def path(
    cameras: Float32[np.ndarray, "t 4 4"], times: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "n 4 4"]:
    """Returns the poses of a camera that moves at a constant rate, at any times.

    From frame to frame such a camera is moved by one rigid motion M of the world: after t frames it
    is at Mᵗ times where it began. M is taken over the whole clip, where rounding weighs least.

    Args:
        cameras: Camera to world at every frame.
        times: In frames.
    """
    first, last = (cameras[at].astype(np.float64) for at in (0, -1))
    rate = scipy.linalg.logm(last @ np.linalg.inv(first)).real / (len(cameras) - 1)
    return np.stack([scipy.linalg.expm(rate * time) @ first for time in times])


def seen_from(track: Track, poses: Float64[np.ndarray, "n 4 4"]) -> Track:
    """Returns a still scene as cameras at these poses see it, one a frame."""
    first: dict[str, Any] = {
        name: np.repeat(getattr(track, name)[:1], len(poses), axis=0)
        for name in ("pos", "rot", "vel", "angvel")
    }
    return replace(track, camera_c2w=poses.astype(np.float32), **first)


def view_angles(
    cameras: Float64[Tensor, "t 4 4"], frames: list[int], others: list[int]
) -> Float[Tensor, " n"]:
    """Returns the angles between the directions of view of pairs of frames, in degrees."""
    one, other = cameras[frames][:, :3, 2], cameras[others][:, :3, 2]
    cross = torch.linalg.cross(one, other).norm(dim=1)
    return torch.rad2deg(torch.atan2(cross, (one * other).sum(dim=1)))
