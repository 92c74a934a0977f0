"""The extractor ``i3d``: Kinetics logits of clips that were framed as a preset says."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics import i3d
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.framing import framed
from worldbench.metrics.i3d_weights import PUBLISHED, Weights
from worldbench.metrics.presets import Preset
from worldbench.schema import digest

_CLIPS_AT_ONCE = {"cpu": 2, "cuda": 16}  # a clip of 16 frames needs 60 MB; more gains nothing


def i3d_card(weights: Weights, preset: Preset) -> ExtractorCard:
    """Returns the card of these weights under a preset, without building the network.

    Weights of unknown origin bring their digest into the name: a column called ``i3d-styleganv``
    holds the published ones.
    """
    assert preset.framing is not None
    name = f"i3d-{preset.name}"
    return ExtractorCard(
        name=name if weights.sha256 in PUBLISHED else f"{name}-{weights.sha256[:8]}",
        revision=digest([weights.sha256, preset.epsilon]),
        dim=i3d.CLASSES,
        preprocessing=f"{preset.framing.words}; 2x-1; logits averaged over time",
        source=f"Kinetics-400 I3D (arXiv 1705.07750): {weights.source}",
    )


class I3DLogits:
    """Logits of I3D, ``b 400``.

    Args:
        weights: Where they are.
        preset: How clips are framed, and the ε of the normalisation.
        device: Where the network runs.

    Raises:
        DataError: If the weight file holds no I3D.
    """

    rule = FrameRule(least=i3d.LEAST_FRAMES)

    def __init__(self, weights: Weights, preset: Preset, device: torch.device) -> None:
        assert preset.framing is not None
        self.card, self.device, self._framing = i3d_card(weights, preset), device, preset.framing
        self._network = weights.network(preset.epsilon).to(device)

    @property
    def revision(self) -> str:
        """Digest of all that the features depend on but the video."""
        return self.card.digest

    @torch.inference_mode()
    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns features ``b 400``, float64 on the CPU.

        Args:
            video: At least nine frames, values in [0, 1].

        Raises:
            UsageError: If there are fewer frames.
        """
        self.rule.check(self.card.name, video.shape[1])
        # Exact and repeatable: TF32 would move features in the third digit between GPUs.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            parts = torch.split(video, _CLIPS_AT_ONCE.get(self.device.type, 2))
            return torch.cat([self._logits(part) for part in parts])

    def _logits(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        clips = framed(video.to(self.device), self._framing)
        logits: Tensor = self._network((2 * clips - 1).transpose(1, 2))
        return logits.cpu().double()
