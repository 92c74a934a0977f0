"""Scorers that have nothing in mind, on every trial of a quad suite (design §8).

On the headline they must sit at ½, or the quads could be won without memory; where a bag of context
frames can win a violation (shape, colour, count), its score is printed beside a model's.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool2d

from worldbench.stats import pair_score

Video = Float[Tensor, "_ 3 h w"]
Scorer = Callable[[Video, Video], float]
"""Given context and future of a clip, how much the future surprises."""

_BLUR = 0.5  # of a picture's height: over so wide a box the blurred bag averages
_BINS = 8  # per channel, of the bag of colours
_FINE = 16  # likewise, of the fine one

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
    one, two = (_blur(video.double().mean(dim=0)) for video in (context, future))
    return float((one - two).square().sum())


def _blur(picture: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    return box_blur(picture, _BLUR)


def box_blur(picture: Float[Tensor, "c h w"], share: float) -> Float[Tensor, "c h w"]:
    """Averages over a box around every pixel, as far as it lies in the picture.

    Args:
        picture: Any values.
        share: Width of the box, of the picture's height.
    """
    width = int(picture.shape[1] * share) // 2 * 2 + 1
    for sides in ((width, 1), (1, width)):  # one side after the other is many times faster
        edge = (sides[0] // 2, sides[1] // 2)
        picture = avg_pool2d(picture, sides, stride=1, padding=edge, count_include_pad=False)
    return picture


def _side_of_motion(context: Video, future: Video) -> float:
    return (_side(context) - _side(future)) ** 2


def _side(video: Video) -> float:
    """Returns where things change, from −1 at the left edge to 1 at the right; 0 if none does."""
    change = video.double().diff(dim=0).abs().sum(dim=(0, 1, 2))
    across = torch.linspace(-1, 1, len(change), dtype=torch.float64, device=change.device)
    total = float(change.sum())
    return float((change * across).sum()) / total if total else 0.0


def _motion(context: Video, future: Video) -> float:
    return (_amount(context) - _amount(future)) ** 2


def _amount(video: Video) -> float:
    """Returns how much changes from frame to frame; a single frame does not move."""
    return float(video.double().diff(dim=0).abs().mean()) if len(video) > 1 else 0.0


def _colours(context: Video, future: Video) -> float:
    return float((histogram(context, _BINS) - histogram(future, _BINS)).square().sum())


def _fine_colours(context: Video, future: Video) -> float:
    return float((histogram(context, _FINE) - histogram(future, _FINE)).abs().sum())


def histogram(video: Video, bins: int) -> Float64[Tensor, " cells"]:
    """Returns the share of pixels of each colour.

    Args:
        video: Values in 0..1.
        bins: Of equal width, per channel.

    Returns:
        Shares of ``bins³`` colours; together 1.
    """
    level = (video * bins).long().clamp_(0, bins - 1)
    cells = (level[:, 0] * bins + level[:, 1]) * bins + level[:, 2]
    counts = torch.bincount(cells.flatten(), minlength=bins**3)
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
    "fine_colours_of_context": _fine_colours,
    "side_of_motion": _side_of_motion,
    "amount_of_motion": _motion,
}
"""By name, as records show them."""


def scores(
    clips: Sequence[Video], context: int, scorers: Mapping[str, Scorer] = SCORERS
) -> dict[str, list[float]]:
    """Returns by scorer how much the future of each clip surprises it.

    Args:
        clips: Whole clips.
        context: Frames of context.
        scorers: Which, by name.
    """
    return {
        name: [scorer(video[:context], video[context:]) for video in clips]
        for name, scorer in scorers.items()
    }


def outcome(surprises: Sequence[float]) -> float:
    """Returns 1 if I1 and I2 together surprise more than A and P, ½ on a tie, else 0.

    Args:
        surprises: Of A, P, I1 and I2.
    """
    return pair_score(impossible=np.array(surprises[2:]), possible=np.array(surprises[:2]))
