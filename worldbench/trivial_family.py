"""Many more scorers without memory, by which the headline quads of a set are balanced (design §8).

Whoever balances ten scorers leaves the eleventh free to win: one with other bins, another blur,
another norm. So a set's quads are chosen by a family of them (``FAMILY``), and tested by relatives
that the choice never saw (``UNSEEN``).
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.functional import avg_pool2d

from worldbench.trivial_scorers import SCORERS, Scorer, Video, box_blur, histogram

Feature = Callable[[Video], Tensor]
"""What a scorer keeps of a bag of frames; the same of context and future."""

Norm = Callable[[Tensor], Tensor]


def _absolute(difference: Tensor) -> Tensor:
    return difference.abs()


def _between(feature: Feature, norm: Norm = torch.square) -> Scorer:
    """Holds what the future is like against what the context is like."""

    def score(context: Video, future: Video) -> float:
        return float(norm(feature(context) - feature(future)).sum())

    return score


def _from(picture: Feature, norm: Norm = torch.square) -> Scorer:
    """Holds every frame of the future against one picture made of the context."""

    def score(context: Video, future: Video) -> float:
        return float(norm(future.double() - picture(context.double())).sum())

    return score


def _oddest(feature: Feature) -> Scorer:
    """Holds the frame of the future that fits the context least against it."""

    def score(context: Video, future: Video) -> float:
        seen = feature(context)
        return max(float((feature(frame[None]) - seen).square().sum()) for frame in future)

    return score


def _colours(bins: int) -> Feature:
    return lambda video: histogram(video, bins)


def _root_colours(bins: int) -> Feature:
    return lambda video: histogram(video, bins).sqrt()


def _ends(feature: Feature, frames: int) -> Scorer:
    """Holds the end of the future against the beginning of the context."""

    def score(context: Video, future: Video) -> float:
        return float((feature(context[:frames]) - feature(future[-frames:])).square().sum())

    return score


def _blurred(share: float, pool: Feature) -> Feature:
    """Blurs what becomes of a bag over a box as wide as so much of a picture's height."""
    return lambda video: box_blur(pool(video.double()), share)


def _mean(video: Video) -> Float[Tensor, "3 h w"]:
    return video.mean(dim=0)


def _median(video: Video) -> Float[Tensor, "3 h w"]:
    return video.median(dim=0).values


def _most(video: Video) -> Float[Tensor, "3 h w"]:
    return video.amax(dim=0)


def _least(video: Video) -> Float[Tensor, "3 h w"]:
    return video.amin(dim=0)


def _spread(video: Video) -> Float[Tensor, "3 h w"]:
    return video.std(dim=0, correction=0)


def _edges(axis: int) -> Feature:
    return lambda video: video.double().diff(dim=axis).abs().mean()


def _variance(video: Video) -> Tensor:
    return video.double().var(correction=0)


def _contrast(video: Video) -> Tensor:
    """The mean over frames of their own standard deviation."""
    return video.double().flatten(1).std(dim=1, correction=0).mean()


def _mean_colour(video: Video) -> Tensor:
    return video.double().mean(dim=(0, 2, 3))


def _motion(share: float) -> Feature:
    """How much changes per frame, in cells as high as so much of the picture."""

    def feature(video: Video) -> Float64[Tensor, "1 rows columns"]:
        if len(video) < 2:  # a single frame does not move
            change = torch.zeros_like(video[:1], dtype=torch.float64)
        else:
            change = video.double().diff(dim=0).abs()
        return avg_pool2d(change.mean(dim=(0, 1))[None], int(video.shape[2] * share))

    return feature


def _height_of_motion(video: Video) -> Tensor:
    change = video.double().diff(dim=0).abs().sum(dim=(0, 1, 3))
    down = torch.linspace(-1, 1, len(change), dtype=torch.float64, device=change.device)
    return (change * down).sum() / change.sum().clamp_min(1e-12)


FAMILY: dict[str, Scorer] = {
    **SCORERS,
    **{f"colours_{n}_l2": _between(_colours(n)) for n in (4, 16)},
    **{f"colours_{n}_l1": _between(_colours(n), _absolute) for n in (4, 8, 16)},
    "colours_8_oddest_frame": _oddest(_colours(8)),
    "colours_8_ends": _ends(_colours(8), 3),
    "colours_8_first": lambda context, future: _between(_colours(8))(context[:1], future),
    "colours_8_last": lambda context, future: _between(_colours(8))(context[-1:], future),
    "mean_colour": _between(_mean_colour),
    "mean_l1": _from(_mean, _absolute),
    "median": _from(_median),
    "minimum": _from(_least),
    "maximum_l1": _from(_most, _absolute),
    **{f"blurred_mean_{at}": _between(_blurred(at, _mean)) for at in (0.08, 0.14, 0.27, 0.65, 0.8)},
    "blurred_mean_0.5_l1": _between(_blurred(0.5, _mean), _absolute),
    "blurred_maximum_0.27": _between(_blurred(0.27, _most)),
    "blurred_minimum_0.27": _between(_blurred(0.27, _least)),
    "blurred_spread_0.27": _between(_blurred(0.27, _spread)),
    "edges_across": _between(_edges(-1)),
    "edges_down": _between(_edges(-2)),
    "variance": _between(_variance),
    "motion_by_quarter": _between(_motion(0.5)),
    "motion_by_sixteenth": _between(_motion(0.25)),
    "height_of_motion": _between(_height_of_motion),
}
"""By name; the scorers of records among them."""

UNSEEN: dict[str, Scorer] = {
    **{f"colours_{n}_l2": _between(_colours(n)) for n in (6, 12)},
    **{f"colours_{n}_l1": _between(_colours(n), _absolute) for n in (6, 12)},
    "colours_8_hellinger": _between(_root_colours(8)),
    "colours_6_oddest_frame": _oddest(_colours(6)),
    "colours_8_second": lambda context, future: _between(_colours(8))(context[1:2], future),
    "median_l1": _from(_median, _absolute),
    "minimum_l1": _from(_least, _absolute),
    **{f"blurred_mean_{at}": _between(_blurred(at, _mean)) for at in (0.2, 0.4, 0.58)},
    "blurred_mean_0.2_l1": _between(_blurred(0.2, _mean), _absolute),
    "blurred_maximum_0.14": _between(_blurred(0.14, _most)),
    "blurred_spread_0.14": _between(_blurred(0.14, _spread)),
    "edges_both_ways": lambda context, future: (
        _between(_edges(-1))(context, future) + _between(_edges(-2))(context, future)
    ),
    "contrast": _between(_contrast),
    "motion_by_strips": _between(_motion(0.125)),
}
"""By name; never chosen by, so that tests tell whether a choice holds for more than its family."""
