from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from worldbench.adapter import NoiseBank
from worldbench.compose import compose, instantiate
from worldbench.conformance import check
from worldbench.conformance.clips import moving_clips
from worldbench.noise import TrialNoise
from worldbench_models.dit.adapter import OPERATORS, DiTAdapter
from worldbench_models.dit.network import DiT
from worldbench_models.gates.presence import HasDenoisingCurve
from worldbench_models.weights import load_weights, save_weights

Network = Callable[..., DiT]


def _bank(batch: int) -> NoiseBank:
    return TrialNoise([f"trial{i}" for i in range(batch)])


def _tiny(checkpoint: Path, **options: Any) -> DiTAdapter:
    return DiTAdapter(weights=str(checkpoint), **{"sampler_steps": 3, "samples": 2, **options})


@pytest.fixture
def tiny(checkpoint: Path) -> DiTAdapter:
    return _tiny(checkpoint)


def _failures(adapter: DiTAdapter) -> list[str]:
    return [f"{each.name}: {each.detail}" for each in check(adapter) if not each.passed]


@pytest.mark.slow
def test_weights_in_a_file_keep_every_promise_of_the_contract(tiny: DiTAdapter) -> None:
    assert _failures(tiny) == []


def test_the_random_twin_keeps_every_promise_of_the_contract() -> None:
    twin = DiTAdapter("dit_random", "random", size="xs", sampler_steps=1, levels=[0.5], samples=1)
    assert _failures(twin) == []


def test_the_twin_is_configured_by_name_and_its_options_count() -> None:
    config = compose(["adapter=dit_random", "adapter.size=xs", "adapter.levels=[0.4]"])
    twin = instantiate("adapter", config.adapter)
    assert isinstance(twin, HasDenoisingCurve)
    assert twin.card.name == "dit_random"
    assert twin.levels == (0.4,)
    assert twin.card.training_data is None
    bigger = instantiate("adapter", compose(["adapter=dit_random"]).adapter)
    assert bigger.card.parameters > 2 * twin.card.parameters


def test_the_card_says_what_the_header_said(tiny: DiTAdapter, random_network: Network) -> None:
    card = tiny.card
    assert (card.fps, card.size, card.frames, card.temporal_stride) == (8.0, (32, 32), 8, 2)
    assert card.parameters == sum(p.numel() for p in random_network().parameters())
    assert (card.training_data, card.training_compute) == ("nothing", "none")
    assert card.operators == OPERATORS
    assert tiny.layer == "block2"
    assert not any(hasattr(tiny, name) for name in ("predict", "replay"))


def test_whatever_changes_answers_changes_the_revision_and_the_name_does_not(
    checkpoint: Path, tmp_path: Path
) -> None:
    usual = _tiny(checkpoint).card.revision
    assert _tiny(checkpoint, name="other").card.revision == usual
    changes: Sequence[dict[str, Any]] = (
        {"layer": "block1"},
        {"noise": 0.1},
        {"sampler_steps": 4},
        {"levels": [0.5]},
        {"draws": 2},
        {"samples": 3},
    )
    others = {_tiny(checkpoint, **change).card.revision for change in changes}
    weights = load_weights(checkpoint, model="dit")
    weights.state["patch_in.bias"][0] += 1
    save_weights(tmp_path / "x.safetensors", weights.state, weights.header)
    others.add(_tiny(tmp_path / "x.safetensors").card.revision)
    twins = {
        DiTAdapter(weights="random", size=size, seed=seed).card.revision
        for size, seed in (("xs", 0), ("xs", 1), ("s", 0))
    }
    assert len({usual} | others | twins) == 1 + len(changes) + 1 + 3


def test_random_weights_follow_their_seed_and_leave_the_global_generator_alone() -> None:
    clip = moving_clips(1, 4, (16, 16))
    before = torch.random.get_rng_state()
    tokens = [
        DiTAdapter(weights="random", size="xs", seed=seed).encode(clip).tokens for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(tokens[0], tokens[1])
    assert not torch.allclose(tokens[0], tokens[2])
    assert float(tokens[0].std()) > 0.5


def test_sample_k_is_the_same_however_many_and_however_far(tiny: DiTAdapter) -> None:
    context = moving_clips(2, 4, (32, 32))
    many = tiny.generate(context, 12, samples=3, seeds=[5, 6])
    few = tiny.generate(context, 12, samples=1, seeds=[5, 6])
    torch.testing.assert_close(few[:, 0], many[:, 0], rtol=1e-4, atol=1e-5)
    short = tiny.generate(context, 3, samples=1, seeds=[5, 6])
    torch.testing.assert_close(short, few[:, :, :3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(many[:, 0], many[:, 1])
    assert not torch.allclose(many[0, 0], many[1, 0])


def test_more_clips_than_fit_a_forward_pass_give_the_same_answers(tiny: DiTAdapter) -> None:
    context = moving_clips(1, 2, (32, 32)).expand(9, -1, -1, -1, -1)
    many = tiny.generate(context, 2, samples=2, seeds=list(range(9)))
    alone = tiny.generate(context[:1], 2, samples=2, seeds=[8])
    torch.testing.assert_close(many[8:], alone, rtol=1e-4, atol=1e-5)


def test_only_the_last_frames_of_a_long_context_are_seen(tiny: DiTAdapter) -> None:
    long = moving_clips(1, 12, (32, 32))
    full = tiny.generate(long, 2, samples=1, seeds=[0])
    torch.testing.assert_close(tiny.generate(long[:, 6:], 2, samples=1, seeds=[0]), full)
    changed = long.clone()
    changed[:, 6] = 0
    assert not torch.allclose(tiny.generate(changed, 2, samples=1, seeds=[0]), full)


@pytest.mark.parametrize("size", [(16, 16), (48, 64), (30, 100)])
def test_clips_of_other_sizes_come_back_in_their_own(
    size: tuple[int, int], tiny: DiTAdapter
) -> None:
    clip = moving_clips(2, 7, size)
    rollout = tiny.generate(clip[:, :4], 3, samples=1, seeds=[0, 1])
    assert rollout.shape == (2, 1, 3, 3, *size)
    assert float(rollout.min()) >= 0
    assert float(rollout.max()) <= 1
    tokens = tiny.encode(clip).tokens
    ratio = max(size) / min(size)
    assert tokens.shape == (2, 4, 4, round(4 * ratio), 32)
    for operator in OPERATORS:
        values = tiny.surprise(clip, 4, operator=operator, noise=_bank(2))
        assert values.shape == (2, 2)


def test_a_clip_of_the_native_size_reaches_the_network_bit_for_bit(
    tiny: DiTAdapter, checkpoint: Path, random_network: Network
) -> None:
    from worldbench_models.patches import patchify
    from worldbench_models.weights import fill

    network = random_network(seed=1)
    fill(network, load_weights(checkpoint, model="dit"), checkpoint)
    clip = moving_clips(2, 8, (32, 32))
    expected = network.features(patchify(2 * clip - 1), torch.ones(2, 4), 2)
    assert torch.equal(tiny.encode(clip, noise=0.0).tokens, expected)


def test_an_odd_last_frame_counts_twice(tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 5, (32, 32))
    doubled = torch.cat([clip, clip[:, -1:]], dim=1)
    assert torch.equal(tiny.encode(clip).tokens, tiny.encode(doubled).tokens)


def test_all_clips_of_a_batch_share_the_noise_of_a_seed(tiny: DiTAdapter) -> None:
    same = moving_clips(1, 4, (32, 32)).expand(3, -1, -1, -1, -1)
    tokens = tiny.encode(same, noise=0.5).tokens
    torch.testing.assert_close(tokens[0], tokens[2])
    assert not torch.allclose(tiny.encode(same, noise=0.5, seed=1).tokens, tokens)
    assert not torch.allclose(tiny.encode(same, noise=0.1).tokens, tokens)
    assert not torch.allclose(tiny.encode(same, noise=0.5, layer="block3").tokens, tokens)


def test_the_denoising_error_is_the_mean_of_its_curve_over_levels(tiny: DiTAdapter) -> None:
    clip = moving_clips(2, 8, (32, 32))
    curve = tiny.denoising_curve(clip, 4, _bank(2))
    assert curve.shape == (2, len(tiny.levels), 2)
    error = tiny.surprise(clip, 4, operator="denoising_error", noise=_bank(2))
    torch.testing.assert_close(error, curve.mean(dim=1))


def test_sample_distance_shares_samples_among_clips_of_a_trial(tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    other = torch.cat([clip[:, :4], clip[:, 4:].flip(1)], dim=1)
    bank = TrialNoise(["same", "same"])
    values = tiny.surprise(
        torch.cat([clip, clip.roll(1, dims=-1)]), 4, operator="sample_distance", noise=bank
    )
    assert not torch.allclose(values[0], values[1])
    values = tiny.surprise(torch.cat([clip, other]), 4, operator="sample_distance", noise=bank)
    frames = tiny.surprise(torch.cat([clip, clip]), 4, operator="sample_distance", noise=bank)
    torch.testing.assert_close(values[0], frames[0])
    torch.testing.assert_close(frames[0], frames[1])


@pytest.mark.parametrize("operator", OPERATORS)
def test_bf16_gives_about_the_same_surprise(operator: str, tiny: DiTAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    full = tiny.surprise(clip, 4, operator=operator, noise=_bank(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = tiny.surprise(clip, 4, operator=operator, noise=_bank(1))
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.02)


def test_a_network_made_in_inference_mode_serves_outside_it(checkpoint: Path) -> None:
    adapter, clip = _tiny(checkpoint), moving_clips(1, 4, (32, 32))
    with torch.inference_mode():
        inside = adapter.encode(clip).tokens
    clip.requires_grad_()
    outside = adapter.encode(clip).tokens
    torch.testing.assert_close(outside.detach(), inside)
    outside.sum().backward()
    assert clip.grad is not None
    assert float(clip.grad.abs().sum()) > 0
