"""Where a token is: rotary angles for attention, and a fixed code that is added to tokens.

Both are computed from positions on the fly, so a network takes any number of frames, any resolution
and any aspect; and a part of a clip (a prefix, a suffix) can be given its true positions.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_LONGEST = 100.0
"""Ratio of the slowest wavelength to the fastest. A clip is 8 latent steps of 8 × 8 tokens: with
the 10 000 of language models most angles would hardly turn within one."""


Rotation = tuple[Float[Tensor, "*#b n 1 c"], Float[Tensor, "*#b n 1 c"]]
"""Cosines and signed sines of the rotary angles, for both channels of each pair."""


def grid_positions(
    steps: int, rows: int, columns: int, device: torch.device | None = None
) -> Float[Tensor, "n 3"]:
    """Returns the position (latent step, row, column) of each token of a grid, in token order."""
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in (steps, rows, columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, 2)


def rotary_angles(positions: Float[Tensor, "n 3"], pairs: int) -> Float[Tensor, "n pairs"]:
    """Returns the angle by which each pair of channels is turned at each position.

    The pairs are dealt to time, rows and columns as evenly as they go, the rest to the columns;
    within an axis the wavelengths form a geometric series (RoPE: Su et al. 2021, arXiv 2104.09864,
    here in three dimensions).

    Args:
        positions: Latent step, row and column of each token.
        pairs: Pairs of channels of a head; at least three.
    """
    shares = [pairs // 3, (pairs + 1) // 3, (pairs + 2) // 3]
    angles = [positions[:, i, None] * _frequencies(n, positions) for i, n in enumerate(shares)]
    return torch.cat(angles, dim=1)


def fixed_code(positions: Float[Tensor, "n 3"], width: int) -> Float[Tensor, "n width"]:
    """Returns sines and cosines of the rotary angles, scaled to mean square ½ and ``width`` wide.

    Rotary angles tell attention how far apart two tokens are; this tells each token where it is.
    """
    angles = rotary_angles(positions, width // 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def rotation(positions: Float[Tensor, "n 3"], channels: int) -> Rotation:
    """Returns what :func:`rotate` multiplies with, for heads of so many channels."""
    angles = rotary_angles(positions, channels // 2)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=1)[:, None], torch.cat([-sin, sin], dim=1)[:, None]


def rotate(x: Float[Tensor, "*b n heads c"], by: Rotation) -> Float[Tensor, "*b n heads c"]:
    """Turns channel pairs (k, k + c/2) by their angles: products then depend on differences."""
    cos, sin = by
    # Rolled rather than split and joined: that keeps norm and rotation one kernel when compiled.
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def _frequencies(count: int, like: Tensor) -> Float[Tensor, " count"]:
    exponents = torch.arange(count, device=like.device, dtype=torch.float32) / max(count, 1)
    return _LONGEST**-exponents
