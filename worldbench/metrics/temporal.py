"""Temporal quality of videos, beside what the real ones have: warping error, flicker, motion.

A still video has no error and no flicker, so neither means anything without the amount of motion
beside it, and none of the three without the real videos' own values: each is read as a difference
from them, and motion also as a distance between the two distributions.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.features import Extractor, FeatureMetric
from worldbench.metrics.flow import NAME, SMALLEST_SIDE, optical_flow, sampled, seen_again
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.samples import MIN_CLUSTERS, Labels, Span, error_bar, two_samples
from worldbench.schema import digest

MEASURES = ("warping_error", "flicker", "motion")
"""What is measured of every clip, in this order."""

UNITS = {
    "warping_error": "mean squared error along the flow",
    "flicker": "brightness of 1",
    "motion": "% of the short side per frame",
}

RULE = FrameRule(least=3)
"""A second difference needs three frames."""

_BLOCKS = 8
_VERSION = 1
_WORDS = f"{NAME}; flicker on {_BLOCKS}x{_BLOCKS} block means"

CARD = ExtractorCard(
    name="temporal-dis",
    revision=digest([_VERSION, _WORDS]),
    dim=len(MEASURES),
    preprocessing=f"frames as they are; {_WORDS}",
    source="optical flow of OpenCV",
)


@torch.no_grad()
def temporal_measures(video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b 3"]:
    """Measures every clip.

    *Warping error*: mean squared difference of frame k and of frame k+1 sampled along the flow from
    k, over pixels that are found again (Lai et al. 2018, arXiv 1808.00449); where no pixel is,
    over all. *Flicker*: mean absolute second difference over time of the brightness of 8 × 8
    blocks, which motion within a block and steady changes of light leave alone. *Motion*: mean
    length of the flow.

    Args:
        video: At least three frames of at least 16 pixels, values in [0, 1].

    Returns:
        Warping error in squares of the value range, flicker in the value range, motion in percent
        of the short side per frame; float64 on the CPU.

    Raises:
        UsageError: If there are fewer frames.
        DataError: If frames are smaller.
    """
    RULE.check(CARD.name, video.shape[1])
    if min(video.shape[-2:]) < SMALLEST_SIDE:
        raise DataError(
            "frames are too small for optical flow",
            seen=f"{video.shape[-2]}×{video.shape[-1]}",
            accepted=f"at least {SMALLEST_SIDE} pixels a side",
        )
    return torch.stack([_of_clip(clip) for clip in video.clamp(0, 1).cpu()])


def _of_clip(clip: Float[Tensor, "t 3 h w"]) -> Float[Tensor, " m"]:
    ahead, behind = optical_flow(_grey(clip))
    forward = torch.from_numpy(ahead).permute(0, 3, 1, 2)
    backward = torch.from_numpy(behind).permute(0, 3, 1, 2)
    errors = (clip[:-1] - sampled(clip[1:], forward)).square().mean(dim=1).double()
    found = seen_again(forward, backward)
    found = torch.where(found.any(dim=(1, 2), keepdim=True), found, True)
    warping = (errors * found).sum(dim=(1, 2)) / found.sum(dim=(1, 2))
    blocks = functional.adaptive_avg_pool2d(clip.double().mean(dim=1), _BLOCKS)
    flicker = blocks.diff(n=2, dim=0).abs().mean()
    motion = 100 * forward.double().norm(dim=1).mean() / min(clip.shape[-2:])
    return torch.stack([warping.mean(), flicker, motion])


def _grey(clip: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w"]:
    pixels = (clip * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.stack([cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in pixels])


@dataclass(frozen=True, slots=True)
class TemporalComparison:
    """One measure of rollouts beside that of real clips.

    Attributes:
        name: One of :data:`MEASURES`.
        unit: Its unit.
        rollouts: Mean over the rollouts.
        real: Mean over the real clips.
        difference: Rollouts minus real.
        standard_error: Clustered standard error of the difference.
        low: Lower end of its 95 % interval.
        high: Upper end.
        reason: Why there is no interval.
        distance: Wasserstein-1 distance of the two distributions over clips; 0 when equal.
        n: Rollouts.
        m: Real clips.
    """

    name: str
    unit: str
    rollouts: float
    real: float
    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str | None
    distance: float
    n: int
    m: int


def temporal_report(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
    clusters_x: Labels | None = None,
    clusters_y: Labels | None = None,
) -> tuple[TemporalComparison, ...]:
    """Compares measures of rollouts with those of real clips.

    Args:
        x: Measures of the rollouts, as :func:`temporal_measures` returns them.
        y: Measures of the real clips.
        clusters_x: Scene or source video of each row of ``x``; by default each row is its own.
        clusters_y: The same for ``y``; a label found in both sets is one cluster.

    Returns:
        One comparison per measure, in the order of :data:`MEASURES`.

    Raises:
        DataError: If a set has fewer than two rows or values are not finite.
    """
    sets = two_samples(x, y, clusters_x, clusters_y)
    found = []
    for name, ours, theirs in zip(MEASURES, sets.x.T, sets.y.T, strict=True):
        gap = float(ours.mean() - theirs.mean())
        span, reason = Span(), None
        if sets.smallest_count < MIN_CLUSTERS:
            reason = f"only {sets.smallest_count} clusters in a set, {MIN_CLUSTERS} needed"
        else:
            first = sets.variance(ours - ours.mean(), theirs.mean() - theirs)
            span = error_bar(gap, first, 0.0, sets.smallest_count)
        found.append(
            TemporalComparison(
                name=name,
                unit=UNITS[name],
                rollouts=float(ours.mean()),
                real=float(theirs.mean()),
                difference=gap,
                standard_error=span.standard_error,
                low=span.low,
                high=span.high,
                reason=reason,
                distance=float(wasserstein_distance(ours.cpu().numpy(), theirs.cpu().numpy())),
                n=len(ours),
                m=len(theirs),
            )
        )
    return tuple(found)


class TemporalQuality(FeatureMetric):
    """Warping error, flicker and motion of rollouts beside real clips, as a metric with state.

    ``update`` takes videos, or what :func:`temporal_measures` made of them.

    Args:
        extractor: Maps a video to measures.
        **kwargs: As for :class:`worldbench.metrics.features.FeatureMetric`.
    """

    higher_is_better = None  # a rollout should have as much of each as real clips have

    def __init__(self, extractor: Extractor = temporal_measures, **kwargs: Any) -> None:
        super().__init__(extractor, **{"card": CARD, **kwargs})

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Difference of means, rollouts minus real, by measure; float64 ``[]`` each."""
        rollout, real = self.collect()
        gap = rollout.features.mean(dim=0) - real.features.mean(dim=0)
        return dict(zip(MEASURES, gap, strict=True))

    def report(self) -> tuple[TemporalComparison, ...]:
        """Means, differences with intervals, and distances of distributions."""
        with self.synced():
            rollout, real = self.collect()
        return temporal_report(rollout.features, real.features, rollout.clusters, real.clusters)


def ratio(comparison: TemporalComparison) -> float | None:
    """Rollouts over real: 1 as real, 0 still; None where real clips have none."""
    return comparison.rollouts / comparison.real if comparison.real > math.ulp(1.0) else None
