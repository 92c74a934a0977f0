"""Between the clips of suites and what pipelines are given and give back."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.batches import to_pixels
from worldbench.flops import converting


def pictures(video: Float[Tensor, "t 3 h w"]) -> list[Any]:
    """Returns 8-bit pictures of PIL, the form in which pipelines agree."""
    from PIL import Image

    with converting():
        return [Image.fromarray(frame) for frame in to_pixels(video)]


def grey(size: tuple[int, int], value: int) -> Any:
    """Returns a picture of one grey, 0 to 255."""
    from PIL import Image

    return Image.new("RGB", (size[1], size[0]), (value, value, value))


def signed(video: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "1 3 t h w"]:
    """Returns a clip in [−1, 1] and the layout of video autoencoders."""
    return (2 * video - 1).transpose(0, 1)[None]


def steps_first(latents: Float[Tensor, "1 c t h w"]) -> Float[Tensor, "t c h w"]:
    """Returns the latents of one clip, float32, latent steps before channels."""
    return latents[0].transpose(0, 1).float()


def channels_first(steps: Float[Tensor, "t c h w"]) -> Float[Tensor, "1 c t h w"]:
    """Undoes :func:`steps_first`."""
    return steps.transpose(0, 1)[None]


def completed(video: Float[Tensor, "b t 3 h w"], frames: int) -> Float[Tensor, "b t2 3 h w"]:
    """Returns clips of so many frames; the last is repeated until there are enough."""
    short = frames - video.shape[1]
    return torch.cat([video, video[:, -1:].expand(-1, short, -1, -1, -1)], dim=1)
