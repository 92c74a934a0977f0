"""The adapter against the layers of transformers, on tiny random checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm
from vjepa2_files import FRAMES, SIDE, clips, saved_vjepa2

from worldbench import cli
from worldbench.adapter import Generates, NoiseBank, capabilities
from worldbench.adapters.asked import checked_clips
from worldbench.adapters.vjepa2 import OPERATORS, VJEPA2
from worldbench.adapters.vjepa2_frames import prepared
from worldbench.errors import DataError
from worldbench.noise import TrialNoise

transformers = pytest.importorskip("transformers")

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_vjepa2(tmp_path_factory.mktemp("vjepa2"))


@pytest.fixture(scope="module")
def native(folder: Path) -> VJEPA2:
    return VJEPA2(str(folder), framing="native")


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return transformers.VJEPA2Model.from_pretrained(folder).eval().requires_grad_(False)


def bank(batch: int) -> NoiseBank:
    return TrialNoise([f"trial{i}" for i in range(batch)])


def one_by_one(call: Callable[[Tensor], Tensor], video: Tensor) -> Tensor:
    """Asks as the adapter does on a CPU: sums are taken in another order for several at once."""
    return torch.cat([call(video[i : i + 1]) for i in range(len(video))])


def as_targets(tokens: Tensor) -> Tensor:
    return layer_norm(tokens, tokens.shape[-1:]).reshape(len(tokens), -1, 2, 2, tokens.shape[-1])


def numbers(start: int, stop: int) -> list[Tensor]:
    return [torch.arange(start, stop)[None]]


def test_the_command_line_checks_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "adapter=vjepa2", f"adapter.weights={folder}"]) == 0
    said = capsys.readouterr().out
    assert "ok      predict: no temporal leak" in said
    assert "vjepa2: 0 failed of 24 checks" in said


def test_the_card_says_what_the_folder_says(native: VJEPA2, folder: Path, model: Any) -> None:
    card = native.card
    assert capabilities(native) == card.capabilities == ("encodes", "predicts", "surprises")
    assert not isinstance(native, Generates)
    assert card.operators == OPERATORS == ("latent_error", "latent_error_fullclip")
    assert (card.size, card.frames, card.fps) == ((SIDE, SIDE), FRAMES, 4.0)
    assert (card.temporal_stride, card.min_context, card.max_context) == (2, 2, FRAMES - 2)
    assert card.parameters == sum(p.numel() for p in model.parameters())
    assert native.layers == ("block1", "block2")
    assert VJEPA2(str(folder)).card.size == (36, 36)
    assert str(folder) not in card.model_dump_json()


def test_the_backbone_of_a_classifier_is_taken(tmp_path: Path) -> None:
    adapter = VJEPA2(str(saved_vjepa2(tmp_path / "head", head=True)), framing="native")
    whole = transformers.VJEPA2ForVideoClassification.from_pretrained(tmp_path / "head")
    whole.eval().requires_grad_(False)
    assert adapter.card.parameters == sum(p.numel() for p in whole.vjepa2.parameters())
    video = clips(1, 4)
    tokens = whole.vjepa2.get_vision_features((video - MEAN) / STD)
    assert torch.equal(adapter.encode(video).tokens, as_targets(tokens))


def test_latents_are_those_of_transformers_bit_for_bit(native: VJEPA2, model: Any) -> None:
    video = clips(2, 8)
    seen: list[Tensor] = []
    hook = model.encoder.layer[0].register_forward_hook(lambda *call: seen.append(call[2][0]))
    last = one_by_one(model.get_vision_features, (video - MEAN) / STD)
    hook.remove()
    found = native.encode_layers(video, ("block2", "block1"))
    assert list(found) == ["block2", "block1"]
    assert torch.equal(found["block2"].tokens, as_targets(last))
    assert torch.equal(found["block1"].tokens, as_targets(torch.cat(seen)))
    assert torch.equal(native.encode(video).tokens, found["block2"].tokens)
    assert found["block1"].temporal_stride == 2


def test_predictions_are_the_predictors_about_a_context_encoded_alone(
    native: VJEPA2, model: Any
) -> None:
    context = clips(2, 6)

    def foreseen(part: Tensor) -> Tensor:
        tokens = model.encoder((part - MEAN) / STD).last_hidden_state
        return model.predictor(tokens, numbers(0, 12), numbers(12, 20)).last_hidden_state

    expected = as_targets(one_by_one(foreseen, context))
    for horizon in (3, 4):
        assert torch.equal(native.predict(context, horizon).tokens, expected)


def test_the_leaking_call_moves_with_the_future_and_ours_does_not(
    native: VJEPA2, model: Any
) -> None:
    video = clips(1, 12)
    other = video.clone()
    other[:, 6:] = 1 - other[:, 6:]
    one, two = (
        model(
            (each - MEAN) / STD, context_mask=numbers(0, 12), target_mask=numbers(12, 24)
        ).predictor_output.last_hidden_state
        for each in (video, other)
    )
    assert float((one - two).abs().max()) > 0.01
    ours, again = (native.predict(each[:, :6], 6).tokens for each in (video, other))
    assert torch.equal(ours, again)
    leaking = as_targets(one)
    assert not torch.allclose(ours, leaking, atol=0.01)


def test_the_future_alone_is_encoded_at_its_true_places(
    native: VJEPA2, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, context = clips(2, 10), 4
    raw = (video - MEAN) / STD

    def foreseen(part: Tensor) -> Tensor:
        tokens = model.encoder(part[:, :context]).last_hidden_state
        return model.predictor(tokens, numbers(0, 8), numbers(8, 20)).last_hidden_state

    said = one_by_one(foreseen, raw).reshape(2, 3, 2, 2, -1)
    first = as_targets(one_by_one(model.get_vision_features, raw[:, context:]))
    for block in model.encoder.layer:  # every token two latent steps later
        places = block.attention.get_position_ids

        def later(x: Tensor, masks: Any = None, places: Any = places) -> tuple[Tensor, ...]:
            frame, row, column = places(x, masks)
            return frame + context // 2, row, column

        monkeypatch.setattr(block.attention, "get_position_ids", later)
    target = as_targets(one_by_one(model.get_vision_features, raw[:, context:]))
    found = native.surprise(video, context, operator="latent_error", noise=bank(2))
    assert found.dtype == torch.float64
    expected = (said - target).abs().double().mean(dim=(2, 3, 4))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    # The rotation of this network is not of distances alone, so the places are no matter of taste.
    assert float((first - target).abs().max()) > 0.01


def test_the_published_operator_compares_with_the_whole_clip(native: VJEPA2, model: Any) -> None:
    video = clips(2, 10)
    raw = (video - MEAN) / STD

    def foreseen(part: Tensor) -> Tensor:
        tokens = model.encoder(part[:, :4]).last_hidden_state
        return model.predictor(tokens, numbers(0, 8), numbers(8, 20)).last_hidden_state

    said = one_by_one(foreseen, raw).reshape(2, 3, 2, 2, -1)
    target = as_targets(one_by_one(model.get_vision_features, raw))[:, 2:]
    found = native.surprise(video, 4, operator="latent_error_fullclip", noise=bank(2))
    torch.testing.assert_close(found, (said - target).abs().double().mean(dim=(2, 3, 4)))


@pytest.mark.parametrize("size", [(48, 64), (90, 40), (36, 36), (20, 20)])
def test_frames_are_framed_as_published(size: tuple[int, int]) -> None:
    image = pytest.importorskip("PIL.Image")
    video = clips(1, 2, size)
    short = int(SIDE * 256 / 224)
    height, width = (int(short * side / min(size)) for side in size)
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    planes = [
        np.asarray(image.fromarray(plane.numpy()).resize((width, height), image.BILINEAR))
        for plane in video.flatten(0, 2)
    ]
    resized = torch.from_numpy(np.stack(planes)).reshape(1, 2, 3, height, width)
    cropped = resized[..., top : top + SIDE, left : left + SIDE]
    found = prepared(video, SIDE, 2, "published")
    torch.testing.assert_close(found, (cropped - MEAN) / STD, rtol=0, atol=2e-5)


def test_clips_of_another_size_are_answered_on_the_grid_of_the_network(folder: Path) -> None:
    adapter = VJEPA2(str(folder))
    for size in ((20, 20), (48, 64)):
        video = clips(1, 8, size)
        assert adapter.encode(video).tokens.shape == (1, 4, 2, 2, 24)
        assert adapter.predict(video[:, :4], 4).tokens.shape == (1, 2, 2, 2, 24)


def test_an_odd_last_frame_counts_twice(native: VJEPA2) -> None:
    video = clips(1, 7)
    doubled = torch.cat([video, video[:, -1:]], dim=1)
    assert torch.equal(native.encode(video).tokens, native.encode(doubled).tokens)
    for operator in OPERATORS:
        odd, even = (
            native.surprise(each, 4, operator=operator, noise=bank(1)) for each in (video, doubled)
        )
        assert torch.equal(odd, even)


def test_long_clips_are_encoded_in_equal_parts_and_not_predicted(
    native: VJEPA2, folder: Path
) -> None:
    video = clips(1, 22)
    alone = torch.cat([native.encode(part).tokens for part in video.split([12, 10], 1)], dim=1)
    assert torch.equal(native.encode(video).tokens, alone)
    with pytest.raises(DataError, match="trained on shorter clips") as caught:
        native.predict(video[:, :4], 18)
    assert "adapter.frames=22" in str(caught.value.fix)
    with pytest.raises(DataError, match="context and future of 22 frames"):
        native.surprise(video, 4, operator="latent_error", noise=bank(1))
    longer = VJEPA2(str(folder), framing="native", frames=22)
    assert longer.predict(video[:, :4], 18).tokens.shape == (1, 9, 2, 2, 24)
    assert longer.card.frames == 22


def test_illegal_questions_are_refused_by_name(native: VJEPA2) -> None:
    video = clips(1, 8)
    with pytest.raises(ValueError, match="block1, block2"):
        native.encode(video, layer="block3")
    with pytest.raises(ValueError, match="None or 0"):
        native.encode(video, noise=0.3)
    with pytest.raises(ValueError, match="a multiple of 2; got 3"):
        native.predict(video[:, :3], 2)
    with pytest.raises(ValueError, match="must be ≥ 1"):
        native.predict(video[:, :4], 0)
    with pytest.raises(ValueError, match="nothing comes after the context"):
        native.surprise(video, 8, operator="latent_error", noise=bank(1))
    with pytest.raises(ValueError, match="latent_error, latent_error_fullclip"):
        native.surprise(video, 4, operator="denoising_error", noise=bank(1))
    for value in (float("nan"), -0.1, 1.1):
        broken = video.clone()
        broken[0, 1, 0, 3, 3] = value
        with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
            native.encode(broken)
    for wrong in (video[0], (video * 255).to(torch.uint8)):
        with pytest.raises(ValueError, match="clips must be"):
            checked_clips(wrong)


def test_another_resolution_is_refused_where_nothing_is_resized(native: VJEPA2) -> None:
    video = clips(1, 8, (48, 32))
    asked: list[Callable[[], object]] = [
        lambda: native.encode(video),
        lambda: native.predict(video[:, :4], 2),
        lambda: native.surprise(video, 4, operator="latent_error", noise=bank(1)),
    ]
    for ask in asked:
        with pytest.raises(ValueError, match=r"48 × 32 are not of the network's 32 × 32"):
            ask()


@pytest.mark.parametrize("operator", OPERATORS)
def test_bf16_gives_about_the_same_surprise(operator: str, native: VJEPA2) -> None:
    video = clips(1, 8)
    full = native.surprise(video, 4, operator=operator, noise=bank(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = native.surprise(video, 4, operator=operator, noise=bank(1))
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)


def test_a_network_loaded_in_inference_mode_serves_outside_it(folder: Path) -> None:
    adapter, video = VJEPA2(str(folder), framing="native"), clips(1, 4)
    with torch.inference_mode():
        inside = adapter.encode(video).tokens
    video.requires_grad_()
    outside = adapter.encode(video).tokens
    torch.testing.assert_close(outside.detach(), inside)
    outside.square().flatten(0, 3)[:, 0].sum().backward()
    assert video.grad is not None
