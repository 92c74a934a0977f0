"""Fréchet distance between two sets of features, with the uncertainty that it usually lacks.

Notable: one exact solver for every n, m and D (:mod:`worldbench.metrics.gaussian`); an
extrapolation to infinitely many samples; influence values; an interval whose coverage of the
*population* value is tested, also where the two distributions coincide.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.errors import DataError
from worldbench.metrics import gaussian
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.gaussian import SAMPLES_PER_DIM, SPLITS, Extrapolation
from worldbench.metrics.samples import Labels, Span, TwoSamples, error_bar, two_samples

NO_ERROR = "no standard error: a covariance has rank {rank} < D = {dim}"


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], *, ddof: int = 1) -> float:
    """Squared Fréchet (2-Wasserstein) distance between Gaussians fitted to two sets.

    ‖μ₁−μ₂‖² + tr Σ₁ + tr Σ₂ − 2‖Σ₁^½ Σ₂^½‖_* (Dowson and Landau 1982; for images Heusel et al.
    2017, for video Unterthiner et al. 2018), in float64 whatever the dtype of the features.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        ddof: Covariances divide by n − ddof. 1 is the common choice; some tools use 0.

    Returns:
        The distance in squared feature units, ≥ 0: rounding can put the sum as low as −1e-15 of
        the trace, and it is clamped there. It is biased upwards by O(D²/n); see
        :func:`frechet_infinity`.

    Raises:
        DataError: If widths differ, a set has fewer than two rows, or values are not finite.
    """
    sets = two_samples(x, y)
    return gaussian.distance(sets.x, sets.y, ddof)


def frechet_infinity(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    *,
    seed: int = 0,
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
) -> Extrapolation:
    """Fréchet distance extrapolated to infinitely many samples (FD∞, Chong and Forsyth 2020).

    Richardson on half samples: FD_n = FD∞ + c/n + …, hence 2·FD_n − mean FD_{n/2}, where the mean
    runs over the two disjoint halves of 32 seeded random splits. Halves keep clusters whole, and a
    cluster found in both sets goes to the same half in both, so that dependence within a cluster
    is extrapolated away with the rest of the bias.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        seed: Seed of the splits.
        clusters_x: Cluster of each row of ``x``; by default each row is its own.
        clusters_y: Cluster of each row of ``y``.

    Returns:
        The value, or a reason: fewer than 4·D samples or fewer than 8 clusters in a set.

    Raises:
        DataError: As :func:`frechet_distance`.
    """
    return gaussian.infinity(two_samples(x, y, clusters_x, clusters_y), seed)


def frechet_influence(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """How much each sample moves the Fréchet distance, to first order.

    In the convention *estimate − θ ≈ mean ψx + mean ψy*. With M = L⁻ᵀ(LᵀΣ₂L)^½L⁻¹, Σ₁ = LLᵀ, the
    optimal transport map from the first Gaussian to the second and minus the derivative of the
    overlap term, ψx = 2(μ₁−μ₂)·z + zᵀ(I−M)z − tr Σ₁(I−M) for z = x − μ₁; ψy is the same with the
    roles exchanged (M⁻¹). Covariances have ddof 0 here, so that both means of ψ are exactly zero.
    Differences of ψ between two adapters give paired tests.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.

    Returns:
        ψ of every row of ``x`` and of every row of ``y``, in squared feature units.

    Raises:
        DataError: As :func:`frechet_distance`; also when a set has fewer than 4·D samples or a
            covariance without full rank, where the derivative does not exist.
    """
    sets = two_samples(x, y)
    dim, fewest = sets.x.shape[1], min(len(sets.x), len(sets.y))
    rank = gaussian.rank(sets)
    if fewest < SAMPLES_PER_DIM * dim or rank < dim:
        raise DataError(
            "influence values of the Fréchet distance are not defined here",
            seen=f"{fewest} samples, {dim} features, rank {rank}",
            accepted=f"at least {SAMPLES_PER_DIM} samples per feature and covariances of full rank",
            fix="add clips, or project the features to fewer dimensions",
        )
    return gaussian.influence(sets)


@dataclass(frozen=True, slots=True)
class FrechetReport:
    """A Fréchet distance with what is needed to judge it.

    Attributes:
        value: FD_n, the usual (upwards biased) number.
        infinity: FD∞, ``None`` when undefined.
        standard_error: Clustered standard error of FD∞.
        low: Lower end of the 95 % interval, centred on FD∞; negative values are kept.
        high: Upper end.
        reason: Why FD∞ or its interval is undefined.
        n: Rollouts.
        m: Real clips.
        dim: Width D of the features.
        rank: The smaller rank of the two covariances.
        clusters: Clusters in the set that has fewer.
        noise_floor: Mean FD between disjoint random halves of the real clips: what a perfect model
            would get with half as many clips. ``None`` when they cannot be split.
        card: Label of the extractor card.
    """

    value: float
    infinity: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str | None
    n: int
    m: int
    dim: int
    rank: int
    clusters: int
    noise_floor: float | None
    card: str | None


def frechet_report(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
    *,
    card: ExtractorCard | None = None,
    seed: int = 0,
    ddof: int = 1,
) -> FrechetReport:
    """Fréchet distance, FD∞ and an interval for the population value.

    The squared standard error is the larger of two variances, see
    :func:`worldbench.metrics.samples.error_bar`: the clustered first-order one from
    :func:`frechet_influence`, and that of the quadratic term, which alone remains when the two
    distributions coincide. The latter needs no formula: re-drawing the halves flips the signs of
    clusters in just that quadratic form, so its variance is the variance of mean FD_{n/2} over
    splits. In simulations with 4 and 8 features and 64 to 200 samples the nominal 95 % interval
    covered the population distance in 97–100 % of runs for equal distributions, 90–99 % for other
    ones, clustered or not, and 81–96 % for heavily skewed features that are strongly correlated.

    Args:
        x: Features of the rollouts.
        y: Features of the real clips.
        clusters_x: Scene or source video of each row of ``x``; by default each row is its own.
        clusters_y: The same for ``y``; a label found in both sets is one cluster.
        card: Identity of the features.
        seed: Seed of the splits into halves.
        ddof: Covariances of ``value`` divide by n − ddof; what is extrapolated keeps 1.

    Returns:
        The report; what is undefined is ``None`` and ``reason`` says why.

    Raises:
        DataError: As :func:`frechet_distance`.
    """
    sets = two_samples(x, y, clusters_x, clusters_y)
    limit, rank, dim = gaussian.infinity(sets, seed), gaussian.rank(sets), sets.x.shape[1]
    reason, span = limit.reason, Span()
    if limit.value is not None and limit.split_variance is not None:
        if rank == dim:
            first = sets.variance(*gaussian.influence(sets))
            span = error_bar(limit.value, first, limit.split_variance, sets.smallest_count)
        else:
            reason = NO_ERROR.format(rank=rank, dim=dim)
    return FrechetReport(
        value=gaussian.distance(sets.x, sets.y, ddof),
        infinity=limit.value,
        standard_error=span.standard_error,
        low=span.low,
        high=span.high,
        reason=reason,
        n=len(sets.x),
        m=len(sets.y),
        dim=dim,
        rank=rank,
        clusters=sets.smallest_count,
        noise_floor=_noise_floor(sets, seed),
        card=card.label if card else None,
    )


def _noise_floor(sets: TwoSamples, seed: int) -> float | None:
    generator = torch.Generator().manual_seed(seed)
    distances = []
    for _ in range(SPLITS // 4):
        first = sets.half(generator)[sets.cluster_y]
        if min(int(first.sum()), int((~first).sum())) < 2:
            return None
        distances.append(gaussian.distance(sets.y[first], sets.y[~first]))
    return math.fsum(distances) / len(distances)
