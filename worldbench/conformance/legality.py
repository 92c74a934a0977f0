"""Whether contexts that the card does not allow are refused."""

from collections.abc import Callable

import torch
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.conformance.subject import clips_for
from worldbench.errors import ContractError, WorldbenchError
from worldbench.schema import AdapterCard


def illegal_refused(adapter: Adapter, ask: Callable[[Tensor, int], object]) -> str | None:
    """Asks about one context of each kind that the card does not allow.

    Args:
        adapter: Who is asked.
        ask: The question, given one clip of a context and a latent step, and the context's frames.

    Returns:
        Why the check does not apply, where it doesn't.

    Raises:
        ContractError: If a context is accepted.
    """
    kinds = _illegal(adapter.card)
    still = clips_for(adapter, 1)[:1]
    for kind, context in kinds.items():
        frames = context + adapter.card.temporal_stride
        try:
            with torch.inference_mode():
                # A view, since the longest context may be very long.
                ask(still.expand(-1, frames, -1, -1, -1), context)
        except (ValueError, WorldbenchError):
            continue
        raise ContractError(
            "an illegal context was accepted",
            seen=f"{context} frames, {kind}",
            accepted="a ValueError for what card.legal_context refuses",
            fix="if not self.card.legal_context(frames): raise ValueError(...)",
        )
    return None if kinds else "every context is legal"


def _illegal(card: AdapterCard) -> dict[str, int]:
    """Returns a context of each kind, one that is illegal for nothing else where there is one."""
    stride, least, most = card.temporal_stride, card.min_context, card.max_context
    shorter = range(1, least)
    between = range(least, least + stride if most is None else min(least + stride, most + 1))
    above = [] if most is None else [most + stride - most % stride]
    kinds = {
        f"less than card.min_context = {least}": [c for c in shorter if c % stride == 0] or shorter,
        f"no multiple of card.temporal_stride = {stride}": [c for c in between if c % stride],
        f"more than card.max_context = {most}": above,
    }
    return {kind: lengths[-1] for kind, lengths in kinds.items() if lengths}
