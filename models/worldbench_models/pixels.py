"""Between clips of any size and the patches of a network that was trained on one."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.batches import resized
from worldbench_models.patches import PATCH, patchify, unpatchify

ASPECT = 4
"""How many times longer one side may be than the other: the tokens of a clip grow with it, and
attention with their square."""


def native(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Returns height and width for the network: the short side, the other to a whole patch.

    Raises:
        ValueError: If one side is more than ``ASPECT`` times the other.
    """
    if max(size) > ASPECT * min(size):
        most = tuple(min(s, ASPECT * min(size)) for s in size)
        raise ValueError(
            f"clips of {size[0]} × {size[1]} are longer than {ASPECT}:1; crop them to at most "
            f"{most[0]} × {most[1]}"
        )
    scale = side / min(size)
    height, width = (max(round(s * scale / PATCH[1]), 1) * PATCH[1] for s in size)
    return height, width


def to_patches(video: Float[Tensor, "b t 3 h w"], side: int) -> Float[Tensor, "b t2 h8 w8 p"]:
    """Returns a clip's patches, values in [-1, 1].

    Args:
        video: Values in [0, 1]. An odd last frame is repeated.
        side: Pixels of the short side of what the network was trained on, a multiple of 8.

    Raises:
        ValueError: If the clip is too long or too tall (:func:`native`).
    """
    if video.shape[1] % PATCH[0]:
        video = torch.cat([video, video[:, -1:]], dim=1)
    return patchify(2 * resized(video, native((video.shape[-2], video.shape[-1]), side)) - 1)


def to_video(
    patches: Float[Tensor, "b t2 h8 w8 p"], frames: int, size: tuple[int, int]
) -> Float[Tensor, "b t 3 h w"]:
    """Returns the first frames of patches, at any size, values in [0, 1]."""
    video = (unpatchify(patches)[:, :frames].clamp(-1, 1) + 1) / 2
    return resized(video, size)
