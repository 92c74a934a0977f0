"""LTX-Video with conditions, which continues clips (HaCohen et al. 2024, arXiv 2501.00103)."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.denoising import Denoiser, FlowDenoiser
from worldbench.adapters.diffusers.description import (
    Asked,
    Description,
    Networks,
    TextRule,
    require_scheduler,
)
from worldbench.adapters.diffusers.frames import channels_first, pictures, signed, steps_first

_DECODING = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
"""As published, for autoencoders that finish the denoising."""


class LTX(Description):
    """``LTXConditionPipeline``, with its conditions as clean as they are given."""

    pipeline = "LTXConditionPipeline"
    saved_as = ("LTXConditionPipeline",)
    networks: ClassVar[Networks] = {
        "transformer": ("LTXVideoTransformer3DModel",),
        "vae": ("AutoencoderKLLTXVideo",),
    }
    keeps_prefix = True
    frame_step = 8
    guidance = 3.0
    fps = 25.0
    operators = ("denoising_error", "sample_distance")

    def _read(self) -> None:
        require_scheduler(self.folder, invert_sigmas=False, use_dynamic_shifting=False)
        vae, network = self.folder.config("vae"), self.folder.config("transformer")
        doublings = sum(vae.get("spatio_temporal_scaling", (True, True, True, False)))
        patches = {"temporal": vae.get("patch_size_t", 1), "spatial": vae.get("patch_size", 4)}
        in_time, in_space = (
            int(vae.get(f"{name}_compression_ratio") or patch * 2**doublings)
            for name, patch in patches.items()
        )
        self.stride = self.frame_step = in_time * int(network.get("patch_size_t", 1))
        # The pipeline takes nothing but multiples of 32.
        self.multiple = max(32, in_space * int(network.get("patch_size", 1)))
        self.trained = 161 if 160 % self.stride == 0 else 20 * self.stride + 1
        self.text = TextRule(
            length=256,
            width=int(network.get("caption_channels", 4096)),
            encoder="T5EncoderModel",
            masked=True,
        )

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns the past, the size, the length and the prompt."""
        from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

        # As `video` the frames would be as many conditions, all but the first of them ignored.
        past = LTXVideoCondition(video=pictures(asked.shown), frame_index=0, strength=1.0)
        return {
            "conditions": [past],
            "image_cond_noise_scale": 0.0,
            "height": asked.size[0],
            "width": asked.size[1],
            "num_frames": asked.frames,
            "frame_rate": int(self.fps),
            "guidance_scale": asked.guidance,
            **(_DECODING if pipe.vae.config.timestep_conditioning else {}),
            **asked.text,
        }

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the flow beside a clean past."""
        vae, network = pipe.vae, pipe.transformer
        modes = vae.encode(signed(clip).to(vae.dtype)).latent_dist.mode().float()
        whole = pipe._normalize_latents(modes, vae.latents_mean, vae.latents_std)
        clean = steps_first(whole)
        past = (len(asked.shown) - 1) // self.stride + 1
        patch = (pipe.transformer_spatial_patch_size, pipe.transformer_temporal_patch_size)
        _, _, places, _ = pipe.prepare_latents(
            [],
            num_channels_latents=whole.shape[1],
            height=asked.size[0],
            width=asked.size[1],
            num_frames=asked.frames,
            generator=torch.Generator(),  # what it draws is not looked at
            device=whole.device,
            dtype=whole.dtype,
        )
        places = places.float()
        places[:, 0] = places[:, 0] / self.fps
        steps = torch.arange(len(clean), device=whole.device).view(1, 1, -1, 1, 1)
        future = pipe._pack_latents((steps >= past).to(whole).expand_as(whole[:, :1]), *patch)

        def velocity(noisy: Tensor, share: float) -> Tensor:
            moment = share * pipe.scheduler.config.num_train_timesteps
            tokens = pipe._pack_latents(channels_first(noisy), *patch)
            said = network(
                hidden_states=tokens.to(network.dtype),
                encoder_hidden_states=asked.text["prompt_embeds"],
                timestep=future[..., 0] * moment,
                encoder_attention_mask=asked.text["prompt_attention_mask"],
                video_coords=places,
                return_dict=False,
            )[0]
            grid = (whole.shape[2], whole.shape[3], whole.shape[4])
            return steps_first(pipe._unpack_latents(said, *grid, *patch))

        return FlowDenoiser(clean, past, pinned=True, velocity=velocity)
