"""Stable Video Diffusion, which makes a picture move (Blattmann et al. 2023, arXiv 2311.15127)."""

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.denoising import Denoiser, EDMDenoiser
from worldbench.adapters.diffusers.description import (
    Asked,
    Description,
    Networks,
    require_scheduler,
)
from worldbench.adapters.diffusers.frames import pictures

_FRAMES_AT_ONCE = 8
_MOTION, _NOISE, _FPS = 127, 0.02, 7  # the pipeline's own, and those of the published examples


class StableVideo(Description):
    """``StableVideoDiffusionPipeline``; SVD, SVD-XT and SVD 1.1."""

    pipeline = "StableVideoDiffusionPipeline"
    saved_as = ("StableVideoDiffusionPipeline",)
    networks: ClassVar[Networks] = {
        "unet": ("UNetSpatioTemporalConditionModel",),
        "vae": ("AutoencoderKLTemporalDecoder",),
        "image_encoder": ("CLIPVisionModelWithProjection",),
    }
    keeps_prefix = False
    frame_step = 1
    guidance = 3.0
    fps = float(_FPS)
    operators = ("denoising_error", "sample_distance")

    def _read(self) -> None:
        require_scheduler(self.folder, prediction_type="v_prediction", timestep_type="continuous")
        vae, unet = self.folder.config("vae"), self.folder.config("unet")
        halvings = len(vae["block_out_channels"]) + len(unet["block_out_channels"]) - 2
        self.stride, self.multiple = 1, 2**halvings
        self.trained = int(unet.get("num_frames", 25))

    def lengths(self, longest: int) -> str:
        """Says that all its clips are of one length."""
        return f"clips of {longest} frames"

    def length(self, frames: int, longest: int) -> int:
        """Returns the longest: it was trained on one length, which its guidance runs over."""
        return longest

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns the picture and the published conditioning."""
        (image,) = pictures(asked.shown)
        return {
            "image": image,
            "height": asked.size[0],
            "width": asked.size[1],
            "num_frames": asked.frames,
            "min_guidance_scale": 1.0,
            "max_guidance_scale": asked.guidance,
            "fps": _FPS,
            "motion_bucket_id": _MOTION,
            "noise_aug_strength": _NOISE,
            "decode_chunk_size": _FRAMES_AT_ONCE,
        }

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the network given the picture, noised a little as in training."""
        (image,) = pictures(asked.shown)
        unet, device = pipe.unet, clip.device
        height, width = asked.size
        picture = pipe.video_processor.preprocess(image, height=height, width=width).to(device)
        frames = torch.cat([picture + _NOISE * noise, 2 * clip - 1])
        seen, *modes = _modes(pipe.vae, frames)
        clean = torch.stack(modes) * pipe.vae.config.scaling_factor
        beside = seen.expand(len(clip), -1, -1, -1)[None]
        embedded = pipe._encode_image(image, device, 1, False)
        # It was trained on the rate less one.
        told = pipe._get_add_time_ids(_FPS - 1, _MOTION, _NOISE, unet.dtype, 1, 1, False)

        def velocity(scaled: Tensor, moment: float) -> Tensor:
            said: Tensor = unet(
                torch.cat([scaled[None], beside], dim=2).to(unet.dtype),
                torch.tensor(moment, device=device),
                encoder_hidden_states=embedded,
                added_time_ids=told.to(device),
                return_dict=False,
            )[0]
            return said[0].float()

        return EDMDenoiser(clean, past=1, velocity=velocity)


def _modes(vae: Any, frames: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t c h2 w2"]:
    """Returns the mode of the latents of every frame, float32."""
    overflows = vae.dtype == torch.float16 and vae.config.force_upcast
    if overflows:
        vae.to(torch.float32)  # as the pipeline does
    parts = torch.split(frames, _FRAMES_AT_ONCE)
    found = [vae.encode(part.to(vae.dtype)).latent_dist.mode().float() for part in parts]
    if overflows:
        vae.to(torch.float16)
    return torch.cat(found)
