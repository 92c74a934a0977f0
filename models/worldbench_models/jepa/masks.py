"""Which tokens of a clip are seen and which are foreseen in training (design §11).

Multi-block masks as V-JEPA's (Bardes et al. 2024, arXiv 2404.08471): the union of a few blocks of
random aspect ratio, the same at all latent steps. Causal masks: the first steps are seen, the rest
is foreseen, as it is asked for later; some backwards, the last steps seen and those before them
asked for, since otherwise a future alone would be a target only: nothing would hold what the
encoder makes of it to what it makes of a past.

All clips of a step have masks of the same sizes, so that shapes never change: surplus tokens are
left out at random (cutting lists of indices would always drop the last), and where blocks leave too
little to see, some of what they cover is shown. Causal contexts are of several lengths; each length
has a fixed share of the clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from worldbench_models.jepa.network import CAUSAL, KINDS
from worldbench_models.patches import GRID

TOKENS = GRID[0] * GRID[1] * GRID[2]
CONTEXTS = tuple(range(1, GRID[0]))
"""Latent steps of the causal contexts unless others are asked for: all that leave a future."""


@dataclass(frozen=True)
class MultiBlock:
    """A kind of multi-block mask.

    Attributes:
        blocks: How many blocks are united.
        scale: Share of the picture that each covers.
        seen: Tokens of the context.
        hidden: Tokens that are foreseen.
    """

    blocks: int
    scale: float
    seen: int
    hidden: int


MULTI = {"short": MultiBlock(8, 0.15, 128, 192), "long": MultiBlock(2, 0.7, 64, 192)}
"""Short-range masks leave context near every hidden token, long-range masks hardly any."""

_ASPECTS = (0.75, 1.5)


@dataclass(frozen=True)
class View:
    """Some clips of a batch under one kind of mask.

    Attributes:
        kind: Index into ``KINDS``.
        first: The first of the clips, which are consecutive.
        seen: Tokens of the context, numbered through the clip.
        hidden: Tokens that are foreseen; never one of the context.
    """

    kind: int
    first: int
    seen: Int64[Tensor, "b k"]
    hidden: Int64[Tensor, "b m"]

    @property
    def clips(self) -> int:
        """How many clips."""
        return len(self.seen)

    @property
    def tokens(self) -> int:
        """How many tokens of a clip are seen or foreseen."""
        return self.seen.shape[1] + self.hidden.shape[1]


def dealt(
    batch: int, causal: float, contexts: Sequence[int] = CONTEXTS
) -> tuple[int, tuple[int, ...]]:
    """Deals the clips of a batch to masks.

    Args:
        batch: Clips.
        causal: Share that gets causal masks; of small batches, as near as whole clips come, and
            the last contexts first.
        contexts: Latent steps of the causal contexts, which get equal shares.

    Returns:
        Clips with multi-block masks (each gets one of both kinds), and with each causal context.
    """
    many = round(causal * batch)
    each = tuple((many + i) // len(contexts) for i in range(len(contexts)))
    return batch - many, each


def draw_masks(count: int, generator: torch.Generator) -> tuple[Int64[Tensor, "_ _"], ...]:
    """Draws for each clip a mask of each multi-block kind: seen and hidden tokens, in turn."""
    drawn: list[Tensor] = []
    for kind in MULTI.values():
        covered = draw_covered(kind, count, generator).flatten(1).repeat(1, GRID[0]).float()
        # A random order with what is covered last; seen is taken from its front, hidden from
        # its end, so they never share a token.
        chance = torch.rand(count, TOKENS, generator=generator, device=generator.device)
        order = (covered + chance).argsort(dim=1)
        drawn += [order[:, : kind.seen], order[:, -kind.hidden :]]
    return tuple(drawn)


def draw_covered(
    kind: MultiBlock, count: int, generator: torch.Generator
) -> Bool[Tensor, "b rows columns"]:
    """Draws which positions of the picture are covered by the union of the blocks."""
    rows, columns = GRID[1:]

    def uniform() -> Float[Tensor, "b blocks"]:
        shape = (count, kind.blocks)
        return torch.rand(shape, generator=generator, device=generator.device)

    aspect = _ASPECTS[0] + (_ASPECTS[1] - _ASPECTS[0]) * uniform()
    area = kind.scale * rows * columns
    height = (area * aspect).sqrt().round().clamp(1, rows)
    width = (area / aspect).sqrt().round().clamp(1, columns)
    top = (uniform() * (rows - height + 1)).floor()
    left = (uniform() * (columns - width + 1)).floor()
    within_rows = _within(top, height, rows)[:, :, :, None]
    within_columns = _within(left, width, columns)[:, :, None, :]
    return (within_rows & within_columns).any(dim=1)


def _within(
    start: Float[Tensor, "b blocks"], length: Float[Tensor, "b blocks"], count: int
) -> Bool[Tensor, "b blocks n"]:
    at = torch.arange(count, device=start.device)
    return (at >= start[..., None]) & (at < (start + length)[..., None])


def views(
    batch: int,
    causal: float,
    drawn: tuple[Int64[Tensor, "_ _"], ...],
    contexts: Sequence[int] = CONTEXTS,
    backward: float = 0.0,
) -> list[View]:
    """Lists the masks of a batch: multi-block ones of the first clips, causal ones of the rest.

    Args:
        batch: Clips.
        causal: Share that gets causal masks.
        drawn: Of :func:`draw_masks`, for all clips with multi-block masks.
        contexts: Latent steps of the causal contexts.
        backward: Share of the causal masks that show the last steps and hide those before.
    """
    multi, each = dealt(batch, causal, contexts)
    found = []
    if multi:
        pairs = zip(MULTI, drawn[::2], drawn[1::2], strict=True)
        found = [View(KINDS.index(kind), 0, seen, hidden) for kind, seen, hidden in pairs]
    step, first = GRID[1] * GRID[2], multi
    numbers = torch.arange(TOKENS, device=drawn[0].device)
    for steps, clips in zip(contexts, each, strict=True):
        back = round(backward * clips)
        for many, row in ((clips - back, numbers), (back, numbers.flip(0))):
            if many:
                # In the order of the clip, so that sequences of one length are alike.
                seen, hidden = row[: steps * step].sort()[0], row[steps * step :].sort()[0]
                found.append(View(CAUSAL, first, seen.expand(many, -1), hidden.expand(many, -1)))
                first += many
    return found
