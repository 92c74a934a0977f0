"""Small adapters that keep every promise of the contract, for others to break one each."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from worldbench.adapter import Latents, NoiseBank
from worldbench.conformance import check
from worldbench.schema import AdapterCard

CARD: dict[str, Any] = {"name": "sound", "revision": "1" * 64, "family": "generative"}


class Sound:
    """A stochastic generator that keeps every promise: the last frame, with noise by item."""

    def __init__(self, **card: Any) -> None:
        promised = {"capabilities": ("generates",), "stochastic": True, "min_context": 2, **card}
        self.card = AdapterCard(**{**CARD, **promised})

    def generate(
        self, context: Tensor, horizon: int, *, samples: int, seeds: Sequence[int], **options: Any
    ) -> Tensor:
        self.refuse(context)
        still = context[:, -1:].expand(-1, horizon, -1, -1, -1)
        items = []
        for i, item in enumerate(still):
            generator = torch.Generator().manual_seed(self.seed(seeds, i))
            noise = torch.rand((samples, *item.shape), generator=generator)
            items.append(0.9 * item + 0.1 * noise)
        return torch.stack(items)

    def seed(self, seeds: Sequence[int], item: int) -> int:
        return seeds[item]

    def refuse(self, context: Tensor) -> None:
        if not self.card.legal_context(context.shape[1]):
            raise ValueError("the card does not allow it")


class Latent:
    """A predictive adapter of block means: encode pools, predict repeats, surprise is distance."""

    def __init__(self, **card: Any) -> None:
        promised = {
            "family": "predictive",
            "capabilities": ("encodes", "predicts", "surprises"),
            "operators": ("latent_error", "denoising_error"),
            "temporal_stride": 2,
            "min_context": 2,
            "size": (32, 48),
        }
        self.card = AdapterCard(**{**CARD, **promised, **card})

    def encode(self, video: Tensor, **options: Any) -> Latents:
        pooled = avg_pool3d(video.transpose(1, 2), (2, 8, 8))
        return Latents(pooled.permute(0, 2, 3, 4, 1), 2)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        self.refuse(context.shape[1])
        last = Latent.encode(self, context).tokens[:, -1:]
        return Latents(last.expand(-1, horizon // 2, -1, -1, -1).clone(), 2)

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        self.refuse(context)
        target = Latent.encode(self, video[:, context:]).tokens
        guess = Latent.predict(self, video[:, :context], video.shape[1] - context).tokens
        if operator == "denoising_error":
            target = target + noise.draw(tuple(target.shape[1:]), level=0.5, index=0, sign=1)
        return (target - guess).square().mean(dim=(2, 3, 4))

    def refuse(self, context: int) -> None:
        if not self.card.legal_context(context):
            raise ValueError(f"the card does not allow {context} frames")


class Stacked(Latent):
    """Three layers, each half of the one before; in one pass or one by one."""

    layers = ("first", "second", "third")

    def encode(self, video: Tensor, *, layer: str | None = None, **options: Any) -> Latents:
        tokens = Latent.encode(self, video).tokens
        return Latents(tokens / 2 ** self.layers.index(layer or "first"), 2)

    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        return {layer: Stacked.encode(self, video, layer=layer) for layer in layers}


def failures(adapter: object) -> list[str]:
    return [outcome.name for outcome in check(adapter) if outcome.passed is False]
