from dataclasses import dataclass, field

import pytest
import torch

from worldbench_models.dit.surprise import Denoising

LEVELS = (0.2, 0.6)


@dataclass
class Bank:
    """Keyed noise that remembers what it was asked."""

    batch: int
    asked: list[tuple[tuple[int, ...], float, int, int]] = field(default_factory=list)

    def draw(self, shape: tuple[int, ...], *, level: float, index: int, sign: int) -> torch.Tensor:
        self.asked.append((shape, level, index, sign))
        generator = torch.Generator().manual_seed(int(1000 * level) + 7919 * index)
        one = torch.randn(shape, generator=generator)
        return sign * one.expand(self.batch, *shape).clone()


def _clean(batch: int = 2, steps: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, steps, 2, 2, 6, generator=generator) * 2 - 1


def _identity(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
    return patches[:, given:]


def test_an_oracle_is_not_surprised() -> None:
    clean = _clean()
    denoising = Denoising(lambda patches, levels, given: clean[:, given:], LEVELS, 2, 8)
    assert not denoising.curve(clean, 2, Bank(2)).any()


def test_opposite_noise_cancels_the_term_that_mixes_clip_and_noise() -> None:
    clean, bank = _clean(), Bank(2)
    curve = Denoising(_identity, LEVELS, 1, 8).curve(clean, 2, bank)
    assert curve.shape == (2, 2, 3)
    for i, level in enumerate(LEVELS):
        noise = bank.draw((3, 2, 2, 6), level=level, index=0, sign=1)
        # ½ Σ± ‖z± − x‖² = ½ Σ± (1 − t)² ‖±ε − x‖² = (1 − t)² (‖ε‖² + ‖x‖²)
        energy = (noise.square() + clean[:, 2:].square()).mean(dim=(2, 3, 4))
        torch.testing.assert_close(curve[:, i], (1 - level) ** 2 * energy)


def test_a_mean_over_draws_is_taken() -> None:
    clean, bank = _clean(), Bank(2)
    curve = Denoising(_identity, (0.5,), 3, 8).curve(clean, 2, bank)
    fresh = [bank.draw((3, 2, 2, 6), level=0.5, index=i, sign=1).square() for i in range(3)]
    energy = (torch.stack(fresh).mean(dim=0) + clean[:, 2:].square()).mean(dim=(2, 3, 4))
    torch.testing.assert_close(curve[:, 0], 0.25 * energy)


def test_only_the_future_is_noised_and_the_bank_is_asked_in_its_shape() -> None:
    clean, bank = _clean(), Bank(2)
    shown: list[tuple[torch.Tensor, torch.Tensor]] = []

    def estimate(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        shown.append((patches, levels))
        return patches[:, given:]

    Denoising(estimate, LEVELS, 2, 8).curve(clean, 2, bank)
    wanted = [((3, 2, 2, 6), t, i, s) for t in LEVELS for i in (0, 1) for s in (1, -1)]
    assert bank.asked == wanted
    for (patches, levels), (_, level, index, sign) in zip(shown, wanted, strict=True):
        assert torch.equal(patches[:, :2], clean[:, :2])
        assert torch.equal(levels[:, :2], torch.ones(2, 2))
        assert torch.equal(levels[:, 2:], torch.full((2, 3), level))
        noise = Bank(2).draw((3, 2, 2, 6), level=level, index=index, sign=sign)
        torch.testing.assert_close(patches[:, 2:], level * clean[:, 2:] + (1 - level) * noise)


def test_clips_of_a_trial_share_their_noise() -> None:
    same = _clean(1).expand(2, -1, -1, -1, -1)
    curve = Denoising(_identity, LEVELS, 1, 8).curve(same, 2, Bank(2))
    assert torch.equal(curve[0], curve[1])


def test_a_future_that_its_past_misleads_about_is_less_expected() -> None:
    def copying(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        """Foresees the last clean step, or grey where nothing is clean."""
        if float(levels[0, 0]) < 1:
            return torch.zeros_like(patches[:, given:])
        return patches[:, given - 1 : given].expand_as(patches[:, given:])

    clean = _clean(2)
    clean[0, 2:] = clean[0, 1]  # stays as it was
    clean[1, 2:] = -clean[1, 1]  # turns into its negative
    contrast = Denoising(copying, LEVELS, 1, 8).contrast(clean, 2, Bank(2))
    energy = clean[:, 1].square().mean(dim=(1, 2, 3))[:, None, None].expand(-1, 2, 3)
    torch.testing.assert_close(contrast[0], -energy[0])
    torch.testing.assert_close(contrast[1], 3 * energy[1])


def test_without_history_the_past_is_pure_noise_at_level_zero() -> None:
    clean, bank = _clean(), Bank(2)
    shown: list[tuple[torch.Tensor, torch.Tensor]] = []

    def estimate(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        shown.append((patches, levels))
        return patches[:, given:]

    Denoising(estimate, (0.5,), 1, 8).curve(clean, 2, bank, history=False)
    for (patches, levels), sign in zip(shown, (1, -1), strict=True):
        past = bank.draw((5, 2, 2, 6), level=0.0, index=0, sign=sign)[:, :2]
        assert torch.equal(patches[:, :2], past)
        assert not levels[:, :2].any()


@pytest.mark.parametrize("context", [1, 2, 6])
def test_clips_longer_than_a_window_are_asked_with_their_true_past(context: int) -> None:
    def following(patches: torch.Tensor, levels: torch.Tensor, given: int) -> torch.Tensor:
        """Foresees steps that grow by 1 from the last clean one."""
        assert patches.shape[1] <= 4
        assert given == int((levels[0] == 1).sum())
        ahead = torch.arange(1, patches.shape[1] + 1 - given)
        return patches[:, given - 1 : given] + ahead[:, None, None, None]

    clean = torch.arange(11.0)[None, :, None, None, None].expand(2, 11, 2, 2, 6).clone()
    denoising = Denoising(following, (0.5,), 1, 4)
    assert not denoising.curve(clean, context, Bank(2)).any()
    clean[:, 8] += 3
    curve = denoising.curve(clean, context, Bank(2))[0, 0]
    assert curve.shape == (11 - context,)
    assert float(curve[8 - context]) == pytest.approx(9)
    assert not curve[: 8 - context].any()
