"""Noise, seeds and layers of ``encode``: every promise can be broken, alone."""

from typing import Any

import pytest
import torch
from sound_adapters import Latent, Stacked, failures
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.conformance import check

NOISE = "encode: noise by its seed"
LAYERS = "encode: at every layer, by default at one of them"
UNKNOWN = "encode: unknown layers refused"


class Noisy(Latent):
    """Adds noise, half of it where nothing is said."""

    noise_range = (0.0, 1.0)

    def encode(
        self, video: Tensor, *, noise: float | None = None, seed: int = 0, **options: Any
    ) -> Latents:
        share = 0.5 if noise is None else noise
        noised = (1 - share) * video + share * self.drawn(video, seed)
        return super().encode(noised)

    def drawn(self, video: Tensor, seed: int) -> Tensor:
        return torch.randn(video.shape[1:], generator=torch.Generator().manual_seed(seed))


class OfTheProcess(Noisy):
    def encode(
        self, video: Tensor, *, noise: float | None = None, seed: int = 0, **options: Any
    ) -> Latents:
        return super().encode(video, noise=noise or 0, seed=seed)

    def drawn(self, video: Tensor, seed: int) -> Tensor:
        return torch.randn(video.shape[1:])


class OneSeed(Noisy):
    def drawn(self, video: Tensor, seed: int) -> Tensor:
        return super().drawn(video, 0)


class NoNoise(Noisy):
    noise_range = (0.0, 0.0)

    def drawn(self, video: Tensor, seed: int) -> Tensor:
        return torch.zeros(())


class Beyond(Noisy):
    noise_range = (0.0, 1.5)


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (OfTheProcess, "of the same seed gives other latents"),
        (OneSeed, "is the same for every seed"),
        (Beyond, "outside [0, 1]"),
    ],
)
def test_noise_that_its_seed_does_not_make_is_found(adapter: type, said: str) -> None:
    (found,) = [each for each in check(adapter()) if each.passed is False]
    assert found.name == NOISE
    assert said in found.detail


def test_noise_by_its_seed_passes() -> None:
    outcomes = {each.name: each.passed for each in check(Noisy())}
    assert outcomes[NOISE] is True
    assert False not in outcomes.values()
    undecided = [each.name for each in check(NoNoise()) if each.passed is None]
    assert undecided == [NOISE]


class Broken(Stacked):
    def encode(self, video: Tensor, *, layer: str | None = None, **options: Any) -> Latents:
        if layer == "third":
            raise RuntimeError("size mismatch")
        return super().encode(video, layer=layer)


class Elsewhere(Stacked):
    """Its default layer is none of those that it names."""

    def encode(self, video: Tensor, *, layer: str | None = None, **options: Any) -> Latents:
        scale = 0.1 if layer is None else 1.0
        return Latents(scale * super().encode(video, layer=layer).tokens, 2)


class AnyName(Stacked):
    def encode(self, video: Tensor, *, layer: str | None = None, **options: Any) -> Latents:
        return super().encode(video, layer=layer if layer in self.layers else None)


class Nameless(Stacked):
    layers = ()

    def encode(self, video: Tensor, *, layer: str | None = None, **options: Any) -> Latents:
        if layer is not None:
            raise KeyError(layer)
        return Latent.encode(self, video)


@pytest.mark.parametrize(
    ("adapter", "promise", "said"),
    [
        (Broken, LAYERS, "size mismatch"),
        (Elsewhere, LAYERS, "the default layer is none of those named"),
        (Nameless, LAYERS, "layers is empty"),
        (AnyName, UNKNOWN, "a layer that does not exist was accepted"),
    ],
)
def test_layers_that_are_not_as_named_are_found(adapter: type, promise: str, said: str) -> None:
    outcomes = [each for each in check(adapter()) if each.name.startswith("encode: ")]
    (found,) = [each for each in outcomes if each.passed is False]
    assert found.name == promise
    assert said in found.detail


def test_named_layers_pass() -> None:
    assert failures(Stacked()) == []
