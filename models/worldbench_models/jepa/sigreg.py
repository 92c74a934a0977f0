"""SIGReg: latents that are told to be Gaussian cannot collapse (LeJEPA).

Balestriero & LeCun 2025, arXiv 2511.08544. A distribution is an isotropic Gaussian if and only if
all its one-dimensional projections are standard normal (Cramér & Wold 1936); each of a few random
ones is held to that by the test of Epps & Pulley (1983), N ∫ |φ̂(t) − e^{−t²/2}|² e^{−t²/2} dt with
the empirical characteristic function φ̂(t) = mean exp(itx).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

_REACH, _KNOTS = 5.0, 17


def draw_directions(
    width: int, count: int, generator: torch.Generator
) -> Float[Tensor, "width count"]:
    """Draws unit vectors of all directions alike."""
    drawn = torch.randn(width, count, generator=generator, device=generator.device)
    return nn.functional.normalize(drawn, dim=0)


def sigreg(
    latents: Float[Tensor, "n width"], directions: Float[Tensor, "width slices"]
) -> Float[Tensor, ""]:
    """Returns the mean Epps–Pulley statistic over projections.

    Near 1.06 for Gaussian latents whatever their number, ∫ (1 − e^{−t²}) e^{−t²/2} dt; where they
    are anything else, it grows with their number, which is that of this process: several hold each
    their own latents to the Gaussian, more weakly. By the trapezoidal rule on [0, 5], doubled: the
    integrand is even.
    """
    n = len(latents)
    projected = latents.float() @ directions
    knots = torch.linspace(0, _REACH, _KNOTS, device=latents.device)
    normal = torch.exp(-knots.square() / 2)
    angles = projected[:, :, None] * knots
    real, imaginary = angles.cos().mean(dim=0), angles.sin().mean(dim=0)
    apart = (real - normal).square() + imaginary.square()
    return n * 2 * torch.trapezoid(apart * normal, knots, dim=1).mean()
