"""Wan-VACE, which continues clips (Jiang et al. 2025, arXiv 2503.07598).

It is shown the known frames under a mask of zeros, and grey where it is to make frames.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.denoising import Denoiser, FlowDenoiser
from worldbench.adapters.diffusers.description import Asked, Networks
from worldbench.adapters.diffusers.frames import channels_first, grey, pictures, steps_first
from worldbench.adapters.diffusers.wan import WanKin, wan_latents

_UNKNOWN, _KEPT, _MADE = 128, 0, 255  # greys: what is not known, and the masks


class WanVACE(WanKin):
    """``WanVACEPipeline``."""

    pipeline = "WanVACEPipeline"
    saved_as = ("WanVACEPipeline",)
    networks: ClassVar[Networks] = {
        "transformer": ("WanVACETransformer3DModel",),
        "vae": ("AutoencoderKLWan",),
    }
    keeps_prefix = True

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns what all Wan pipelines are called with, the known frames and the mask."""
        video, mask = self._canvas(asked)
        return {"video": video, "mask": mask, **super().arguments(pipe, asked)}

    def _canvas(self, asked: Asked) -> tuple[list[Any], list[Any]]:
        known, rest = len(asked.shown), asked.frames - len(asked.shown)
        video = pictures(asked.shown) + [grey(asked.size, _UNKNOWN)] * rest
        mask = [grey(asked.size, _KEPT)] * known + [grey(asked.size, _MADE)] * rest
        return video, mask

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the flow beside the control of the known frames; all steps are noised alike."""
        clean = wan_latents(pipe, clip)
        video, mask, references = pipe.preprocess_conditions(
            *self._canvas(asked),
            batch_size=1,
            height=asked.size[0],
            width=asked.size[1],
            num_frames=asked.frames,
            dtype=torch.float32,
            device=clean.device,
        )
        network = pipe.transformer
        control = torch.cat(
            [
                pipe.prepare_video_latents(video, mask, references, device=clean.device),
                pipe.prepare_masks(mask, references),
            ],
            dim=1,
        ).to(network.dtype)
        scale = control.new_ones(len(network.config.vace_layers))

        def velocity(noisy: Tensor, share: float) -> Tensor:
            moment = share * pipe.scheduler.config.num_train_timesteps
            said = network(
                hidden_states=channels_first(noisy).to(network.dtype),
                timestep=torch.tensor([moment], device=noisy.device),
                encoder_hidden_states=asked.text["prompt_embeds"],
                control_hidden_states=control,
                control_hidden_states_scale=scale,
                return_dict=False,
            )[0]
            return steps_first(said)

        past = (len(asked.shown) - 1) // self.stride + 1
        return FlowDenoiser(clean, past, pinned=False, velocity=velocity)
