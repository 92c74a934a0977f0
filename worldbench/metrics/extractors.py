"""The extractors by name: their cards without loading anything, and the networks themselves."""

from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.errors import unknown_name
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.i3d_extractor import I3DLogits, i3d_card
from worldbench.metrics.i3d_weights import find_weights
from worldbench.metrics.presets import EXTRACTORS, preset_of
from worldbench.metrics.transformer_extractors import KINDS, TransformerFeatures, model_folder


@runtime_checkable
class VideoExtractor(Protocol):
    """Maps clips to features.

    Attributes:
        card: What these features are.
        rule: How many frames it takes.
    """

    card: ExtractorCard
    rule: FrameRule

    @property
    def revision(self) -> str:
        """Digest of all that the features depend on but the video."""
        ...

    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns features of clips in [0, 1], float64 on the CPU."""
        ...


def weighted_card(
    name: str, weights: str | Path | None, preset: str | None
) -> tuple[ExtractorCard, FrameRule]:
    """Returns the card of an extractor that comes with weights of its own, and what clips it takes.

    Args:
        name: ``i3d``, ``videomae``, ``vjepa2`` or ``dinov2``.
        weights: Its weight file or folder.
        preset: A preset; None takes the extractor's usual one.

    Raises:
        UsageError: If a name is unknown or the weights are not there.
    """
    chosen = preset_of(preset, name)
    if name == "i3d":
        assert chosen is not None
        return i3d_card(find_weights(weights), chosen), I3DLogits.rule
    folder = model_folder(_kind(name), weights)
    return folder.card, folder.rule


def weighted_extractor(
    name: str, weights: str | Path | None, preset: str | None, device: torch.device
) -> VideoExtractor:
    """Loads such an extractor.

    Raises:
        UsageError: As :func:`weighted_card`.
        DataError: If the weights do not load.
        EnvironmentFault: If a package is missing.
    """
    chosen = preset_of(preset, name)
    if name == "i3d":
        assert chosen is not None
        return I3DLogits(find_weights(weights), chosen, device)
    return TransformerFeatures(model_folder(_kind(name), weights), device)


def _kind(name: str) -> str:
    if name not in KINDS:
        raise unknown_name("extractor with weights", name, EXTRACTORS, fix="choose another")
    return name
