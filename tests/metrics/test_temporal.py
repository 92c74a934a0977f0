from itertools import pairwise

import pytest
import torch
from torch import Tensor

from worldbench.conformance.clips import moving_clips
from worldbench.errors import DataError, UsageError
from worldbench.metrics import TemporalQuality, temporal_measures, temporal_report
from worldbench.metrics.flow import sampled, seen_again
from worldbench.metrics.temporal import MEASURES, ratio


@pytest.fixture(scope="module")
def clips() -> Tensor:
    return moving_clips(4, 8, (48, 48))


def noise(like: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def sliding(speed: int, frames: int = 6, side: int = 64) -> Tensor:
    """A smooth texture that slides as a whole, so that the flow is known."""
    generator = torch.Generator().manual_seed(3)
    ground = torch.rand(1, 3, 12, 48, generator=generator)
    wide = torch.nn.functional.interpolate(ground, (side, 4 * side), mode="bicubic").clamp(0, 1)
    return torch.stack([wide[0, :, :, speed * t : speed * t + side] for t in range(frames)])[None]


def test_still_videos_have_none_of_anything(clips):
    still = clips[:, :1].expand(-1, 6, -1, -1, -1)
    assert float(temporal_measures(still).abs().max()) < 1e-12


@pytest.mark.parametrize("speed", [1, 2, 4])
def test_motion_is_the_length_of_the_flow_in_percent_of_the_short_side(speed):
    error, _, motion = temporal_measures(sliding(speed))[0].tolist()
    assert motion == pytest.approx(100 * speed / 64, rel=0.1)
    assert error < 1e-3  # all of it is explained by the flow


def test_flicker_is_the_second_difference_of_block_means():
    levels = torch.tensor([0.5, 0.7, 0.5, 0.7, 0.5])
    video = levels[None, :, None, None, None].expand(1, 5, 3, 32, 32).contiguous()
    assert float(temporal_measures(video)[0, 1]) == pytest.approx(0.4, abs=1e-6)
    steady = torch.linspace(0.2, 0.8, 5)[None, :, None, None, None].expand(1, 5, 3, 32, 32)
    assert float(temporal_measures(steady)[0, 1]) < 1e-6


def noisy(clips: Tensor, level: float) -> Tensor:
    return clips + 0.15 * level * noise(clips)


def flickering(clips: Tensor, level: float) -> Tensor:
    odd = (torch.arange(clips.shape[1]) % 2).view(-1, 1, 1, 1)
    return clips * (1 - 0.3 * level * odd)


def faster(clips: Tensor, level: float) -> Tensor:
    return clips[:, :: 1 + int(2 * level)][:, :3]


@pytest.mark.parametrize(
    ("measure", "corrupt"),
    [("warping_error", noisy), ("flicker", flickering), ("motion", faster)],
)
def test_every_step_of_a_corruption_shows_in_its_measure(clips, measure, corrupt):
    column = MEASURES.index(measure)
    videos = [corrupt(clips, level).clamp(0, 1) for level in (0, 0.5, 1)]
    ladder = [float(temporal_measures(video)[:, column].mean()) for video in videos]
    assert all(a < b for a, b in pairwise(ladder)), ladder


def test_shuffled_frames_cost_warping_error_where_frames_alone_show_nothing(clips):
    shuffled = clips[:, [3, 0, 6, 1, 7, 4, 2, 5]]
    assert float(temporal_measures(shuffled)[:, 0].mean()) > 5 * float(
        temporal_measures(clips)[:, 0].mean()
    )


def test_pixels_that_leave_the_picture_or_hide_are_not_found_again():
    forward = torch.zeros(1, 2, 8, 8)
    forward[:, 0] = 2.0
    found = seen_again(forward, -forward)
    assert bool(found[0, :, :6].all())
    assert not bool(found[0, :, 6:].any())
    assert not bool(seen_again(forward, forward).any())
    picture = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(sampled(picture, forward)[0, 0, :, :6], picture[0, 0, :, 2:])


def test_a_metric_compares_rollouts_with_real_clips(clips):
    jumpy = (clips * (1 - 0.2 * (torch.arange(8) % 2).view(-1, 1, 1, 1))).clamp(0, 1)
    metric, halves = TemporalQuality(), [TemporalQuality(), TemporalQuality()]
    for part, side in zip((slice(0, 1), slice(1, 4)), halves, strict=True):
        for each in (metric, side):
            names = [f"clip{i}" for i in range(4)][part]
            each.update(clips[part], real=True, ids=names)
            each.update(jumpy[part], real=False, ids=names)
    halves[0].merge_state(halves[1])
    found = metric.compute()
    assert list(found) == list(MEASURES)
    assert found == halves[0].compute()
    assert float(found["flicker"]) > 0.05
    flicker = metric.report()[1]
    assert flicker.difference == pytest.approx(flicker.rollouts - flicker.real)
    assert flicker.reason == "only 4 clusters in a set, 8 needed"


def test_differences_have_clustered_intervals_and_distances_of_distributions():
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(60, 3, generator=generator)
    x = y + torch.tensor([0.0, 0.3, 1.0])
    paired = temporal_report(x, y, range(60), range(60))
    apart = temporal_report(x, y)
    assert [c.difference for c in paired] == pytest.approx([0.0, 0.3, 1.0], abs=1e-6)
    assert [c.distance for c in paired] == pytest.approx([0.0, 0.3, 1.0], abs=1e-6)
    assert paired[1].standard_error < 1e-6 < apart[1].standard_error
    assert apart[1].low < 0.3 < apart[1].high
    assert ratio(apart[2]) == pytest.approx(apart[2].rollouts / apart[2].real)
    still = temporal_report(x, torch.zeros(60, 3))[0]
    assert ratio(still) is None


def test_videos_that_cannot_be_measured_say_why():
    with pytest.raises(UsageError, match="temporal-dis does not take clips"):
        temporal_measures(torch.zeros(1, 2, 3, 32, 32))
    with pytest.raises(DataError, match="too small for optical flow"):
        temporal_measures(torch.zeros(1, 3, 3, 12, 32))
