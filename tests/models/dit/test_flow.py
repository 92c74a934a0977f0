from collections.abc import Callable

import pytest
import torch

from worldbench_models.dit.flow import FlowLoss, draw_levels, noised, velocity
from worldbench_models.dit.network import DiT
from worldbench_models.patches import VALUES, patchify

Network = Callable[..., DiT]


def _levels(batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    return draw_levels(batch, steps, torch.Generator().manual_seed(seed))


def test_a_level_mixes_each_latent_step_by_its_own_share() -> None:
    clean, noise = torch.full((1, 3, 1, 1, 2), 2.0), torch.full((1, 3, 1, 1, 2), -4.0)
    mixed = noised(clean, noise, torch.tensor([[1.0, 0.0, 0.25]]))
    assert mixed[0, :, 0, 0, 0].tolist() == [2.0, -4.0, 0.5 - 3.0]


def test_the_velocity_towards_the_clean_patches_is_clean_minus_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise, guess = torch.randn(3, 2, 3, 1, 1, 4, generator=generator).unbind(0)
    for level in (0.0, 0.3, 0.9):
        noisy = noised(clean, noise, torch.full((2, 3), level))
        torch.testing.assert_close(velocity(clean, noisy, level), clean - noise)
        error = velocity(guess, noisy, level) - (clean - noise)
        torch.testing.assert_close(error, (guess - clean) / (1 - level), rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_velocitys_error_over_all_steps_that_are_not_clean(
    random_network: Network,
) -> None:
    network = random_network()
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (3, 8, 16, 16, 3), generator=generator, dtype=torch.uint8)
    levels = torch.tensor([[1, 1, 0.4, 0.4], [0.1, 0.9, 0.5, 0.94], [0, 0, 0, 0.7]])
    noise = torch.randn(3, 4, 2, 2, VALUES, generator=generator)
    mirrored = torch.tensor([False, True, False])
    loss = FlowLoss(network)(clips, levels, noise, mirrored)

    shown = clips.clone()
    shown[1] = clips[1].flip(2)
    clean = patchify(shown.permute(0, 1, 4, 2, 3).float() / 255 * 2 - 1)
    noisy = noised(clean, noise, levels)
    estimate = network(noisy, levels)
    errors = []
    for b in range(3):
        for step in range(4):
            t = float(levels[b, step])
            if t < 1:
                guessed = (estimate[b, step] - noisy[b, step]).double() / (1 - t)
                truth = (clean[b, step] - noise[b, step]).double()
                errors.append(float((guessed - truth).square().mean()))
    assert len(errors) == 10
    assert float(loss) == pytest.approx(sum(errors) / 10, rel=1e-4)


def test_errors_close_to_the_clean_end_are_held_down() -> None:
    network = DiT.__new__(DiT)
    torch.nn.Module.__init__(network)
    network.forward = lambda patches, levels: torch.zeros_like(patches)  # type: ignore[method-assign]
    clips = torch.full((1, 2, 8, 8, 3), 255, dtype=torch.uint8)
    noise = torch.zeros(1, 1, 1, 1, VALUES)
    mirrored = torch.tensor([False])
    losses = [
        float(FlowLoss(network)(clips, torch.tensor([[t]]), noise, mirrored))
        for t in (0.0, 0.5, 0.95, 0.999)
    ]
    assert losses == pytest.approx([1, 4, 400, 400], rel=1e-4)


def test_a_mirrored_clip_has_the_loss_of_its_mirror_image(random_network: Network) -> None:
    loss = FlowLoss(random_network())
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (2, 4, 16, 24, 3), generator=generator, dtype=torch.uint8)
    levels, noise = torch.full((2, 2), 0.5), torch.randn(2, 2, 2, 3, VALUES, generator=generator)
    yes, no = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    assert float(loss(clips, levels, noise, yes)) == float(loss(clips.flip(3), levels, noise, no))
    assert float(loss(clips, levels, noise, yes)) != float(loss(clips, levels, noise, no))


def test_half_the_clips_have_a_clean_prefix_a_tenth_one_of_noise() -> None:
    levels = _levels(20_000, 8)
    clean, noise = (levels[:, 0] == 1), (levels[:, 0] == 0)
    assert float(clean.float().mean()) == pytest.approx(0.5, abs=0.015)
    assert float(noise.float().mean()) == pytest.approx(0.1, abs=0.01)
    for kind, value in ((clean, 1), (noise, 0)):
        prefix = levels[kind] == value
        length = prefix.sum(dim=1)
        assert torch.equal(prefix, torch.arange(8) < length[:, None])
        assert set(length.tolist()) == set(range(1, 8))
        shares = torch.bincount(length, minlength=8)[1:] / len(length)
        assert float((shares - 1 / 7).abs().max()) < 0.03
        future = torch.where(prefix, levels[kind][:, -1:], levels[kind])
        assert torch.equal(future, levels[kind][:, -1:].expand(-1, 8))
    free = levels[~clean & ~noise]
    assert float((free[:, 0] == free[:, 1]).float().mean()) < 0.01
    assert torch.corrcoef(free.T).triu(1).abs().max() < 0.05


def test_levels_of_the_future_are_logistic_normal() -> None:
    last = torch.logit(_levels(20_000, 8)[:, -1].double())
    assert float(last.mean()) == pytest.approx(-0.8, abs=0.02)
    assert float(last.std()) == pytest.approx(0.8, abs=0.02)


def test_equal_seeds_draw_equal_levels() -> None:
    assert torch.equal(_levels(16, 8), _levels(16, 8))
    assert not torch.equal(_levels(16, 8), _levels(16, 8, seed=1))
