"""What the adapter refuses to answer, and in which words."""

from pathlib import Path

import pytest
import torch

from worldbench.conformance.clips import moving_clips
from worldbench.noise import TrialNoise
from worldbench_models.dit.adapter import OPERATORS, DiTAdapter


def _bank(batch: int) -> TrialNoise:
    return TrialNoise([f"trial{i}" for i in range(batch)])


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> DiTAdapter:
    return DiTAdapter(weights=str(checkpoint), sampler_steps=3, samples=2)


def test_illegal_questions_are_refused_by_name(tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    with pytest.raises(ValueError, match="block1, block2, block3"):
        tiny.encode(clip, layer="block4")
    with pytest.raises(ValueError, match=r"noise must be in \[0, 1\]"):
        tiny.encode(clip, noise=1.5)
    with pytest.raises(ValueError, match="multiple of 2; got 3"):
        tiny.generate(clip[:, :3], 2, samples=1, seeds=[0])
    with pytest.raises(ValueError, match="2 seeds"):
        tiny.generate(clip[:, :4], 2, samples=1, seeds=[0, 1])
    with pytest.raises(ValueError, match="denoising_error, history_contrast, sample_distance"):
        tiny.surprise(clip, 4, operator="latent_error", noise=_bank(1))
    with pytest.raises(ValueError, match="nothing comes after 8"):
        tiny.denoising_curve(clip, 8, _bank(1))


def test_nothing_asked_for_is_refused_in_words(tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 4, (32, 32))
    for horizon, samples in ((0, 1), (-2, 1), (2, 0), (2, -1)):
        with pytest.raises(ValueError, match="must be ≥ 1"):
            tiny.generate(clip, horizon, samples=samples, seeds=[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_values_out_of_range_are_refused_by_every_call(value: float, tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    clip[0, 1, 0, 3, 3] = value
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        tiny.encode(clip)
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        tiny.generate(clip, 2, samples=1, seeds=[0])
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        tiny.denoising_curve(clip, 4, _bank(1))
    for operator in OPERATORS:
        with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
            tiny.surprise(clip, 4, operator=operator, noise=_bank(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_clips_of_other_precisions_are_answered_in_float32(
    dtype: torch.dtype, tiny: DiTAdapter
) -> None:
    clip = moving_clips(1, 8, (32, 32)).to(dtype)
    usual = clip.float()
    rollout = tiny.generate(clip, 2, samples=1, seeds=[0])
    assert rollout.dtype == torch.float32
    assert torch.equal(rollout, tiny.generate(usual, 2, samples=1, seeds=[0]))
    assert torch.equal(tiny.encode(clip).tokens, tiny.encode(usual).tokens)
    for operator in OPERATORS:
        values, expected = (
            tiny.surprise(each, 4, operator=operator, noise=_bank(1)) for each in (clip, usual)
        )
        assert torch.equal(values, expected)


def test_clips_far_longer_than_tall_are_refused_with_what_to_crop_to(tiny: DiTAdapter) -> None:
    with pytest.raises(ValueError, match="crop them to at most 16 × 64"):
        tiny.generate(torch.rand(1, 4, 3, 16, 1600), 2, samples=1, seeds=[0])
