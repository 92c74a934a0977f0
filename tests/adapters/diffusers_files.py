"""Tiny random pipelines, saved as diffusers saves them; nothing here reaches a network.

Every size of a published pipeline is made as small as its classes allow; what decides on frames,
sizes and conventions is as published.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

SIZE = (32, 32)
"""Of clips that all of them make but LTX, whose tiny one makes these too."""
TEXT_WIDTH = 16


def clips(count: int, frames: int, size: tuple[int, int] = SIZE) -> Tensor:
    """Returns the same random clips on every call, of 8-bit values."""
    drawn = torch.rand(count, frames, 3, *size, generator=torch.Generator().manual_seed(5))
    return (drawn * 255).round() / 255


def _shaken(*networks: torch.nn.Module, gain: float = 0.7) -> None:
    """Gives networks larger weights than usual, so that their answers differ by what is asked."""
    with torch.no_grad():
        for network in networks:
            for name, weight in network.named_parameters():
                if weight.dim() > 1 and not name.endswith("gamma"):
                    weight.normal_(std=gain * weight[0].numel() ** -0.5)


def _reader(kind: str) -> dict[str, Any]:
    from transformers import T5Config, T5EncoderModel, T5Tokenizer, UMT5Config, UMT5EncoderModel

    sizes = {"vocab_size": 8, "d_model": TEXT_WIDTH, "d_kv": 8, "d_ff": 16, "num_heads": 2}
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("b", -2.0)]
    encoder = (
        UMT5EncoderModel(UMT5Config(**sizes, num_layers=1))
        if kind == "umt5"
        else T5EncoderModel(T5Config(**sizes, num_layers=1))
    )
    return {"text_encoder": encoder, "tokenizer": T5Tokenizer(vocab=words, extra_ids=0)}


def _wan_vae(seed: int = 0, **options: Any) -> Any:
    from diffusers import AutoencoderKLWan

    torch.manual_seed(seed)
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, **options)
    _shaken(vae, gain=1.4)
    return vae


_WAN = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "out_channels": 16,
    "text_dim": TEXT_WIDTH,
    "freq_dim": 16,
    "ffn_dim": 16,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}


def _unipc() -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )


def _vision(name: str) -> Any:
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=8,
        projection_dim=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=224,
        patch_size=112,
    )
    return getattr(transformers, name)(config)


def _wan(kind: str) -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline
    from diffusers import WanTransformer3DModel as Network
    from transformers import CLIPImageProcessor

    vae = _wan_vae()
    more: dict[str, Any] = {}
    torch.manual_seed(1)
    if kind == "image":  # 2.1: the picture is embedded as well
        network = Network(**_WAN, in_channels=36, image_dim=8, added_kv_proj_dim=24)
        more["image_encoder"] = _vision("CLIPVisionModel")
        more["image_processor"] = CLIPImageProcessor()
    elif kind == "experts":  # 2.2: one network for much noise, one for little
        network, second = (Network(**_WAN, in_channels=36) for _ in range(2))
        _shaken(second)
        more = {"transformer_2": second, "boundary_ratio": 0.6}
    else:  # 2.2, 5 B: a timestep per token
        network, more = Network(**_WAN, in_channels=16), {"expand_timesteps": True}
    _shaken(network)
    scheduler = _unipc() if kind != "experts" else FlowMatchEulerDiscreteScheduler(shift=3.0)
    return WanImageToVideoPipeline(
        transformer=network, vae=vae, scheduler=scheduler, **_reader("umt5"), **more
    )


def _vace() -> Any:
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    vae = _wan_vae()
    torch.manual_seed(1)
    network = WanVACETransformer3DModel(
        **_WAN, in_channels=16, vace_layers=[0, 1], vace_in_channels=96
    )
    _shaken(network)
    return WanVACEPipeline(transformer=network, vae=vae, scheduler=_unipc(), **_reader("umt5"))


def _skyreels() -> Any:
    from diffusers import SkyReelsV2DiffusionForcingPipeline, SkyReelsV2Transformer3DModel

    vae = _wan_vae()
    torch.manual_seed(1)
    network = SkyReelsV2Transformer3DModel(**_WAN, in_channels=16, inject_sample_info=True)
    _shaken(network)
    return SkyReelsV2DiffusionForcingPipeline(
        transformer=network, vae=vae, scheduler=_unipc(), **_reader("umt5")
    )


def _svd() -> Any:
    from diffusers import (
        AutoencoderKLTemporalDecoder,
        EulerDiscreteScheduler,
        StableVideoDiffusionPipeline,
        UNetSpatioTemporalConditionModel,
    )
    from transformers import CLIPImageProcessor

    torch.manual_seed(0)
    unet = UNetSpatioTemporalConditionModel(
        block_out_channels=(64, 64),  # more than one channel a group, or the norm forgets the time
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        layers_per_block=1,
        cross_attention_dim=8,
        num_attention_heads=2,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        num_frames=14,
    )
    vae = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        latent_channels=4,
    )
    _shaken(unet, vae)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    return StableVideoDiffusionPipeline(
        vae=vae,
        unet=unet,
        scheduler=scheduler,
        image_encoder=_vision("CLIPVisionModelWithProjection"),
        feature_extractor=CLIPImageProcessor(),
    )


def _ltx() -> Any:
    from diffusers import (
        AutoencoderKLLTXVideo,
        FlowMatchEulerDiscreteScheduler,
        LTXConditionPipeline,
        LTXVideoTransformer3DModel,
    )

    torch.manual_seed(0)
    vae = AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    )
    network = LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        num_layers=1,
        caption_channels=TEXT_WIDTH,
    )
    _shaken(vae, network)
    return LTXConditionPipeline(
        transformer=network, vae=vae, scheduler=FlowMatchEulerDiscreteScheduler(), **_reader("t5")
    )


def _cogvideox() -> Any:
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXTransformer3DModel,
    )

    torch.manual_seed(0)
    network = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=8,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=TEXT_WIDTH,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=49,
        max_text_seq_length=226,
        use_rotary_positional_embeddings=True,
    )
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    _shaken(network, vae)
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction", timestep_spacing="trailing", rescale_betas_zero_snr=True
    )
    return CogVideoXImageToVideoPipeline(
        transformer=network, vae=vae, scheduler=scheduler, **_reader("t5")
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "svd": _svd,
    "wan": lambda: _wan("image"),
    "wan_experts": lambda: _wan("experts"),
    "wan_tokens": lambda: _wan("tokens"),
    "vace": _vace,
    "ltx": _ltx,
    "skyreels": _skyreels,
    "cogvideox": _cogvideox,
}
"""By the names that the tests use."""


def saved_pipeline(name: str, folder: Path) -> Path:
    """Writes a pipeline and returns the folder."""
    from worldbench.adapters.diffusers.loading import quiet

    with quiet():
        MAKERS[name]().save_pretrained(folder, safe_serialization=True)
    return folder


def saved_once(name: str, factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a pipeline, written when a session first asks; not to be changed."""
    folder = factory.getbasetemp() / "pipelines" / name
    return folder if folder.exists() else saved_pipeline(name, folder)


def normalised(vae: Any, video: Tensor) -> Tensor:
    """Returns the latents of a clip ``t 3 h w`` as Wan's transformers know them, ``1 c t h w``."""
    mode = vae.encode((2 * video.to(vae.dtype) - 1).transpose(0, 1)[None]).latent_dist.mode()
    mean, std = (
        torch.tensor(values, dtype=vae.dtype).view(1, -1, 1, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return (mode - mean) / std
