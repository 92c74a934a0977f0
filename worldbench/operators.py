"""Surprise operators that any adapter of a kind can share.

``sample_distance`` turns a generator into one that is surprised: how far are its futures from what
came? Pixels would ask mostly about texture, so both are looked at through a frozen network.
"""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics import effnet
from worldbench.metrics.extractor import network_input

VERSION = 1
"""Raised when the space changes: surprises of different versions do not compare."""

_BLOCKS = 11
"""Through the stage of 112 channels, 8 × 8 positions. An object that moves on by 1, 2, 3, 4 frames
of the worlds costs .8, 1.1, 1.3, 1.65 of one that is missing; in the pooled features .7, .9, 1.0,
1.15: where it is hardly counts there. Earlier maps take noise for more than objects."""

SPACE = f"effnetlite0-b{_BLOCKS}"
"""What the space is called where something is read off it."""

_FRAMES_AT_ONCE = 16


def sample_distance(
    samples: Float[Tensor, "b s t 3 h w"], future: Float[Tensor, "b t 3 h w"], stride: int
) -> Float[Tensor, "b steps"]:
    """Returns how far sampled futures are from the one that came, per latent step.

    The Euclidean distance of the feature maps of EfficientNet-Lite0 after its eleventh block
    (frames resized to 128 × 128), over the square root of their size; averaged over the samples and
    over the step's frames. float64, on the device of the videos.

    Args:
        samples: Rollouts, values in [0, 1].
        future: What came.
        stride: Frames per latent step; the last step averages over what is left.

    Raises:
        EnvironmentFault: If the network's weights are not installed.
    """
    b, s, t = samples.shape[:3]
    came = feature_maps(future).reshape(b, 1, t, -1)
    foreseen = feature_maps(samples.flatten(0, 1)).reshape(b, s, t, -1)
    distance = (foreseen - came).double().square().mean(dim=3).sqrt().mean(dim=1)
    steps = [part.mean(dim=1) for part in torch.split(distance, stride, dim=1)]
    return torch.stack(steps, dim=1)


def feature_maps(video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b t rows columns d"]:
    """Returns the frozen features of every frame, a grid of 8 × 8 tokens of 112 channels; float32.

    Args:
        video: Values in [0, 1].

    Raises:
        EnvironmentFault: If the network's weights are not installed.
    """
    # A model's precision is its own affair: the space must not move with it.
    with (
        torch.autocast(video.device.type, enabled=False),
        torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False),
        torch.no_grad(),
    ):
        network, frames = _network(video.device), video.flatten(0, 1)
        parts = [
            network.map_after(network_input(some), _BLOCKS)
            for some in torch.split(frames, _FRAMES_AT_ONCE)
        ]
    maps = torch.cat(parts).permute(0, 2, 3, 1)
    return maps.reshape(video.shape[0], video.shape[1], *maps.shape[1:])


@functools.cache
def _network(device: torch.device) -> effnet.EfficientNetLite0:
    return effnet.load().to(device)
