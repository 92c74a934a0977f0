"""SkyReels-V2 diffusion forcing, which continues clips (Chen et al. 2025, arXiv 2504.13074).

Every latent step has a noise level of its own, and those of the past have none.
"""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.denoising import Denoiser, FlowDenoiser
from worldbench.adapters.diffusers.description import Asked, Networks
from worldbench.adapters.diffusers.frames import channels_first, pictures, steps_first
from worldbench.adapters.diffusers.wan import WanKin, wan_latents
from worldbench.errors import DataError

_SLOW_FPS = 16  # networks that are told of the rate know this one and all others


class SkyReels(WanKin):
    """``SkyReelsV2DiffusionForcingVideoToVideoPipeline``, all frames of the future at once."""

    pipeline = "SkyReelsV2DiffusionForcingVideoToVideoPipeline"
    saved_as = (
        "SkyReelsV2DiffusionForcingPipeline",
        "SkyReelsV2DiffusionForcingImageToVideoPipeline",
        "SkyReelsV2DiffusionForcingVideoToVideoPipeline",
    )
    networks: ClassVar[Networks] = {
        "transformer": ("SkyReelsV2Transformer3DModel",),
        "vae": ("AutoencoderKLWan",),
    }
    keeps_prefix = True
    guidance = 6.0
    fps = 24.0

    def _read(self) -> None:
        super()._read()
        self.trained = 97
        block = self.folder.config("transformer").get("num_frame_per_block", 1)
        if block != 1:
            # The pipeline would cut the past to whole blocks, and say so in a log alone.
            raise DataError(
                "this SkyReels-V2 makes latent steps in blocks, which would cut contexts silently",
                seen=f"num_frame_per_block {block} in {self.folder.path / 'transformer'}",
                accepted="num_frame_per_block 1",
                fix="a checkpoint of synchronous diffusion forcing",
            )

    def surplus(self, shown: int) -> int:
        """Returns twice what it is shown: as given, and as decoded from its latents."""
        return 2 * shown

    def returned(self, shown: int, frames: int) -> int:
        """Returns the length of a clip and of what is put before it."""
        return shown + frames

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns what all Wan pipelines are called with, and the past; one window is enough."""
        return {
            "video": pictures(asked.shown),
            "overlap_history": len(asked.shown),
            "base_num_frames": asked.frames,
            "fps": int(self.fps),
            **super().arguments(pipe, asked),
        }

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the flow beside a clean past."""
        clean, network = wan_latents(pipe, clip), pipe.transformer
        past = (len(asked.shown) - 1) // self.stride + 1

        def velocity(noisy: Tensor, share: float) -> Tensor:
            moments = torch.zeros(1, len(noisy), device=noisy.device)
            moments[:, past:] = share * pipe.scheduler.config.num_train_timesteps
            said = network(
                hidden_states=channels_first(noisy).to(network.dtype),
                timestep=moments,
                encoder_hidden_states=asked.text["prompt_embeds"],
                enable_diffusion_forcing=True,
                fps=[int(self.fps != _SLOW_FPS)],
                return_dict=False,
            )[0]
            return steps_first(said)

        return FlowDenoiser(clean, past, pinned=True, velocity=velocity)
