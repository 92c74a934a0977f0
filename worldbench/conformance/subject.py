"""The clips, contexts and horizons that an adapter is checked on."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.conformance.clips import moving_clips
from worldbench.conformance.outcome import Outcome, attempt, expect
from worldbench.errors import ContractError, EnvironmentFault

_SIZE = (64, 64)
_BATCH = 3
_STEPS = 4


def clips_for(adapter: Adapter, frames: int) -> Float[Tensor, "b t 3 h w"]:
    """Makes moving clips of the adapter's native size, or of 64×64."""
    return moving_clips(_BATCH, frames, adapter.card.size or _SIZE)


def length_of(adapter: Adapter) -> int:
    """Returns the frames of a clip to encode: four latent steps, or what its clips have of them."""
    card = adapter.card
    steps = _STEPS if card.frames is None else min(_STEPS, card.frames // card.temporal_stride)
    return max(steps, 1) * card.temporal_stride


def context_of(adapter: Adapter) -> int:
    """Returns the shortest legal context of at least four frames, or the longest there is.

    Raises:
        ContractError: If no context is legal, or none leaves a future within ``card.frames``.
    """
    card = adapter.card
    told = card.model_dump(include={"min_context", "max_context", "temporal_stride", "frames"})
    longest = card.min_context + card.temporal_stride + 64
    if card.max_context is not None:
        longest = min(longest, card.max_context)
    legal = [c for c in range(card.min_context, longest + 1) if card.legal_context(c)]
    expect(bool(legal), "no context is legal", told)
    legal = [c for c in legal if _fits(adapter, c, 1)]
    expect(bool(legal), "no legal context leaves a latent step of future in card.frames", told)
    return next((c for c in legal if c >= 4), legal[-1])


def horizon_of(adapter: Adapter) -> int:
    """Returns four latent steps after the context, or as many as ``card.frames`` leaves."""
    stride = adapter.card.temporal_stride
    return max(fitting(adapter, [steps * stride for steps in range(1, _STEPS + 1)]))


def fitting(adapter: Adapter, horizons: Sequence[int]) -> list[int]:
    """Returns the horizons that, with the context, are no longer than ``card.frames``."""
    context = context_of(adapter)
    return [horizon for horizon in horizons if _fits(adapter, context, horizon)]


def longer(
    call: str, adapter: Adapter, horizons: Sequence[int], ask: Callable[[int], object]
) -> Iterator[Outcome]:
    """Asks for the horizons that are longer than ``card.frames`` leaves.

    Models that go on in windows meet them; of the others nobody promised that, so that only a wrong
    answer is a defect.
    """
    context, fits = context_of(adapter), fitting(adapter, horizons)

    def answered(horizon: int) -> str | None:
        try:
            ask(horizon)
        except (ContractError, EnvironmentFault):
            raise
        except Exception as error:
            told = f"card.frames = {adapter.card.frames}, {context} of them context"
            return f"{told}: {str(error).partition(chr(10))[0]}"
        return None

    for horizon in horizons:
        if horizon not in fits:
            yield attempt(f"{call}: horizon of {horizon} frames", partial(answered, horizon))


def _fits(adapter: Adapter, context: int, horizon: int) -> bool:
    # A latent step that is begun is made whole.
    card = adapter.card
    whole = -(-horizon // card.temporal_stride) * card.temporal_stride
    return card.frames is None or context + whole <= card.frames
