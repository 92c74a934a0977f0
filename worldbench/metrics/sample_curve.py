"""How a distance changes with the number of clips: the finite-sample curve.

FD_n falls with n towards its limit whatever the model, so two Fréchet distances at different n do
not compare, and one at small n is mostly bias. The curve shows it: FD over disjoint subsets of n
clips, FD between disjoint sets of n *real* clips beside it, and the unbiased kernel distance, which
has no slope but scatters more.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from worldbench.metrics import gaussian
from worldbench.metrics.polynomial import PairMeans, PolynomialKernel
from worldbench.metrics.samples import TwoSamples

MOST_SUBSETS = 8
FEWEST_CLIPS = 8


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Distances at one number of clips.

    Attributes:
        n: Clips on each side, on average: subsets keep clusters whole.
        subsets: Pairs of subsets averaged over.
        frechet: Mean FD_n.
        frechet_spread: Standard deviation over the subsets; ``None`` for a single pair.
        kernel: Mean kernel distance.
        kernel_spread: Its standard deviation.
        floor: Mean FD between disjoint sets of as many real clips; ``None`` where there are too
            few for two.
    """

    n: int
    subsets: int
    frechet: float
    frechet_spread: float | None
    kernel: float
    kernel_spread: float | None
    floor: float | None


def finite_sample_curve(
    sets: TwoSamples, kernel: PolynomialKernel | None = None, *, ddof: int = 1, seed: int = 0
) -> tuple[CurvePoint, ...]:
    """Measures distances at all, a half, a quarter … of the clips, down to eight.

    Subsets of one size are disjoint, at most eight of them, and drawn by cluster: their scatter is
    that of independent sets of that size, and clips of one video stay together.

    Args:
        sets: Rollouts and real clips, from :func:`worldbench.metrics.samples.two_samples`.
        kernel: Of the kernel distance; degree 3, γ = 1/D, c₀ = 1 by default.
        ddof: Covariances divide by n − ddof.
        seed: Seed of the subsets.

    Returns:
        Points in rising order of n; none if there are fewer than eight clips in a set.
    """
    kernel = kernel or PolynomialKernel()
    fewest = min(len(sets.x), len(sets.y), sets.smallest_count)
    halvings = int(math.log2(fewest / FEWEST_CLIPS)) if fewest >= FEWEST_CLIPS else -1
    order = torch.randperm(sets.clusters, generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(sets.clusters)
    return tuple(
        _point(sets, place.to(sets.x.device), 2**halving, kernel, ddof)
        for halving in range(halvings, -1, -1)
    )


def _point(
    sets: TwoSamples,
    place: Int[Tensor, " clusters"],
    parts: int,
    kernel: PolynomialKernel,
    ddof: int,
) -> CurvePoint:
    rows_x = list(_parts(place[sets.cluster_x], parts))
    rows_y = list(_parts(place[sets.cluster_y], parts))
    frechet, kernels = [], []
    for x, y in zip(rows_x[:MOST_SUBSETS], rows_y[:MOST_SUBSETS], strict=True):
        some = TwoSamples(sets.x[x], sets.y[y], sets.cluster_x[x], sets.cluster_y[y], sets.clusters)
        frechet.append(gaussian.distance(some.x, some.y, ddof))
        kernels.append(PairMeans.of(some, kernel).distance)
    floor = [
        gaussian.distance(sets.y[a], sets.y[b], ddof)
        for a, b in zip(rows_y[0::2], rows_y[1::2], strict=False)
    ][:MOST_SUBSETS]
    return CurvePoint(
        n=round(min(len(sets.x), len(sets.y)) / parts),
        subsets=len(frechet),
        frechet=_mean(frechet),
        frechet_spread=_spread(frechet),
        kernel=_mean(kernels),
        kernel_spread=_spread(kernels),
        floor=_mean(floor) if floor else None,
    )


def _parts(places: Int[Tensor, " n"], parts: int) -> Iterator[Int[Tensor, " k"]]:
    """Rows in parts of equally many clusters, taken in the order of their places."""
    present, rank = torch.unique(places, return_inverse=True)
    part = rank * parts // len(present)
    for number in range(parts):
        yield (part == number).nonzero().flatten()


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _spread(values: list[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
