"""What a predictor's latents hold: how many directions, and where an object is and goes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.data.worlds.content import Tell
from worldbench.errors import UsageError
from worldbench_models.diagnostics import rank_me, spread
from worldbench_models.gates.gate import Gate, judged, unmeasured
from worldbench_models.gates.latents import HasLayers, Latent, batches, encoded
from worldbench_models.motion import MotionClips
from worldbench_models.patches import patchify_bytes
from worldbench_models.ridge import ridge_r2

ENOUGH_CLIPS, ENOUGH_MOTION = 1024, 512
RANK_RATIO, READ_MORE = 3.0, 0.3
PIXELS = "mean pixels"

_TESTED = 1 / 3  # of the motion clips
_FEWEST = 12  # motion clips: four to test on, two in the fold
_SHOWN = {"position": "position of one moving object", "velocity": "velocity of one moving object"}


@dataclass(frozen=True)
class Pooled:
    """Means over the tokens of clips, default layer.

    Attributes:
        clips: How many.
        rank: Their :func:`~worldbench_models.diagnostics.rank_me`.
        spread: Their :func:`~worldbench_models.diagnostics.spread`.
    """

    clips: int
    rank: float
    spread: float


@dataclass(frozen=True)
class Readout:
    """What ridge regression reads off the mean of a latent step's tokens, on clips not trained on.

    Attributes:
        r2: Mean of ``columns``.
        columns: R² of x and y.
        layer: The layer, of those there are the best on a fold of the training part; None if none
            was named.
        penalty: λ of each column, chosen there too.
    """

    r2: float
    columns: tuple[float, ...]
    layer: str | None
    penalty: tuple[float, ...]


@dataclass(frozen=True)
class Features:
    """What was measured, by who was asked: ``model``, ``twin``, and for readouts ``mean pixels``.

    Attributes:
        pooled: Rank and spread.
        motion_clips: Clips with one moving object, of which a third is tested on.
        readouts: By ``position`` or ``velocity``, then by who.
    """

    pooled: Mapping[str, Pooled]
    motion_clips: int
    readouts: Mapping[str, Mapping[str, Readout]]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields."""
        return asdict(self)


def measure_features(
    asked: Mapping[str, Latent],
    clips: UInt8[Tensor, "n t h w 3"],
    motion: MotionClips,
    *,
    batch: int = 16,
    tell: Callable[[str], Tell] | None = None,
) -> Features:
    """Encodes all clips whole and measures what their latents hold.

    Args:
        asked: Adapters by who they are: ``model``, and ``twin`` if there is one.
        clips: For the rank.
        motion: For the readouts.
        batch: Clips at once.
        tell: Gives, for the name of a part, what is called with (clips done, clips in all).

    Raises:
        ContractError: If latents break the contract.
        UsageError: If there are too few motion clips to fit to and to test on.
    """
    if len(motion.rgb) < _FEWEST:
        raise UsageError(
            "too few clips with one moving object to read anything off",
            seen=len(motion.rgb),
            accepted=f"{_FEWEST} or more; {ENOUGH_MOTION} open a gate",
            fix="--motion N",
        )
    pooled, layers = {}, {}
    for who, adapter in asked.items():
        told = None if tell is None else tell(f"{who}, encoded")
        parts = batches(clips, batch, told)
        together = torch.cat([encoded(adapter, part).mean(dim=(1, 2, 3)) for part in parts])
        pooled[who] = Pooled(len(clips), rank_me(together), spread(together))
        names = adapter.layers if isinstance(adapter, HasLayers) else (None,)
        layers[who] = {name: _by_step(adapter, motion.rgb, name, batch) for name in names}
    pixels = [patchify_bytes(part).mean(dim=(2, 3)) for part in batches(motion.rgb, batch)]
    layers[PIXELS] = {None: torch.cat(pixels)}
    readouts = {
        what: {who: read_out(by_layer, truth) for who, by_layer in layers.items()}
        for what, truth in (("position", motion.position), ("velocity", motion.velocity))
    }
    return Features(pooled, len(motion.rgb), readouts)


def _by_step(
    adapter: Latent, rgb: UInt8[Tensor, "n t h w 3"], layer: str | None, batch: int
) -> Float[Tensor, "n steps d"]:
    parts = batches(rgb, batch)
    return torch.cat([encoded(adapter, part, layer).mean(dim=(2, 3)) for part in parts])


def read_out(
    by_layer: Mapping[Any, Float[Tensor, "n steps d"]], truth: Float[Tensor, "n steps k"]
) -> Readout:
    """Reads the truth off features, at the layer from which a fold of the training part is read.

    Args:
        by_layer: Features by the layer's name.
        truth: Of each step; NaN where there is none.

    Raises:
        ValueError: If there are too few clips to fit to and to test on.
    """
    clips, steps = truth.shape[:2]
    cut = clips - math.ceil(_TESTED * clips)
    found = {
        layer: ridge_r2(
            features[:cut].flatten(0, 1),
            truth[:cut].flatten(0, 1),
            features[cut:].flatten(0, 1),
            truth[cut:].flatten(0, 1),
            group=steps,
        )
        for layer, features in by_layer.items()
    }
    layer = max(found, key=lambda name: _mean(found[name].held_r2))
    best = found[layer]
    return Readout(_mean(best.r2), best.r2, layer, best.penalty)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def feature_gates(measured: Features) -> list[Gate]:
    """Returns the gates of what latents hold."""
    readouts = [_readout_gate(measured, what) for what in measured.readouts]
    return [_rank_gate(measured.pooled), *readouts]


def _rank_gate(pooled: Mapping[str, Pooled]) -> Gate:
    model, twin = pooled["model"], pooled.get("twin")
    name = "RankMe of pooled latents"
    what = f"over its twin's; means over the tokens of {model.clips} held-out clips"
    if twin is None:
        note = f"{model.rank:.1f}"
        return unmeasured(name, what, "at least", RANK_RATIO, "no twin was asked", note=note)
    note = f"{model.rank:.1f}, the twin's {twin.rank:.1f}"
    if model.clips < ENOUGH_CLIPS:
        few = f"only {model.clips} clips, {ENOUGH_CLIPS} or more are wanted"
        return unmeasured(name, what, "at least", RANK_RATIO, few, note=note)
    if twin.rank == 0:
        return unmeasured(name, what, "at least", RANK_RATIO, "the twin's never differ", note=note)
    return judged(name, what, model.rank / twin.rank, "at least", RANK_RATIO, note=note)


def _readout_gate(measured: Features, quantity: str) -> Gate:
    by = measured.readouts[quantity]
    model, twin, pixels = by["model"], by.get("twin"), by[PIXELS]
    name = f"{quantity} read out"
    what = (
        f"R² of the {_SHOWN[quantity]}, mean of x and y, by ridge regression on the mean of a "
        f"latent step's tokens, {measured.motion_clips} clips; bound: the twin's + {READ_MORE:g}, "
        "and no less than from mean pixels"
    )
    at = "" if model.layer is None else f" at {model.layer}"
    note = f"x {model.columns[0]:.3f}, y {model.columns[1]:.3f}{at}; pixels {pixels.r2:.3f}"
    if twin is None:
        note = f"{model.r2:.3f}, {note}"
        return unmeasured(name, what, "at least", None, "no twin was asked", note=note)
    bound = max(twin.r2 + READ_MORE, pixels.r2)
    note = f"{note}, twin {twin.r2:.3f}"
    if measured.motion_clips < ENOUGH_MOTION:
        few = f"only {measured.motion_clips} clips, {ENOUGH_MOTION} or more are wanted"
        return unmeasured(name, what, "at least", bound, few, note=f"{model.r2:.3f}, {note}")
    return judged(name, what, model.r2, "at least", bound, note=note)
