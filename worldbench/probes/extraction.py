"""From clips to features: every cell of a grid in one pass, decoded ahead of the model.

Mean tokens are kept in float32, since clips differ in them by a small share of what they have in
common, and bf16 would round that away; whole tokens in bf16. Both are rounded before anything sees
them, so that it makes no difference whether they were cached.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, EncodesLayers, Latents
from worldbench.answers import checked_latents
from worldbench.batches import clip_batches
from worldbench.data.source import ClipSource
from worldbench.errors import ContractError
from worldbench.probes.changes import Change, changed
from worldbench.probes.grid import FeatureCell
from worldbench.probes.store import FeatureSet, TokenTable
from worldbench.suite import Setting

VERSION = 1
"""Raised whenever the same clips give other features."""

CHUNK = 128  # clips

Pooled = dict[FeatureCell, Float[Tensor, "n d"]]


@dataclass(frozen=True)
class Extraction:
    """Asks an adapter for features.

    Attributes:
        adapter: Whom.
        setting: Device, precision, decoding, seed of the noise.
        kept: Whether features are cached on disk.
    """

    adapter: Adapter
    setting: Setting
    kept: bool = True

    def pooled(
        self,
        source: ClipSource,
        ids: Sequence[str],
        cells: Sequence[FeatureCell],
        change: Change = "none",
    ) -> Pooled:
        """Returns the mean token of every clip in every cell, float32 on the CPU."""
        wanted = list(dict.fromkeys(cells))
        features = self._set("mean tokens", source, ids, wanted, change)
        features.announce(len(ids), sum(self._widths(source, ids, wanted)), 4)
        chunks = [
            features.chunk(i, partial(self._pooled, source, part, wanted, change))
            for i, part in enumerate(_chunks(ids))
        ]
        return {c: torch.cat([chunk[str(i)] for chunk in chunks]) for i, c in enumerate(wanted)}

    def tokens(
        self, source: ClipSource, ids: Sequence[str], cell: FeatureCell, change: Change = "none"
    ) -> TokenTable:
        """Returns all tokens of every clip in a cell, bf16 on the CPU, mapped where cached."""
        features = self._set("tokens", source, ids, [cell], change)
        features.announce(len(ids), self._values(source, ids, cell), 2)
        chunks = [
            features.chunk(i, partial(self._tokens, source, part, cell, change))
            for i, part in enumerate(_chunks(ids))
        ]
        return TokenTable([chunk["tokens"] for chunk in chunks])

    def of_batch(
        self,
        video: Float[Tensor, "b t 3 h w"],
        ids: Sequence[str],
        cells: Sequence[FeatureCell],
        change: Change = "none",
    ) -> dict[FeatureCell, Float[Tensor, "b n d"]]:
        """Returns all tokens of a batch in some cells, float32 on the run's device.

        Raises:
            ContractError: If the adapter breaks its contract.
        """
        given = changed(video, ids, change)
        found: dict[FeatureCell, Tensor] = {}
        for level in dict.fromkeys(cell.noise for cell in cells):
            at = [cell for cell in cells if cell.noise == level]
            for cell, latents in zip(at, self._ask(given, at, level), strict=True):
                checked_latents(
                    self.adapter.card.name,
                    "encode",
                    latents,
                    batch=len(video),
                    frames=video.shape[1],
                )
                found[cell] = latents.tokens.flatten(1, 3).float()
        return found

    def _ask(
        self, video: Float[Tensor, "b t 3 h w"], cells: Sequence[FeatureCell], noise: float | None
    ) -> list[Latents]:
        adapter, seed = self.adapter, self.setting.seed
        layers = [cell.layer for cell in cells]
        with torch.inference_mode(), self.setting.autocast():
            # A copy: what an adapter does to its clips must not reach the next question.
            if isinstance(adapter, EncodesLayers) and None not in layers:
                named = [str(layer) for layer in layers]
                found = adapter.encode_layers(video.clone(), named, noise=noise, seed=seed)
                return [found[layer] for layer in named]
            if not isinstance(adapter, Encodes):
                raise ContractError(
                    f"adapter {adapter.card.name!r} does not encode",
                    seen=", ".join(adapter.card.capabilities),
                    fix="give it the method encode, or choose another suite",
                )
            return [
                adapter.encode(video.clone(), layer=layer, noise=noise, seed=seed)
                for layer in layers
            ]

    def _pooled(
        self,
        source: ClipSource,
        ids: Sequence[str],
        cells: Sequence[FeatureCell],
        change: Change,
    ) -> dict[str, Tensor]:
        found: list[list[Tensor]] = [[] for _ in cells]
        for part, video in self._batches(source, ids):
            tokens = self.of_batch(video, part, cells, change)
            for i, cell in enumerate(cells):
                found[i].append(mean_token(tokens[cell]))
        # One transfer for all: a device that is asked for each batch by itself waits each time.
        return {str(i): torch.cat(parts).cpu() for i, parts in enumerate(found)}

    def _tokens(
        self, source: ClipSource, ids: Sequence[str], cell: FeatureCell, change: Change
    ) -> dict[str, Tensor]:
        parts = [
            rounded(self.of_batch(video, part, [cell], change)[cell]).cpu()
            for part, video in self._batches(source, ids)
        ]
        return {"tokens": torch.cat(parts)}

    def _batches(self, source: ClipSource, ids: Sequence[str]) -> Any:
        size, setting = self.setting.batch_size, self.setting
        groups = [list(ids[i : i + size]) for i in range(0, len(ids), size)]
        clips = clip_batches(source, groups, device=setting.device, num_workers=setting.num_workers)
        return zip(groups, clips, strict=True)

    def _widths(
        self, source: ClipSource, ids: Sequence[str], cells: Sequence[FeatureCell]
    ) -> list[int]:
        """Returns the channels of every cell; layers are asked without noise, by one clip."""
        quiet = {c.layer: FeatureCell(c.layer, c.depth, cells[0].noise) for c in cells}
        (video,) = clip_batches(source, [list(ids[:1])], device=self.setting.device)
        found = self.of_batch(video, ids[:1], list(quiet.values()))
        return [found[quiet[cell.layer]].shape[-1] for cell in cells]

    def _values(self, source: ClipSource, ids: Sequence[str], cell: FeatureCell) -> int:
        (video,) = clip_batches(source, [list(ids[:1])], device=self.setting.device)
        return self.of_batch(video, ids[:1], [cell])[cell][0].numel()

    def _set(
        self,
        kind: str,
        source: ClipSource,
        ids: Sequence[str],
        cells: Sequence[FeatureCell],
        change: Change,
    ) -> FeatureSet:
        card, setting, info = self.adapter.card, self.setting, source.info
        key = {
            "version": VERSION,
            "kind": kind,
            "adapter": card.revision,
            "cells": [[cell.layer, cell.noise] for cell in cells],
            "noise": setting.seed,
            "change": change,
            "data": [info.digest, source.protocol, list(ids), CHUNK],
            "arithmetic": [torch.__version__, setting.device.type, setting.precision],
        }
        about = {
            "kind": kind if change == "none" else f"{kind} ({change.replace('_', ' ')})",
            "adapter": f"of {card.name}",
            "cells": f"in {len(cells)} cells" if len(cells) > 1 else f"at {cells[0]}",
            "data": f"on {len(ids)} clips of {info.name}",
        }
        return FeatureSet(key, about, self.kept)


def mean_token(tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d"]:
    """Returns the mean token of each clip, as it is cached."""
    return tokens.float().mean(dim=1)


def rounded(tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """Returns tokens as they are cached."""
    return tokens.to(torch.bfloat16)


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[i : i + CHUNK] for i in range(0, len(ids), CHUNK)]
