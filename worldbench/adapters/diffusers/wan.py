"""Wan image-to-video, which makes a picture move (Wan team 2025, arXiv 2503.20314).

Versions 2.1, 2.2 with two experts and 2.2 with a timestep per token; and what its kin share: the
causal autoencoder and the flow convention.
"""

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
from worldbench.errors import DataError


class WanKin(Description):
    """What pipelines around the autoencoder of Wan have in common."""

    in_full = frozenset({"vae", "image_encoder"})
    frame_step = 4
    fps = 16.0
    guidance = 5.0
    operators = ("denoising_error", "sample_distance")

    def _read(self) -> None:
        require_scheduler(self.folder, prediction_type="flow_prediction", invert_sigmas=False)
        vae, network = self.folder.config("vae"), self.folder.config("transformer")
        self.stride = self.frame_step = int(vae.get("scale_factor_temporal", 4))
        patch = network.get("patch_size", (1, 2, 2))
        self.multiple = int(vae.get("scale_factor_spatial", 8)) * int(patch[1])
        self.trained = 81
        self.text = TextRule(
            length=512,
            width=int(network.get("text_dim", 4096)),
            encoder="UMT5EncoderModel",
            cleaned=True,
        )

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns the size, the length, the guidance and the prompt."""
        return {
            "height": asked.size[0],
            "width": asked.size[1],
            "num_frames": asked.frames,
            "guidance_scale": asked.guidance,
            **asked.text,
        }


def wan_latents(pipe: Any, clip: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "f c h2 w2"]:
    """Returns the normalised mode of the latents of a clip, float32."""
    vae = pipe.vae
    found = steps_first(vae.encode(signed(clip).to(vae.dtype)).latent_dist.mode())
    mean, std = (
        torch.tensor(values).view(-1, 1, 1).to(found)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return (found - mean) / std


class WanImage(WanKin):
    """``WanImageToVideoPipeline``."""

    pipeline = "WanImageToVideoPipeline"
    saved_as = ("WanImageToVideoPipeline", "WanPipeline")
    networks: ClassVar[Networks] = {
        "transformer": ("WanTransformer3DModel",),
        "transformer_2": ("WanTransformer3DModel",),
        "vae": ("AutoencoderKLWan",),
        "image_encoder": ("CLIPVisionModel", "CLIPVisionModelWithProjection"),
    }
    optional = frozenset({"transformer_2", "image_encoder"})
    keeps_prefix = False

    def _read(self) -> None:
        super()._read()
        network, vae = self.folder.config("transformer"), self.folder.config("vae")
        if self.folder.index.get("expand_timesteps", False):
            self.trained, self.fps = 121, 24.0
        elif network.get("in_channels", 16) == vae.get("z_dim", 16):
            raise DataError(
                "this Wan makes clips of texts alone: it cannot be shown a frame",
                seen=f"in_channels {network.get('in_channels', 16)}, no expand_timesteps, in "
                f"{self.folder.path}",
                accepted="an image-to-video, TI2V or VACE checkpoint",
                fix="a folder of one of these",
            )

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns what all Wan pipelines are called with, and the picture."""
        (image,) = pictures(asked.shown)
        return {"image": image, **super().arguments(pipe, asked)}

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the flow given the picture; all latent steps of the clip are noised alike.

        Where the network takes a timestep per token (Wan 2.2, 5 B) the first step stays clean.
        """
        clean = wan_latents(pipe, clip)
        (image,) = pictures(asked.shown)
        height, width = asked.size
        condition, *mask = pipe.prepare_latents(
            pipe.video_processor.preprocess(image, height=height, width=width).to(clean.device),
            batch_size=1,
            num_channels_latents=pipe.vae.config.z_dim,
            height=height,
            width=width,
            num_frames=asked.frames,
            dtype=torch.float32,
            device=clean.device,
            latents=channels_first(clean),  # none are drawn then
        )[1:]
        seen = None
        if pipe.transformer.config.image_dim is not None:
            seen = pipe.encode_image(image, clean.device).to(pipe.transformer.dtype)

        def velocity(noisy: Tensor, share: float) -> Tensor:
            moment = share * pipe.scheduler.config.num_train_timesteps
            network, z = self._expert(pipe, moment), channels_first(noisy)
            timestep = torch.tensor([moment], device=noisy.device)
            if mask:
                shown = (1 - mask[0]) * condition + mask[0] * z
                timestep = (mask[0][0][0][:, ::2, ::2] * moment).flatten()[None]
            else:
                shown = torch.cat([z, condition], dim=1)
            said = network(
                hidden_states=shown.to(network.dtype),
                timestep=timestep,
                encoder_hidden_states=asked.text["prompt_embeds"],
                encoder_hidden_states_image=seen,
                return_dict=False,
            )[0]
            return steps_first(said)

        return FlowDenoiser(clean, past=1, pinned=bool(mask), velocity=velocity)

    def _expert(self, pipe: Any, moment: float) -> Any:
        """Returns the network of a timestep, of those with two."""
        ratio = pipe.config.boundary_ratio
        boundary = None if ratio is None else ratio * pipe.scheduler.config.num_train_timesteps
        return pipe.transformer if boundary is None or moment >= boundary else pipe.transformer_2
