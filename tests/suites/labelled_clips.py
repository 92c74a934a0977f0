"""Small labelled clips in memory, and adapters that see some of what is in them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.data.source import Clip
from worldbench.schema import AdapterCard, DataInfo, digest, seed_of

CLASSES = ("left", "right", "up", "down", "blue left", "blue right")
FRAMES, SIDE = 8, 16
_WAYS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}


@functools.cache
def drawn(label: str, seed: int) -> np.ndarray:
    """Draws a square that moves over noise; ``blue`` or white, in the direction of its label."""
    rng = np.random.default_rng(seed)
    colour = np.array([40, 40, 230]) if label.startswith("blue") else np.array([230, 230, 230])
    step, at = np.array(_WAYS[label.split()[-1]]), rng.integers(0, SIDE, 2)
    video = rng.integers(0, 60, (FRAMES, SIDE, SIDE, 3))
    for t in range(FRAMES):
        rows, columns = ((at + t * step)[:, None] + np.arange(5)) % SIDE
        video[t][np.ix_(rows, columns)] = colour
    return video.astype(np.uint8)


@dataclass(frozen=True)
class Labelled:
    """A split of such clips, ``each`` of every class; videos have ``views`` clips each."""

    split: str = "test"
    each: int = 4
    views: int = 1
    classes: tuple[str, ...] = CLASSES
    relabelled: bool = False
    training: int = 8

    @property
    def frames(self) -> int:
        return FRAMES

    @property
    def fps(self) -> float:
        return 8.0

    @property
    def info(self) -> DataInfo:
        told = [self.split, self.each, self.views, self.classes, self.relabelled]
        return DataInfo(
            name="labelled", digest=digest(told), clips=len(self.clips()), clusters=self.each
        )

    @property
    def protocol(self) -> dict[str, Any]:
        return {"size": [SIDE, SIDE], "split": self.split}

    @property
    def contents(self) -> frozenset[str]:
        return frozenset(f"{self.split}/{clip.video}" for clip in self.clips())

    @property
    def train(self) -> "Labelled | None":
        if self.split == "train" or not self.training:
            return None
        return replace(self, split="train", each=self.training, relabelled=False)

    def clips(self) -> list[Clip]:
        found = []
        for label in self.classes:
            for i in range(self.each):
                video = f"{self.split}/{label}/{i}"
                told = self.classes[seed_of(video) % len(self.classes)]
                told = told if self.relabelled else label
                for k in range(self.views):
                    found.append(Clip(f"{video}@{k}", video, video, told, 0.0))
        return found

    def load(self, ids: Sequence[str]) -> np.ndarray:
        return np.stack([drawn(name.split("/")[1], seed_of(name) % 2**31) for name in ids])


class Seeing:
    """Encodes clips as patches of pixels in two layers; the second sees change as well.

    Args:
        name: On the card.
        blind: Whether it sees nothing at all.
    """

    layers = ("still", "moving")
    noise_range = (0.0, 0.05)

    def __init__(self, name: str = "seeing", blind: bool = False) -> None:
        self.blind, self.asked = blind, 0
        self.card = AdapterCard(
            name=name,
            revision=digest([name, blind]),
            family="baseline",
            capabilities=("encodes",),
        )

    def encode(
        self,
        video: Tensor,
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        self.asked += len(video)
        if self.blind:
            return Latents(torch.ones(*video.shape[:2], 4, 4, 8), 1)
        fresh = torch.randn(video.shape[1:], generator=torch.Generator().manual_seed(seed))
        video = video + (noise or 0) * fresh
        coarse = video.unflatten(3, (4, 4)).unflatten(5, (4, 4)).mean(dim=(4, 6))
        tokens = coarse.permute(0, 1, 3, 4, 2)
        if layer == "still":
            return Latents(torch.cat([tokens, tokens.square()], dim=4), 1)
        grey = coarse.mean(dim=2)
        change = grey.diff(dim=1, prepend=grey[:, :1])
        down = grey.diff(dim=2, append=grey[:, :, :1]) * change
        across = grey.diff(dim=3, append=grey[..., :1]) * change
        return Latents(torch.cat([tokens, down[..., None], across[..., None]], dim=4), 1)
