"""How well a predictor foresees its own latents, against what needs no foresight."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from worldbench.data.worlds.content import Tell
from worldbench_models.diagnostics import BASELINES, Skills, constants, joined, prediction_skill
from worldbench_models.gates.forecast import ratio_of_sums
from worldbench_models.gates.gate import Gate, judged, unmeasured
from worldbench_models.gates.latents import Foresees, HasLayers, batches, encoded, foreseen
from worldbench_models.patches import FRAMES, PATCH

CONTEXTS = (4, 8, 12)
"""Frames, of 16; the worst of them counts."""

SHOWN = tuple(range(PATCH[0], FRAMES, PATCH[0]))
"""All that leave a future: those in between are measured too, and open no gate."""

ENOUGH_CLIPS = 512


@dataclass(frozen=True)
class Skill:
    """1 − error over a baseline's error, with a bootstrap interval of whole clips, 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Foresight:
    """What was measured.

    Attributes:
        clips: Clips scored.
        fit: Other clips, on which the constant baselines were fitted.
        skill: By baseline (:data:`worldbench_models.diagnostics.BASELINES`) and frames of context;
            None where the baseline makes no error, as of latents that never differ.
        illegal: Contexts that the adapter does not take.
    """

    clips: int
    fit: int
    skill: Mapping[str, Mapping[str, Skill | None]]
    illegal: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields."""
        return asdict(self)

    def worst(self, baseline: str) -> tuple[str, Skill] | None:
        """Returns which of ``CONTEXTS`` has the lowest skill, and that; None if one has none."""
        found = [
            (at, each)
            for at in map(str, CONTEXTS)
            if (each := self.skill[baseline].get(at)) is not None
        ]
        return min(found, key=lambda one: one[1].value) if len(found) == len(CONTEXTS) else None


def measure_foresight(
    adapter: Foresees,
    clips: UInt8[Tensor, "n t h w 3"],
    *,
    batch: int = 16,
    tell: Callable[[str], Tell] | None = None,
) -> Foresight:
    """Lets the adapter predict, from the first frames of a clip, the latents of all that come.

    What came is encoded by itself, and so is the context whose last step is copied: at the last
    layer, where layers are named, in whose space predictors answer. The first half of the clips is
    scored, the constants are fitted to the same frames of the others.

    Args:
        adapter: Predicts and encodes.
        clips: At least two.
        batch: Clips at once.
        tell: Gives, for the name of a part, what is called with (clips done, clips in all).

    Raises:
        ContractError: If latents break the contract.
    """
    scored, fit = clips[: -(-len(clips) // 2)], clips[-(-len(clips) // 2) :]
    skill: dict[str, dict[str, Skill | None]] = {baseline: {} for baseline in BASELINES}
    for at in SHOWN:
        if adapter.card.legal_context(at):
            told = None if tell is None else tell(f"context of {at} frames")
            skills = _compared(adapter, scored, fit, at, batch, told)
            for baseline in BASELINES:
                skill[baseline][str(at)] = _skill(skills, baseline)
    illegal = tuple(at for at in CONTEXTS if not adapter.card.legal_context(at))
    return Foresight(len(scored), len(fit), skill, illegal)


def _compared(
    adapter: Foresees,
    scored: UInt8[Tensor, "n t h w 3"],
    fit: UInt8[Tensor, "m t h w 3"],
    at: int,
    batch: int,
    tell: Tell | None,
) -> Skills:
    layer = adapter.layers[-1] if isinstance(adapter, HasLayers) else None
    real = [encoded(adapter, part[:, at:], layer) for part in batches(fit, batch)]
    known, parts = constants(torch.cat(real)), []
    for part in batches(scored, batch, tell):
        context, came = part[:, :at], encoded(adapter, part[:, at:], layer)
        predicted = foreseen(adapter, context, part.shape[1] - at)
        last = encoded(adapter, context, layer)[:, -1]
        still = encoded(adapter, context[:, -1:].expand_as(part[:, at:]), layer)
        parts.append(prediction_skill(predicted, came, last, still, known))
    return joined(parts)


def _skill(skills: Skills, baseline: str) -> Skill | None:
    above = skills.prediction.cpu().numpy()[:, None]
    below = getattr(skills, baseline).cpu().numpy()[:, None]
    if not below.any():
        return None
    ratio = ratio_of_sums(above, below)
    return Skill(skills.against(baseline), 1 - ratio.high[0], 1 - ratio.low[0])


def foresight_gates(measured: Foresight) -> list[Gate]:
    """Returns the gates of a predictor's foresight."""
    shown = (("median", "each position's median"), ("still", "a still of the last frame"))
    found = [(told, measured.worst(name)) for name, told in shown]
    beside = "".join(f"; against {told} {one[1].value:.3f}" for told, one in found if one)
    return [
        _gate(measured, f"prediction skill against {name}", told, baseline, bound, beside)
        for name, told, baseline, bound in (
            ("the mean", "the mean of all latents", "mean", 0.5),
            ("a copy", "the last context step's latents", "copy", 0.4),
        )
    ]


def _gate(
    measured: Foresight, name: str, told: str, baseline: str, bound: float, beside: str
) -> Gate:
    at = ", ".join(map(str, CONTEXTS))
    what = (
        f"1 − L1 of predicted latents over that of {told}, at the worst context of {at} frames; "
        f"{measured.clips} held-out clips"
    )
    if measured.illegal:
        reason = f"the adapter takes no context of {', '.join(map(str, measured.illegal))} frames"
        return unmeasured(name, what, "at least", bound, reason)
    worst = measured.worst(baseline)
    if worst is None:
        return unmeasured(name, what, "at least", bound, "latents never differ from the baseline")
    context, skill = worst
    note = f"at context {context}; 95 %: {skill.low:.3f} to {skill.high:.3f}{beside}"
    if measured.clips < ENOUGH_CLIPS:
        few = f"only {measured.clips} clips, {ENOUGH_CLIPS} or more are wanted"
        return unmeasured(name, what, "at least", bound, few, note=f"{skill.value:.3f}, {note}")
    return judged(name, what, skill.value, "at least", bound, note=note)
