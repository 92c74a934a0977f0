"""Latents of stored clips, asked for in batches and held against the contract."""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, Latents, Predicts
from worldbench.answers import checked_latents
from worldbench.batches import to_video
from worldbench.data.worlds import SceneSpec, training_clips
from worldbench.data.worlds.content import Tell
from worldbench.errors import ContractError
from worldbench_models.patches import FRAMES, PATCH


@runtime_checkable
class HasLayers(Protocol):
    """An adapter that names the layers at which it gives latents."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Their names, from the first to the last."""
        ...


@runtime_checkable
class Latent(Adapter, Encodes, Protocol):
    """An adapter that encodes."""


@runtime_checkable
class Foresees(Latent, Predicts, Protocol):
    """An adapter that foresees its own latents: the predictors' gates are for it."""


def random_clips(
    count: int, *, device: str | torch.device, workers: int | None = None, tell: Tell | None = None
) -> UInt8[Tensor, "n t h w 3"]:
    """Renders the first clips of ``train_random``'s calibration split, whatever happens in them.

    Args:
        count: How many.
        device: Where to render and keep them.
        workers: Processes that simulate; as many as there are cores if None.
        tell: Called with (clips made, clips in all).
    """
    spec = SceneSpec("train_random", 0, split="calibration", frames=FRAMES)
    return training_clips(spec, count, device=device, workers=workers, tell=tell)[0]


def encoded(
    adapter: Latent, rgb: UInt8[Tensor, "b t h w 3"], layer: str | None = None
) -> Float[Tensor, "b steps rows columns d"]:
    """Returns the latents of clips, on their device.

    Raises:
        ContractError: If they break the contract, or a step is not of the usual frames.
    """
    with torch.inference_mode():
        latents = adapter.encode(to_video(rgb), layer=layer)
    return _tokens(adapter, "encode", latents, rgb, rgb.shape[1])


def foreseen(
    adapter: Foresees, context: UInt8[Tensor, "b c h w 3"], horizon: int
) -> Float[Tensor, "b steps rows columns d"]:
    """Returns the latents that the adapter predicts of the next frames, on the clips' device.

    Raises:
        ContractError: As :func:`encoded`.
    """
    with torch.inference_mode():
        latents = adapter.predict(to_video(context), horizon)
    return _tokens(adapter, "predict", latents, context, horizon)


def batches(
    clips: UInt8[Tensor, "n t h w 3"], size: int, tell: Tell | None = None
) -> Iterator[UInt8[Tensor, "b t h w 3"]]:
    """Yields the clips in order, ``size`` at once; ``tell`` hears of each batch that is done."""
    for start in range(0, len(clips), size):
        part = clips[start : start + size]
        yield part
        if tell is not None:
            tell(start + len(part), len(clips))


def _tokens(adapter: Latent, call: str, latents: Latents, clips: Tensor, frames: int) -> Tensor:
    name = adapter.card.name
    if latents.temporal_stride != PATCH[0]:
        raise ContractError(
            f"adapter {name!r}, call {call}: its latent steps are not those of the gates",
            seen=f"{latents.temporal_stride} frames a step",
            accepted=f"{PATCH[0]} frames a step",
        )
    checked = checked_latents(name, call, latents, batch=len(clips), frames=frames)
    return checked.tokens.to(clips.device).float()
