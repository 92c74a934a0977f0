"""What every V-JEPA is asked, whichever way its network knows places.

The context is encoded alone, and the predictor is told where the future lies; what is foreseen can
then owe nothing to frames after it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from worldbench.adapters.vjepa2_source import Facts

_CLIPS_AT_ONCE = {"cpu": 1, "cuda": 8}


class Network(ABC):
    """Encodes clips and foresees their latents; loaded on the first question.

    Args:
        facts: What the files tell.
        mask_token: The predictor's token for what is to be predicted.
    """

    def __init__(self, facts: Facts, mask_token: int) -> None:
        self._facts, self._mask_token = facts, mask_token

    @abstractmethod
    def _encoded(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int
    ) -> Float[Tensor, "b depths t2 h w d"]:
        """Returns what :meth:`encode_at` does, of clips that are few enough."""

    @abstractmethod
    def _foreseen(
        self, context: Float[Tensor, "b c 3 s s"], steps: int
    ) -> Float[Tensor, "b steps h w d"]:
        """Returns what :meth:`foresee` does, of clips that are few enough."""

    def encode_at(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int = 0
    ) -> Float[Tensor, "b depths t2 h w d"]:
        """Returns latents after several blocks, each of mean 0 and variance 1.

        That is the form of the targets in training. After the last block the encoder's own norm
        goes before.

        Args:
            clips: Prepared clips.
            depths: Numbers of blocks, from 1 to all of them.
            first: The latent step at which they begin. It matters where places are added to
                tokens, and where they are rotated too: this rotation pairs channels of different
                frequencies, so distances are not all that a network sees.
        """
        return _in_parts(lambda part: self._encoded(part, depths, first), clips)

    def encode(self, clips: Float[Tensor, "b t 3 s s"], first: int = 0) -> Tensor:
        """Returns :meth:`encode_at` after all blocks, ``b t2 h w d``."""
        return self.encode_at(clips, (self._facts.depth,), first)[:, 0]

    def foresee(
        self, context: Float[Tensor, "b c 3 s s"], steps: int
    ) -> Float[Tensor, "b steps h w d"]:
        """Returns what the predictor says of the latent steps after the context, as it says it.

        Args:
            context: Prepared clips; nothing else is seen.
            steps: Latent steps.
        """
        return _in_parts(lambda part: self._foreseen(part, steps), context)

    def latent_error(
        self, clips: Float[Tensor, "b t 3 s s"], context: int, *, fullclip: bool
    ) -> Float64[Tensor, "b steps"]:
        """Returns |prediction − target| of each future latent step, averaged over its values.

        Args:
            clips: Prepared clips.
            context: Latent steps of context.
            fullclip: The target is the future within the whole clip encoded, as published (Garrido
                et al. 2025, arXiv 2502.11831), so that it has seen the context; otherwise it is the
                future encoded alone, at its true positions.
        """
        past, future = clips.tensor_split([context * self._facts.stride], dim=1)
        steps = future.shape[1] // self._facts.stride
        foreseen = self.foresee(past, steps)
        target = self.encode(clips)[:, context:] if fullclip else self.encode(future, context)
        # In float64, so that the mean adds no rounding to what two clips may have in common.
        return (foreseen - target).abs().double().mean(dim=(2, 3, 4))

    def _on_grid(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b t2 h w d"]:
        grid = self._facts.grid
        return tokens.reshape(len(tokens), -1, grid, grid, tokens.shape[-1])

    def _normed(self, tokens: Tensor) -> Float[Tensor, "b t2 h w d"]:
        return self._on_grid(normed(tokens.float()))


def normed(tokens: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Returns tokens of mean 0 and variance 1, as targets were in training."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def _in_parts(call: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    at_once = _CLIPS_AT_ONCE.get(clips.device.type, 1)
    return torch.cat([call(part) for part in torch.split(clips, at_once)])
