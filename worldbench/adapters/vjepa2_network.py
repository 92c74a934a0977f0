"""A V-JEPA 2 that is asked about the future, with the layers of transformers.

``VJEPA2Model(clip, context_mask, target_mask)`` is never called: it encodes the whole clip and
masks afterwards, so that what it calls the context has seen the future.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldbench.adapters.vjepa2_source import Facts
from worldbench.adapters.vjepa_network import Network
from worldbench.saved_models import load_saved

_TRANSFORMERS_TOKEN = 1  # the one its predictor takes, unless there are fewer


class RotaryNetwork(Network):
    """Encodes clips and foresees their latents; loaded on the first question.

    Args:
        facts: What the files tell.
        mask_token: The predictor's token for what is to be predicted.
    """

    def __init__(self, facts: Facts, mask_token: int) -> None:
        super().__init__(facts, mask_token)
        self._models: dict[torch.device, Any] = {}

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
