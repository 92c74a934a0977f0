"""The clips and contexts that an adapter is checked on."""

from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.conformance.clips import moving_clips
from worldbench.conformance.outcome import expect

_SIZE = (64, 64)
_BATCH = 3


def clips_for(adapter: Adapter, frames: int) -> Float[Tensor, "b t 3 h w"]:
    """Makes moving clips of the adapter's native size, or of 64×64."""
    return moving_clips(_BATCH, frames, adapter.card.size or _SIZE)


def context_of(adapter: Adapter) -> int:
    """Returns the shortest legal context of at least four frames, or the longest there is."""
    card = adapter.card
    longest = card.max_context or 64
    legal = [c for c in range(card.min_context, longest + 1) if card.legal_context(c)]
    expect(bool(legal), "no context is legal", card.model_dump(include={"min_context"}))
    return next((c for c in legal if c >= 4), legal[-1])
