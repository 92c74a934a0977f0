import math
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.still import CopyLast
from worldbench.batches import to_video
from worldbench_models.gates import clips as choice
from worldbench_models.gates.clips import MovingClips, moving_clips, moving_pixels
from worldbench_models.gates.forecast import (
    energy_score,
    forecast_gates,
    measure_forecast,
    ratio_of_sums,
    squared_error,
)


@pytest.fixture(scope="module")
def few() -> MovingClips:
    return moving_clips(6, workers=1)


class Foresees(CopyLast):
    """Returns what really comes, faded by so much towards grey."""

    def __init__(self, clips: MovingClips, fade: float = 0.0) -> None:
        super().__init__()
        self.video, self.fade = to_video(clips.rgb), fade

    def generate(self, context: torch.Tensor, horizon: int, **options: object) -> torch.Tensor:
        found = [next(v for v in self.video if torch.equal(v[:4], c)) for c in context]
        future = torch.stack(found)[:, None, 4:] * (1 - self.fade) + 0.5 * self.fade
        return future.expand(-1, int(str(options["samples"])), -1, -1, -1, -1).clone()


def frames(*values: float) -> torch.Tensor:
    """One pixel a frame; only its first channel is not 0."""
    out = torch.zeros(1, len(values), 3, 1, 1)
    out[0, :, 0, 0, 0] = torch.tensor(values)
    return out


def test_energy_score_equals_its_definition_written_as_loops() -> None:
    rng = np.random.default_rng(0)
    samples, future = rng.random((2, 4, 3, 3, 5, 6)), rng.random((2, 3, 3, 5, 6))
    expected = np.empty((2, 3))
    for b in range(2):
        for f in range(3):
            near = [np.sqrt(((s[f] - future[b, f]) ** 2).sum()) for s in samples[b]]
            apart = [
                np.sqrt(((one[f] - other[f]) ** 2).sum())
                for one, other in permutations(samples[b], 2)
            ]
            expected[b, f] = np.mean(near) - 0.5 * np.mean(apart)
    found = energy_score(torch.from_numpy(samples).float(), torch.from_numpy(future).float())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_energy_score_of_one_point_is_its_distance() -> None:
    found = energy_score(frames(0.7, 0.1)[None].expand(-1, 3, -1, -1, -1, -1), frames(0.2, 0.1))
    np.testing.assert_allclose(found, [[0.5, 0.0]], atol=1e-7)
    one = energy_score(frames(0.7)[None], frames(0.2))
    np.testing.assert_allclose(one, [[0.5]], atol=1e-7)


def test_energy_score_of_normal_samples_is_what_integration_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.zeros(20_000, 8, 1, 3, 1, 1)
    samples[:, :, 0, 0, 0, 0] = torch.randn(20_000, 8, generator=generator)
    found = energy_score(samples, torch.zeros(20_000, 1, 3, 1, 1)).mean()
    assert found == pytest.approx(math.sqrt(2 / math.pi) - 1 / math.sqrt(math.pi), abs=0.005)


def test_energy_score_rewards_honest_spread_and_punishes_every_corruption() -> None:
    generator = torch.Generator().manual_seed(1)

    def normal(spread: float, offset: float = 0.0) -> torch.Tensor:
        draws = torch.randn(4000, 8, 1, 3, 2, 2, generator=generator)
        return spread * draws + offset

    future = torch.randn(4000, 1, 3, 2, 2, generator=generator)
    ladder = [energy_score(normal(1.0, offset), future).mean() for offset in (0.0, 0.3, 0.6, 1.2)]
    assert ladder == sorted(ladder)
    assert len(set(ladder)) == 4
    for spread in (0.0, 0.5, 2.0):
        assert energy_score(normal(spread), future).mean() > ladder[0]


def test_a_pixel_moves_when_one_channel_differs_by_more_than_eight_levels() -> None:
    rgb = torch.full((1, 6, 1, 3, 3), 100, dtype=torch.uint8)
    rgb[0, 4, 0, 0, 1], rgb[0, 4, 0, 1, 2], rgb[0, 5, 0, 2, 0] = 108, 109, 91
    rgb[0, :3] = 0  # only the last context frame counts
    expected = torch.tensor([[[[False, True, False]], [[False, False, True]]]])
    assert torch.equal(moving_pixels(rgb), expected)


def test_the_error_counts_moving_pixels_alone() -> None:
    estimate, future = torch.zeros(1, 2, 3, 1, 2), torch.zeros(1, 2, 3, 1, 2)
    estimate[0, 0, :, 0, 0] = torch.tensor([0.1, 0.2, 0.3])
    estimate[0, 0, :, 0, 1] = 0.9
    estimate[0, 1, 0, 0, 1] = 0.5
    moving = torch.tensor([[[[True, False]], [[True, True]]]])
    np.testing.assert_allclose(squared_error(estimate, future, moving), [[0.14, 0.25]], rtol=1e-6)


def test_the_ratio_is_of_sums_and_its_interval_is_over_clips() -> None:
    above, below = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([[2.0, 4.0], [8.0, 2.0]])
    ratio = ratio_of_sums(above, below)
    np.testing.assert_allclose(ratio.value, [0.3, 0.5])
    np.testing.assert_allclose([ratio.low, ratio.high], [[0.25, 0.5], [0.5, 0.5]])


def test_clips_that_qualify_move_under_a_still_camera(few: MovingClips) -> None:
    assert few.rgb.shape == (6, 16, 64, 64, 3)
    assert len(set(few.names)) == 6
    assert bool(choice.plainly_moving(few.rgb).all())
    changed = (few.rgb.short() - few.rgb[:, :1].short()).abs().amax(-1) > 8
    assert bool((changed.float().mean(dim=(1, 2, 3)) < 0.6).all())  # a moving camera changes all


def test_more_clips_begin_with_the_same_ones(few: MovingClips) -> None:
    more = moving_clips(8, workers=1)
    assert more.names[:6] == few.names
    assert torch.equal(more.rgb[:6], few.rgb)


def test_the_baselines_are_level_with_themselves(few: MovingClips) -> None:
    still = measure_forecast(CopyLast(), few, samples=2, batch=4)
    np.testing.assert_allclose(still.to_copy_last.value, 1, rtol=1e-6)
    np.testing.assert_allclose(still.energy["model"], still.energy["copy_last"], rtol=1e-6)
    flow = measure_forecast(LinearFlow(), few, samples=1)
    np.testing.assert_allclose(flow.to_linear_flow.value, 1, rtol=1e-6)
    np.testing.assert_allclose(flow.to_linear_flow.low, 1, rtol=1e-6)
    assert still.error["linear_flow"] == pytest.approx(flow.error["linear_flow"])


def test_errors_rise_as_the_truth_fades(few: MovingClips) -> None:
    found = [measure_forecast(Foresees(few, fade), few, samples=2) for fade in (0, 0.1, 0.3, 0.6)]
    assert found[0].to_linear_flow.value == (0.0,) * 12
    assert max(found[0].energy["model"]) < 1e-5
    for better, worse in pairwise(found):
        for frame in range(12):
            assert better.error["model"][frame] < worse.error["model"][frame]
            assert better.energy["model"][frame] < worse.energy["model"][frame]


def test_few_clips_open_no_gate_and_many_do(few: MovingClips) -> None:
    found = measure_forecast(Foresees(few), few, samples=2)
    gates = forecast_gates(found)
    assert {gate.status for gate in gates} == {"not measured"}
    assert "only 6 clips" in str(gates[0].reason)
    passed = forecast_gates(replace(found, clips=256))
    assert [gate.status for gate in passed] == ["passed"] * 3
    still = replace(measure_forecast(CopyLast(), few, samples=2), clips=256)
    assert [forecast_gates(still)[i].status for i in (0, 2)] == ["failed"] * 2
    assert forecast_gates(still)[2].value == pytest.approx(max(still.energy_ratio))
