"""Do matches between foreseen frames lie on their epipolar lines? One row per view."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.batches import to_pixels
from worldbench.errors import WorldbenchError
from worldbench.metrics.epipolar import Matrix, Points, fundamental, sampson_error
from worldbench.metrics.tsed import THRESHOLDS, Pair, Tsed, matches, tsed
from worldbench.suite import Row
from worldbench.suites.view_geometry import FRAMES_APART

Fundamental = Callable[[int, int, Points, Points], Matrix | None]
"""The epipolar geometry of two frames, given their matches; None where there is none."""


def true_geometry(
    intrinsics: Float64[np.ndarray, "t 3 3"], c2w: Float64[np.ndarray, "t 4 4"]
) -> Fundamental:
    """Returns the epipolar geometry of a clip's known cameras; none where the camera stood still.

    Args:
        intrinsics: Of every frame, in its pixels.
        c2w: Camera to world of every frame.
    """

    def between(one: int, other: int, x_a: Points, x_b: Points) -> Matrix | None:
        try:
            return fundamental(intrinsics[one], c2w[one], intrinsics[other], c2w[other])
        except WorldbenchError:
            return None

    return between


def tsed_row(
    between: Fundamental,
    last: Float[Tensor, "3 h w"],
    rolled: Float[Tensor, "f 3 h w"],
    future: Float[Tensor, "f 3 h w"],
    first: int,
) -> Row:
    """Returns TSED and Sampson error of a rollout and of the real future.

    Args:
        between: The geometry of two frames of the clip.
        last: The last frame of the context.
        rolled: A rollout.
        future: What came.
        first: The frame that ``last`` is.

    Returns:
        ``<future>.<threshold>``: the share of pairs that are consistent; ``<future>.enough``: the
        share with enough matches; ``<future>.status``; ``<future>.sampson``: median over pairs of
        the median error, pixels at 256-equivalent. Futures are ``model``, ``ceiling`` and
        ``floor``, the last frame standing still.
    """
    found: Row = {"role": "tsed"}
    still = last.expand_as(future)
    for name, foreseen in (("model", rolled), ("floor", still), ("ceiling", future)):
        shown = to_pixels(torch.cat([last[None], foreseen]))
        size = (shown.shape[1], shown.shape[2])
        pairs = []
        for i in range(len(shown) - FRAMES_APART):
            x_a, x_b = matches(shown[i], shown[i + FRAMES_APART])
            matrix = between(first + i, first + i + FRAMES_APART, x_a, x_b)
            pairs.append(Pair(x_a, x_b, matrix, size))
        told = tsed(pairs)
        found |= _told(name, told)
        errors = [
            float(np.median(sampson_error(pair.F, pair.x_a, pair.x_b))) / pair.unit
            for pair in pairs
            if pair.F is not None and pair.enough
        ]
        found[f"{name}.sampson"] = float(np.median(errors)) if errors else None
    return found


def _told(name: str, told: Tsed) -> Row:
    shares = told.consistent if told.consistent is not None else [None] * len(THRESHOLDS)
    curve = zip(told.thresholds, shares, strict=True)
    return {
        **{f"{name}.{threshold:g}": share for threshold, share in curve},
        f"{name}.enough": told.enough / told.pairs if told.pairs else None,
        f"{name}.status": told.status,
    }
