"""Do matches between foreseen frames lie on their epipolar lines? One row per view."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.batches import to_pixels
from worldbench.errors import WorldbenchError
from worldbench.metrics.epipolar import Points, fundamental, sampson_error
from worldbench.metrics.epipolar_fit import checkerboard, estimate_fundamental
from worldbench.metrics.tsed import THRESHOLDS, Pair, matches, tsed
from worldbench.schema import seed_of
from worldbench.suite import Row
from worldbench.suites.view_geometry import FRAMES_APART

Geometry = Callable[[int, int, Points, Points, tuple[int, int]], list[Pair]]
"""What there is to judge of two frames of a size, given their matches."""


def true_geometry(
    intrinsics: Float64[np.ndarray, "t 3 3"], c2w: Float64[np.ndarray, "t 4 4"]
) -> Geometry:
    """Judges matches by a clip's known cameras; there is no geometry where the camera stood still.

    Args:
        intrinsics: Of every frame, in its pixels.
        c2w: Camera to world of every frame.
    """

    def between(
        one: int, other: int, x_a: Points, x_b: Points, size: tuple[int, int]
    ) -> list[Pair]:
        try:
            matrix = fundamental(intrinsics[one], c2w[one], intrinsics[other], c2w[other])
        except WorldbenchError:
            return [Pair(x_a, x_b, None, size)]
        return [Pair(x_a, x_b, matrix, size)]

    return between


def fitted_geometry(view: str) -> Geometry:
    """Judges matches by what other matches of the same frames say.

    The matches are dealt out to two halves by where they are (:func:`checkerboard`). To each half
    a matrix is fitted, and the other half judged by it: what a matrix was fitted to lies on its
    lines whether or not anything is rigid.

    Args:
        view: Id of the view, from which the seeds of the fits follow.
    """

    def between(
        one: int, other: int, x_a: Points, x_b: Points, size: tuple[int, int]
    ) -> list[Pair]:
        black = checkerboard(x_a, size)
        found = []
        for number, half in enumerate((black, ~black)):
            seed = seed_of(view, one, other, number) % 2**31
            matrix = estimate_fundamental(x_a[half], x_b[half], seed).F
            found.append(Pair(x_a[~half], x_b[~half], matrix, size))
        return found

    return between


def tsed_row(
    between: Geometry,
    last: Float[Tensor, "3 h w"],
    rolled: Float[Tensor, "s f 3 h w"],
    future: Float[Tensor, "f 3 h w"],
    first: int,
) -> Row:
    """Returns TSED and Sampson error of rollouts and of the real future.

    Args:
        between: The geometry of two frames of the clip.
        last: The last frame of the context.
        rolled: Samples of a rollout.
        future: What came.
        first: The frame that ``last`` is.

    Returns:
        ``<future>.<threshold>``: the share of pairs that are consistent; ``<future>.enough``: the
        share with enough matches; ``<future>.status``; ``<future>.sampson``: median over pairs of
        the median error, pixels at 256-equivalent. Futures are ``model``, the mean of its samples;
        ``ceiling``; and ``floor``, the last frame standing still.
    """
    found: Row = {"role": "tsed"}
    still = last.expand_as(future)
    futures = {"model": rolled, "floor": still[None], "ceiling": future[None]}
    for name, samples in futures.items():
        told = [_sample(list(_pairs(between, last, sample, first))) for sample in samples]
        found |= {f"{name}.{key}": value for key, value in _mean(told).items()}
    return found


def _pairs(
    between: Geometry, last: Float[Tensor, "3 h w"], foreseen: Float[Tensor, "f 3 h w"], first: int
) -> Iterator[Pair]:
    shown = to_pixels(torch.cat([last[None], foreseen]))
    size = (shown.shape[1], shown.shape[2])
    for i in range(len(shown) - FRAMES_APART):
        x_a, x_b = matches(shown[i], shown[i + FRAMES_APART])
        yield from between(first + i, first + i + FRAMES_APART, x_a, x_b, size)


def _sample(pairs: list[Pair]) -> Row:
    told = tsed(pairs)
    shares = told.consistent if told.consistent is not None else [None] * len(THRESHOLDS)
    errors = [
        float(np.median(sampson_error(pair.F, pair.x_a, pair.x_b))) / pair.unit
        for pair in pairs
        if pair.F is not None and pair.enough
    ]
    return {
        **{f"{limit:g}": share for limit, share in zip(told.thresholds, shares, strict=True)},
        "enough": told.enough / told.pairs if told.pairs else None,
        "status": told.status,
        "sampson": float(np.median(errors)) if errors else None,
    }


def _mean(samples: list[Row]) -> Row:
    """Returns the mean over samples.

    Beside a sample that could be measured one that could not keeps to no line, as one such view
    counts beside others; errors are those of the samples that have any.
    """
    measured = [sample for sample in samples if sample["status"] == "ok"]
    found: Row = {"status": "ok" if measured else samples[0]["status"]}
    for limit in (f"{threshold:g}" for threshold in THRESHOLDS):
        kept = sum(sample[limit] for sample in measured)
        found[limit] = kept / len(samples) if measured else None
    for name in ("enough", "sampson"):
        known = [sample[name] for sample in samples if sample[name] is not None]
        found[name] = sum(known) / len(known) if known else None
    return found
