"""Adapters whose answers at the gates are known."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from worldbench.adapter import Latents, NoiseBank
from worldbench.adapters.still import CopyLast
from worldbench.schema import AdapterCard, digest
from worldbench_models.patches import patchify


def _card(name: str, stride: int, *capabilities: str) -> AdapterCard:
    return AdapterCard(
        name=name,
        revision=digest([name, stride]),
        family="generative",
        capabilities=capabilities,
        operators=("denoising_error",) if "surprises" in capabilities else (),
        temporal_stride=stride,
        stochastic=True,
    )


def pooled_patches(video: Tensor, width: int = 8) -> Tensor:
    """Latents: eight fixed random projections of each patch."""
    patches = patchify(video)
    mixed = torch.randn(patches.shape[-1], width, generator=torch.Generator().manual_seed(0))
    return patches @ mixed.to(patches.device) / patches.shape[-1] ** 0.5


class Predictor:
    """Encodes as a function says, and predicts as another does of context pixels and horizon."""

    def __init__(
        self,
        predict: Callable[[Tensor, int], Tensor],
        encode: Callable[[Tensor], Tensor] = pooled_patches,
        *,
        name: str = "predictor",
        min_context: int = 1,
    ) -> None:
        self._predict, self._encode = predict, encode
        self.card = AdapterCard(
            name=name,
            revision=digest([name]),
            family="predictive",
            capabilities=("encodes", "predicts", "surprises"),
            operators=("latent_error", "latent_error_fullclip"),
            temporal_stride=2,
            min_context=min_context,
        )

    def encode(
        self, video: Tensor, *, layer: str | None = None, noise: float | None = None, seed: int = 0
    ) -> Latents:
        return Latents(self._encode(video), 2)

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        return Latents(self._predict(context, horizon), 2)

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        assert operator == "latent_error"
        foreseen = self._predict(video[:, :context], video.shape[1] - context)
        error = (foreseen - self._encode(video[:, context:])).abs()
        return error.double().mean(dim=(2, 3, 4))


def copied(context: Tensor, horizon: int) -> Tensor:
    """Predicts that nothing moves."""
    return pooled_patches(context)[:, -1:].expand(-1, horizon // 2, -1, -1, -1)


class Copies(Predictor):
    """Runs the gates of predictors."""

    def __init__(self, name: str, weights: str | None, size: str) -> None:
        super().__init__(copied, name=name)


def trained(folder: Path, **fields: object) -> Path:
    """Makes a run folder of model tiny, size xs, whose weights are a text; returns it."""
    folder.mkdir(exist_ok=True)
    (folder / "tiny-xs.safetensors").write_text("weights")
    summary = {
        **{"model": "tiny", "size": "xs", "mfu": None, "device": "abacus"},
        "settings": {"precision": "bf16"},
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
        **fields,
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


class Surprised:
    """Is as surprised as a function of the whole clip, the context and the noise says."""

    def __init__(
        self, score: Callable[[Tensor, int, NoiseBank], Tensor], *, stride: int = 2
    ) -> None:
        self.score, self.card = score, _card("surprised", stride, "surprises")

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        assert operator == "denoising_error"
        assert context % self.card.temporal_stride == 0
        return self.score(video, context, noise)


def constant(video: Tensor, context: int, noise: NoiseBank) -> Tensor:
    return torch.ones(len(video), 3)


def frame_difference(video: Tensor, context: int, noise: NoiseBank) -> Tensor:
    """The change from the last context frame on, frame by frame."""
    return (video[:, context:] - video[:, context - 1 : -1]).abs().double().sum(dim=(2, 3, 4))


class Tiny:
    """Copies the last frame with seeded noise, and is surprised by change: it can run the gates."""

    levels = (0.1, 0.5)

    def __init__(self, name: str) -> None:
        self.card = _card(name, 2, "generates", "surprises")

    def generate(
        self,
        context: Tensor,
        horizon: int,
        *,
        samples: int,
        seeds: Sequence[int],
        actions: Tensor | None = None,
        prompt: Sequence[str] | None = None,
    ) -> Tensor:
        still = CopyLast().generate(context, horizon, samples=samples, seeds=seeds)
        for seed, item in zip(seeds, still, strict=True):
            generator = torch.Generator().manual_seed(seed)
            item.add_(0.02 * torch.randn(item.shape, generator=generator)).clamp_(0, 1)
        return still

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        return frame_difference(video, context, noise)

    def denoising_curve(self, video: Tensor, context: int, noise: NoiseBank) -> Tensor:
        change = frame_difference(video, context, noise)
        return torch.stack([change, torch.ones_like(change)], dim=1)


made: list[tuple[str, str | None, str]] = []
"""Name, content of the weight file and size of each adapter that :class:`Remembered` made."""


class Remembered(Tiny):
    """Notes of what it was made."""

    def __init__(self, name: str, weights: str | None, size: str) -> None:
        super().__init__(name)
        made.append((name, None if weights is None else Path(weights).read_text(), size))
