"""What controls do to clips before anybody sees them."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.schema import seed_of

Change = Literal["none", "shuffled_frames", "single_frame"]

CONTROLS: tuple[Change, ...] = ("shuffled_frames", "single_frame")


def changed(
    video: Float[Tensor, "b t 3 h w"], ids: Sequence[str], change: Change
) -> Float[Tensor, "b t 3 h w"]:
    """Changes clips.

    Args:
        video: Clips.
        ids: Of the clips; the order of a clip's shuffled frames follows from its id alone.
        change: ``none``; ``shuffled_frames``, in an order drawn at random; ``single_frame``, the
            middle one in the place of all.
    """
    if change == "none":
        return video
    frames = video.shape[1]
    if change == "single_frame":
        return video[:, frames // 2, None].expand_as(video).contiguous()
    orders = [
        torch.randperm(frames, generator=torch.Generator().manual_seed(seed_of("frames", name)))
        for name in ids
    ]
    return torch.stack(
        [clip[order.to(clip.device)] for clip, order in zip(video, orders, strict=True)]
    )
