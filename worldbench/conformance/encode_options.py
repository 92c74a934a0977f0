"""Checks of what ``encode`` takes beside clips: noise with its seed, and layers."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, EncodesNoisy, Layered
from worldbench.answers import checked_latents
from worldbench.conformance.outcome import Outcome, attempt, close, expect, same
from worldbench.conformance.subject import clips_for, length_of
from worldbench.errors import ContractError, WorldbenchError

_UNKNOWN = "worldbench-no-such-layer"


def noisy(adapter: Encodes) -> Iterator[Outcome]:
    """Checks the noise of an adapter that names its range."""
    assert isinstance(adapter, EncodesNoisy)
    low, high = adapter.noise_range
    share = (low + high) / 2

    def seeds() -> str | None:
        expect(0 <= low <= high <= 1, "adapter.noise_range lies outside [0, 1]", (low, high))
        if share == 0:
            return "there is no noise to draw"
        first = _tokens(adapter, noise=share, seed=1)
        torch.rand(())  # moves the generator of the process, which noise must not be drawn from
        again = _tokens(adapter, noise=share, seed=1)
        same(first, again, f"noise {share:g} of the same seed gives other latents")
        other = _tokens(adapter, noise=share, seed=2)
        expect(not torch.equal(first, other), f"noise {share:g} is the same for every seed")
        return None

    yield attempt("encode: noise by its seed", seeds)


def layered(adapter: Encodes) -> Iterator[Outcome]:
    """Checks the layers of an adapter that names them."""
    assert isinstance(adapter, Layered)
    names = tuple(adapter.layers)

    def every() -> None:
        expect(bool(names), "adapter.layers is empty")
        found = {name: _tokens(adapter, layer=name) for name in names}
        usual = _tokens(adapter)
        alike = [name for name, each in found.items() if each.shape == usual.shape]
        expect(bool(alike), "the default layer has the shape of no named one", tuple(usual.shape))
        nearest = min(alike, key=lambda name: float((found[name] - usual).abs().max()))
        close(found[nearest], usual, f"the default layer is none of those named; nearest {nearest}")

    def unknown() -> None:
        try:
            _tokens(adapter, layer=_UNKNOWN)
        except (ValueError, LookupError, WorldbenchError):
            return
        raise ContractError(
            "a layer that does not exist was accepted",
            seen=f"layer={_UNKNOWN!r}",
            accepted=f"None, {', '.join(names)}",
            fix="if layer not in (None, *self.layers): raise ValueError(...)",
        )

    yield attempt("encode: at every layer, by default at one of them", every)
    yield attempt("encode: unknown layers refused", unknown)


def _tokens(adapter: Encodes, **options: Any) -> Tensor:
    """Encodes one clip."""
    assert isinstance(adapter, Adapter)
    frames = length_of(adapter)
    with torch.inference_mode():
        out = adapter.encode(clips_for(adapter, frames)[:1], **options)
    told = ", ".join(f"{name}={value}" for name, value in options.items())
    checked_latents(adapter.card.name, f"encode({told})", out, batch=1, frames=frames)
    return out.tokens
