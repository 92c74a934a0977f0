"""Rollouts of the adapter against the pipelines called by hand, on tiny random checkpoints."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_files import MAKERS, clips, saved_once
from torch import Tensor

from worldbench import cli, operators
from worldbench.adapter import Encodes, NoiseBank, capabilities
from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.adapters.diffusers.loading import quiet
from worldbench.errors import ContractError, DataError, EnvironmentFault
from worldbench.noise import TrialNoise
from worldbench.schema import seed_of

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("transformers")

CONTEXT, HORIZON, SEED = 8, 6, 123456789
BOTH = ("denoising_error", "sample_distance")
ALL = "conditions on the whole context, whose first frame it is shown twice"
FIRST = "conditions on the first frame only: the last of the context"


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_once(request.param, tmp_path_factory)


def adapter_of(folder: Path, **options: Any) -> Diffusers:
    settings: dict[str, Any] = {"dtype": "fp32", "steps": 2}
    return Diffusers(str(folder), **(settings | options))


def pictures(video: Tensor) -> list[Any]:
    from PIL import Image

    pixels = (video.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    return [Image.fromarray(frame) for frame in pixels]


def called_by_hand(name: str, folder: Path, context: Tensor, seed: int) -> Tensor:
    """Returns all that a pipeline returns when called as its documentation does."""
    from PIL import Image

    usual = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "pt"}
    text = {} if name == "svd" else {"prompt": "", "guidance_scale": 1.0}
    twice, (last,) = pictures(torch.cat([context[:1], context])), pictures(context[-1:])
    grey, black, white = (Image.new("RGB", (32, 32), (v, v, v)) for v in (128, 0, 255))
    asked: dict[str, tuple[str, dict[str, Any]]] = {
        "svd": (
            "StableVideoDiffusionPipeline",
            {"image": last, "num_frames": 14, "decode_chunk_size": 8},
        ),
        "wan": ("WanImageToVideoPipeline", {"image": last, "num_frames": 9}),
        "vace": (
            "WanVACEPipeline",
            {
                "video": twice + [grey] * 8,
                "mask": [black] * 9 + [white] * 8,
                "num_frames": 17,
            },
        ),
        "ltx": (
            "LTXConditionPipeline",
            {"video": [twice], "image_cond_noise_scale": 0.0, "num_frames": 17},
        ),
        "skyreels": (
            "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
            {"video": twice, "overlap_history": 9, "num_frames": 17, "base_num_frames": 17},
        ),
        "cogvideox": ("CogVideoXImageToVideoPipeline", {"image": last, "num_frames": 9}),
    }
    kind, own = asked[name]
    with quiet(), torch.no_grad():
        pipe = getattr(diffusers, kind).from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(seed)
        frames: Tensor = pipe(**own, **usual, **text, generator=generator).frames[0]
    return frames


BEFORE = {"svd": 1, "wan": 1, "vace": 9, "ltx": 9, "skyreels": 18, "cogvideox": 1}
"""Frames that each pipeline returns before the future, given eight of context."""


@pytest.mark.parametrize(("name", "folder"), [(n, n) for n in BEFORE], indirect=["folder"])
def test_rollouts_are_those_of_the_pipeline_without_what_it_was_shown(
    name: str, folder: Path
) -> None:
    context = clips(2, CONTEXT)
    found = adapter_of(folder).generate(context, HORIZON, samples=2, seeds=[SEED, 7])
    assert found.shape == (2, 2, HORIZON, 3, 32, 32)
    assert found.dtype == torch.float32
    for item, sample, seed in ((0, 1, SEED), (1, 0, 7)):
        key = seed_of("diffusers", seed, sample)
        whole = called_by_hand(name, folder, context[item], key)
        future = whole[BEFORE[name] : BEFORE[name] + HORIZON]
        torch.testing.assert_close(found[item, sample], future, rtol=0, atol=2e-6)


@pytest.mark.parametrize("folder", ["skyreels"], indirect=True)
def test_skyreels_returns_the_context_it_was_given_and_then_its_own(folder: Path) -> None:
    context = clips(1, CONTEXT)
    whole = called_by_hand("skyreels", folder, context[0], SEED)
    assert len(whole) == 9 + 17
    torch.testing.assert_close(whole[1:9], context[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("folder", "kind", "of"),
    [
        ("skyreels", "SkyReelsV2Transformer3DModel", lambda shown: shown[:, :, :3]),
        ("ltx", "LTXVideoTransformer3DModel", lambda shown: shown[:, :2]),
        ("wan_tokens", "WanTransformer3DModel", lambda shown: shown[:, :, :1]),
    ],
    indirect=["folder"],
)
def test_a_prefix_that_is_kept_stays_as_it_is_through_all_steps(
    folder: Path, kind: str, of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen = getattr(diffusers, kind), []
    usual = network.forward

    def watched(self: Any, *args: Any, **given: Any) -> Any:
        seen.append((of(given["hidden_states"]).clone(), given["timestep"].flatten()[0]))
        return usual(self, *args, **given)

    monkeypatch.setattr(network, "forward", watched)
    adapter_of(folder, steps=3).generate(clips(1, CONTEXT), 4, samples=1, seeds=[SEED])
    assert len(seen) == 3
    for prefix, moment in seen:
        assert torch.equal(prefix, seen[0][0])
        assert float(moment) == 0


CARDS: dict[str, tuple[int, int | None, int, tuple[str, ...], str, float]] = {
    "svd": (1, None, 14, BOTH, FIRST, 7.0),
    "wan": (4, None, 81, BOTH, FIRST, 16.0),
    "vace": (4, 76, 81, BOTH, ALL, 16.0),
    "ltx": (8, 152, 161, BOTH, ALL, 25.0),
    "skyreels": (4, 92, 97, BOTH, ALL, 24.0),
    "cogvideox": (4, None, 49, ("sample_distance",), FIRST, 8.0),
}


@pytest.mark.parametrize(("name", "folder"), [(n, n) for n in CARDS], indirect=["folder"])
def test_the_card_says_what_the_pipeline_can_and_cannot_do(name: str, folder: Path) -> None:
    stride, most, frames, known, conditions, fps = CARDS[name]
    adapter = adapter_of(folder)
    card = adapter.card
    assert capabilities(adapter) == card.capabilities == ("generates", "surprises")
    assert not isinstance(adapter, Encodes)
    assert (card.temporal_stride, card.min_context, card.max_context) == (stride, stride, most)
    assert (card.frames, card.operators, card.fps) == (frames, known, fps)
    assert card.stochastic
    assert card.size is None
    assert conditions in card.summary
    rule = {"svd": "14", "ltx": "8k+1", "cogvideox": "8k+1"}.get(name, "4k+1")
    most_frames = "" if name == "svd" else f", at most {frames}"
    assert f"makes clips of {rule} frames{most_frames}, and cuts off" in card.summary
    pipe = MAKERS[name]()
    parts = ("unet", "transformer", "vae", "image_encoder")
    networks = [getattr(pipe, part) for part in parts if getattr(pipe, part, None) is not None]
    assert card.parameters == sum(
        value.numel() for network in networks for value in network.state_dict().values()
    )
    assert str(folder) not in card.model_dump_json()


@pytest.mark.parametrize("folder", ["wan"], indirect=True)
def test_a_pipeline_that_makes_a_picture_move_sees_the_last_frame_alone(folder: Path) -> None:
    adapter, context = adapter_of(folder), clips(1, CONTEXT)
    past, last = context.clone(), context.clone()
    past[:, :-1] = 1 - past[:, :-1]
    last[:, -1] = 1 - last[:, -1]
    usual, before, after = (
        adapter.generate(each, 4, samples=1, seeds=[SEED]) for each in (context, past, last)
    )
    assert torch.equal(before, usual)
    assert not torch.equal(after, usual)


@pytest.mark.parametrize("folder", ["vace", "ltx", "skyreels"], indirect=True)
def test_a_pipeline_that_continues_clips_sees_every_frame_of_the_context(folder: Path) -> None:
    adapter, context = adapter_of(folder), clips(1, CONTEXT)
    usual = adapter.generate(context, 4, samples=1, seeds=[SEED])
    for frame in range(CONTEXT):
        other = context.clone()
        other[:, frame] = 1 - other[:, frame]
        assert not torch.equal(adapter.generate(other, 4, samples=1, seeds=[SEED]), usual)


@pytest.mark.parametrize(
    ("name", "folder", "asked", "returned"),
    [("wan", "wan", 10, 9), ("cogvideox", "cogvideox", 13, 16)],
    indirect=["folder"],
)
def test_what_pipelines_change_silently_is_never_asked_of_them(
    name: str, folder: Path, asked: int, returned: int
) -> None:
    kind = {"wan": "WanImageToVideoPipeline", "cogvideox": "CogVideoXImageToVideoPipeline"}[name]
    (image,) = pictures(clips(1, 1)[0])
    with quiet(), torch.no_grad():
        pipe = getattr(diffusers, kind).from_pretrained(folder)
        pipe.set_progress_bar_config(disable=True)
        options = {"height": 32, "width": 32, "num_inference_steps": 1, "guidance_scale": 1.0}
        frames = pipe(image, "", num_frames=asked, output_type="pt", **options).frames[0]
    assert len(frames) == returned  # not what it was asked for, and nothing was raised
    adapter = adapter_of(folder, steps=1)
    for horizon in (1, asked - 1, asked):
        rollout = adapter.generate(clips(1, 4), horizon, samples=1, seeds=[0])
        assert rollout.shape[2] == horizon


@pytest.mark.parametrize("folder", ["wan"], indirect=True)
def test_a_pipeline_that_returns_another_number_of_frames_breaks_the_contract(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = diffusers.AutoencoderKLWan.decode

    def shorter(self: Any, *args: Any, **options: Any) -> Any:
        return (usual(self, *args, **options)[0][:, :, :-1],)

    monkeypatch.setattr(diffusers.AutoencoderKLWan, "decode", shorter)
    with pytest.raises(ContractError, match="returned another number of frames") as caught:
        adapter_of(folder).generate(clips(1, 4), 4, samples=1, seeds=[0])
    assert (caught.value.seen, caught.value.accepted) == ("4 frames", "5, for clips of 5")


@pytest.mark.parametrize("folder", ["svd"], indirect=True)
def test_longer_futures_than_a_clip_are_refused(folder: Path) -> None:
    adapter = adapter_of(folder, steps=1)
    assert adapter.generate(clips(1, 2), 13, samples=1, seeds=[0]).shape[2] == 13
    with pytest.raises(DataError, match="no clips that hold this future") as caught:
        adapter.generate(clips(1, 2), 14, samples=1, seeds=[0])
    assert caught.value.seen == "1 frames shown and 14 to foresee"
    assert "adapter.frames=15" in str(caught.value.fix)
    longer = adapter_of(folder, steps=1, frames=15)
    assert longer.generate(clips(1, 2), 14, samples=1, seeds=[0]).shape[2] == 14


@pytest.mark.parametrize("folder", ["vace"], indirect=True)
def test_longer_contexts_and_futures_than_a_clip_are_refused(folder: Path) -> None:
    adapter = adapter_of(folder, steps=1, frames=13)
    assert adapter.card.max_context == 8
    assert adapter.generate(clips(1, 8), 4, samples=1, seeds=[0]).shape[2] == 4
    with pytest.raises(DataError, match=r"adapter\.frames=17"):
        adapter.generate(clips(1, 8), 5, samples=1, seeds=[0])
    with pytest.raises(DataError, match=r"adapter\.frames=17"):
        adapter.surprise(clips(1, 13), 8, operator="denoising_error", noise=bank(1))
    with pytest.raises(ValueError, match="at least 4 and at most 8 frames, a multiple of 4"):
        adapter.generate(clips(1, 12), 4, samples=1, seeds=[0])


def bank(batch: int) -> NoiseBank:
    return TrialNoise([f"trial{i}" for i in range(batch)])


@pytest.mark.parametrize("folder", ["wan"], indirect=True)
def test_illegal_questions_are_refused(folder: Path) -> None:
    adapter, video = adapter_of(folder), clips(2, 8)
    asked = {"samples": 1, "seeds": [0, 1]}
    with pytest.raises(ValueError, match="a multiple of 4; got 6"):
        adapter.generate(video[:, :6], 4, **asked)
    with pytest.raises(ValueError, match="must be ≥ 1"):
        adapter.generate(video, 0, **asked)
    with pytest.raises(ValueError, match="2 contexts but 1 seeds"):
        adapter.generate(video, 4, samples=1, seeds=[0])
    with pytest.raises(ValueError, match="2 contexts but 1 prompts"):
        adapter.generate(video, 4, prompt=["a"], **asked)
    with pytest.raises(ValueError, match="denoising_error, sample_distance"):
        adapter.surprise(video, 4, operator="latent_error", noise=bank(2))
    for operator in BOTH:
        with pytest.raises(ValueError, match="nothing comes after the context"):
            adapter.surprise(video, 8, operator=operator, noise=bank(2))
    for wrong in (clips(2, 8, (32, 40)), clips(2, 8, (24, 32))):
        with pytest.raises(ValueError, match=r"multiples of 16.*adapter\.size=\[H,W\]"):
            adapter.generate(wrong, 4, **asked)
    with pytest.raises(ValueError, match=r"finite and in \[0, 1\]"):
        adapter.generate(video * 2, 4, **asked)


@pytest.mark.parametrize("folder", ["cogvideox"], indirect=True)
def test_a_pipeline_without_a_denoising_error_says_so(folder: Path) -> None:
    adapter, video = adapter_of(folder), clips(1, 8)
    with pytest.raises(ValueError, match="no operator 'denoising_error'; there are sample_dist"):
        adapter.surprise(video, 4, operator="denoising_error", noise=bank(1))
    with pytest.raises(ValueError, match="has no denoising error"):
        adapter.denoising_curve(video, 4, bank(1))


@pytest.mark.parametrize("folder", ["wan"], indirect=True)
def test_clips_are_resized_where_that_is_asked_for(folder: Path) -> None:
    adapter, context = adapter_of(folder, size=[32, 48]), clips(1, 4, (40, 40))
    assert adapter.card.size == (32, 48)
    assert "clips resized to 32×48" in adapter.card.summary
    found = adapter.generate(context, 4, samples=1, seeds=[SEED])
    assert found.shape == (1, 1, 4, 3, 40, 40)
    frames = torch.nn.functional.interpolate(
        context[0], (32, 48), mode="bilinear", antialias=True
    ).clamp(0, 1)
    native = adapter_of(folder).generate(frames[None], 4, samples=1, seeds=[SEED])
    back = torch.nn.functional.interpolate(
        native[0, 0], (40, 40), mode="bilinear", antialias=True
    ).clamp(0, 1)
    torch.testing.assert_close(found[0, 0], back, rtol=0, atol=1e-6)


@pytest.mark.parametrize("folder", ["cogvideox"], indirect=True)
def test_sample_distance_is_that_of_rollouts_seeded_by_the_suites_noise(folder: Path) -> None:
    adapter, video = adapter_of(folder, samples=2), clips(2, 8 + 6)
    found = adapter.surprise(video, 8, operator="sample_distance", noise=bank(2))
    assert found.shape == (2, 2)
    # Clips of one trial are compared with the same rollouts, if they share their context.
    twins = torch.cat([video[:1], video[:1]])
    twins[1, 8:] = video[1, 8:]
    shared = adapter.surprise(twins, 8, operator="sample_distance", noise=TrialNoise(["a", "a"]))
    other = adapter.surprise(twins, 8, operator="sample_distance", noise=TrialNoise(["b", "a"]))
    assert float(shared[1, 0]) == float(other[1, 0])
    assert float(shared[0, 0]) != float(other[0, 0])
    drawn = [bank(2).draw((2,), level=0.0, index=k, sign=1)[0] for k in range(2)]
    keys = [seed_of("sample_distance", *map(float, each)) for each in drawn]
    rollouts = torch.stack([called_by_hand("cogvideox", folder, video[0, :8], k) for k in keys])
    distance = operators.sample_distance(rollouts[None, :, 1:7], video[:1, 8:], 4)
    torch.testing.assert_close(found[:1], distance, rtol=1e-4, atol=0)


@pytest.mark.parametrize("folder", ["wan"], indirect=True)
def test_out_of_memory_tells_the_ways_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nmore")

    adapter = adapter_of(folder)
    asked = {"samples": 1, "seeds": [0]}
    adapter.generate(clips(1, 4), 4, **asked)
    monkeypatch.setattr(diffusers.WanTransformer3DModel, "forward", full)
    with pytest.raises(EnvironmentFault, match="out of memory while asking") as caught:
        adapter.generate(clips(1, 4), 4, **asked)
    assert caught.value.seen == "CUDA out of memory. Tried to allocate 9 GiB."
    for way in ("adapter.offload=model", "adapter.dtype=bf16", "adapter.size"):
        assert way in str(caught.value.fix)
    with pytest.raises(EnvironmentFault, match="out of memory while asking"):
        adapter.surprise(clips(1, 8), 4, operator="denoising_error", noise=bank(1))
    monkeypatch.setattr(diffusers.AutoencoderKLWan, "from_pretrained", full)
    with pytest.raises(EnvironmentFault, match="out of memory while loading the pipeline"):
        adapter_of(folder).generate(clips(1, 4), 4, **asked)


@pytest.mark.parametrize(
    ("folder", "side"),
    [("wan", 16), ("ltx", 32), pytest.param("svd", 16, marks=pytest.mark.slow)],
    indirect=["folder"],
)
def test_the_command_line_checks_a_folder(
    folder: Path, side: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "adapter=diffusers", f"adapter.weights={folder}", "adapter.dtype=fp32"]
    words += ["adapter.steps=1", f"adapter.size=[{side},{side}]", "adapter.levels=[0.5]"]
    code, said = cli.main(words), capsys.readouterr().out
    assert "FAILED" not in said
    assert code == 0
    assert "ok      generate: no temporal leak" in said
    assert re.search(r"diffusers: 0 failed of 1[56] checks", said)  # as many as horizons that fit
