"""V-JEPA 2 (Assran et al. 2025, arXiv 2506.09985) as transformers saves it."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Latents, NoiseBank
from worldbench.adapters.asked import checked_clips
from worldbench.adapters.hub import fetched, is_hub_id
from worldbench.adapters.vjepa2_frames import (
    FRAMINGS,
    prepared,
    require_lengths,
    short_side,
)
from worldbench.adapters.vjepa2_network import RotaryNetwork
from worldbench.adapters.vjepa2_source import Facts, read_facts
from worldbench.adapters.vjepa_network import Network, normed
from worldbench.options import one_of
from worldbench.saved_models import require_saved
from worldbench.schema import AdapterCard, digest

OPERATORS = ("latent_error", "latent_error_fullclip")

_VERSION = 1
"""Raised when the same weights and options give other answers than before."""

_FIX = "VJEPA2Model.save_pretrained(FOLDER), then adapter.weights=FOLDER; or a hub id OWNER/NAME"


class VJEPA2:
    """A V-JEPA 2 encodes, predicts from the context alone, and is surprised.

    Latents are those of the targets in its training: after the last block, layer-normed without
    gain. ``predict`` foresees the future at the places after the context, and ``encode`` of a
    future begins at the first place; the network's rotary positions make that a difference, which
    ``latent_error`` is free of. What was masked in its training was masked in all frames, so it
    was never asked for a future as such.

    A local folder is looked at when the adapter is made; a repository of the hub is fetched when
    its card is first read. Weights are loaded on the first question.

    Args:
        name: The name shown on the board.
        weights: A folder that ``save_pretrained`` wrote, or the id of a hub repository.
        revision: Commit, tag or branch of the repository; None is its main branch.
        framing: ``published`` resizes and crops; ``native`` wants clips of the network's size.
        frames: The longest clip, context and future, that is asked about at once; None is that of
            its training. Longer ones are encoded in parts and not predicted.
        mask_token: Index of the predictor's mask token; None is the usual one.
        fps: Frames per second of its training clips, for the card.

    Raises:
        UsageError: If an option is out of range, or there is no such model.
        DataError: If its files do not read or a part is missing.
    """

    def __init__(
        self,
        weights: str,
        name: str = "vjepa2",
        revision: str | None = None,
        framing: str = "published",
        frames: int | None = None,
        mask_token: int | None = None,
        fps: float | None = 4.0,
    ) -> None:
        self._name, self._weights, self._hub_revision = name, str(weights), revision
        self._framing = one_of("adapter.framing", framing, FRAMINGS)
        self._frames, self._token_wanted, self._fps = frames, mask_token, fps
        self._look()

    def _look(self) -> None:
        """Tells of a wrong folder before data are looked at."""
        if not is_hub_id(self._weights):
            _ = self.card

    @cached_property
    def _folder(self) -> Path:
        if is_hub_id(self._weights):
            return fetched(self._weights, self._hub_revision)
        return Path(self._weights)

    @property
    def _source(self) -> str:
        if is_hub_id(self._weights):
            return f"https://huggingface.co/{self._weights}"
        return "a local folder of vjepa2"

    @cached_property
    def _facts(self) -> Facts:
        return read_facts(require_saved("vjepa2", self._folder, fix=_FIX))

    @cached_property
    def _mask_token(self) -> int:
        return self._facts.mask_token(self._token_wanted)

    @cached_property
    def _network(self) -> Network:
        return RotaryNetwork(self._facts, self._mask_token)

    @cached_property
    def _longest(self) -> int:
        return self._facts.longest(self._frames)

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The names of the places at which it encodes: after which block."""
        return tuple(f"block{depth + 1}" for depth in range(self._facts.depth))

    @cached_property
    def card(self) -> AdapterCard:
        """Who it is and which clips it takes; that of a hub repository fetches it.

        Raises:
            EnvironmentFault: If the repository is not on this machine and the hub not in reach.
        """
        facts, framing = self._facts, self._framing
        options = [framing, self._longest, self._mask_token]
        side = short_side(facts.side) if framing == "published" else facts.side
        return AdapterCard(
            name=self._name,
            revision=digest(["vjepa2", _VERSION, facts.saved.revision, options]),
            family="predictive",
            summary=f"V-JEPA 2, {facts.depth} blocks, {facts.side}×{facts.side} pixels"
            + (" cropped from clips resized" if framing == "published" else ""),
            capabilities=("encodes", "predicts", "surprises"),
            operators=OPERATORS,
            parameters=facts.parameters,
            fps=self._fps,
            size=(side, side),
            frames=self._longest,
            temporal_stride=facts.stride,
            min_context=facts.stride,
            max_context=self._longest - facts.stride,
            source=self._source,
        )

    def encode(
        self,
        video: Float[Tensor, "b t 3 h w"],
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        """Returns the tokens after a block, each of mean 0 and variance 1.

        Clips longer than those of its training are encoded in as few and equal parts as it takes.

        Args:
            video: Clips.
            layer: One of ``layers``; the last if None, and what ``predict`` foresees is there.
            noise: None or 0: it was not trained on noisy clips.
            seed: Changes nothing.

        Raises:
            ValueError: If layer or noise does not exist, or clips are no finite floats in [0, 1] or
                not of the size that the framing wants.
        """
        layer = self.layers[-1] if layer is None else layer
        return self.encode_layers(video, (layer,), noise=noise, seed=seed)[layer]

    def encode_layers(
        self,
        video: Float[Tensor, "b t 3 h w"],
        layers: Sequence[str],
        *,
        noise: float | None = None,
        seed: int = 0,
    ) -> dict[str, Latents]:
        """Returns what :meth:`encode` gives at several layers, in one pass.

        Raises:
            ValueError: As of :meth:`encode`.
        """
        unknown = [layer for layer in layers if layer not in self.layers]
        if unknown:
            raise ValueError(f"no layer {unknown[0]!r}; there are {', '.join(self.layers)}")
        if noise not in (None, 0):
            raise ValueError(f"{self._name} knows no noise levels: None or 0, got {noise}")
        clips, stride = self._prepared(checked_clips(video)), self._facts.stride
        depths = [self.layers.index(layer) + 1 for layer in layers]
        count = math.ceil(clips.shape[1] / self._longest)
        # Parts are of whole latent steps: b steps stride 3 s s.
        steps = clips.reshape(len(clips), -1, stride, *clips.shape[2:])
        parts = (part.flatten(1, 2) for part in steps.tensor_split(count, dim=1))
        found = torch.cat([self._network.encode_at(part, depths) for part in parts], dim=2)
        tokens = found.unbind(dim=1)
        return {layer: Latents(each, stride) for layer, each in zip(layers, tokens, strict=True)}

    def predict(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        *,
        actions: Tensor | None = None,
    ) -> Latents:
        """Foresees the latents of the next frames, normed as those that are encoded.

        Args:
            context: Clips; nothing else is encoded.
            horizon: Frames; there is one latent step for each stride, also where the last has less.
            actions: Change nothing.

        Raises:
            ValueError: If the context is not legal or nothing is asked for.
            DataError: If context and future are longer than the longest clip.
        """
        context = checked_clips(context)
        context = context[:, self._left_out(context.shape[1], horizon) :]
        steps = math.ceil(horizon / self._facts.stride)
        foreseen = self._network.foresee(self._prepared(context), steps)
        return Latents(normed(foreseen), self._facts.stride)

    def surprise(
        self,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        *,
        operator: str,
        noise: NoiseBank,
    ) -> Float[Tensor, "b steps"]:
        """Returns how little was expected what comes after the context, per latent step; float64.

        Operators: ``latent_error``, of predictions to the future encoded alone at its true places;
        ``latent_error_fullclip``, to the future within the whole clip encoded, as published, for
        comparison only: its targets have seen the context. No noise is drawn.

        Raises:
            ValueError: If context or operator is not legal, or nothing comes after the context.
            DataError: If the clip is longer than the longest.
        """
        video = checked_clips(video)
        left_out = self._left_out(context, video.shape[1] - context)
        if operator not in OPERATORS:
            raise ValueError(f"no operator {operator!r}; there are {', '.join(OPERATORS)}")
        return self._network.latent_error(
            self._prepared(video[:, left_out:]),
            (context - left_out) // self._facts.stride,
            fullclip=operator == "latent_error_fullclip",
        )

    def _left_out(self, context: int, horizon: int) -> int:
        """Returns how many of the first frames of a context are not looked at.

        Raises:
            ValueError: If the context is not legal or nothing is to be foreseen.
            DataError: If both together are too long.
        """
        require_lengths(self.card, context, horizon, longer=True)
        return 0

    def _prepared(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b t2 3 s s"]:
        return prepared(video, self._facts.side, self._facts.stride, self._framing)
