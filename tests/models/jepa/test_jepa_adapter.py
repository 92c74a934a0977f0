from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worldbench.adapter import Generates, NoiseBank
from worldbench.compose import compose, instantiate
from worldbench.conformance import check
from worldbench.conformance.clips import moving_clips
from worldbench.errors import UsageError
from worldbench.noise import TrialNoise
from worldbench_models.jepa.adapter import OPERATORS, JEPAAdapter
from worldbench_models.jepa.network import JEPA, normed, placed
from worldbench_models.patches import patchify
from worldbench_models.weights import load_weights, save_weights

Network = Callable[..., JEPA]


def _bank(batch: int) -> NoiseBank:
    return TrialNoise([f"trial{i}" for i in range(batch)])


@pytest.fixture(scope="module")
def tiny(checkpoint: Path) -> JEPAAdapter:
    return JEPAAdapter(weights=str(checkpoint))


def _failures(adapter: JEPAAdapter) -> list[str]:
    return [f"{each.name}: {each.detail}" for each in check(adapter) if not each.passed]


def test_weights_in_a_file_keep_every_promise_of_the_contract(tiny: JEPAAdapter) -> None:
    assert _failures(tiny) == []


def test_the_random_twin_keeps_every_promise_of_the_contract() -> None:
    assert _failures(JEPAAdapter("jepa_random", "random", size="xs")) == []


def test_the_twin_is_configured_by_name_and_its_options_count() -> None:
    twin = instantiate("adapter", compose(["adapter=jepa_random", "adapter.size=xs"]).adapter)
    assert isinstance(twin, JEPAAdapter)
    assert (twin.card.name, twin.card.family) == ("jepa_random", "predictive")
    assert twin.card.training_data is None
    bigger = instantiate("adapter", compose(["adapter=jepa_random"]).adapter)
    assert bigger.card.parameters > 2 * twin.card.parameters


def test_the_card_says_what_the_header_said(tiny: JEPAAdapter, random_network: Network) -> None:
    card = tiny.card
    assert (card.fps, card.size, card.frames, card.temporal_stride) == (8.0, (32, 32), 8, 2)
    assert (card.min_context, card.stochastic, card.family) == (2, False, "predictive")
    assert card.parameters == sum(p.numel() for p in random_network().parameters())
    assert (card.training_data, card.training_compute) == ("nothing", "none")
    assert card.operators == OPERATORS == ("latent_error", "latent_error_fullclip")
    assert tiny.layers == ("block1", "block2", "block3")
    assert not isinstance(tiny, Generates)


def test_whatever_changes_answers_changes_the_revision_and_the_name_does_not(
    checkpoint: Path, tmp_path: Path
) -> None:
    usual = JEPAAdapter(weights=str(checkpoint)).card.revision
    assert JEPAAdapter("other", str(checkpoint)).card.revision == usual
    weights = load_weights(checkpoint, model="jepa")
    weights.state["encoder.patch_in.bias"][0] += 1
    save_weights(tmp_path / "x.safetensors", weights.state, weights.header)
    others = [
        JEPAAdapter(weights=str(tmp_path / "x.safetensors")),
        *(JEPAAdapter(weights="random", size="xs", seed=seed) for seed in (0, 1)),
        JEPAAdapter(weights="random", size="s"),
    ]
    assert len({usual} | {each.card.revision for each in others}) == 5


@pytest.mark.parametrize(
    ("option", "value"),
    [("seed", -1), ("seed", True), ("size", "xxl")],
)
def test_options_out_of_range_are_refused_by_name(
    option: str, value: object, checkpoint: Path
) -> None:
    told: dict[str, Any] = {"weights": str(checkpoint), option: value}
    with pytest.raises(UsageError, match=rf"adapter\.{option}"):
        JEPAAdapter(**told)


def test_a_clip_of_the_native_size_reaches_the_network_bit_for_bit(
    tiny: JEPAAdapter, network: JEPA
) -> None:
    clip = moving_clips(2, 8, (32, 32))
    patches = patchify(2 * clip - 1)
    assert torch.equal(tiny.encode(clip).tokens, network.encode(patches))
    for depth, layer in enumerate(tiny.layers, start=1):
        assert torch.equal(tiny.encode(clip, layer=layer).tokens, network.encode(patches, depth))
    foreseen = network.predict(network.encode(patches[:, :2]), 2)
    torch.testing.assert_close(tiny.predict(clip[:, :4], 4).tokens, normed(foreseen))


def test_latents_are_of_mean_zero_and_variance_one_at_every_layer(tiny: JEPAAdapter) -> None:
    for layer in tiny.layers:
        tokens = tiny.encode(moving_clips(1, 8, (32, 32)), layer=layer, noise=0.0).tokens
        assert tokens.dtype == torch.float32
        torch.testing.assert_close(normed(tokens), tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("context", [2, 4, 6])
def test_a_suffix_by_itself_is_encoded_at_its_true_positions(
    context: int, tiny: JEPAAdapter, network: JEPA
) -> None:
    future = moving_clips(2, 8, (32, 32))[:, context:]
    patches = patchify(2 * future - 1).flatten(1, 3)
    later = torch.arange(context // 2 * 16, 4 * 16)
    true = network.encoder(patches, placed(network.shape, (4, 4, 4)).at(later))
    tokens = tiny.encode(future).tokens.flatten(1, 3)
    torch.testing.assert_close(tokens, true, rtol=1e-5, atol=1e-5)
    far = network.encoder(patches, placed(network.shape, (50, 4, 4)).at(later + 46 * 16))
    torch.testing.assert_close(tokens, far, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("horizon", [1, 4, 7, 20])
@pytest.mark.parametrize("context", [2, 6, 14])
def test_predictions_are_bit_equal_whatever_the_future_holds(
    context: int, horizon: int, tiny: JEPAAdapter
) -> None:
    clip = moving_clips(3, context + horizon, (32, 32))
    perturbed = clip.clone()
    perturbed[:, context:] = 1 - perturbed[:, context:]
    tokens = tiny.predict(clip[:, :context], horizon).tokens
    assert torch.equal(tokens, tiny.predict(perturbed[:, :context], horizon).tokens)
    assert tokens.shape == (3, -(-horizon // 2), 4, 4, 32)


def test_a_surprise_never_moves_with_frames_that_come_later(tiny: JEPAAdapter) -> None:
    clip = moving_clips(2, 24, (32, 32))
    later = clip.clone()
    later[:, 20:] = 1 - later[:, 20:]  # the last window's future
    before, after = (
        tiny.surprise(each, 4, operator="latent_error", noise=_bank(2)) for each in (clip, later)
    )
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def test_a_rollout_beyond_a_window_goes_on_from_its_own_normed_predictions(
    tiny: JEPAAdapter, network: JEPA
) -> None:
    clip = moving_clips(2, 6, (32, 32))
    known = network.encode(patchify(2 * clip - 1)[:, 1:])  # half a window
    first = network.predict(known, 2)
    second = network.predict(normed(first), 2)
    third = network.predict(normed(second), 2)
    expected = torch.cat([first, second, third], dim=1)
    torch.testing.assert_close(tiny.predict(clip, 12).tokens, normed(expected))
    torch.testing.assert_close(tiny.predict(clip, 11).tokens, normed(expected))


def test_only_the_last_frames_of_a_long_context_are_seen(tiny: JEPAAdapter) -> None:
    clip = moving_clips(2, 20, (32, 32))
    far = torch.cat([1 - clip[:, :14], clip[:, 14:]], dim=1)
    tokens = tiny.predict(clip, 2).tokens
    assert torch.equal(tokens, tiny.predict(far, 2).tokens)
    torch.testing.assert_close(tokens, tiny.predict(clip[:, 14:], 2).tokens)
    assert not torch.allclose(tokens, tiny.predict(clip[:, 16:], 2).tokens)


def test_a_short_horizon_begins_a_longer_one_within_the_first_window(tiny: JEPAAdapter) -> None:
    clip = moving_clips(2, 2, (32, 32))
    longest = tiny.predict(clip, 6).tokens
    for horizon in (1, 2, 3, 4):
        tokens = tiny.predict(clip, horizon).tokens
        torch.testing.assert_close(tokens, longest[:, : tokens.shape[1]])


@pytest.mark.parametrize(("frames", "parts"), [(8, (8,)), (10, (6, 4)), (23, (8, 8, 7))])
def test_clips_longer_than_a_window_are_encoded_in_parts_as_equal_as_they_go(
    frames: int, parts: tuple[int, ...], tiny: JEPAAdapter
) -> None:
    clip = moving_clips(2, frames, (32, 32))
    alone = [tiny.encode(part).tokens for part in torch.split(clip, parts, dim=1)]
    torch.testing.assert_close(tiny.encode(clip).tokens, torch.cat(alone, dim=1))


def test_an_odd_last_frame_counts_twice(tiny: JEPAAdapter) -> None:
    clip = moving_clips(1, 7, (32, 32))
    doubled = torch.cat([clip, clip[:, -1:]], dim=1)
    assert torch.equal(tiny.encode(clip).tokens, tiny.encode(doubled).tokens)
    for operator in OPERATORS:
        odd, even = (
            tiny.surprise(each, 4, operator=operator, noise=_bank(1)) for each in (clip, doubled)
        )
        assert torch.equal(odd, even)


def test_more_clips_than_fit_a_forward_pass_give_the_same_answers(tiny: JEPAAdapter) -> None:
    clips = moving_clips(5, 12, (32, 32))

    def alone(call: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return torch.cat([call(clips[i : i + 1]) for i in range(5)])

    calls: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda part: tiny.encode(part).tokens,
        lambda part: tiny.predict(part[:, :4], 12).tokens,
        *(
            lambda part, operator=operator: tiny.surprise(
                part, 4, operator=operator, noise=_bank(len(part))
            )
            for operator in OPERATORS
        ),
    ]
    for call in calls:
        torch.testing.assert_close(call(clips), alone(call), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (20, 16)])
def test_clips_of_other_sizes_are_answered_on_a_grid_of_their_form(
    size: tuple[int, int], tiny: JEPAAdapter
) -> None:
    clip = moving_clips(2, 7, size)
    grid = tuple(round(4 * side / min(size)) for side in size)
    assert tiny.encode(clip).tokens.shape == (2, 4, *grid, 32)
    assert tiny.predict(clip[:, :4], 3).tokens.shape == (2, 2, *grid, 32)
    for operator in OPERATORS:
        assert tiny.surprise(clip, 4, operator=operator, noise=_bank(2)).shape == (2, 2)


def test_illegal_questions_are_refused_by_name(tiny: JEPAAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    with pytest.raises(ValueError, match="block1, block2, block3"):
        tiny.encode(clip, layer="block4")
    for noise in (0.3, 1.0, float("nan")):
        with pytest.raises(ValueError, match="None or 0"):
            tiny.encode(clip, noise=noise)
    for frames in (1, 3):
        with pytest.raises(ValueError, match=f"multiple of 2; got {frames}"):
            tiny.predict(clip[:, :frames], 2)
    for horizon in (0, -2):
        with pytest.raises(ValueError, match="must be ≥ 1"):
            tiny.predict(clip[:, :4], horizon)
    with pytest.raises(ValueError, match="latent_error, latent_error_fullclip"):
        tiny.surprise(clip, 4, operator="denoising_error", noise=_bank(1))
    with pytest.raises(ValueError, match="nothing comes after 8"):
        tiny.surprise(clip, 8, operator="latent_error", noise=_bank(1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
def test_values_out_of_range_are_refused_by_every_call(value: float, tiny: JEPAAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    clip[0, 1, 0, 3, 3] = value
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        tiny.encode(clip)
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        tiny.predict(clip[:, :4], 2)
    for operator in OPERATORS:
        with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
            tiny.surprise(clip, 4, operator=operator, noise=_bank(1))


@pytest.mark.parametrize("operator", OPERATORS)
def test_bf16_gives_about_the_same_surprise(operator: str, tiny: JEPAAdapter) -> None:
    clip = moving_clips(1, 8, (32, 32))
    full = tiny.surprise(clip, 4, operator=operator, noise=_bank(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = tiny.surprise(clip, 4, operator=operator, noise=_bank(1))
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)


def test_a_network_made_in_inference_mode_serves_outside_it(checkpoint: Path) -> None:
    adapter, clip = JEPAAdapter(weights=str(checkpoint)), moving_clips(1, 4, (32, 32))
    with torch.inference_mode():
        inside = adapter.encode(clip).tokens
    clip.requires_grad_()
    outside = adapter.encode(clip).tokens
    torch.testing.assert_close(outside.detach(), inside)
    outside.square().flatten(0, 3)[:, 0].sum().backward()
    assert clip.grad is not None
    assert float(clip.grad.abs().sum()) > 0
