"""Questions about matched quads: which trials there are, how hard, and where each is cut.

A and its partner P are pixel-identical while something is out of sight; spliced there they give the
impossible I1 = A[:C] + P[C:] and I2 = P[:C] + A[C:] (design §8).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import ClipSource
from worldbench.data.worlds.content import AFTER, Content, QuadEntry
from worldbench.data.worlds.track import Track
from worldbench.errors import UsageError
from worldbench.schema import AdapterCard, Trial
from worldbench.suites.quad_sizes import fitted, is_resized
from worldbench.suites.surprise import last_context

LONG, SHORT = "long", 10
"""Frames hidden from which on a scene is of the ``long`` tier, whatever else it holds."""

CLIPS = ("A", "P", "I1", "I2")


@runtime_checkable
class QuadSource(ClipSource, Protocol):
    """A set of the worlds that holds matched quads and the truth of its clips."""

    @property
    def content(self) -> Content:
        """Clips and quads."""
        ...

    def track(self, clip_id: str) -> Track:
        """Returns the truth of a clip."""
        ...


@dataclass(frozen=True)
class Cut:
    """Where a quad is cut for one adapter.

    Attributes:
        context: Frames of context, within the run in which A and P are identical.
        horizon: Frames looked at after it: whole latent steps.
    """

    context: int
    horizon: int

    @property
    def end(self) -> int:
        """The frame after the last that is looked at."""
        return self.context + self.horizon


def quad_source(data: ClipSource, suite: str) -> QuadSource:
    """Returns the data as a source of quads.

    Raises:
        UsageError: If it holds none.
    """
    if isinstance(data, QuadSource) and data.content.quads:
        return data
    raise UsageError(
        f"suite {suite} asks about matched quads",
        seen=f"data={data.info.name}, which has none",
        accepted=f"data={suite}_quick or data={suite}_full",
        fix=f"data={suite}_quick",
    )


def entries_of(data: QuadSource) -> list[QuadEntry]:
    """Returns the quads both of whose clips are in the source, in the set's order.

    At another size than the set's own their runs are those of the pictures, and quads whose
    pictures have none are left out (:mod:`worldbench.suites.quad_sizes`).
    """
    return fitted(data, _listed(data))


def told_of_size(data: ClipSource) -> dict[str, Any]:
    """Returns, for the protocol, how many quads another size than the set's own has cost."""
    listed = _listed(data) if isinstance(data, QuadSource) else []
    if not isinstance(data, QuadSource) or not is_resized(data, listed):
        return {}
    return {"quads_lost_at_this_size": len(listed) - len(fitted(data, listed))}


def _listed(data: QuadSource) -> list[QuadEntry]:
    there = {clip.id for clip in data.clips()}
    return [entry for entry in data.content.quads if set(entry.clips) <= there]


def trial_of(entry: QuadEntry) -> Trial:
    """Makes a quad's trial; its factors tell violation, condition, tier and run."""
    factors = {
        **entry.factors,
        "violation": entry.violation,
        "condition": entry.condition,
        "tier": tier(entry.factors),
        "start": entry.start,
        "stop": entry.stop,
    }
    return Trial(entry.id, entry.cluster, entry.clips, factors)


def tier(factors: Any) -> str:
    """Returns how hard a scene is: ``easy``, ``hard`` or ``long``.

    ``long``: hidden for 10 frames or more. ``hard``: hidden for less, and two or more of: a moving
    or jittering camera, look-alikes in view, a second occluder, attributes that no training split
    has. ``easy``: the rest.
    """
    if int(factors.get("hidden", 0)) >= SHORT:
        return LONG
    hazards = (
        factors.get("camera", "still") != "still",
        bool(factors.get("lookalike")) and int(factors.get("distractors", 0)) > 0,
        int(factors.get("occluders", 1)) > 1,
        factors.get("distribution") == "out",
    )
    return "hard" if sum(hazards) >= 2 else "easy"


def cut_of(card: AdapterCard, trial: Trial, frames: int) -> Cut | None:
    """Returns where a trial is cut for an adapter; None where no legal context lies in the run.

    The context is the largest legal one in the run; nothing else is chosen. The future ends
    ``AFTER`` frames beyond the run, or less where a latent step would not be whole.
    """
    start, stop = int(trial.factors["start"]), int(trial.factors["stop"])
    context = last_context(card, start, stop, frames)
    if context is None:
        return None
    stride = card.temporal_stride
    horizon = (min(frames, stop + AFTER) - context) // stride * stride
    return Cut(context, horizon) if horizon > 0 else None


def no_context(card: AdapterCard, trial: Trial) -> str:
    """Says why :func:`cut_of` finds no place to cut a trial for an adapter."""
    start, stop = trial.factors["start"], trial.factors["stop"]
    return f"no context that is legal for {card.name} lies within [{start}, {stop}]"


def quad_clips(pair: Float[Tensor, "2 t 3 h w"], cut: Cut) -> Float[Tensor, "4 end 3 h w"]:
    """Returns A, P, I1 and I2 of a pair, up to the end of what is looked at."""
    a, p = pair[:, : cut.end]
    at = cut.context
    return torch.stack([a, p, torch.cat([a[:at], p[at:]]), torch.cat([p[:at], a[at:]])])


def first(ids: Sequence[str], count: int | None) -> frozenset[str]:
    """Returns the first ids in the order of their hash; all if the count is None."""
    return frozenset(sorted(ids, key=_hash)[:count])


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
