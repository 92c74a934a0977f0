"""Scorers that have nothing in mind, on every trial of a quad suite (design §8).

On the headline they must sit at ½, or the quads could be won without memory; where a bag of context
frames can win a violation (shape, colour, count), its score is printed beside a model's.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

Video = Float[Tensor, "t 3 h w"]
Scorer = Callable[[Video, Video], float]
"""Given context and future of a clip, how much the future surprises."""

_COARSE = 8  # pixels a side of what the blurred bag still tells apart
_BINS = 8  # per channel, of the bag of colours

FUTURE_ONLY = "frame_difference"
"""What looks at the change within the future and at its seam with the context alone; beside shared
prefixes it tells how much of an answer the future by itself gives away."""


def _constant(context: Video, future: Video) -> float:
    return 1.0


def _frame_difference(context: Video, future: Video) -> float:
    whole = torch.cat([context[-1:], future]).double()
    return float(whole.diff(dim=0).abs().sum())


def _pixel_variance(context: Video, future: Video) -> float:
    return float(future.double().var(correction=0))


def _against(picture: Callable[[Video], Tensor]) -> Scorer:
    """Holds the future against one picture made of the context."""

    def score(context: Video, future: Video) -> float:
        return float((future - picture(context)).double().square().sum())

    return score


def _blurred(context: Video, future: Video) -> float:
    one, two = (avg_pool2d(v.mean(dim=0), _COARSE, ceil_mode=True) for v in (context, future))
    return float((one - two).double().square().sum())


def _colours(context: Video, future: Video) -> float:
    return float((_histogram(context) - _histogram(future)).square().sum())


def _histogram(video: Video) -> Float[Tensor, " bins"]:
    level = (video * _BINS).long().clamp_(0, _BINS - 1)
    bins = (level[:, 0] * _BINS + level[:, 1]) * _BINS + level[:, 2]
    counts = torch.bincount(bins.flatten(), minlength=_BINS**3)
    return counts.double() / counts.sum()


SCORERS: dict[str, Scorer] = {
    "constant": _constant,
    "frame_difference": _frame_difference,
    "pixel_variance": _pixel_variance,
    "mean_of_context": _against(lambda context: context.mean(dim=0)),
    "max_of_context": _against(lambda context: context.amax(dim=0)),
    "first_of_context": _against(lambda context: context[0]),
    "last_of_context": _against(lambda context: context[-1]),
    "blurred_mean_of_context": _blurred,
    "colours_of_context": _colours,
}
"""By name, as records show them."""
