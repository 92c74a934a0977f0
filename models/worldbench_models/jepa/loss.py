"""What is learnt: to foresee the latents of hidden tokens from those of seen ones (design §11).

The loss is the mean absolute error. Two ways keep latents from collapsing to a constant, which
would be foreseen best:

- ``ema`` (V-JEPA): targets come from an average of the weights over training, without gradient
- ``sigreg`` (LeJEPA): targets come from the weights in training themselves, with gradient, and
  latents are held to an isotropic Gaussian

Targets of multi-block masks are encoded in their whole clip. Those of causal masks are one of

- ``alone``: the future encoded by itself, as questions ask for it, since no target of a question
  may have seen its context (design §8)
- ``clip``: the future within its whole clip encoded, as V-JEPA has it and as those of blocks are
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from worldbench_models.blocks import Groups
from worldbench_models.jepa.masks import CONTEXTS, TOKENS, View, views
from worldbench_models.jepa.network import CAUSAL, JEPA
from worldbench_models.jepa.sigreg import sigreg
from worldbench_models.patches import GRID, in_mirror, patchify_bytes

TARGETS = ("alone", "clip")
"""What the targets of causal masks are encoded in."""

ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda foreseen, targets: (foreseen - targets).abs(),
    "smooth_l1": partial(functional.smooth_l1_loss, reduction="none"),
    "l2": lambda foreseen, targets: 0.5 * (foreseen - targets).square(),
}
"""How far a prediction is off, value by value. Where several futures are possible l1 asks for their
median, in which what comes with a chance of less than a half does not show; l2 for their mean, in
which it does; smooth_l1 (I-JEPA's, Assran et al. 2023) for nearly that, as long as latents lie no
more than a standard deviation apart."""

_EVERY = 61  # SIGReg looks at one latent in so many, since neighbours are alike; prime: anywhere


class PredictionLoss(nn.Module):
    """The training loss of a JEPA on stored clips.

    Args:
        network: What is trained.
        causal: Share of clips with causal masks.
        regulariser: Weight of SIGReg; None where targets are given.
        contexts: Latent steps of the causal contexts.
        targets: One of ``TARGETS``.
        error: One of ``ERRORS``.
        backward: Share of the causal masks that hide what came first, not what comes.
    """

    def __init__(
        self,
        network: JEPA,
        causal: float,
        regulariser: float | None = None,
        *,
        contexts: Sequence[int] = CONTEXTS,
        targets: str = "alone",
        error: str = "l1",
        backward: float = 0.0,
    ) -> None:
        super().__init__()
        self.network, self.causal, self.regulariser = network, causal, regulariser
        self.contexts, self.targets = tuple(contexts), targets
        self.error, self.backward = error, backward

    def forward(
        self,
        clips: UInt8[Tensor, "b frames height width 3"],
        mirrored: Bool[Tensor, " b"],
        *drawn: Tensor,
    ) -> Float[Tensor, ""]:
        """Returns the error, the mean over clips and masks of the mean over hidden tokens.

        Args:
            clips: Stored clips.
            mirrored: Which are shown in the mirror.
            drawn: The four of :func:`~worldbench_models.jepa.masks.draw_masks`; then the targets
                of :class:`Teacher`, or with a regulariser its directions.
        """
        asked = views(len(clips), self.causal, drawn[:4], self.contexts, self.backward)
        patches = tokens_of(clips, mirrored)
        if self.regulariser is None:
            return self._error(patches, asked, drawn[4])
        targets, latents = taught(self.network, patches, asked, self.targets)
        some = latents[::_EVERY]
        error = self._error(patches, asked, targets)
        return (1 - self.regulariser) * error + self.regulariser * sigreg(some, drawn[4])

    def _error(
        self,
        patches: Float[Tensor, "b n p"],
        asked: list[View],
        targets: Float[Tensor, "total width"],
    ) -> Float[Tensor, ""]:
        foreseen = self._foreseen(patches, asked)
        error = ERRORS[self.error](foreseen, targets).mean(dim=1)
        sizes = [view.hidden.numel() for view in asked]
        means = [part.mean() for part in torch.split(error, sizes)]
        weighted = [mean * view.clips for mean, view in zip(means, asked, strict=True)]
        return torch.stack(weighted).sum() / sum(view.clips for view in asked)

    def _foreseen(
        self, patches: Float[Tensor, "b n p"], asked: list[View]
    ) -> Float[Tensor, "total width"]:
        """Returns predictions of all hidden tokens in a row, view by view."""
        network = self.network
        grid = network.places(GRID)
        seen = torch.cat([view.seen.flatten() for view in asked])
        shown = torch.cat([_rows(patches, view.first, view.seen) for view in asked])
        groups: Groups = tuple((view.clips, view.seen.shape[1]) for view in asked)
        latents = network.encoder(shown, grid.at(seen), groups)
        tokens = torch.split(network.predictor.seen(latents), [b * n for b, n in groups])
        sequences, places = [], []
        for view, part in zip(asked, tokens, strict=True):
            hint = grid.hint[view.hidden]
            masked = network.predictor.asked(view.kind, hint, part)
            sequence = torch.cat([part.reshape(*view.seen.shape, -1), masked], dim=1)
            sequences.append(sequence.flatten(0, 1))
            places.append(torch.cat([view.seen, view.hidden], dim=1).flatten())
        whole = _joined([(view.clips, view.tokens) for view in asked])
        row = network.predictor(torch.cat(sequences), grid.at(torch.cat(places)).rotation, whole)
        parts = torch.split(row, [view.clips * view.tokens for view in asked])
        hidden = [
            part.reshape(view.clips, view.tokens, -1)[:, view.seen.shape[1] :].flatten(0, 1)
            for part, view in zip(parts, asked, strict=True)
        ]
        return network.predictor.told(torch.cat(hidden))


class Teacher(nn.Module):
    """Gives the targets: an average of the weights in training, which learns nothing itself.

    Args:
        objective: The average of what is trained.
    """

    def __init__(self, objective: PredictionLoss) -> None:
        super().__init__()
        self.network, self.causal = objective.network, objective.causal
        self.contexts, self.targets = objective.contexts, objective.targets
        self.backward = objective.backward

    def forward(
        self,
        clips: UInt8[Tensor, "b frames height width 3"],
        mirrored: Bool[Tensor, " b"],
        *drawn: Int64[Tensor, "_ _"],
    ) -> tuple[Float[Tensor, "total d"]]:
        """Returns the latents of all hidden tokens in a row, view by view."""
        asked = views(len(clips), self.causal, drawn, self.contexts, self.backward)
        return (taught(self.network, tokens_of(clips, mirrored), asked, self.targets)[0],)


def taught(
    network: JEPA, patches: Float[Tensor, "b n p"], asked: list[View], targets: str = "alone"
) -> tuple[Float[Tensor, "total width"], Float[Tensor, "many width"]]:
    """Encodes whole clips for multi-block masks, and for causal ones what ``targets`` says.

    Args:
        network: What encodes.
        patches: The clips' tokens.
        asked: Their masks, those of blocks first.
        targets: One of ``TARGETS``.

    Returns:
        The latents of all hidden tokens in a row, view by view; and all latents there are.
    """
    within = [view for view in asked if view.kind != CAUSAL or targets == "clip"]
    # The clips that are encoded whole come first; every kind of blocks masks the same ones.
    whole = len(patches) if targets == "clip" else within[0].clips if within else 0
    stretches = [(view.first, view.hidden) for view in asked[len(within) :]]
    if within:
        every = torch.arange(TOKENS, device=patches.device).expand(whole, TOKENS)
        stretches = [(0, every), *stretches]
    row = torch.cat([_rows(patches, first, index) for first, index in stretches])
    places = network.places(GRID).at(torch.cat([index.flatten() for _, index in stretches]))
    groups: Groups = tuple((index.shape[0], index.shape[1]) for _, index in stretches)
    latents = network.encoder(row, places, groups)
    full, rest = latents[: whole * TOKENS], latents[whole * TOKENS :]
    clips = full.reshape(whole, TOKENS, latents.shape[-1])
    hidden = [_rows(clips, view.first, view.hidden) for view in within]
    return torch.cat([*hidden, rest]), latents


def tokens_of(
    clips: UInt8[Tensor, "b frames height width 3"], mirrored: Bool[Tensor, " b"]
) -> Float[Tensor, "b n p"]:
    """Cuts stored clips, some of them mirrored, into the patches of their tokens."""
    return patchify_bytes(in_mirror(clips, mirrored)).flatten(1, 3)


def _joined(groups: Sequence[tuple[int, int]]) -> Groups:
    """Joins neighbours of one length, so that one call of attention serves them all."""
    found: list[tuple[int, int]] = []
    for count, length in groups:
        if found and found[-1][1] == length:
            count += found.pop()[0]
        found.append((count, length))
    return tuple(found)


def _rows(
    x: Float[Tensor, "b n c"], first: int, index: Int64[Tensor, "some k"]
) -> Float[Tensor, "total c"]:
    """Takes tokens of consecutive clips, in a row."""
    clips = torch.arange(first, first + len(index), device=index.device)[:, None]
    return x[clips, index].flatten(0, 1)
