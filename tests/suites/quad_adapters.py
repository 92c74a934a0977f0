"""Adapters whose answers about quads are known."""

import functools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldbench.adapter import Latents, NoiseBank
from worldbench.batches import to_pixels
from worldbench.data.worlds.data import WorldData
from worldbench.schema import AdapterCard, Trial, digest
from worldbench.suites.permanence_states import states_of
from worldbench.suites.quad_trials import cut_of, entries_of, trial_of

Says = Callable[[Tensor, Tensor], Tensor]
"""Given context and future of a clip, ``t 3 h w`` each, the surprise at each frame."""

SIDE = 8  # pixels of a token


def card(name: str, *capabilities: str, **fields: Any) -> AdapterCard:
    told = {"revision": digest([name, sorted(fields.items())]), "family": "predictive", **fields}
    return AdapterCard(name=name, capabilities=capabilities, **told)


def contexts(adapter_card: AdapterCard, data: WorldData, trial: Trial) -> list[bytes]:
    """Returns what the adapter will see of A and of P, as bytes."""
    cut = cut_of(adapter_card, trial, data.frames)
    assert cut is not None
    return [seen[: cut.context].tobytes() for seen in data.load(trial.clips)]


def key(context: Tensor) -> bytes:
    return to_pixels(context).tobytes()


class Surprised:
    """Is as surprised as a function says."""

    def __init__(
        self,
        says: Says,
        name: str = "surprised",
        operators: Sequence[str] = ("denoising_error",),
        stride: int = 1,
        **fields: Any,
    ) -> None:
        self.says, self.asked = says, []  # type: ignore[var-annotated]
        self.card = card(
            name, "surprises", operators=tuple(operators), temporal_stride=stride, **fields
        )

    def surprise(self, video: Tensor, context: int, *, operator: str, noise: NoiseBank) -> Tensor:
        self.asked.append((operator, len(video), context, video.shape[1]))
        stride = self.card.temporal_stride
        frames = [self.says(clip[:context], clip[context:]) for clip in video]
        return torch.stack([each.reshape(-1, stride).mean(dim=1) for each in frames])


def constant(context: Tensor, future: Tensor) -> Tensor:
    return torch.full((len(future),), 0.7, dtype=torch.float64)


def change(context: Tensor, future: Tensor) -> Tensor:
    """How much changes from frame to frame."""
    return torch.cat([context[-1:], future]).double().diff(dim=0).abs().sum(dim=(1, 2, 3))


def from_last(context: Tensor, future: Tensor) -> Tensor:
    """How far each frame is from the last one seen: a memory of one frame."""
    return (future - context[-1]).double().abs().mean(dim=(1, 2, 3))


def from_mean(context: Tensor, future: Tensor) -> Tensor:
    """How far each frame is from the mean of what was seen."""
    return (future - context.mean(dim=0)).double().abs().mean(dim=(1, 2, 3))


def hashed(context: Tensor, future: Tensor) -> Tensor:
    """Arbitrary, but the same for the same clip."""
    seed = [len(context), zlib.crc32(key(torch.cat([context, future])))]
    return torch.from_numpy(np.random.default_rng(seed).uniform(1, 2, len(future)))


class Oracle(Surprised):
    """Knows of each context what may follow, and is surprised by how far that is from what came.

    Args:
        data: The quads. After the context of an occluded or plain quad its own clip follows; the
            foil's contexts leave both futures open.
        trials: Which of them it knows.
        stride: Frames per latent step.
    """

    def __init__(self, data: WorldData, trials: Sequence[Trial], stride: int = 1) -> None:
        super().__init__(self._error, "simulator", stride=stride, revision="1")
        self.known: dict[bytes, list[Tensor]] = {}
        for trial in trials:
            cut = cut_of(self.card, trial, data.frames)
            assert cut is not None
            clips = torch.from_numpy(data.load(trial.clips)).permute(0, 1, 4, 2, 3)
            futures = list(clips[:, cut.context : cut.end])
            either = trial.factors["condition"] == "both_possible"
            for own, seen in zip(futures, contexts(self.card, data, trial), strict=True):
                self.known[seen] = futures if either else [own]

    def _error(self, context: Tensor, future: Tensor) -> Tensor:
        possible = [clip.double() / 255 for clip in self.known[key(context)]]
        errors = [(future.double() - clip).abs().mean(dim=(1, 2, 3)) for clip in possible]
        return torch.stack(errors).mean(dim=0)


class Patches:
    """Encodes patches by fixed random projections; what it predicts is a subclass's affair."""

    def __init__(self, name: str, stride: int = 2, **fields: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        self.kernel = torch.randn(3 * stride * SIDE * SIDE, 24, generator=generator) / 6
        self.card = card(name, "encodes", "predicts", temporal_stride=stride, **fields)

    def encode(
        self,
        video: Tensor,
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        stride = self.card.temporal_stride
        b, t, c, h, w = video.shape
        patches = video.reshape(b, t // stride, stride, c, h // SIDE, SIDE, w // SIDE, SIDE)
        patches = patches.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4) - 0.5
        return Latents((patches @ self.kernel).tanh(), stride)


class CopiesLatents(Patches):
    """Foresees that the last latent step goes on: a memory of as many frames as it has."""

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        stride = self.card.temporal_stride
        last = self.encode(context[:, -stride:]).tokens
        return Latents(last.expand(-1, horizon // stride, -1, -1, -1).clone(), stride)


class Constant(Patches):
    """Foresees the same latents whatever it sees."""

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        stride = self.card.temporal_stride
        return Latents(torch.zeros(len(context), horizon // stride, 8, 8, 24), stride)


class Generator:
    """Generates what a function says follows a context."""

    def __init__(
        self, says: Callable[[Tensor, int], Tensor], name: str = "generator", **fields: Any
    ) -> None:
        self.says, self.asked = says, []  # type: ignore[var-annotated]
        self.card = card(name, "generates", **fields)

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
        self.asked.append((len(context), context.shape[1], tuple(seeds)))
        futures = torch.stack([self.says(clip, horizon) for clip in context])
        return futures[:, None].expand(-1, samples, -1, -1, -1, -1).clone()


@dataclass(frozen=True)
class Future:
    """What truly follows a context, as far as the target is concerned.

    Attributes:
        own: 1 where a pixel shows the target, ``f h w``.
        a: The same after A's context.
        p: The same after P's.
        looks: Levels of colour and shape.
        middle: Column of the occluder's centre, in shares of the width.
    """

    own: Tensor
    a: Tensor
    p: Tensor
    looks: tuple[str, str]
    middle: float


def truth(future: Future) -> tuple[Tensor, tuple[str, str]]:
    return future.own, future.looks


class Seer:
    """Encodes which pixels show the target, and its looks there; of other frames, nothing.

    Args:
        data: The quads whose frames it knows, with their training split.
        foresees: What it foresees of a future that is known: pixels and looks.
        name: On the card.
        stride: Frames per latent step.
    """

    def __init__(
        self,
        data: WorldData,
        foresees: Callable[[Future], tuple[Tensor, tuple[str, str]]] = truth,
        name: str = "seer",
        stride: int = 1,
    ) -> None:
        self.foresees, self.encoded = foresees, 0
        self.card = card(
            name, "encodes", "predicts", temporal_stride=stride, revision=f"seer {stride}"
        )
        self.seen, self.futures = _known(data, stride)
        self.levels = sorted({level for _, looks in self.seen.values() for level in looks})

    def _tokens(self, shown: Sequence[tuple[Tensor, tuple[str, str]] | None]) -> Tensor:
        """Latents of frames, ``t h w d``: shares of tokens, in all and by level."""
        tokens = torch.zeros(len(shown), 8, 8, 1 + len(self.levels))
        for frame, known in zip(tokens, shown, strict=True):
            if known is not None:
                shares = adaptive_avg_pool2d(known[0][None].float(), 8)[0]
                frame[..., 0] = shares
                for level in known[1]:
                    frame[..., 1 + self.levels.index(level)] = shares
        return tokens.reshape(-1, self.card.temporal_stride, *tokens.shape[1:]).mean(dim=1)

    def encode(
        self,
        video: Tensor,
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        self.encoded += len(video)
        clips = [[self.seen.get(key(frame[None])) for frame in clip] for clip in video]
        return Latents(
            torch.stack([self._tokens(clip) for clip in clips]), self.card.temporal_stride
        )

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        foreseen = []
        for clip in context:
            pixels, looks = self.foresees(self.futures[key(clip)])
            assert len(pixels) == horizon
            foreseen.append(self._tokens([(frame, looks) for frame in pixels]))
        return Latents(torch.stack(foreseen), self.card.temporal_stride)


@functools.cache
def _known(
    data: WorldData, stride: int
) -> tuple[dict[bytes, tuple[Tensor, tuple[str, str]]], dict[bytes, Future]]:
    """Returns frames and contexts by their bytes, of all quads with a hidden target."""
    own = card("seer", temporal_stride=stride)
    seen: dict[bytes, tuple[Tensor, tuple[str, str]]] = {}
    futures = {}
    for part in (data, data.train):
        if part is None:
            continue
        for entry in entries_of(part):
            trial = trial_of(entry)
            cut = cut_of(own, trial, part.frames)
            if entry.condition != "occluded" or cut is None:
                continue
            states = [states_of(part.track(clip), cut) for clip in entry.clips]
            looks = str(entry.factors["colour"]), str(entry.factors["shape"])
            a, p = (each.target for each in states)
            middle = float(states[0].middle[-1])
            for pixels, mask in zip(part.load(entry.clips), (a, p), strict=True):
                futures[pixels[: cut.context].tobytes()] = Future(mask, a, p, looks, middle)
                for frame, shown in zip(pixels[cut.context : cut.end], mask, strict=True):
                    seen[frame.tobytes()] = (shown, looks)
    return seen, futures
