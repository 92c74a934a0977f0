"""The truth that read-outs are held against: where the target is seen, and which side is which."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.track import Track
from worldbench.suites.quad_trials import Cut

_BY_FRAME = ("pos", "rot", "vel", "angvel", "camera_c2w")


@dataclass(frozen=True)
class States:
    """What is true of a clip's future, frame by frame.

    Attributes:
        target: 1 where a pixel shows the target.
        middle: Column of the occluder's centre, 0 at the left edge and 1 at the right.
        diameter: Of the target's whole outline, were nothing in front of it: that of a disc of its
            area, in picture heights; 0 without a target.
    """

    target: Float[Tensor, "f h w"]
    middle: Float[Tensor, " f"]
    diameter: float

    def coverage(self, stride: int, grid: tuple[int, int]) -> Float[Tensor, "steps h w"]:
        """Returns the share of each token that shows the target, per latent step.

        Args:
            stride: Frames per latent step.
            grid: Tokens in a column and in a row.
        """
        shares = adaptive_avg_pool2d(self.target[:, None], grid)[:, 0]
        return shares.reshape(-1, stride, *grid).mean(dim=1)

    def sides(self, stride: int, columns: int) -> Float[Tensor, "steps w"]:
        """Returns 1 for tokens right of the occluder's centre and −1 for those left of it."""
        middle = self.middle.reshape(-1, stride).mean(dim=1)
        at = (torch.arange(columns) + 0.5) / columns
        return (at[None] > middle[:, None]).double() * 2 - 1


def states_of(track: Track, cut: Cut) -> States:
    """Renders the truth of a clip's future."""
    future = replace(
        track, **{name: getattr(track, name)[cut.context : cut.end] for name in _BY_FRAME}
    )
    seen = render(future, supersample=1)
    slots = future.slots_of("target")
    height = seen.segmentation.shape[1]
    if slots:
        of_target = torch.isin(seen.segmentation.int(), torch.tensor(slots).int() + 1).double()
        area = float(seen.amodal_px[:, slots].double().sum(dim=1).max())
    else:
        of_target, area = torch.zeros(seen.segmentation.shape, dtype=torch.float64), 0.0
    diameter = 2 * (area / np.pi) ** 0.5 / height
    return States(of_target, torch.from_numpy(_middle(future)), diameter)


def truth_of(
    states: Sequence[States], stride: int, grid: Sequence[int]
) -> tuple[Float[Tensor, "2 steps h w"], Float[Tensor, "steps 1 w"]]:
    """Returns how much of each token shows A's and P's target, and which side A's comes out on."""
    coverage = torch.stack([each.coverage(stride, (grid[0], grid[1])) for each in states])
    sides = states[0].sides(stride, grid[1])[:, None]
    balance = float((coverage[0] * sides).sum())
    return coverage, sides if balance >= 0 else -sides


def _middle(track: Track) -> Float[np.ndarray, " f"]:
    """Projects the first occluder's centre; scenes of permanence all have one."""
    slot = track.slots_of("occluder")[0]
    pose = track.camera_c2w.astype(np.float64)
    local = np.einsum("tji,tj->ti", pose[:, :3, :3], track.pos[:, slot] - pose[:, :3, 3])
    pixels = np.einsum("ij,tj->ti", track.K.astype(np.float64), local)
    return np.asarray(pixels[:, 0] / pixels[:, 2] / track.spec.width)
