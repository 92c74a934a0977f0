"""V-JEPA 1 from checkpoints made on the spot, against a network written down a second time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from vjepa1_files import (
    DEPTH,
    FRAMES,
    GRID,
    HEADS,
    SIDE,
    STEPS,
    TOLD,
    WIDTH,
    Oracle,
    as_target,
    checkpoint,
    positions,
    saved,
)

from worldbench import cli
from worldbench.adapters.vjepa import VJEPA
from worldbench.adapters.vjepa1_checkpoint import additive, published
from worldbench.adapters.vjepa1_network import built
from worldbench.adapters.vjepa1_positions import Places, recognised, sincos
from worldbench.adapters.vjepa_untold import Untold
from worldbench.errors import DataError, UsageError
from worldbench.noise import TrialNoise

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
NUMBERS = list(range(STEPS * GRID**2))


@pytest.fixture(scope="module")
def held() -> dict[str, Any]:
    return checkpoint()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("vjepa1") / "vitt.pth.tar")


@pytest.fixture(scope="module")
def adapter(file: Path) -> VJEPA:
    return VJEPA(str(file), framing="native", **TOLD)


@pytest.fixture(scope="module")
def oracle(held: dict[str, Any]) -> Oracle:
    return Oracle(held)


def clips(count: int, frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, frames, 3, SIDE, SIDE, generator=generator)


def whole(clip: Tensor, first: int = 0) -> Tensor:
    """Returns normalised frames as a clip of the trained length, the others being noise."""
    full = torch.randn(len(clip), FRAMES, 3, SIDE, SIDE, dtype=torch.float64)
    full[:, first : first + clip.shape[1]] = ((clip - MEAN) / STD).double()
    return full


def gridded(tokens: Tensor) -> Tensor:
    return tokens.reshape(len(tokens), -1, GRID, GRID, tokens.shape[-1])


def close(found: Tensor, wanted: Tensor) -> None:
    assert float((found.double() - wanted).abs().max()) < 1e-5


@pytest.mark.parametrize("width", [8, 24, 64])
@pytest.mark.parametrize("uniform", [True, False])
def test_positions_are_the_sinusoids_of_their_places(width: int, uniform: bool) -> None:
    places = Places(3, 2, uniform)
    wanted = positions(width, uniform=uniform, steps=3, grid=2)
    torch.testing.assert_close(sincos(width, places), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("steps", "side"), [(8, 14), (8, 24), (4, 2), (16, 1), (1, 4)])
@pytest.mark.parametrize("uniform", [True, False])
def test_a_table_of_positions_tells_its_grid(steps: int, side: int, uniform: bool) -> None:
    places = Places(steps, side, uniform)
    table = sincos(48, places)
    assert recognised(table.float()) == recognised(table.half()) == places
    assert recognised(table + 0.1) is None
    assert recognised(torch.randn(16, 20)) is None


def test_the_card_says_what_the_file_tells(adapter: VJEPA, held: dict[str, Any]) -> None:
    card = adapter.card
    assert card.summary == f"V-JEPA 1, {DEPTH} blocks, {SIDE}×{SIDE} pixels"
    assert (card.size, card.frames, card.temporal_stride) == ((SIDE, SIDE), FRAMES, 2)
    assert (card.min_context, card.max_context, card.fps) == (2, FRAMES - 2, None)
    assert card.licence is None  # nobody published this
    assert card.source == "a checkpoint of facebookresearch/jepa"
    trained = [
        each.numel()
        for part in ("target_encoder", "predictor")
        for name, each in held[part].items()
        if "pos_embed" not in name
    ]
    assert card.parameters == sum(trained)


@pytest.mark.parametrize("uniform", [True, False])
def test_latents_of_every_layer_are_those_of_the_network(tmp_path: Path, uniform: bool) -> None:
    file = saved(tmp_path / "one.pt", seed=1, uniform=uniform)
    adapter = VJEPA(str(file), framing="native", **TOLD)
    oracle, video = Oracle(checkpoint(seed=1, uniform=uniform)), clips(2)
    found = adapter.encode_layers(video, adapter.layers)
    assert list(found) == ["block1", "block2", "block3"]
    for depth, latents in enumerate(found.values(), start=1):
        close(latents.tokens, gridded(as_target(oracle.latents(whole(video), NUMBERS, depth))))
    assert torch.equal(adapter.encode(video).tokens, found["block3"].tokens)


def test_short_clips_are_masked_and_not_stretched(adapter: VJEPA, oracle: Oracle) -> None:
    video = clips(2, 4)
    kept = NUMBERS[: 2 * GRID**2]
    close(adapter.encode(video).tokens, gridded(as_target(oracle.latents(whole(video), kept))))
    table = oracle.encoder["pos_embed"].reshape(1, STEPS, GRID, GRID, WIDTH).permute(0, 4, 1, 2, 3)
    stretched = nn.functional.interpolate(table, scale_factor=(2 / STEPS, 1, 1), mode="trilinear")
    there = oracle.encoder["pos_embed"][:, : len(kept)]
    assert float((stretched.flatten(2).transpose(1, 2) - there).abs().max()) > 0.1


@pytest.mark.parametrize("token", [None, 0, 1])
def test_predictions_are_the_predictors_about_a_context_encoded_alone(
    file: Path, oracle: Oracle, token: int | None
) -> None:
    adapter = VJEPA(str(file), framing="native", mask_token=token, **TOLD)
    video, one = clips(2, 6), GRID**2
    known, asked = NUMBERS[: 3 * one], NUMBERS[3 * one : 4 * one]
    wanted = oracle.foreseen(whole(video), known, asked, 1 if token is None else token)
    for horizon in (1, 2):
        close(adapter.predict(video, horizon).tokens, gridded(as_target(wanted)))


def test_a_perturbed_future_moves_no_prediction(adapter: VJEPA) -> None:
    video = clips(2)
    other = video.clone()
    other[:, 4:] = 1 - other[:, 4:]
    assert torch.equal(
        adapter.predict(video[:, :4], 4).tokens, adapter.predict(other[:, :4], 4).tokens
    )


def test_surprise_compares_with_the_future_alone_or_within_the_clip(
    adapter: VJEPA, oracle: Oracle
) -> None:
    video, cut = clips(2), 2 * GRID**2
    said = oracle.foreseen(whole(video), NUMBERS[:cut], NUMBERS[cut:], 1)
    alone = as_target(oracle.latents(whole(video[:, 4:], 4), NUMBERS[cut:]))
    within = as_target(oracle.latents(whole(video), NUMBERS))[:, cut:]
    found = []
    for operator, target in (("latent_error", alone), ("latent_error_fullclip", within)):
        noise = TrialNoise(["a", "b"])
        found.append(adapter.surprise(video, 4, operator=operator, noise=noise))
        close(found[-1], gridded((said - target).abs()).mean(dim=(2, 3, 4)))
    assert float((found[0] - found[1]).abs().max()) > 0.01


def test_in_float64_networks_agree_to_rounding(
    adapter: VJEPA, oracle: Oracle, held: dict[str, Any]
) -> None:
    model = built(adapter._saved.config).double()
    for part, source in (("encoder", "target_encoder"), ("predictor", "predictor")):
        state = {k.removeprefix("module.backbone."): v for k, v in held[source].items()}
        masks = [state.pop(f"mask_tokens.{i}") for i in range(2) if part == "predictor"]
        state |= {"mask_tokens": torch.stack(masks)} if masks else {}
        model[part].load_state_dict(state)
    full, cut = whole(clips(2)), GRID**2
    (seen,) = model["encoder"](full[:, :2], (DEPTH,))
    wanted = oracle.latents(full, NUMBERS[:cut])
    assert seen.dtype == torch.float64
    torch.testing.assert_close(seen, wanted, rtol=0, atol=1e-9)
    said = model["predictor"](seen, 2 * cut, 0)
    wanted = oracle.foreseen(full, NUMBERS[:cut], NUMBERS[cut : 3 * cut], 0)
    torch.testing.assert_close(said, wanted, rtol=0, atol=1e-9)


def test_the_command_line_checks_a_checkpoint(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "adapter=vjepa", f"adapter.weights={file}", f"adapter.heads={HEADS}"]
    assert cli.main(words) == 0
    assert "vjepa: 0 failed of" in capsys.readouterr().out


def test_bf16_gives_about_the_same_surprise(adapter: VJEPA) -> None:
    video, noise = clips(1), TrialNoise(["a"])
    full = adapter.surprise(video, 4, operator="latent_error", noise=noise)
    with torch.autocast("cpu", torch.bfloat16):
        half = adapter.surprise(video, 4, operator="latent_error", noise=noise)
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("width", "depth", "side", "name"),
    [
        (1024, 24, 14, "ViT-L/16"),
        (1280, 32, 14, "ViT-H/16"),
        (1280, 32, 24, "ViT-H/16-384"),
    ],
)
def test_published_sizes_are_known_by_their_shapes(
    width: int, depth: int, side: int, name: str
) -> None:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    config: dict[str, Any] = {
        **dict(zip(names, (width, 4 * width, depth, 16), strict=True)),
        **dict(zip((f"pred_{each}" for each in names), (384, 1536, 12, 16), strict=True)),
        **{"crop_size": 16 * side, "patch_size": 16, "tubelet_size": 2, "frames_per_clip": 16},
        "pred_num_mask_tokens": 2,
    }
    with torch.device("meta"):  # as large as published, but without the numbers
        state = built(config).state_dict()
    parts: dict[str, dict[str, Tensor]] = {"encoder": {}, "predictor": {}}
    for key, each in state.items():
        part, rest = key.split(".", 1)
        parts[part][rest] = each
        if rest.endswith("pos_embed"):
            parts[part][rest] = sincos(each.shape[-1], Places(8, side, True)).float()[None]
    del parts["predictor"]["mask_tokens"]
    masks, untold = [torch.ones(1, 1, 384)] * 2, Untold(None, None, None, None, False)
    _, found = additive(parts["encoder"], parts["predictor"], masks, Path("a.pt"), untold)
    assert found == {**config, "model_type": "vjepa", "uniform_power": True}
    assert published(found) == name
    assert published({**found, "crop_size": 256}) is None


class Harmful:
    """Unpickled, it would be run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("ran",)


def without(held: dict[str, Any], part: str, *names: str) -> dict[str, Any]:
    kept = {k: v for k, v in held[part].items() if not any(name in k for name in names)}
    return {**held, part: kept}


def test_what_is_no_such_checkpoint_is_told(
    held: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = held["target_encoder"] | {"module.backbone.blocks.0.attn.qkv.bias": torch.ones(5)}
    more = held["target_encoder"] | {"module.backbone.blocks.0.gate": torch.ones(5)}
    moved = held["target_encoder"] | {"module.backbone.pos_embed": torch.randn(1, 24, WIDTH)}
    cases: list[tuple[object, dict[str, Any], str]] = [
        ({**held, "opt": Harmful()}, {}, "does not read without running code"),
        ({name: held[name] for name in ("encoder", "predictor")}, {}, "a part is missing"),
        ({**held, "target_encoder": None}, {}, "a part is not weights by name"),
        ({**held, "predictor": torch.ones(2)}, {}, "a part is not weights by name"),
        ({**held, "predictor": {"a": [1]}}, {}, "a part is not weights by name"),
        ({**held, "predictor": {1: torch.ones(2)}}, {}, "a part is not weights by name"),
        (without(held, "predictor", "mask_tokens"), {}, "no mask tokens"),
        (without(held, "target_encoder", "blocks.1.mlp.fc2.bias"), {}, "no whole V-JEPA 1"),
        (without(held, "predictor", "predictor_pos_embed"), {}, "no whole V-JEPA 1"),
        ({**held, "target_encoder": narrow}, {}, "no whole V-JEPA 1"),
        ({**held, "target_encoder": more}, {}, "no whole V-JEPA 1"),
        ({**held, "target_encoder": moved}, {}, "those of no V-JEPA 1"),
        (held, {"heads": None}, "how many heads this encoder"),
        (held, {"heads": 5}, "how many heads this encoder"),
        (held, {"predictor_heads": 5}, "how many heads this predictor"),
        (held, {"side": 256}, r"adapter.side is not that"),
        (held, {"training_frames": 64}, "adapter.training_frames is not that"),
    ]
    for content, options, words in cases:
        torch.save(content, tmp_path / "case.pt")
        with pytest.raises(DataError, match=words) as caught:
            _ = VJEPA(str(tmp_path / "case.pt"), **TOLD | options).card
        assert None not in (caught.value.seen, caught.value.accepted, caught.value.fix)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("zipped", [True, False])
def test_what_would_run_code_is_told_from_what_is_cut_short(
    held: dict[str, Any], zipped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.pt"

    def error_of(content: bytes | None = None) -> DataError:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            _ = VJEPA(str(path), **TOLD).card
        return caught.value

    torch.save({**held, "opt": Harmful()}, path, _use_new_zipfile_serialization=zipped)
    code = error_of()
    assert code.what == "the checkpoint does not read without running code"
    assert "print" in str(code.seen)
    assert "torch.save({part: old[part] for part in" in str(code.fix)
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    parts = [whole[:size] for size in (0, 1, 3, 10, 5000, len(whole) // 2, len(whole) - 9)]
    for content in (*parts, b"hello", b"<html>404</html>"):
        assert "cut short, or no file of torch.save" in error_of(content).what
    assert "ran" not in capsys.readouterr().out


def test_a_file_of_an_old_release_of_torch_is_the_same_model(
    held: dict[str, Any], file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "old.pt"
    torch.save(held, path, _use_new_zipfile_serialization=False)
    old, new = (VJEPA(str(each), **TOLD).encode(clips(1)).tokens for each in (path, file))
    assert torch.equal(old, new)


def test_there_are_no_places_beyond_its_training(file: Path) -> None:
    with pytest.raises(UsageError, match="no places beyond") as caught:
        _ = VJEPA(str(file), frames=FRAMES + 2, **TOLD).card
    assert f"adapter.frames={FRAMES}" in str(caught.value.fix)
    adapter = VJEPA(str(file), framing="native", **TOLD)
    with pytest.raises(DataError, match="trained on shorter clips") as short:
        adapter.predict(clips(1, 4), FRAMES)
    assert "adapter.frames" not in str(short.value.fix)
    with pytest.raises(ValueError, match="a multiple of 2; got 3"):
        adapter.predict(clips(1, 3), FRAMES)
    long = clips(1, FRAMES + 4)
    halves = [adapter.encode(part).tokens for part in long.split(FRAMES // 2 + 2, dim=1)]
    assert torch.equal(adapter.encode(long).tokens, torch.cat(halves, dim=1))


def test_of_a_long_context_the_end_is_seen(adapter: VJEPA) -> None:
    video = clips(1, FRAMES + 4)
    context, horizon, noise = 8, FRAMES - 4, TrialNoise(["a"])
    seen = video[:, context - 4 : context]
    found = adapter.predict(video[:, :context], horizon).tokens
    assert torch.equal(found, adapter.predict(seen, horizon).tokens)
    odd = adapter.predict(video[:, :context], horizon - 1).tokens
    assert torch.equal(odd, found)
    for operator in adapter.card.operators:
        whole, end = (
            adapter.surprise(part, at, operator=operator, noise=noise)
            for part, at in ((video, context), (video[:, context - 4 :], 4))
        )
        assert torch.equal(whole, end)


def test_a_copy_that_was_damaged_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    adapter = VJEPA(str(saved(tmp_path / "tiny.pt", seed=2)), framing="native", **TOLD)
    _ = adapter.card
    (copy,) = (tmp_path / "cache").rglob("model.safetensors")
    copy.write_bytes(copy.read_bytes()[:-100])
    with pytest.raises(DataError, match="does not load") as caught:
        adapter.encode(clips(1))
    assert "delete" in str(caught.value.fix)
