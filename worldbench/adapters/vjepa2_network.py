"""A V-JEPA 2 that is asked about the future, with the layers of transformers.

``VJEPA2Model(clip, context_mask, target_mask)`` is never called: it encodes the whole clip and
masks afterwards, so that what it calls the context has seen the future. Here the context is encoded
alone, and the predictor is told where the future lies.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional

from worldbench.adapters.vjepa2_source import Facts
from worldbench.saved_models import load_saved

_CLIPS_AT_ONCE = {"cpu": 1, "cuda": 8}
_TRANSFORMERS_TOKEN = 1  # the one its predictor takes, unless there are fewer


class Network:
    """Encodes clips and foresees their latents; loaded on the first question.

    Args:
        facts: What the files tell.
        mask_token: The predictor's token for what is to be predicted.
    """

    def __init__(self, facts: Facts, mask_token: int) -> None:
        self._facts, self._mask_token = facts, mask_token
        self._models: dict[torch.device, Any] = {}

    def encode_at(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int = 0
    ) -> Float[Tensor, "b depths t2 h w d"]:
        """Returns latents after several blocks, each of mean 0 and variance 1.

        That is the form of the targets in training. After the last block the encoder's own norm
        goes before.

        Args:
            clips: Prepared clips.
            depths: Numbers of blocks, from 1 to all of them.
            first: The latent step at which they begin. It matters: the rotary positions of this
                network pair channels of different frequencies, so distances are not all it sees.
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

    def _encoded(
        self, clips: Float[Tensor, "b t 3 s s"], depths: Sequence[int], first: int
    ) -> Float[Tensor, "b depths t2 h w d"]:
        encoder = self._model(clips).encoder
        hidden = encoder.embeddings(clips)
        begin = first * self._facts.grid**2
        where = self._places(begin, hidden.shape[1], hidden) if first else None
        found = {}
        for depth, block in enumerate(encoder.layer[: max(depths)], start=1):
            hidden = block(hidden, where)[0]
            last = depth == len(encoder.layer)
            found[depth] = self._normed(encoder.layernorm(hidden) if last else hidden)
        return torch.stack([found[depth] for depth in depths], dim=1)

    def _foreseen(
        self, context: Float[Tensor, "b c 3 s s"], steps: int
    ) -> Float[Tensor, "b steps h w d"]:
        model = self._model(context)
        seen = model.encoder(pixel_values_videos=context).last_hidden_state
        known = seen.shape[1]
        foreseen = model.predictor(
            encoder_hidden_states=seen,
            context_mask=[self._places(0, known, seen)],
            target_mask=[self._places(known, steps * self._facts.grid**2, seen)],
        ).last_hidden_state
        return self._on_grid(foreseen.float())

    @staticmethod
    def _places(start: int, count: int, like: Tensor) -> Int64[Tensor, "b n"]:
        """Returns the numbers of so many tokens, counted through the whole clip."""
        return torch.arange(start, start + count, device=like.device).expand(len(like), -1)

    def _on_grid(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b t2 h w d"]:
        grid = self._facts.grid
        return tokens.reshape(len(tokens), -1, grid, grid, tokens.shape[-1])

    def _normed(self, tokens: Tensor) -> Float[Tensor, "b t2 h w d"]:
        return self._on_grid(normed(tokens.float()))

    def _model(self, asked: Tensor) -> Any:
        if asked.device not in self._models:
            # Suites ask in inference mode, whose tensors would be of no use outside it.
            with torch.inference_mode(False), torch.no_grad():
                model: Any = load_saved(
                    self._facts.saved, "VJEPA2Model", needed_by="the adapter vjepa2"
                )
                # transformers lets nobody choose, so the one wanted is put where it looks.
                tokens = model.predictor.embeddings.mask_tokens
                tokens[_TRANSFORMERS_TOKEN % len(tokens)] = tokens[self._mask_token].clone()
                self._models[asked.device] = model.to(asked.device)
        return self._models[asked.device]


def normed(tokens: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Returns tokens of mean 0 and variance 1, as targets were in training."""
    return functional.layer_norm(tokens, tokens.shape[-1:])


def _in_parts(call: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    at_once = _CLIPS_AT_ONCE.get(clips.device.type, 1)
    return torch.cat([call(part) for part in torch.split(clips, at_once)])
