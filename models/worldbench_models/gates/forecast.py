"""How far rollouts are from what came: error on moving pixels, energy score, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from worldbench.adapter import Adapter, Generates
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.still import CopyLast
from worldbench.answers import checked_rollout
from worldbench.batches import to_video
from worldbench.data.worlds.content import Tell
from worldbench.schema import seed_of
from worldbench_models.gates.clips import CONTEXT, MovingClips, moving_pixels
from worldbench_models.gates.gate import Direction, Gate, judged, unmeasured

ENOUGH_CLIPS = 200
_DRAWS, _LEVEL = 2000, 0.95

_Asked = dict[str, tuple[Any, int]]  # adapter and samples by name


@dataclass(frozen=True)
class Ratio:
    """A ratio of sums over clips, per future frame, with a bootstrap interval of whole clips."""

    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Forecast:
    """What was measured, all per future frame.

    Attributes:
        clips: How many.
        drawn: How many were drawn until so many qualified.
        samples: Rollouts per clip.
        moving: Share of pixels that move.
        error: Mean squared error of the mean of samples over moving pixels, [0, 1] squared, of
            ``model``, ``copy_last`` and ``linear_flow``.
        energy: Energy score of the same three, the mean over clips, in the norm of a whole frame.
        to_linear_flow: The model's error over linear_flow's.
        to_copy_last: The model's error over copy_last's.
    """

    clips: int
    drawn: int
    samples: int
    moving: tuple[float, ...]
    error: Mapping[str, tuple[float, ...]]
    energy: Mapping[str, tuple[float, ...]]
    to_linear_flow: Ratio
    to_copy_last: Ratio

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields."""
        return asdict(self)

    @property
    def energy_ratio(self) -> tuple[float, ...]:
        """The model's energy score over that of the better baseline."""
        baselines = zip(self.energy["copy_last"], self.energy["linear_flow"], strict=True)
        return tuple(
            model / min(pair) for model, pair in zip(self.energy["model"], baselines, strict=True)
        )


def squared_error(
    estimate: Float[Tensor, "b f 3 h w"],
    future: Float[Tensor, "b f 3 h w"],
    moving: Bool[Tensor, "b f h w"],
) -> Float64[np.ndarray, "b f"]:
    """Returns Σ (estimate − truth)² over the moving pixels and channels of each frame."""
    squared = (estimate.double() - future).square().sum(dim=2)
    return (squared * moving).sum(dim=(2, 3)).cpu().numpy()


def energy_score(
    samples: Float[Tensor, "b s f 3 h w"], future: Float[Tensor, "b f 3 h w"]
) -> Float64[np.ndarray, "b f"]:
    """Returns the energy score of each frame; lower is better, 0 only for certainty and truth.

    mean_i ‖s_i − x‖ − ½ mean_{i≠j} ‖s_i − s_j‖ over whole frames in [0, 1] (Gneiting & Raftery
    2007, JASA 102, eq. 21 negated; pairs i ≠ j alone, so that it is unbiased in the number of
    samples). One sample scores its distance.
    """
    draws = samples.double().flatten(3)
    score = (draws - future.double().flatten(2)[:, None]).norm(dim=-1).mean(dim=1)
    pairs = list(combinations(range(draws.shape[1]), 2))
    spread = torch.zeros_like(score)
    for i, j in pairs:
        spread += (draws[:, i] - draws[:, j]).norm(dim=-1)
    result: np.ndarray = (score - 0.5 * spread / max(len(pairs), 1)).cpu().numpy()
    return result


def ratio_of_sums(
    above: Float64[np.ndarray, "n f"], below: Float64[np.ndarray, "n f"], *, seed: int = 0
) -> Ratio:
    """Returns Σ above / Σ below per frame, with a 95 % percentile bootstrap over clips."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(above), np.full(len(above), 1 / len(above)), size=_DRAWS)
    drawn = (counts @ above) / np.maximum(counts @ below, np.finfo(np.float64).tiny)
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    value = above.sum(axis=0) / below.sum(axis=0)
    return Ratio(_tuple(value), _tuple(low), _tuple(high))


def measure_forecast(
    adapter: Adapter,
    clips: MovingClips,
    *,
    samples: int = 8,
    batch: int = 16,
    tell: Tell | None = None,
) -> Forecast:
    """Rolls every clip out and compares with what came, beside the two baselines.

    Args:
        adapter: Has ``generate``.
        clips: What to roll out.
        samples: Rollouts per clip; baselines give the same one each time and are asked once.
        batch: Clips at once.
        tell: Called with (clips done, clips in all).

    Raises:
        ContractError: If a rollout breaks the contract.
    """
    asked: _Asked = {"model": (adapter, samples), "copy_last": (CopyLast(), 1)}
    asked["linear_flow"] = (LinearFlow(), 1)
    error, energy = _compared(asked, clips, batch, tell)
    pixels = moving_pixels(clips.rgb).double()
    counted = 3 * pixels.sum(dim=(0, 2, 3)).cpu().numpy()
    return Forecast(
        clips=len(clips.names),
        drawn=clips.drawn,
        samples=samples,
        moving=_tuple(pixels.mean(dim=(0, 2, 3)).cpu().numpy()),
        error={name: _tuple(each.sum(axis=0) / counted) for name, each in error.items()},
        energy={name: _tuple(each.mean(axis=0)) for name, each in energy.items()},
        to_linear_flow=ratio_of_sums(error["model"], error["linear_flow"]),
        to_copy_last=ratio_of_sums(error["model"], error["copy_last"]),
    )


def _compared(
    asked: _Asked, clips: MovingClips, batch: int, tell: Tell | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns each one's squared errors and energy scores ``n f``."""
    error: dict[str, list[np.ndarray]] = {name: [] for name in asked}
    energy: dict[str, list[np.ndarray]] = {name: [] for name in asked}
    for start in range(0, len(clips.names), batch):
        rgb = clips.rgb[start : start + batch]
        video, moving = to_video(rgb), moving_pixels(rgb)
        future, seeds = video[:, CONTEXT:], seeds_of(clips.names[start : start + batch])
        for name, (model, count) in asked.items():
            rollout = rolled_out(model, video[:, :CONTEXT], future.shape[1], count, seeds)
            error[name].append(squared_error(rollout.mean(dim=1), future, moving))
            energy[name].append(energy_score(rollout, future))
        if tell is not None:
            tell(start + len(rgb), len(clips.names))
    return (
        {name: np.concatenate(parts) for name, parts in error.items()},
        {name: np.concatenate(parts) for name, parts in energy.items()},
    )


def seeds_of(names: Sequence[str]) -> list[int]:
    """Returns the seed of each clip, in [0, 2^60), derived from its id alone."""
    return [seed_of("gates", name) for name in names]


def rolled_out(
    adapter: Any,
    context: Float[Tensor, "b c 3 h w"],
    horizon: int,
    samples: int,
    seeds: Sequence[int],
) -> Float[Tensor, "b s t 3 h w"]:
    """Calls ``generate`` and holds its answer against the contract, on the context's device.

    Raises:
        ContractError: If the rollout breaks the contract.
    """
    assert isinstance(adapter, Generates)
    with torch.inference_mode():
        rollout = adapter.generate(context.clone(), horizon, samples=samples, seeds=seeds)
    return checked_rollout(
        adapter.card.name if isinstance(adapter, Adapter) else type(adapter).__name__,
        "generate",
        rollout,
        batch=len(context),
        samples=samples,
        horizon=horizon,
        size=(context.shape[-2], context.shape[-1]),
    ).to(context.device)


def forecast_gates(measured: Forecast) -> list[Gate]:
    """Returns the gates of a generator."""
    ratio, gates = measured.to_linear_flow, []
    for frame, when, bound in ((0, "first", 0.7), (-1, "last", 0.5)):
        gates.append(
            _gate(
                measured,
                f"error, {when} future frame",
                f"squared error of the mean of {measured.samples} samples over linear_flow's, "
                f"moving pixels of the {when} future frame",
                ratio.value[frame],
                "at most",
                bound,
                f"95 %: {ratio.low[frame]:.3f} to {ratio.high[frame]:.3f}",
            )
        )
    worst = max(measured.energy_ratio)
    gates.append(
        _gate(
            measured,
            "energy score, every frame",
            "energy score over that of the better of copy_last and linear_flow, at the worst frame",
            worst,
            "below",
            1.0,
            f"at future frame {measured.energy_ratio.index(worst) + 1}",
        )
    )
    return gates


def _gate(
    measured: Forecast,
    name: str,
    what: str,
    value: float,
    direction: Direction,
    bound: float,
    note: str,
) -> Gate:
    what = f"{what}; {measured.clips} clips with moving objects"
    if measured.clips < ENOUGH_CLIPS:
        few = f"only {measured.clips} clips, {ENOUGH_CLIPS} or more are wanted"
        return unmeasured(name, what, direction, bound, few, note=f"{value:.3f} on these; {note}")
    return judged(name, what, value, direction, bound, note=note)


def _tuple(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
