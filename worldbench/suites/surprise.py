"""How surprised an adapter is by what came: the operators, and how each kind of adapter is asked.

An adapter that is surprised by itself names its operators on its card. Whoever only foresees is
compared with what came: pixels in a frozen space that all generators share (``sample_distance``),
latents with the future encoded alone (``latent_error``). Protocol: design §8.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter, Encodes, Generates, Predicts, Surprises
from worldbench.answers import checked_latents, checked_rollout
from worldbench.errors import ContractError
from worldbench.noise import TrialNoise
from worldbench.schema import AdapterCard
from worldbench.suite import Setting
from worldbench.suites.video_distance_latents import require_same_grid

SAMPLE_DISTANCE = "sample_distance"
LATENT_ERROR = "latent_error"
HEADLINES = ("denoising_error", LATENT_ERROR, SAMPLE_DISTANCE)
"""The operator that counts is the first of these that an adapter can be asked; nobody chooses."""


def operators_of(card: AdapterCard) -> tuple[str, ...]:
    """Returns the operators by which an adapter can be asked, the headline first.

    ``sample_distance`` is asked of everything that generates, in the suite's own way and with the
    suite's number of samples, whatever an adapter of its own declares by that name.
    """
    able = set(card.capabilities)
    found = dict.fromkeys(card.operators if "surprises" in able else ())
    if "generates" in able:
        found[SAMPLE_DISTANCE] = None
    if {"predicts", "encodes"} <= able:
        found.setdefault(LATENT_ERROR)
    headline = next((name for name in HEADLINES if name in found), None)
    return tuple(sorted(found, key=lambda name: name != headline))


def headline_operator(card: AdapterCard) -> str | None:
    """Returns the operator that counts, or None if the adapter cannot be asked."""
    own = operators_of(card)
    return own[0] if own and own[0] in HEADLINES else None


def unsupported(card: AdapterCard) -> str | None:
    """Says why an adapter cannot be asked how surprised it is, or None."""
    if headline_operator(card) is not None:
        return None
    has = ", ".join(card.capabilities) or "none"
    own = ", ".join(card.operators) or "none"
    return (
        f"surprise is measured by {', '.join(HEADLINES)}: the suite needs an adapter "
        "that generates, that predicts and encodes, or that is surprised by one of these; "
        f"{card.name} has: {has}; operators: {own}"
    )


def last_context(card: AdapterCard, start: int, stop: int, frames: int) -> int | None:
    """Returns the largest legal context C with start ≤ C ≤ stop that leaves a future, if any."""
    legal = (c for c in range(min(stop, frames - 1), start - 1, -1) if card.legal_context(c))
    return next(legal, None)


@dataclass(frozen=True)
class Asking:
    """How questions are put.

    Attributes:
        setting: Device and precision.
        samples: Rollouts per context that ``sample_distance`` compares with what came.
    """

    setting: Setting
    samples: int = 1

    def surprise(
        self,
        adapter: Adapter,
        operator: str,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        trials: Sequence[str],
    ) -> Float64[np.ndarray, "b steps"]:
        """Returns how little was expected what comes after the context, per latent step.

        Args:
            adapter: Who is asked.
            operator: One of :func:`operators_of`'s.
            video: Clips, values in [0, 1].
            context: Frames of context, legal for the adapter.
            trials: Trial id of each clip; clips of one trial share all noise.

        Raises:
            ContractError: If what is returned has the wrong shape or is not finite.
        """
        if operator == SAMPLE_DISTANCE:
            rollouts = self.rollouts(adapter, video[:, :context], video.shape[1] - context, trials)
            return self.sample_distance(adapter, rollouts, video[:, context:])
        with torch.inference_mode(), self.setting.autocast():
            if isinstance(adapter, Surprises) and operator in adapter.card.operators:
                noise = TrialNoise(trials, video.device)
                # A copy: what an adapter does to its clips must not reach the truth.
                found = adapter.surprise(video.clone(), context, operator=operator, noise=noise)
            else:
                found = _latent_error(adapter, video, context)
        return _checked(adapter.card, operator, found, len(video), video.shape[1] - context)

    def sample_distance(
        self,
        adapter: Adapter,
        rollouts: Float[Tensor, "b s f 3 h w"],
        future: Float[Tensor, "b f 3 h w"],
    ) -> Float64[np.ndarray, "b steps"]:
        """Returns how far rollouts are from what came (:mod:`worldbench.operators`)."""
        card = adapter.card
        found = operators.sample_distance(rollouts, future, card.temporal_stride)
        return _checked(card, SAMPLE_DISTANCE, found, len(future), future.shape[1])

    def rollouts(
        self,
        adapter: Adapter,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        trials: Sequence[str],
    ) -> Float[Tensor, "b s f 3 h w"]:
        """Rolls contexts out; equal contexts of one trial are rolled out once.

        Raises:
            ContractError: If the rollouts are not as asked for.
        """
        if not isinstance(adapter, Generates):
            raise ContractError(
                f"adapter {adapter.card.name!r} does not generate",
                seen=", ".join(adapter.card.capabilities),
                accepted="generate(context, horizon, samples=, seeds=)",
                fix="correct its card, or give it the method",
            )
        seeds = [self.setting.seed_for(trial) for trial in trials]
        first, places = _distinct(context, trials)
        with torch.inference_mode(), self.setting.autocast():
            rolled = adapter.generate(
                context[first].clone(),
                horizon,
                samples=self.samples,
                seeds=[seeds[i] for i in first],
            )
        rolled = checked_rollout(
            adapter.card.name,
            "generate",
            rolled,
            batch=len(first),
            samples=self.samples,
            horizon=horizon,
            size=(context.shape[-2], context.shape[-1]),
        )
        # The contract forgives rounding at the ends of the range; what is measured doesn't.
        return rolled.to(context.device).clamp(0, 1)[places]


def by_context(contexts: Sequence[int | None]) -> dict[int, list[int]]:
    """Groups positions by their context, the smallest first; those without one are left out."""
    found: dict[int, list[int]] = {}
    for i, context in enumerate(contexts):
        if context is not None:
            found.setdefault(context, []).append(i)
    return dict(sorted(found.items()))


def _distinct(
    context: Float[Tensor, "b c 3 h w"], trials: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Returns the first place of each distinct (trial, context), and which of them each item is."""
    first: list[int] = []
    known: dict[tuple[str, bytes], int] = {}
    places = []
    for i, trial in enumerate(trials):
        key = (trial, context[i].cpu().numpy().tobytes())
        if key not in known:
            known[key] = len(first)
            first.append(i)
        places.append(known[key])
    return first, places


def _latent_error(
    adapter: Adapter, video: Float[Tensor, "b t 3 h w"], context: int
) -> Float[Tensor, "b steps"]:
    """Mean absolute error of the latents foreseen, against the future encoded alone."""
    assert isinstance(adapter, Predicts)
    assert isinstance(adapter, Encodes)
    horizon, name = video.shape[1] - context, adapter.card.name
    foreseen = adapter.predict(video[:, :context].clone(), horizon)
    came = adapter.encode(video[:, context:].clone())
    for call, latents in (("predict", foreseen), ("encode", came)):
        checked_latents(name, call, latents, batch=len(video), frames=horizon)
    require_same_grid(name, foreseen, came)
    return (foreseen.tokens - came.tokens).abs().double().mean(dim=(2, 3, 4))


def _checked(
    card: AdapterCard, operator: str, found: object, batch: int, future: int
) -> Float64[np.ndarray, "b steps"]:
    steps = -(-future // card.temporal_stride)
    where = f"adapter {card.name!r}, call surprise(operator={operator!r})"
    if not isinstance(found, Tensor) or found.shape != (batch, steps):
        raise ContractError(
            f"{where}: wrong shape",
            seen=tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__,
            accepted=f"b steps = {(batch, steps)}: one value per future latent step",
            fix=f"worldbench check adapter={card.name}",
        )
    if not bool(torch.isfinite(found).all()):
        raise ContractError(
            f"{where}: values that are not finite",
            seen=f"{int((~torch.isfinite(found)).sum())} of {found.numel()} are NaN or infinite",
            accepted="finite floats",
            fix="check the weights, and the precision (bf16 and fp16 overflow: precision=fp32)",
        )
    values: Float64[np.ndarray, "b steps"] = found.double().cpu().numpy()
    return values
