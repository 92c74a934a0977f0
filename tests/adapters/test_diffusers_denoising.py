"""The denoising error against the raw networks and the formulas, in float64 and by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_files import clips, normalised, saved_once
from torch import Tensor

from worldbench.adapter import NoiseBank
from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.noise import TrialNoise

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

CONTEXT, LEVELS = 8, (0.3, 0.8)
"""The experts of the Wan that has two share these levels between them."""
Velocity = Callable[[Tensor, float], Tensor]


def bank(batch: int) -> NoiseBank:
    return TrialNoise([f"trial{i}" for i in range(batch)])


def adapter_of(folder: Path, **options: Any) -> Diffusers:
    settings: dict[str, Any] = {"dtype": "fp32", "steps": 1, "levels": LEVELS}
    return Diffusers(str(folder), **(settings | options))


def network(folder: Path, kind: str, part: str = "transformer") -> Any:
    return getattr(diffusers, kind).from_pretrained(folder / part).double().eval()


def empty_prompt(folder: Path, kind: str, length: int) -> tuple[Tensor, Tensor]:
    """Embeds the empty prompt with the raw text encoder; padding is zero for Wan's kin."""
    words = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    told = words([""], padding="max_length", max_length=length, return_tensors="pt")
    encoder = getattr(transformers, kind).from_pretrained(folder / "text_encoder")
    mask = told.attention_mask
    with torch.no_grad():
        return encoder(told.input_ids, mask)[0].double(), mask


def wan_prompt(folder: Path) -> Tensor:
    embeds, mask = empty_prompt(folder, "UMT5EncoderModel", 512)
    return embeds * mask[..., None]


def by_hand(clean: Tensor, past: int, pinned: bool, velocity: Velocity, item: int) -> Tensor:
    """Returns the mean of (z − σv − x)² over levels, signs and values, per future step.

    Args:
        clean: Latents ``1 c t h w``, float64.
        past: Latent steps of the past.
        pinned: Whether those stay clean.
        velocity: The network.
        item: Place in the batch, for the noise.
    """
    errors = []
    for level in LEVELS:
        for sign in (1, -1):
            shape = tuple(clean[0].transpose(0, 1).shape)
            drawn = bank(2).draw(shape, level=level, index=0, sign=sign)[item]
            noise = drawn.double().transpose(0, 1)[None]
            z = (1 - level) * clean + level * noise
            if pinned:
                z[:, :, :past] = clean[:, :, :past]
            error = z - level * velocity(z, level) - clean
            errors.append(error[0, :, past:].square().mean(dim=(0, 2, 3)))
    return torch.stack(errors).mean(dim=0)


def twice(clip: Tensor) -> Tensor:
    """Returns a clip as it is shown to those that continue it."""
    return torch.cat([clip[:1], clip])


def wan_velocity(name: str, folder: Path, vae: Any, clip: Tensor) -> Velocity:
    from PIL import Image

    frames = len(clip)
    text, first = wan_prompt(folder), clip[:1]
    canvas = torch.cat([first, torch.full_like(clip[1:], 0.5)])
    seen = normalised(vae, first if name == "wan_tokens" else canvas)
    steps, (high, wide) = 1 + (frames - 1) // 4, seen.shape[3:]
    known = torch.zeros(1, 4, steps, high, wide, dtype=torch.float64)
    known[:, :, 0] = 1
    told = None
    if name == "wan":
        pixels = (first[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        processor = transformers.CLIPImageProcessor.from_pretrained(folder / "image_processor")
        eyes = transformers.CLIPVisionModel.from_pretrained(folder / "image_encoder")
        given = processor(images=Image.fromarray(pixels), return_tensors="pt").pixel_values
        told = eyes(given, output_hidden_states=True).hidden_states[-2].double()
    much = network(folder, "WanTransformer3DModel")
    little = (
        network(folder, "WanTransformer3DModel", "transformer_2") if name == "wan_experts" else much
    )

    def velocity(z: Tensor, level: float) -> Tensor:
        moment = torch.tensor([1000 * level])
        if name == "wan_tokens":
            z = torch.cat([seen, z[:, :, 1:]], dim=2)
            tokens = (high // 2) * (wide // 2)
            moment = torch.cat([torch.zeros(tokens), moment.repeat((steps - 1) * tokens)])[None]
        else:
            z = torch.cat([z, known, seen], dim=1)
        called = much if level >= 0.6 else little
        return called(z, moment, text, told, return_dict=False)[0]

    return velocity


@pytest.mark.parametrize("name", ["wan", "wan_experts", "wan_tokens"])
def test_wan_is_a_flow_given_a_picture(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = saved_once(name, tmp_path_factory)
    video = clips(2, CONTEXT + 8)
    found = adapter_of(folder).surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    assert found.shape == (2, 2)
    assert found.dtype == torch.float64
    vae = network(folder, "AutoencoderKLWan", "vae")
    with torch.no_grad():
        for item in range(2):
            clip = video[item, CONTEXT - 1 :].double()
            clean = normalised(vae, clip)
            velocity = wan_velocity(name, folder, vae, clip)
            expected = by_hand(clean, 1, name == "wan_tokens", velocity, item)
            torch.testing.assert_close(found[item], expected, rtol=2e-5, atol=0)


def test_vace_is_a_flow_beside_the_frames_it_knows(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = saved_once("vace", tmp_path_factory)
    video, shown = clips(2, CONTEXT + 8), CONTEXT + 1
    found = adapter_of(folder).surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    vae, text = network(folder, "AutoencoderKLWan", "vae"), wan_prompt(folder)
    called = network(folder, "WanVACETransformer3DModel")
    with torch.no_grad():
        for item in range(2):
            clip = twice(video[item]).double()
            # What is kept, and grey; what is to be made, and nothing: 0 in [−1, 1].
            kept = torch.cat([clip[:shown], torch.full_like(clip[shown:], 0.5)])
            made = torch.cat([torch.full_like(clip[:shown], 0.5), clip[shown:] * 0 + 128 / 255])
            inside = torch.cat([torch.zeros(shown), torch.ones(len(clip) - shown)]).double()
            mask = torch.nn.functional.interpolate(inside[None, None], 5, mode="nearest-exact")
            control = torch.cat(
                [
                    normalised(vae, kept),
                    normalised(vae, made),
                    mask.view(1, 1, 5, 1, 1).expand(1, 64, 5, 4, 4),
                ],
                dim=1,
            )

            def velocity(z: Tensor, level: float, control: Tensor = control) -> Tensor:
                moment, ones = torch.tensor([1000 * level]), torch.ones(2, dtype=torch.float64)
                return called(z, moment, text, None, control, ones, return_dict=False)[0]

            expected = by_hand(normalised(vae, clip), 3, False, velocity, item)
            torch.testing.assert_close(found[item], expected, rtol=2e-5, atol=0)


def test_skyreels_is_a_flow_beside_a_clean_past(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = saved_once("skyreels", tmp_path_factory)
    video = clips(2, CONTEXT + 8)
    found = adapter_of(folder).surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    vae, text = network(folder, "AutoencoderKLWan", "vae"), wan_prompt(folder)
    called = network(folder, "SkyReelsV2Transformer3DModel")

    def velocity(z: Tensor, level: float) -> Tensor:
        moments = torch.tensor([[0.0, 0.0, 0.0, 1000 * level, 1000 * level]])
        return called(z, moments, text, None, True, [1], return_dict=False)[0]

    with torch.no_grad():
        for item in range(2):
            clean = normalised(vae, twice(video[item]).double())
            expected = by_hand(clean, 3, True, velocity, item)
            torch.testing.assert_close(found[item], expected, rtol=2e-5, atol=0)


def test_ltx_is_a_flow_beside_a_clean_past(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = saved_once("ltx", tmp_path_factory)
    video = clips(2, CONTEXT + 16)
    found = adapter_of(folder).surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    assert found.shape == (2, 2)
    vae = network(folder, "AutoencoderKLLTXVideo", "vae")
    called = network(folder, "LTXVideoTransformer3DModel")
    text, mask = empty_prompt(folder, "T5EncoderModel", 256)
    # One token a step at this size: steps 0, 1, 2, 3 begin at frames 0, 1, 9, 17 of 25 a second.
    places = torch.zeros(1, 3, 4)
    places[0, 0] = torch.tensor([0.0, 1.0, 9.0, 17.0]) / 25

    def velocity(z: Tensor, level: float) -> Tensor:
        moments = torch.tensor([[0.0, 0.0, 1000 * level, 1000 * level]])
        tokens = z.flatten(2).transpose(1, 2)
        said = called(tokens, text, moments, mask, video_coords=places.double(), return_dict=False)[
            0
        ]
        return said.transpose(1, 2).unflatten(2, z.shape[2:])

    with torch.no_grad():
        for item in range(2):
            frames = (2 * twice(video[item]).double() - 1).transpose(0, 1)[None]
            clean = vae.encode(frames).latent_dist.mode()  # mean 0, deviation 1 in this one
            expected = by_hand(clean, 2, True, velocity, item)
            torch.testing.assert_close(found[item], expected, rtol=2e-5, atol=0)


def svd_by_hand(folder: Path, video: Tensor, item: int) -> Tensor:
    from PIL import Image

    kind = "AutoencoderKLTemporalDecoder"
    vae, unet = (
        network(folder, kind, "vae"),
        network(folder, "UNetSpatioTemporalConditionModel", "unet"),
    )
    clip = video[item, CONTEXT - 1 :]
    clean = vae.encode(2 * clip.double() - 1).latent_dist.mode() * 0.18215
    fresh = bank(2).draw((3, 32, 32), level=0.0, index=0, sign=1)[item]
    shaken = (2 * clip[0] - 1 + 0.02 * fresh).double()
    beside = vae.encode(shaken[None]).latent_dist.mode().expand(len(clip), -1, -1, -1)
    pipe = diffusers.StableVideoDiffusionPipeline.from_pretrained(folder)
    pixels = (clip[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    embedded = pipe._encode_image(Image.fromarray(pixels), "cpu", 1, False).double()
    told = torch.tensor([[6.0, 127.0, 0.02]], dtype=torch.float64)
    errors = []
    for level in LEVELS:
        sigma = torch.tensor(level / (1 - level), dtype=torch.float64)
        for sign in (1, -1):
            drawn = bank(2).draw(tuple(clean.shape), level=level, index=0, sign=sign)[item]
            noisy = clean + sigma * drawn.double()
            scaled = noisy / (sigma**2 + 1).sqrt()
            said = unet(
                torch.cat([scaled, beside], dim=1)[None],
                0.25 * sigma.log(),
                embedded,
                told,
                return_dict=False,
            )[0][0]
            guess = said * (-sigma / (sigma**2 + 1).sqrt()) + noisy / (sigma**2 + 1)
            errors.append((guess - clean)[1:].square().mean(dim=(1, 2, 3)))
    return torch.stack(errors).mean(dim=0)


def test_svd_is_preconditioned_as_edm(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = saved_once("svd", tmp_path_factory)
    video = clips(2, CONTEXT + 3)
    found = adapter_of(folder).surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    assert found.shape == (2, 3)
    with torch.no_grad():
        for item in range(2):
            expected = svd_by_hand(folder, video, item)
            torch.testing.assert_close(found[item], expected, rtol=2e-5, atol=0)


@pytest.mark.parametrize("exact", [True, False])
def test_whoever_knows_the_clip_is_not_surprised_and_whoever_sees_no_noise_is_by_it(
    exact: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved_once("wan", tmp_path_factory)
    video, level = clips(1, CONTEXT + 8), 0.4
    vae = diffusers.AutoencoderKLWan.from_pretrained(folder / "vae")
    with torch.no_grad():
        clean = normalised(vae, video[0, CONTEXT - 1 :])

    def knows(self: Any, hidden_states: Tensor, timestep: Tensor, **_: object) -> tuple[Tensor]:
        z = hidden_states[:, :16]
        return ((z - clean) / (timestep / 1000) if exact else torch.zeros_like(z),)

    monkeypatch.setattr(diffusers.WanTransformer3DModel, "forward", knows)
    found = adapter_of(folder, levels=[level], draws=2).surprise(
        video, CONTEXT, operator="denoising_error", noise=bank(1)
    )
    expected = torch.zeros(1, 2, dtype=torch.float64)
    if not exact:  # then x̂ = z, and the error is σ²·(ε − x)²
        shape = tuple(clean[0].transpose(0, 1).shape)
        drawn = [
            bank(1).draw(shape, level=level, index=index, sign=sign)[0]
            for index in range(2)
            for sign in (1, -1)
        ]
        apart = torch.stack(drawn).double() - clean[0].transpose(0, 1).double()
        expected = (level * apart[:, 1:]).square().mean(dim=(0, 2, 3, 4))[None]
        assert float(expected.min()) > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-10)


def test_the_curve_has_a_value_per_level_and_the_surprise_is_its_mean(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    adapter = adapter_of(saved_once("wan_experts", tmp_path_factory))
    video = clips(2, CONTEXT + 6)  # the last step is half there, and counts as one
    curve = adapter.denoising_curve(video, CONTEXT, bank(2))
    assert curve.shape == (2, len(LEVELS), 2)
    mean = adapter.surprise(video, CONTEXT, operator="denoising_error", noise=bank(2))
    torch.testing.assert_close(mean, curve.mean(dim=1), rtol=1e-12, atol=0)
    completed = torch.cat([video, video[:, -1:], video[:, -1:]], dim=1)
    assert torch.equal(adapter.denoising_curve(completed, CONTEXT, bank(2)), curve)


def test_bf16_gives_about_the_same_error(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, video = saved_once("wan", tmp_path_factory), clips(1, CONTEXT + 4)
    full, half = (
        adapter_of(folder, dtype=dtype).surprise(
            video, CONTEXT, operator="denoising_error", noise=bank(1)
        )
        for dtype in ("fp32", "bf16")
    )
    torch.testing.assert_close(half, full, rtol=0.05, atol=0)
    assert not torch.equal(half, full)
    adapter = adapter_of(folder)
    with torch.autocast("cpu", torch.bfloat16):  # the run's precision is not the adapter's
        again = adapter.surprise(video, CONTEXT, operator="denoising_error", noise=bank(1))
    assert torch.equal(again, full)
