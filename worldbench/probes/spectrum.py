"""Features on the axes of their own covariance, on which linear heads are solved."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

_CONSTANT = 1e-6  # a column that varies less than this, relative to its size, is rounding
_RANK = 1e-12  # share of the largest variance below which a direction is rounding


@dataclass(frozen=True)
class Spectrum:
    """Standardised features, turned to the principal axes of those it was made of.

    Penalties on squared weights do not notice a rotation, and on these axes they act on each
    direction by itself. Of fewer items than columns no more axes are left than items.

    Attributes:
        centre: Mean of each column.
        spread: Standard deviation of each column; infinite for constant ones, which say nothing.
        axes: Orthonormal directions, ``d r``.
        variances: Of the standardised features along them, falling, ``r``.
    """

    centre: Float64[Tensor, " d"]
    spread: Float64[Tensor, " d"]
    axes: Float64[Tensor, "d r"]
    variances: Float64[Tensor, " r"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float64[Tensor, "n r"]:
        """Maps features to coordinates along the axes."""
        return ((x.double() - self.centre) / self.spread) @ self.axes


def spectrum_of(x: Float[Tensor, "n d"]) -> Spectrum:
    """Decomposes the covariance of features, or its dual where there are fewer items than columns.

    Args:
        x: Features of at least one item, finite.
    """
    x = x.double()
    centre, spread = x.mean(dim=0), x.std(dim=0, correction=0)
    size = x.square().mean(dim=0).sqrt()
    spread = torch.where(spread > _CONSTANT * size, spread, torch.inf)
    x = (x - centre) / spread
    n, d = x.shape
    values, vectors = torch.linalg.eigh((x.T @ x if n >= d else x @ x.T) / n)
    order = torch.arange(len(values) - 1, -1, -1, device=x.device)
    values, vectors = values[order], vectors[:, order]
    kept = values > _RANK * values[:1].clamp(min=torch.finfo(values.dtype).tiny)
    values, vectors = values[kept], vectors[:, kept]
    if n < d:
        vectors = x.T @ vectors / (n * values).sqrt()
    return Spectrum(centre, spread, vectors, values)
