"""Where tokens lie in a V-JEPA 1: sinusoids of step, row and column, added to the tokens."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_CLOSE = 1e-2  # so that tables kept in half precision are known; neighbours differ by far more


@dataclass(frozen=True)
class Places:
    """The grid of tokens that a table of positions is for.

    Attributes:
        steps: Latent steps.
        side: Tokens of a side.
        uniform: Whether step, row and column have as many channels each; otherwise the step has a
            half of them (``uniform_power`` in the training configuration).
    """

    steps: int
    side: int
    uniform: bool


def sincos(width: int, places: Places) -> Float64[Tensor, "n d"]:
    """Returns the positions of all tokens, steps outermost, columns innermost.

    The channels of step, row and column follow each other. Those of a coordinate p are sin(p·ω) and
    then cos(p·ω), ω = 10000^(−2i/m) for i < m/2 of its m channels. With ``uniform`` m is a third of
    the width, rounded up to an even number, and what is too many falls off the end.
    """
    even = 2 * -(-width // 6)
    shares = (even, even, even) if places.uniform else (width // 2, width // 4, width // 4)
    sizes = (places.steps, places.side, places.side)
    grid = torch.meshgrid(*(torch.arange(size) for size in sizes), indexing="ij")
    parts = [
        _waves(size, share)[each.flatten()]
        for size, share, each in zip(sizes, shares, grid, strict=True)
    ]
    return torch.cat(parts, dim=1)[:, :width]


def _waves(size: int, channels: int) -> Float64[Tensor, "size m"]:
    half = channels // 2
    angles = torch.arange(size).double()[:, None] * 10000.0 ** (-torch.arange(half).double() / half)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def recognised(table: Float[Tensor, "n d"]) -> Places | None:
    """Returns the grid that a table of positions was made for, None if it is no such table."""
    count, width = table.shape
    if width % 8:
        return None
    for side in range(1, int(count**0.5) + 1):
        if count % side**2:
            continue
        for uniform in (True, False):
            places = Places(count // side**2, side, uniform)
            if torch.allclose(table.double(), sincos(width, places), rtol=0, atol=_CLOSE):
                return places
    return None
