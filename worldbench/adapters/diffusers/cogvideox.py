"""CogVideoX image-to-video, which makes a picture move (Yang et al. 2024, arXiv 2408.06072)."""

from typing import Any, ClassVar

from worldbench.adapters.diffusers.description import Asked, Description, Networks, TextRule
from worldbench.adapters.diffusers.frames import pictures


class CogVideoX(Description):
    """``CogVideoXImageToVideoPipeline``; 1.0 and 1.5."""

    pipeline = "CogVideoXImageToVideoPipeline"
    saved_as = ("CogVideoXImageToVideoPipeline",)
    networks: ClassVar[Networks] = {
        "transformer": ("CogVideoXTransformer3DModel",),
        "vae": ("AutoencoderKLCogVideoX",),
    }
    keeps_prefix = False
    frame_step = 8
    guidance = 6.0
    fps = 8.0
    operators = ("sample_distance",)

    def _read(self) -> None:
        vae, network = self.folder.config("vae"), self.folder.config("transformer")
        self.stride = int(vae.get("temporal_compression_ratio", 4))
        # An even number of latent steps is decoded to more frames than were asked for.
        self.frame_step = 2 * self.stride
        self.multiple = 2 ** (len(vae["block_out_channels"]) - 1) * int(
            network.get("patch_size", 2)
        )
        self.trained = int(network.get("sample_frames", 49))
        self.text = TextRule(
            length=int(network.get("max_text_seq_length", 226)),
            width=int(network.get("text_embed_dim", 4096)),
            encoder="T5EncoderModel",
        )

    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns the picture, the size, the length and the prompt."""
        (image,) = pictures(asked.shown)
        return {
            "image": image,
            "height": asked.size[0],
            "width": asked.size[1],
            "num_frames": asked.frames,
            "guidance_scale": asked.guidance,
            **asked.text,
        }
