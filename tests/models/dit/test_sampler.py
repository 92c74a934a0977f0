import pytest
import torch

from worldbench_models.dit.flow import velocity
from worldbench_models.dit.sampler import rollout, sample
from worldbench_models.windows import windows

MEAN, SPREAD = 0.1, 0.15


def gaussian(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
    """E[x | z] for independent normal values: the best estimate there is."""
    t = levels[:, :, None, None, None].double()
    gain = t * SPREAD**2 / (t**2 * SPREAD**2 + (1 - t) ** 2)
    return (MEAN + gain * (patches - t * MEAN))[:, given:]


def _noise(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _error(steps: int) -> float:
    noise = _noise(2, 3, 2, 2, 5)
    sampled = sample(gaussian, torch.zeros(2, 1, 2, 2, 5), noise, steps)
    return float((sampled - (MEAN + SPREAD * noise)).abs().max())


def test_the_flow_of_normal_data_carries_noise_to_mean_plus_spread_times_noise() -> None:
    assert _error(2000) < 1e-3


def test_euler_converges_at_first_order() -> None:
    for steps in (100, 200):
        assert _error(steps) / _error(2 * steps) == pytest.approx(2, abs=0.15)


def test_a_single_step_returns_the_mean() -> None:
    sampled = sample(gaussian, torch.zeros(1, 1, 1, 1, 4), _noise(1, 2, 1, 1, 4), 1)
    torch.testing.assert_close(sampled, torch.full_like(sampled, MEAN))


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_the_last_step_arrives_at_the_estimate_itself(steps: int) -> None:
    told: list[torch.Tensor] = []

    def estimate(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(len(told))
        told.append(torch.rand(patches[:, given:].shape, generator=generator))
        return told[-1]

    sampled = sample(estimate, torch.zeros(1, 1, 2, 2, 3), _noise(1, 4, 2, 2, 3).float(), steps)
    assert len(told) == steps
    assert torch.equal(sampled, told[-1])


def test_every_step_follows_the_velocity_with_estimates_clamped_to_the_range() -> None:
    def wild(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        return (3 * patches.sin() + levels[:, :, None, None, None])[:, given:]

    prefix, z = _noise(2, 2, 1, 1, 3), _noise(2, 3, 1, 1, 3)
    expected = z
    for i in range(5):
        levels = torch.cat([torch.ones(2, 2), torch.full((2, 3), i / 5)], dim=1)
        clean = wild(torch.cat([prefix, expected], dim=1), levels, 2).clamp(-1, 1)
        expected = expected + velocity(clean, expected, i / 5) / 5
    torch.testing.assert_close(sample(wild, prefix, z, 5), expected, rtol=1e-5, atol=1e-6)


def test_the_prefix_enters_every_evaluation_clean_and_never_leaves() -> None:
    prefix = _noise(2, 2, 1, 1, 3)
    before = prefix.clone()
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []

    def estimate(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        asked.append((patches.clone(), levels.clone()))
        return torch.full_like(patches[:, given:], 0.5)

    sampled = sample(estimate, prefix, _noise(2, 3, 1, 1, 3), 4)
    assert sampled.shape[1] == 3
    assert torch.equal(prefix, before)
    for i, (patches, levels) in enumerate(asked):
        assert torch.equal(patches[:, :2], before)
        assert torch.equal(levels[:, :2], torch.ones(2, 2).double())
        assert torch.equal(levels[:, 2:], torch.full((2, 3), i / 4).double())


@pytest.mark.parametrize("horizon", [1, 3, 6, 15])
@pytest.mark.parametrize("context", [1, 2, 7, 8, 20])
def test_windows_carry_a_law_over_any_horizon(context: int, horizon: int) -> None:
    def decaying(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        assert given == int((levels[0] == 1).sum())
        assert patches.shape[1] == 8
        ahead = torch.arange(1, 9 - given).double()
        return patches[:, given - 1 : given] * 0.9 ** ahead[:, None, None, None]

    drawn: list[int] = []

    def draw(window: int, shape: tuple[int, int, int, int]) -> torch.Tensor:
        drawn.append(window)
        return _noise(2, *shape)

    clip = 0.9 ** torch.arange(context + horizon).double()
    past = clip[:context].reshape(1, -1, 1, 1, 1).expand(2, -1, 1, 2, 3)
    future = rollout(decaying, past, horizon, draw=draw, length=8, steps=3)
    assert future.shape == (2, horizon, 1, 2, 3)
    torch.testing.assert_close(future[0, :, 0, 0, 0], clip[context:])
    assert drawn == list(range(len(windows(context, horizon, 8))))


def test_a_short_horizon_begins_a_longer_one_only_where_both_end_in_the_first_window() -> None:
    def looking_back(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        """Foresees the mean of all that is given, so that it matters how much that is."""
        return patches[:, :given].mean(dim=1, keepdim=True).expand_as(patches[:, given:])

    def foreseen(context: int, horizon: int) -> torch.Tensor:
        clip = _noise(1, context, 1, 1, 2).clamp(-1, 1)
        return rollout(
            looking_back, clip, horizon, draw=lambda _, shape: _noise(1, *shape), length=8, steps=2
        )

    assert torch.equal(foreseen(4, 2), foreseen(4, 4)[:, :2])
    assert not torch.allclose(foreseen(7, 1), foreseen(7, 4)[:, :1])  # more than half a window
    assert not torch.allclose(foreseen(4, 5), foreseen(4, 8)[:, :5])  # the second window
