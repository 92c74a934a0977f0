"""Sums of a polynomial kernel over all pairs of two samples, in blocks.

The public door is :mod:`worldbench.metrics.kernel`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.errors import UsageError
from worldbench.metrics.samples import TwoSamples

_BLOCK_VALUES = 1 << 22  # kernel values held at once: 32 MiB


@dataclass(frozen=True, slots=True)
class PolynomialKernel:
    """k(a, b) = (γ a·b + c₀)^degree.

    Attributes:
        degree: A positive whole number.
        gamma: Scale γ of the dot product, positive; ``None`` is 1/D.
        coef0: Offset c₀, not negative.

    Raises:
        UsageError: If a value is outside of these; k would not be positive definite.
    """

    degree: int = 3
    gamma: float | None = None
    coef0: float = 1.0

    def __post_init__(self) -> None:
        if self.degree < 1 or self.coef0 < 0 or (self.gamma is not None and self.gamma <= 0):
            raise UsageError(
                "not a positive definite polynomial kernel",
                seen=f"degree={self.degree}, gamma={self.gamma}, coef0={self.coef0}",
                accepted="degree ≥ 1, gamma > 0 or None for 1/D, coef0 ≥ 0",
            )

    def __call__(self, a: Float[Tensor, "p d"], b: Float[Tensor, "q d"]) -> Float[Tensor, "p q"]:
        """Kernel values of all pairs."""
        gamma = 1 / a.shape[1] if self.gamma is None else self.gamma
        return (gamma * (a @ b.T) + self.coef0) ** self.degree


@dataclass(frozen=True, slots=True)
class PairMeans:
    """Means of the kernel over pairs from different clusters.

    Attributes:
        rows: Mean over the partners in x and in y, for every row of x and then of y.
        grand: Mean over pairs x–x, x–y; y–x, y–y.
        n: Rows of x.
    """

    rows: Float[Tensor, "all 2"]
    grand: Float[Tensor, "2 2"]
    n: int

    @classmethod
    def of(cls, sets: TwoSamples, kernel: PolynomialKernel) -> "PairMeans":
        """One blockwise pass over all pairs."""
        z, labels, side = _pooled(sets)
        indicator = torch.stack([~side, side], dim=1).double()
        sums, counts = z.new_empty(len(z), 2), z.new_empty(len(z), 2)
        for start in range(0, len(z), _block(len(z))):
            rows = slice(start, start + _block(len(z)))
            other = labels[rows, None] != labels
            sums[rows] = (kernel(z[rows], z) * other) @ indicator
            counts[rows] = other.double() @ indicator
        of_side = indicator.T
        return cls(sums / counts, (of_side @ sums) / (of_side @ counts), len(sets.x))

    @property
    def distance(self) -> float:
        """The U-statistic: mean within x, plus mean within y, minus twice the mean between."""
        xx, xy, _, yy = self.grand.flatten().tolist()
        return math.fsum([xx, yy, -2 * xy])

    @property
    def influence(self) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
        """Hájek projection: ψ of every row of x and of every row of y."""
        gap = 2 * (self.rows[:, 0] - self.rows[:, 1])
        psi_x, psi_y = gap[: self.n], -gap[self.n :]
        return psi_x - psi_x.mean(), psi_y - psi_y.mean()


def second_order_variance(sets: TwoSamples, kernel: PolynomialKernel, means: PairMeans) -> float:
    """2 tr V², V the covariance of the difference of mean embeddings.

    V = Σ_c g_c ⊗ g_c with g_c the sum of ±(φ − mean φ)/n over a cluster, so tr V² is a sum of
    squared inner products over pairs of clusters; c = c′ is left out as it is in the U-statistic.
    """
    z, labels, side = _pooled(sets)
    weight = torch.where(side, -1 / len(sets.y), 1 / len(sets.x)).double()
    column, order = side.long(), labels.argsort(stable=True)
    ends = torch.bincount(labels, minlength=sets.clusters).cumsum(0).tolist()
    total, start = 0.0, 0
    per_block = max(1, _block(len(z)) * sets.clusters // len(z))
    for first in range(0, sets.clusters, per_block):
        last = min(first + per_block, sets.clusters)
        rows = order[start : ends[last - 1]]
        start = ends[last - 1]
        gram = kernel(z[rows], z) - means.rows[rows][:, column] - means.rows.T[column[rows]]
        gram = (gram + means.grand[column[rows]][:, column]) * weight[rows, None] * weight
        by_column = z.new_zeros(len(rows), sets.clusters).index_add_(1, labels, gram)
        by_cluster = z.new_zeros(last - first, sets.clusters)
        by_cluster.index_add_(0, labels[rows] - first, by_column).diagonal(first).zero_()
        total += float(by_cluster.square().sum())
    return 2 * total


def _pooled(sets: TwoSamples) -> tuple[Tensor, Tensor, Tensor]:
    """All rows, their clusters, and whether they are of y."""
    labels = torch.cat([sets.cluster_x, sets.cluster_y])
    return (
        torch.cat([sets.x, sets.y]),
        labels,
        torch.arange(len(labels), device=labels.device) >= len(sets.x),
    )


def _block(rows: int) -> int:
    return max(1, _BLOCK_VALUES // rows)
