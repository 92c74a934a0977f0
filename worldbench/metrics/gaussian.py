"""The Fréchet distance between Gaussians fitted to two sets, and its sampling theory.

Distance, rank, influence values and the extrapolation to infinitely many samples, as functions of
two checked samples. The public door is :mod:`worldbench.metrics.frechet`.

One exact solver serves every n, m and D. With Σ = RᵀR for any root R, ‖Σ₁^½ Σ₂^½‖_* is the sum of
the singular values of R₁R₂ᵀ: the centred features themselves are a root while n < D, their QR
factor otherwise. Covariances are never formed and nothing is added to a diagonal, so an
ill-conditioned or singular one costs no accuracy.

Where both covariances are well conditioned, the same sum comes from a Cholesky factor Σ₁ = LLᵀ and
the roots of the eigenvalues of the sandwich LᵀΣ₂L, in 0.4–0.6× the time. Squares lose half of the
digits of small values, so this way is left where the factor or the eigenvalues themselves tell that
rounding might reach 1e-9 of the variance; measured, it then stays below 1e-11.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy.linalg import blas, eigvalsh, lapack
from torch import Tensor

from worldbench.metrics.samples import MIN_CLUSTERS, TwoSamples

_LOSS = 1e-9  # of the sum of variances: estimated rounding; what was measured is 1/100 of it
_NARROWEST = 1e-9  # smallest to largest squared pivot of a covariance that it is tried with

SPLITS = 32
"""Random splits into halves: the error they leave is 1/32 of the second-order variance."""

SAMPLES_PER_DIM = 4
"""FD∞ and its interval need at least this many samples per feature dimension, in each set."""


def distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], ddof: int = 1) -> float:
    """‖μ₁−μ₂‖² + tr Σ₁ + tr Σ₂ − 2‖Σ₁^½ Σ₂^½‖_*, float64, covariances over n − ddof."""
    return between(_centred(x, ddof), _centred(y, ddof))


Gaussian = tuple[Float[Tensor, " d"], Float[Tensor, "_ d"]]
"""Mean μ, and any root R of the covariance: Σ = RᵀR."""


def between(first: Gaussian, second: Gaussian) -> float:
    """The distance between two Gaussians, float64."""
    (mean_x, root_x), (mean_y, root_y) = first, second
    spread = float(root_x.square().sum() + root_y.square().sum())
    overlap = None
    if min(len(root_x), len(root_y)) >= len(mean_x):
        overlap = _sandwich(root_x.cpu().numpy(), root_y.cpu().numpy(), _LOSS * spread)
    if overlap is None:
        overlap = float(torch.linalg.svdvals(_root(root_x) @ _root(root_y).T).sum())
    return max(float((mean_x - mean_y).square().sum()) + spread - 2 * overlap, 0.0)


def _sandwich(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"], allowed: float
) -> float | None:
    """‖Σ₁^½ Σ₂^½‖_* by covariances, or None where rounding might cost more than is allowed.

    Half of the operations of general products: covariances are symmetric, the factor triangular.

    Args:
        x: A root of Σ₁ with at least d rows.
        y: One of Σ₂.
        allowed: Error, in squared feature units.
    """
    factor, fault = lapack.dpotrf(blas.dsyrk(1.0, x.T, lower=1), lower=1, overwrite_a=1)
    scales = np.square(np.diagonal(factor))
    if fault or scales.min() < _NARROWEST * scales.max():
        return None
    inner = blas.dsyrk(1.0, blas.dtrmm(1.0, factor, y.T, lower=1, trans_a=1), lower=1)
    values = eigvalsh(inner, lower=True, overwrite_a=True, check_finite=False)
    off = np.finfo(np.float64).eps * values[-1]  # rounding of one eigenvalue; they are independent
    if values[0] <= len(values) * off or off / 2 * math.sqrt((1 / values).sum()) > allowed:
        return None
    return float(np.sqrt(values).sum())


def _moments(
    x: Float[Tensor, "n d"], ddof: int
) -> tuple[Float[Tensor, " d"], Float[Tensor, "r d"]]:
    """The mean and a root R of the covariance, RᵀR = Σ, with min(n, d) rows."""
    mean, centred = _centred(x, ddof)
    return mean, _root(centred)


def _centred(
    x: Float[Tensor, "n d"], ddof: int
) -> tuple[Float[Tensor, " d"], Float[Tensor, "n d"]]:
    mean = x.mean(dim=0)
    return mean, (x - mean) / math.sqrt(len(x) - ddof)


def _root(centred: Float[Tensor, "n d"]) -> Float[Tensor, "r d"]:
    if len(centred) <= centred.shape[1]:
        return centred
    root: Tensor = torch.linalg.qr(centred, mode="r").R
    return root


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """FD∞, or the reason why there is none.

    Attributes:
        value: FD∞; it may be slightly negative when the two distributions coincide.
        reason: Why ``value`` is ``None``.
        split_variance: Variance of the half-sample distances over random splits. It estimates the
            variance of the quadratic (second-order) term of FD∞, see
            :func:`worldbench.metrics.frechet.frechet_report`.
    """

    value: float | None
    reason: str | None = None
    split_variance: float | None = None


def infinity(sets: TwoSamples, seed: int) -> Extrapolation:
    """2·FD_n − mean FD_{n/2} over the halves of seeded splits that keep clusters whole."""
    n, m, dim, clusters = len(sets.x), len(sets.y), sets.x.shape[1], sets.smallest_count
    if min(n, m) < SAMPLES_PER_DIM * dim:
        needed = f"fewer than {SAMPLES_PER_DIM}·D = {SAMPLES_PER_DIM * dim} samples"
        return Extrapolation(None, f"{needed} (n = {n}, m = {m})")
    if clusters < MIN_CLUSTERS:
        return Extrapolation(None, f"only {clusters} clusters in a set, {MIN_CLUSTERS} needed")
    generator = torch.Generator().manual_seed(seed)
    halves = []
    for _ in range(SPLITS):
        first = sets.half(generator)
        in_x, in_y = first[sets.cluster_x], first[sets.cluster_y]
        if min(int(part.sum()) for part in (in_x, ~in_x, in_y, ~in_y)) < 1.5 * dim:
            return Extrapolation(None, "clusters too unequal in size to be split into halves")
        pair = distance(sets.x[in_x], sets.y[in_y]), distance(sets.x[~in_x], sets.y[~in_y])
        halves.append(sum(pair) / 2)
    spread = torch.tensor(halves, dtype=torch.float64)
    value = 2 * distance(sets.x, sets.y) - float(spread.mean())
    return Extrapolation(value, split_variance=float(spread.var()))


def influence(sets: TwoSamples) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """ψ of every row of x and y, for covariances of full rank (ddof 0, so that means are zero)."""
    mean_x, root_x = _moments(sets.x, 0)
    mean_y, root_y = _moments(sets.y, 0)
    # L = Rᵀ, so (LᵀΣ₂L)^½ = V S Vᵀ for R₂R₁ᵀ = U S Vᵀ, and the exchanged one is U S Uᵀ.
    u, overlap, vt = torch.linalg.svd(root_y @ root_x.T)

    def psi(z: Tensor, shift: Tensor, root: Tensor, basis: Tensor) -> Tensor:
        whitened = torch.linalg.solve_triangular(root.T, z.T, upper=False)
        transported = ((basis @ whitened).square() * overlap[:, None]).sum(dim=0)
        quadratic = z.square().sum(dim=1) - transported
        values: Tensor = 2 * z @ shift + quadratic - quadratic.mean()
        return values

    shift = mean_x - mean_y
    return psi(sets.x - mean_x, shift, root_x, vt), psi(sets.y - mean_y, -shift, root_y, u.T)


def rank(sets: TwoSamples) -> int:
    """The smaller numerical rank of the two covariances."""
    ranks = []
    for rows in (sets.x, sets.y):
        values = torch.linalg.svdvals(_moments(rows, 1)[1])
        # Subtracting the mean leaves errors in proportion to the features, not to their spread.
        floor = torch.maximum(values.max(), rows.abs().max()) * max(rows.shape)
        ranks.append(int((values > floor * torch.finfo(rows.dtype).eps).sum()))
    return min(ranks)
