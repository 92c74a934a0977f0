"""Whether an answer moves with a future that other questions have shown the adapter before it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from worldbench.adapter import (
    Adapter,
    Encodes,
    EncodesLayers,
    Generates,
    Layered,
    Predicts,
    Surprises,
)
from worldbench.conformance.outcome import same
from worldbench.noise import TrialNoise

Look = Callable[[Tensor], object]


def perturbed_future(clips: Tensor, context: int) -> Tensor:
    """Returns clips of the same context and another future: its negative."""
    other = clips.clone()
    other[:, context:] = 1 - other[:, context:]
    return other


def unmoved(
    adapter: Adapter, clips: Tensor, context: int, answer: Callable[[Tensor], Tensor], what: str
) -> None:
    """Refuses an adapter whose answer to a context depends on what comes after it.

    The future lies in memory behind the context; and before each answer it is shown by one other
    question, since a state that is carried from call to call is a leak as well.

    Args:
        adapter: Whose answers they are.
        clips: One clip that the adapter has not seen, so that what it keeps shows as well.
        context: Frames of context.
        answer: Asks for it, given the clip.
        what: The message.

    Raises:
        ContractError: If an answer differs from the first, with how the future had been shown.
    """
    first, other = answer(clips), perturbed_future(clips, context)
    same(first, answer(other), what)
    for name, look in _looks(adapter, context):
        for part in (clips, other):
            with torch.inference_mode():
                look(part.clone())
            same(first, answer(part), f"{what}, once {name} has seen it")


def _looks(adapter: Adapter, context: int) -> Iterator[tuple[str, Look]]:
    """Yields every question that shows an adapter the frames after a context."""
    if isinstance(adapter, Encodes):
        yield "encode of the future", lambda clip: adapter.encode(clip[:, context:])
        yield "encode of the whole clip", adapter.encode
    if isinstance(adapter, EncodesLayers) and isinstance(adapter, Layered):
        names = tuple(adapter.layers)
        yield "encode_layers", lambda clip: adapter.encode_layers(clip[:, context:], names)
        yield "encode_layers of the whole clip", lambda clip: adapter.encode_layers(clip, names)
    if isinstance(adapter, Surprises):
        for operator in adapter.card.operators:
            yield f"surprise[{operator}]", _surprise(adapter, context, operator)
    yield from _as_context(adapter, context)


def _surprise(adapter: Surprises, context: int, operator: str) -> Look:
    noise = TrialNoise(["trial0"])
    return lambda clip: adapter.surprise(clip, context, operator=operator, noise=noise)


def _as_context(adapter: Adapter, context: int) -> Iterator[tuple[str, Look]]:
    """Yields the questions whose context is what another foresees."""
    stride = adapter.card.temporal_stride
    if isinstance(adapter, Predicts):
        yield (
            "predict from the future",
            lambda clip: adapter.predict(clip[:, -context:], stride),
        )
    if isinstance(adapter, Generates):
        yield (
            "generate from the future",
            lambda clip: adapter.generate(clip[:, -context:], stride, samples=1, seeds=[0]),
        )
