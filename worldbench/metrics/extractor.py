"""Feature extractors: what a distance between sets of videos is measured in.

A distance means nothing without its extractor, so each carries a card and different cards never
compare. ``effnetlite0-dt-pca64`` is the offline default: mean and mean |Δt| of EfficientNet-Lite0
frame features (D = 2560), projected by a PCA fitted on training clips, because at D = 2560 a few
hundred clips measure only bias.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError
from worldbench.metrics import effnet
from worldbench.metrics.card import ExtractorCard
from worldbench.schema import digest

INPUT_SIZE = 128  # pixels; 224 costs three times as much and the smallest worlds have 64
_FRAMES_AT_ONCE = 16  # more only costs memory: one frame already fills a CPU's cores


class EffnetLite0Dt:
    """Mean and mean absolute temporal difference of EfficientNet-Lite0 frame features.

    Args:
        device: Where the network runs.
    """

    name = "effnetlite0-dt"
    dim = 2 * effnet.FEATURES
    preprocessing = (
        f"bilinear antialiased resize to {INPUT_SIZE}x{INPUT_SIZE}, 2x-1; "
        "per frame global average pool; mean and mean |difference| over time"
    )

    revision = digest([effnet.WEIGHTS_SHA256, preprocessing])

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._network = effnet.load().to(device)

    @torch.inference_mode()
    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns features ``b 2560``, float64 on the CPU.

        Args:
            video: At least two frames, values in [0, 1].

        Raises:
            ValueError: If the video has fewer than two frames: there is no difference to take.
        """
        b, t = video.shape[:2]
        if t < 2:
            raise ValueError(f"effnetlite0-dt needs at least 2 frames, got {t}")
        frames = video.flatten(0, 1)
        # Exact and repeatable: TF32 would move features in the third digit between GPUs.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            chunks = [self._encode(chunk) for chunk in torch.split(frames, _FRAMES_AT_ONCE)]
        features = torch.cat(chunks).cpu().double().reshape(b, t, -1)
        motion = features.diff(dim=1).abs().mean(dim=1)
        return torch.cat([features.mean(dim=1), motion], dim=1)

    def _encode(self, frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        features: Tensor = self._network(network_input(frames.to(self.device)))
        return features


def network_input(frames: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 s s"]:
    """Returns frames in [0, 1] as the network takes them: ``INPUT_SIZE`` pixels, in [-1, 1]."""
    size = (INPUT_SIZE, INPUT_SIZE)
    if frames.shape[-2:] != size:
        frames = functional.interpolate(frames, size, mode="bilinear", antialias=True)
    return (2 * frames - 1).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Projection:
    """A principal component projection, fitted once and then frozen.

    Attributes:
        mean: Feature mean, ``d``, float64.
        components: Orthonormal rows, ``k d``, float64.
    """

    mean: Float[Tensor, " d"]
    components: Float[Tensor, "k d"]

    def __call__(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """Projects features, ``n d`` → ``n k``, float64."""
        return (features.double() - self.mean) @ self.components.T


def fit_projection(features: Float[Tensor, "n d"], components: int) -> Projection:
    """Fits a PCA by singular value decomposition of the centred features.

    Raises:
        DataError: If there are too few clips to span the components.
    """
    if len(features) <= components:
        raise DataError(
            "too few clips to fit a principal component projection",
            seen=len(features),
            accepted=f"more than {components}",
            fix=f"suite.components={max(len(features) // 4, 1)}, or more training clips",
        )
    features = features.double()
    mean = features.mean(dim=0)
    _, _, rows = torch.linalg.svd(features - mean, full_matrices=False)
    return Projection(mean, rows[:components].contiguous())


def projected_card(components: int, fitted_on: str) -> ExtractorCard:
    """Returns the card of ``effnetlite0-dt-pca<components>``, without loading anything.

    The projection is identified by what it was fitted on, not by its floats: these differ in the
    last bits between machines, while the distances (invariant under rotation) do not.

    Args:
        components: Principal components kept.
        fitted_on: Name and content of the training clips.
    """
    return ExtractorCard(
        name=EffnetLite0Dt.name,
        revision=EffnetLite0Dt.revision,
        dim=components,
        preprocessing=f"{EffnetLite0Dt.preprocessing}; PCA fitted on {fitted_on}",
        projection=f"pca{components} of {digest(fitted_on)[:12]}",
        source="EfficientNet-Lite0, ImageNet weights (arXiv 1905.11946)",
        licence="Apache-2.0",
    )
