"""The Fréchet distance and its sampling theory from moments in blocks.

The same quantities as :mod:`worldbench.metrics.gaussian` has them from rows; blocks take the place
of clusters. Covariances are formed here, so that directions whose variance is below 1e-16 of the
largest are lost.
"""

import math

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from worldbench.metrics.blocks import BlockMoments
from worldbench.metrics.gaussian import (
    SAMPLES_PER_DIM,
    SPLITS,
    Extrapolation,
    Gaussian,
    between,
)
from worldbench.metrics.samples import MIN_CLUSTERS, Span, error_bar

_LEAST = 1.5  # rows per dimension in each half


class TwoBlockSets:
    """Rollouts and real clips as moments under one division into blocks.

    Args:
        x: Of the rollouts.
        y: Of the real clips.
    """

    def __init__(self, x: BlockMoments, y: BlockMoments) -> None:
        self.x, self.y = x, y
        self.filled = (x.count + y.count) > 0
        self.dim = x.mean.shape[1]
        self.blocks = int(min((x.count > 0).sum(), (y.count > 0).sum()))

    @property
    def sizes(self) -> tuple[int, int]:
        """Rollouts and real clips."""
        return int(self.x.count.sum()), int(self.y.count.sum())

    def distance(self, ddof: int = 1) -> float:
        """FD_n, as from all rows."""
        return between(
            gaussian_of(self.x, self.filled, ddof), gaussian_of(self.y, self.filled, ddof)
        )

    def halves(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draws a half of the blocks, and returns it with the other."""
        order = torch.randperm(len(self.filled), generator=generator).to(self.filled.device)
        order = order[self.filled[order]]
        first = torch.zeros_like(self.filled)
        first[order[: len(order) // 2]] = True
        return first, self.filled & ~first

    def infinity(self, seed: int) -> Extrapolation:
        """2·FD_n − mean FD_{n/2}; :func:`worldbench.metrics.gaussian.infinity` from rows."""
        n, m = self.sizes
        if min(n, m) < SAMPLES_PER_DIM * self.dim:
            needed = f"fewer than {SAMPLES_PER_DIM}·D = {SAMPLES_PER_DIM * self.dim} samples"
            return Extrapolation(None, f"{needed} (n = {n}, m = {m})")
        if self.blocks < MIN_CLUSTERS:
            reason = f"only {self.blocks} blocks of clusters in a set, {MIN_CLUSTERS} needed"
            return Extrapolation(None, reason)
        generator, found = torch.Generator().manual_seed(seed), []
        for _ in range(SPLITS):
            halves = self.halves(generator)
            counts = [float(side.count[half].sum()) for half in halves for side in (self.x, self.y)]
            if min(counts) < _LEAST * self.dim:
                return Extrapolation(None, "blocks too unequal in size to be split into halves")
            pair = [between(gaussian_of(self.x, h), gaussian_of(self.y, h)) for h in halves]
            found.append(sum(pair) / 2)
        spread = torch.tensor(found, dtype=torch.float64)
        value = 2 * self.distance() - float(spread.mean())
        return Extrapolation(value, split_variance=float(spread.var()))

    def noise_floor(self, seed: int) -> float | None:
        """Mean distance between disjoint halves of the real clips."""
        generator, found = torch.Generator().manual_seed(seed), []
        for _ in range(SPLITS // 4):
            first, second = self.halves(generator)
            if min(float(self.y.count[half].sum()) for half in (first, second)) < 2:
                return None
            found.append(between(gaussian_of(self.y, first), gaussian_of(self.y, second)))
        return math.fsum(found) / len(found)

    def rank(self) -> int:
        """The smaller numerical rank of the two covariances."""
        ranks = []
        for side in (self.x, self.y):
            values = torch.linalg.eigvalsh(side.pooled(self.filled)[2])
            floor = values[-1] * len(values) * torch.finfo(values.dtype).eps
            ranks.append(int((values > floor).sum()))
        return min(ranks)

    def span(self, limit: Extrapolation) -> Span:
        """The interval around FD∞, its first-order variance from ψ summed by block."""
        if limit.value is None or limit.split_variance is None:
            return Span()
        (n, m), (psi_x, psi_y) = self.sizes, self.influence()
        totals = (psi_x / n + psi_y / m)[self.filled]
        first = float(totals.square().sum()) * len(totals) / max(len(totals) - 1, 1)
        return error_bar(limit.value, first, limit.split_variance, self.blocks)

    def influence(self) -> tuple[Float64[Tensor, " k"], Float64[Tensor, " k"]]:
        """ψ of :func:`worldbench.metrics.frechet.frechet_influence`, summed over each block."""
        first, second = (gaussian_of(side, self.filled, 0) for side in (self.x, self.y))
        (mean_x, root_x), (mean_y, root_y) = first, second
        u, overlap, vt = torch.linalg.svd(root_y @ root_x.T)

        def psi(side: BlockMoments, own: Gaussian, shift: Tensor, basis: Tensor) -> Tensor:
            mean, root = own
            whitening = torch.linalg.solve_triangular(root.T, basis, upper=False, left=False)
            transport = whitening.T @ (overlap[:, None] * whitening)
            bent = torch.eye(self.dim, dtype=mean.dtype, device=mean.device) - transport
            # rows around the mean: z summed, and zᵀ(I − M)z summed, less its mean over all rows
            quadratic = (side.around(mean) * bent).sum(dim=(1, 2))
            linear = 2 * side.count * ((side.mean - mean) @ shift)
            values: Tensor = linear + quadratic - side.count * quadratic.sum() / side.count.sum()
            return values

        shift = mean_x - mean_y
        return psi(self.x, first, shift, vt), psi(self.y, second, -shift, u.T)


def gaussian_of(side: BlockMoments, kept: Bool[Tensor, " k"], ddof: int = 1) -> Gaussian:
    """The Gaussian fitted to the rows of some blocks; its root is triangular where it can be."""
    count, mean, scatter = side.pooled(kept)
    covariance = scatter / (count - ddof)
    factor, fault = torch.linalg.cholesky_ex(covariance)
    if not int(fault):
        return mean, factor.T
    values, vectors = torch.linalg.eigh(covariance)
    return mean, values.clamp(min=0).sqrt()[:, None] * vectors.T
