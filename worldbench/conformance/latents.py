"""Checks of adapters that answer in latents or in surprise."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from worldbench.adapter import (
    Adapter,
    Encodes,
    EncodesLayers,
    EncodesNoisy,
    Latents,
    Layered,
    Predicts,
    Surprises,
)
from worldbench.answers import checked_latents
from worldbench.conformance.encode_options import layered, noisy
from worldbench.conformance.futures import perturbed_future, unmoved
from worldbench.conformance.legality import illegal_refused
from worldbench.conformance.outcome import Outcome, attempt, close, expect, same
from worldbench.conformance.subject import (
    clips_for,
    context_of,
    fitting,
    horizon_of,
    length_of,
    longer,
)
from worldbench.noise import TrialNoise

_STEPS = (1, 2, 4)


def encodes(adapter: Encodes) -> Iterator[Outcome]:
    """Checks ``encode``."""
    assert isinstance(adapter, Adapter)
    frames = length_of(adapter)
    clips = clips_for(adapter, frames)

    def latents(part: Tensor = clips) -> Latents:
        with torch.inference_mode():
            given = part.clone()
            out = adapter.encode(given)
        same(given, part, "the video was changed in place")
        return checked_latents(adapter.card.name, "encode", out, batch=len(part), frames=frames)

    def batches() -> None:
        alone = torch.cat([latents(clips[i : i + 1]).tokens for i in range(len(clips))])
        close(latents().tokens, alone, "latents depend on the batch")

    def stride() -> None:
        seen = latents().temporal_stride
        expect(seen == adapter.card.temporal_stride, "temporal stride differs from the card", seen)

    yield attempt("encode: shape, finite, temporal stride as on the card", stride)
    yield attempt(
        "encode: deterministic",
        lambda: same(latents().tokens, latents().tokens, "two calls give different latents"),
    )
    yield attempt("encode: independent of the batch", batches)
    if isinstance(adapter, EncodesNoisy):
        yield from noisy(adapter)
    if isinstance(adapter, Layered):
        yield from layered(adapter)


def encodes_layers(adapter: EncodesLayers) -> Iterator[Outcome]:
    """Checks ``encode_layers`` of an adapter that names its layers and encodes at one."""
    assert isinstance(adapter, Adapter)
    if not isinstance(adapter, Layered) or not isinstance(adapter, Encodes):
        missing = "names no layers" if isinstance(adapter, Encodes) else "does not encode"
        yield Outcome("encode_layers: as encode at each layer", None, f"the adapter {missing}")
        return
    encoder, frames = adapter, length_of(adapter)
    clips, names = clips_for(adapter, frames), tuple(adapter.layers)

    def latents(part: Tensor = clips, layers: Sequence[str] = names) -> dict[str, Tensor]:
        with torch.inference_mode():
            given = part.clone()
            found = adapter.encode_layers(given, layers)
        same(given, part, "the video was changed in place")
        expect(list(found) == list(layers), "other layers than asked for", list(found))
        for name, out in found.items():
            call = f"encode_layers of {name}"
            checked_latents(adapter.card.name, call, out, batch=len(part), frames=frames)
        strides = {out.temporal_stride for out in found.values()}
        expect(strides == {adapter.card.temporal_stride}, "another temporal stride", strides)
        return {name: out.tokens for name, out in found.items()}

    def shapes() -> None:
        latents()

    def alike() -> None:
        found = latents()
        for name in names:
            with torch.inference_mode():
                alone = encoder.encode(clips.clone(), layer=name).tokens
            expect(found[name].shape == alone.shape, f"another shape than encode at {name}")
            close(found[name], alone, f"encode gives other latents at {name}")

    def choice() -> None:
        found = latents()
        for name in names:
            close(latents(layers=(name,))[name], found[name], f"{name} alone is another")
        backwards = latents(layers=names[::-1])
        for name in names:
            close(backwards[name], found[name], f"{name} depends on the order asked for")

    def batches() -> None:
        parts = [latents(clips[i : i + 1]) for i in range(len(clips))]
        for name, together in latents().items():
            alone = torch.cat([part[name] for part in parts])
            close(together, alone, f"latents of {name} depend on the batch")

    yield attempt("encode_layers: shapes, finite, the layers asked for", shapes)
    yield attempt("encode_layers: as encode at each layer", alike)
    yield attempt("encode_layers: whichever layers are asked for, in any order", choice)
    yield attempt("encode_layers: independent of the batch", batches)


def predicts(adapter: Predicts) -> Iterator[Outcome]:
    """Checks ``predict``."""
    assert isinstance(adapter, Adapter)
    context, horizon = context_of(adapter), horizon_of(adapter)
    asked = [steps * adapter.card.temporal_stride for steps in _STEPS]
    clips = clips_for(adapter, context + horizon)

    def latents(part: Tensor = clips, horizon: int = horizon) -> Tensor:
        with torch.inference_mode():
            given = part.clone()[:, :context]
            out = adapter.predict(given, horizon)
        same(given, part[:, :context], "the context was changed in place")
        checked_latents(adapter.card.name, "predict", out, batch=len(part), frames=horizon)
        return out.tokens

    def leak() -> None:
        # Another mirror image than that of ``generate``, which has been shown.
        clip, what = clips[:1].flip(-2), "predictions move with the future: a temporal leak"
        unmoved(adapter, clip, context, latents, what)

    def batches() -> None:
        alone = torch.cat([latents(clips[i : i + 1]) for i in range(len(clips))])
        close(latents(), alone, "predictions depend on the batch")

    def horizons() -> None:
        for frames in fitting(adapter, asked):
            latents(horizon=frames)

    def illegal() -> str | None:
        stride = adapter.card.temporal_stride
        return illegal_refused(adapter, lambda clip, c: adapter.predict(clip[:, :c], stride))

    def grids() -> str | None:
        if not isinstance(adapter, Encodes):
            return "the adapter does not encode"
        with torch.inference_mode():
            future = adapter.encode(clips[:, context:].clone())
            predicted = adapter.predict(clips.clone()[:, :context], horizon)
        one, two = ((*x.tokens.shape[2:], x.temporal_stride) for x in (predicted, future))
        expect(
            one == two,
            "predictions do not lie on the grid of latents: h', w', d, temporal stride",
            f"predict {one}, encode of the future alone {two}",
        )
        return None

    yield attempt("predict: shape, finite, horizon met exactly", horizons)
    yield from longer("predict", adapter, asked, lambda frames: latents(horizon=frames))
    yield attempt("predict: on the grid of encode", grids)
    yield attempt("predict: deterministic", lambda: same(latents(), latents(), "two calls differ"))
    yield attempt("predict: independent of the batch", batches)
    yield attempt("predict: no temporal leak", leak)
    yield attempt("predict: illegal contexts refused", illegal)


def surprises(adapter: Surprises) -> Iterator[Outcome]:
    """Checks ``surprise``."""
    assert isinstance(adapter, Adapter)
    if not adapter.card.operators:
        yield Outcome("surprise: operators on the card", False, "card.operators is empty")
    for operator in adapter.card.operators:
        yield from _surprises_by(adapter, operator)


def _surprises_by(adapter: Surprises, operator: str) -> Iterator[Outcome]:
    """Checks ``surprise`` of one operator."""
    assert isinstance(adapter, Adapter)
    context, horizon = context_of(adapter), horizon_of(adapter)
    clips = clips_for(adapter, context + horizon)

    def ask(part: Tensor, first: int = 0, context: int = context) -> Tensor:
        noise = TrialNoise([f"trial{first + i}" for i in range(len(part))])
        return adapter.surprise(part, context, operator=operator, noise=noise)

    def surprise(part: Tensor = clips, first: int = 0) -> Tensor:
        with torch.inference_mode():
            given = part.clone()
            out = ask(given, first)
        same(given, part, "the video was changed in place")
        wanted = (len(part), horizon // adapter.card.temporal_stride)
        expect(tuple(out.shape) == wanted, f"wrong shape, not {wanted}", tuple(out.shape))
        expect(bool(torch.isfinite(out).all()), "surprise that is not finite")
        return out

    def batches() -> None:
        alone = [surprise(clips[i : i + 1], i) for i in range(len(clips))]
        close(surprise(), torch.cat(alone), "surprise depends on the batch")

    def moves() -> None:
        clip = clips[:1]
        moved = not torch.equal(surprise(clip), surprise(perturbed_future(clip, context)))
        expect(moved, "another future is exactly as surprising, as if nobody had looked at it")

    yield attempt(
        f"surprise[{operator}]: shape, finite, deterministic given the noise",
        lambda: same(surprise(), surprise(), "two calls differ"),
    )
    yield attempt(f"surprise[{operator}]: independent of the batch", batches)
    yield attempt(f"surprise[{operator}]: moves when the future does", moves)
    yield attempt(
        f"surprise[{operator}]: illegal contexts refused",
        lambda: illegal_refused(adapter, lambda clip, context: ask(clip, context=context)),
    )
