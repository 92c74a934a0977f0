"""What adapters make of the clips that they are asked about, before a network sees them."""

import torch
from jaxtyping import Float
from torch import Tensor

_SLACK = 1e-4  # as of worldbench.answers.checked_range


def checked_clips(video: Tensor) -> Float[Tensor, "b t 3 h w"]:
    """Returns clips in float32.

    Raises:
        ValueError: If they are not floats ``b t 3 h w``, at least one of each, finite and in
            [0, 1].
    """
    if video.dim() != 5 or video.shape[2] != 3 or not video.numel():
        raise ValueError(f"clips must be b t 3 h w, none of them 0; got {tuple(video.shape)}")
    if not video.is_floating_point():
        raise ValueError(f"clips must be floats in [0, 1], got {video.dtype}")
    low, high = (float(value) for value in torch.aminmax(video.detach()))
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # put so that NaN does not pass
        raise ValueError(f"clips must be finite and in [0, 1], got {low:.4g} to {high:.4g}")
    return video.float()
