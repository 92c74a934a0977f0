"""Adapters that foresee latents, over an encoder of random but fixed features of patches."""

import torch
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.schema import AdapterCard, digest

STRIDE = 2
WIDTH = 24


class CopiesLatents:
    """Repeats the latents of the context's last step.

    Args:
        name: On the card.
        turn: Maps the space of latents to another.
    """

    def __init__(self, name: str = "copies", turn: Tensor | None = None) -> None:
        generator = torch.Generator().manual_seed(1)
        self.kernel = torch.randn(3 * STRIDE * 8 * 8, WIDTH, generator=generator) / 6
        self.turn = torch.eye(WIDTH) if turn is None else turn
        self.card = AdapterCard(
            name=name,
            revision=digest([type(self).__name__, self.turn.tolist()]),
            family="predictive",
            capabilities=("encodes", "predicts"),
            temporal_stride=STRIDE,
            min_context=STRIDE,
        )

    def encode(
        self,
        video: Tensor,
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        b, t, c, h, w = video.shape
        patches = video.reshape(b, t // STRIDE, STRIDE, c, h // 8, 8, w // 8, 8)
        patches = patches.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4) - 0.5
        return Latents((patches @ self.kernel).tanh() @ self.turn, STRIDE)

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        last = self.encode(context[:, -STRIDE:]).tokens
        return Latents(last.expand(-1, horizon // STRIDE, -1, -1, -1).clone(), STRIDE)


class Constant(CopiesLatents):
    """Foresees the same latents whatever it sees."""

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        return Latents(torch.zeros_like(super().predict(context, horizon).tokens), STRIDE)


class Told(CopiesLatents):
    """Has been told what follows: the expectation of a perfect model.

    Args:
        clips: The clips it will be asked about, whole.
        context: How much of them it will see.
        turn: As for :class:`CopiesLatents`.
    """

    def __init__(self, clips: Tensor, context: int, turn: Tensor | None = None) -> None:
        super().__init__("told", turn)
        self.futures = {clip[:context].numpy().tobytes(): clip[context:].clone() for clip in clips}

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        futures = [self.futures[seen.numpy().tobytes()][:horizon] for seen in context]
        return self.encode(torch.stack(futures))
