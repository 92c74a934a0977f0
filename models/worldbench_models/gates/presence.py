"""Whether a model is more surprised when what is hidden comes out elsewhere, or not at all."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter, NoiseBank, Surprises
from worldbench.batches import to_video
from worldbench.data.worlds.content import Tell
from worldbench.data.worlds.quads import Quad
from worldbench.errors import ContractError
from worldbench.noise import TrialNoise
from worldbench.schema import AdapterCard
from worldbench.stats import pair_score
from worldbench.suites.surprise import last_context
from worldbench_models.gates.gate import Gate, judged, unmeasured
from worldbench_models.gates.operators import chosen_operator
from worldbench_models.gates.quads import MatchedQuad

ENOUGH_QUADS = 200


@runtime_checkable
class HasDenoisingCurve(Protocol):
    """An adapter that says how its surprise splits into noise levels."""

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels, in the curve's order."""
        ...

    def denoising_curve(
        self, video: Float[Tensor, "b t 3 h w"], context: int, noise: NoiseBank
    ) -> Float[Tensor, "b levels steps"]:
        """Returns the error at each level and future latent step."""
        ...


@dataclass(frozen=True)
class Accuracy:
    """How often both impossible clips of a quad together surprise more than both possible ones.

    Attributes:
        value: The share of quads, ties ½; None without quads.
        standard_error: Of the value; None with fewer than two quads.
        n: Quads scored.
        skipped: Quads in whose run the model has no legal context.
        levels: The value at each noise level alone, where the adapter tells it.
        ties: Quads whose sums tie; None where that was not written down.
    """

    value: float | None
    standard_error: float | None
    n: int
    skipped: int
    levels: dict[str, float] | None = None
    ties: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields."""
        return asdict(self)


def outcome(surprises: Float[np.ndarray, "4 steps"]) -> float:
    """Returns 1 if S(I1) + S(I2) > S(A) + S(P), ½ on a tie, else 0.

    S sums a clip's future steps; the rule is :func:`worldbench.stats.pair_score`'s.

    Args:
        surprises: Of A, P, I1 and I2.
    """
    return pair_score(impossible=surprises[2:], possible=surprises[:2])


def measure_presence(
    adapter: Adapter,
    quads: Sequence[MatchedQuad],
    condition: str,
    *,
    operator: str | None = None,
    batch: int = 16,
    device: str | torch.device = "cpu",
    tell: Tell | None = None,
) -> Accuracy:
    """Puts every quad to the adapter; all clips of a quad share noise.

    The context is the latest legal one inside the run, and the foils are spliced there.

    Args:
        adapter: Has ``surprise``.
        quads: What to ask.
        condition: ``occluded`` or ``visible``.
        operator: How surprise is measured; :func:`chosen_operator` if None.
        batch: Quads at once.
        device: Where the clips are put.
        tell: Called with (quads done, quads in all).

    Raises:
        UsageError: If the adapter has no such operator.
        ContractError: If surprises have the wrong shape or are not finite.
    """
    operator = chosen_operator(adapter.card, operator)
    by_context = _by_context(adapter.card, quads, condition)
    skipped = len(quads) - sum(map(len, by_context.values()))
    won: list[float] = []
    level_won: list[list[float]] = []
    for at, members in by_context.items():
        for first in range(0, len(members), batch):
            part = members[first : first + batch]
            total, curve = _ask(adapter, part, at, operator, torch.device(device))
            won += [outcome(one) for one in total]
            level_won += [[outcome(each) for each in one] for one in curve]
            if tell is not None:
                tell(len(won), len(quads) - skipped)
    return _accuracy(adapter, won, level_won, skipped)


def _by_context(
    card: AdapterCard, quads: Sequence[MatchedQuad], condition: str
) -> dict[int, list[tuple[str, Quad]]]:
    """Returns the quads that have a legal context by that context, the smallest first."""
    found: dict[int, list[tuple[str, Quad]]] = {}
    for each in quads:
        quad = each.condition(condition)
        at = last_context(card, quad.start, quad.stop, len(quad.videos[0]))
        if at is not None:
            found.setdefault(at, []).append((each.name, quad))
    return dict(sorted(found.items()))


def _ask(
    adapter: Adapter,
    part: Sequence[tuple[str, Quad]],
    at: int,
    operator: str,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns surprises ``q 4 steps`` of A, P, I1, I2, and by level ``q levels 4 steps``."""
    rgb = np.concatenate([np.stack([*quad.videos, *quad.foils(at)]) for _, quad in part])
    video = to_video(torch.from_numpy(rgb).to(device))
    noise = TrialNoise([name for name, _ in part for _ in range(4)], device)
    curve = np.empty((len(part), 0, 4, 0))
    assert isinstance(adapter, Surprises)
    with torch.inference_mode():
        total = _checked(
            adapter.surprise(video, at, operator=operator, noise=noise), len(video), "surprise"
        )
        if isinstance(adapter, HasDenoisingCurve):
            split = _checked(
                adapter.denoising_curve(video, at, noise), len(video), "denoising_curve"
            )
            curve = split.reshape(len(part), 4, *split.shape[1:]).swapaxes(1, 2)
    return total.reshape(len(part), 4, -1), curve


def _checked(values: Tensor, batch: int, call: str) -> np.ndarray:
    if len(values) != batch or values.dim() < 2 or not bool(torch.isfinite(values).all()):
        raise ContractError(
            f"call {call}: wrong shape, or values that are not finite",
            seen=tuple(values.shape),
            accepted=f"finite floats, {batch} items with their future steps last",
            fix="worldbench check adapter=…",
        )
    array: np.ndarray = values.double().cpu().numpy()
    return array


def _accuracy(
    adapter: Adapter, won: list[float], level_won: list[list[float]], skipped: int
) -> Accuracy:
    if not won:
        return Accuracy(None, None, 0, skipped, ties=0)
    error = float(np.std(won, ddof=1)) / math.sqrt(len(won)) if len(won) > 1 else None
    levels = None
    if isinstance(adapter, HasDenoisingCurve):
        means = np.mean(level_won, axis=0)
        levels = {f"{at:g}": float(mean) for at, mean in zip(adapter.levels, means, strict=True)}
    value = math.fsum(won) / len(won)
    return Accuracy(value, error, len(won), skipped, levels, won.count(0.5))


def presence_gates(model: dict[str, Accuracy], twin: dict[str, Accuracy] | None) -> list[Gate]:
    """Returns the gates of a model that is surprised, and of its twin.

    Args:
        model: Accuracy by condition.
        twin: The same of the model with random weights; None if it was not asked.
    """
    gates = [
        _one(f"presence, {condition}", f"quads, {how}", model[condition], bound)
        for condition, how, bound in (
            ("occluded", "target behind an occluder", 0.95),
            ("visible", "occluder removed", 0.98),
        )
    ]
    name = "presence of the twin"
    what = (
        "|accuracy − ½| of the random-init twin, occluded quads: there ½ is by construction, "
        "while in plain sight the change between frames tells; bound: 3 standard errors, a fair "
        "coin's at least"
    )
    if twin is None:
        return [*gates, unmeasured(name, what, "at most", None, "no twin was asked")]
    asked = twin["occluded"]
    few, note = _few(asked), _note(asked)
    if few or asked.value is None or asked.standard_error is None:
        return [*gates, unmeasured(name, what, "at most", None, few or "one quad", note=note)]
    if asked.ties == asked.n:
        note += f"; all {asked.n} quads tie: its estimate hardly depends on the context"
    # Outcomes that are all the same have no error of their own, and a bound of 0 judges nothing.
    away, bound = abs(asked.value - 0.5), 3 * max(asked.standard_error, fair_coin(asked.n))
    return [*gates, judged(name, what, away, "at most", bound, note=note)]


def fair_coin(n: int) -> float:
    """Returns the standard error of the share of heads in ``n`` throws of a fair coin."""
    return math.sqrt(0.25 / n)


def _one(name: str, what: str, measured: Accuracy, bound: float) -> Gate:
    few, note = _few(measured), _note(measured)
    if few or measured.value is None:
        return unmeasured(name, what, "at least", bound, few, note=note)
    return judged(name, what, measured.value, "at least", bound, note=note)


def _few(measured: Accuracy) -> str:
    enough = measured.n >= ENOUGH_QUADS
    return "" if enough else f"only {measured.n} quads, {ENOUGH_QUADS} or more are wanted"


def _note(measured: Accuracy) -> str:
    said = "none scored" if measured.value is None else f"accuracy {measured.value:.3f}"
    if measured.standard_error is not None:
        said += f" ± {measured.standard_error:.3f}"
    ties = "" if measured.ties is None else f"{measured.ties} ties, "
    return f"{said}, n = {measured.n}, {ties}{measured.skipped} skipped"
