"""Extractors from local folders of transformers models: VideoMAE, V-JEPA 2 and DINOv2.

A folder is what ``save_pretrained`` wrote: ``config.json`` and weights as safetensors. Nothing is
downloaded and no code of the folder runs. A network is always asked at its own resolution: at
another V-JEPA 2 and VideoMAE run silently wrong.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frame_rule import FrameRule
from worldbench.metrics.framing import framed
from worldbench.metrics.presets import Framing, Resize
from worldbench.saved_models import SavedModel, load_saved, require_saved

KINDS = ("videomae", "vjepa2", "dinov2")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which all three use
_CLASSIFIER = "ForVideoClassification"
_CLIPS_AT_ONCE = {"cpu": 1, "cuda": 8}


@dataclass(frozen=True)
class ModelFolder(SavedModel):
    """A local folder with a model of one of :data:`KINDS`."""

    @property
    def classifies(self) -> bool:
        """Whether a classifier's pooling was trained on top of the encoder."""
        return any(name.endswith(_CLASSIFIER) for name in self.config.get("architectures") or ())

    @property
    def side(self) -> int:
        """The network's resolution, in pixels."""
        sides = {"vjepa2": ("crop_size", 256), "videomae": ("image_size", 224)}
        name, usual = sides.get(self.kind, ("image_size", 518))
        return int(self.config.get(name, usual))

    @property
    def rule(self) -> FrameRule:
        """How many frames the network takes."""
        step = int(self.config.get("tubelet_size", 2))
        if self.kind == "dinov2":
            return FrameRule(least=2)
        if self.kind == "vjepa2":
            return FrameRule(least=step, multiple=step)
        frames = int(self.config.get("num_frames", 16))
        return FrameRule(least=frames, most=frames)

    @property
    def pooling(self) -> str:
        """How tokens become one vector."""
        if self.kind == "dinov2":
            return "class token per frame; mean and mean |difference| over time"
        if not self.classifies:
            return "mean over tokens"
        return "attentive pooler" if self.kind == "vjepa2" else "mean over tokens, normalised"

    @property
    def card(self) -> ExtractorCard:
        """The card, without loading the weights."""
        width = int(self.config["hidden_size"])
        return ExtractorCard(
            name=f"{self.kind}-{self.revision[:8]}",
            revision=self.revision,
            dim=2 * width if self.kind == "dinov2" else width,
            preprocessing=f"{self.framing.words}; ImageNet mean and deviation; {self.pooling}",
            source=str(self.config.get("_name_or_path") or f"a local folder of {self.kind}"),
        )

    @property
    def framing(self) -> Framing:
        """Frames at the network's resolution."""
        return Framing(Resize(self.side, antialias=True))


def model_folder(kind: str, path: str | Path | None) -> ModelFolder:
    """Checks that a folder holds a model of this kind; nothing else is looked for.

    Raises:
        UsageError: If no path is given, or it is no folder of such a model.
        DataError: If its ``config.json`` does not read.
    """
    fix = "save_pretrained(FOLDER) it, then --weights FOLDER, or suite.weights=FOLDER"
    return ModelFolder(require_saved(kind, path, fix=fix).path, kind)


class TransformerFeatures:
    """Pooled features of a transformers model.

    Args:
        folder: The model.
        device: Where it runs.

    Raises:
        EnvironmentFault: If transformers is not installed.
        DataError: If the weights do not load.
    """

    def __init__(self, folder: ModelFolder, device: torch.device) -> None:
        self.folder, self.card, self.rule, self.device = folder, folder.card, folder.rule, device
        self._model = _load(folder).to(device)
        shape = (1, 1, 3, 1, 1)
        self._mean = torch.tensor(_MEAN, device=device).view(shape)
        self._std = torch.tensor(_STD, device=device).view(shape)

    @property
    def revision(self) -> str:
        """Digest of all that the features depend on but the video."""
        return self.card.digest

    @torch.inference_mode()
    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns features, float64 on the CPU.

        Args:
            video: As many frames as the network takes, values in [0, 1].

        Raises:
            UsageError: If it takes another number of frames.
        """
        self.rule.check(self.card.name, video.shape[1])
        parts = torch.split(video, _CLIPS_AT_ONCE.get(self.device.type, 1))
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            return torch.cat([self._features(part).cpu().double() for part in parts])

    def _features(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        clips = (framed(video.to(self.device), self.folder.framing) - self._mean) / self._std
        model: Any = self._model
        if self.folder.kind == "dinov2":
            b, t = clips.shape[:2]
            tokens = model(pixel_values=clips.flatten(0, 1)).last_hidden_state[:, 0]
            frames = tokens.unflatten(0, (b, t))
            return torch.cat([frames.mean(dim=1), frames.diff(dim=1).abs().mean(dim=1)], dim=1)
        if self.folder.kind == "vjepa2":
            encoder = model.vjepa2 if self.folder.classifies else model
            tokens = encoder.get_vision_features(clips)
            pooled: Tensor = model.pooler(tokens) if self.folder.classifies else tokens.mean(dim=1)
            return pooled
        encoder = model.videomae if self.folder.classifies else model
        mean: Tensor = encoder(pixel_values=clips).last_hidden_state.mean(dim=1)
        norm = getattr(model, "fc_norm", None)
        return norm(mean) if norm is not None else mean


def _load(folder: ModelFolder) -> torch.nn.Module:
    base = {"videomae": "VideoMAE", "vjepa2": "VJEPA2", "dinov2": "Dinov2"}[folder.kind]
    name = base + (_CLASSIFIER if folder.classifies else "Model")
    # Features come from the encoder: V-JEPA 2's predictor may be missing, and is never asked.
    spare = ("predictor.", "vjepa2.predictor.")
    return load_saved(folder, name, needed_by=f"the extractor {folder.kind}", spare=spare)
