"""Futures as latents: foreseen, or encoded, in an adapter's own space or one that all share."""

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter, Encodes, Predicts
from worldbench.answers import checked_latents
from worldbench.schema import AdapterCard
from worldbench.suite import Setting

OWN, SHARED = "own", operators.SPACE


def spaces_of(card: AdapterCard) -> tuple[str, ...]:
    """Returns the spaces in which an adapter's futures are read.

    Pixels are read in a frozen space that all generators share and, where the adapter encodes, in
    its own; foreseen latents in their own.
    """
    able = set(card.capabilities)
    own = (OWN,) if "encodes" in able else ()
    return (*own, SHARED) if "generates" in able else own


def foreseen(
    adapter: Adapter, context: Float[Tensor, "n c 3 h w"], horizon: int, setting: Setting
) -> Float[Tensor, "n steps rows columns d"]:
    """Returns the latents that an adapter foresees.

    Raises:
        ContractError: If they are not as asked for.
    """
    assert isinstance(adapter, Predicts)
    with torch.inference_mode(), setting.autocast():
        # A copy: what an adapter does to its clips must not reach the truth.
        latents = adapter.predict(context.clone(), horizon)
    name = adapter.card.name
    return checked_latents(
        name, "predict", latents, batch=len(context), frames=horizon
    ).tokens.float()


def encoded(
    adapter: Adapter, space: str, video: Float[Tensor, "n f 3 h w"], setting: Setting
) -> Float[Tensor, "n steps rows columns d"]:
    """Returns latents of videos, each encoded by itself.

    Raises:
        ContractError: If they are not as asked for.
    """
    if space == SHARED:
        frames = operators.feature_maps(video)
        stride = adapter.card.temporal_stride
        return frames.reshape(len(video), -1, stride, *frames.shape[2:]).mean(dim=2)
    assert isinstance(adapter, Encodes)
    with torch.inference_mode(), setting.autocast():
        latents = adapter.encode(video.clone())
    name, count = adapter.card.name, video.shape[1]
    found = checked_latents(name, "encode", latents, batch=len(video), frames=count)
    return found.tokens.float()
