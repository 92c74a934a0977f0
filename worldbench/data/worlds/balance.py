"""Which quads of a pool leave nothing to scorers without memory (design §8).

The splices of one quad balance frames, transitions and futures. What is left is whether the context
as a bag of frames looks more like what comes or like what does not, and every motion has its own
habit there: a rebounding target comes out where its partner went, a steady one does not. A pool is
drawn, and of it those quads are kept on which every trivial scorer is right as often as wrong.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import Bounds, LinearConstraint, milp

from worldbench.data.worlds.content import AFTER
from worldbench.data.worlds.quads import Quad
from worldbench.errors import DataError
from worldbench.trivial_family import FAMILY
from worldbench.trivial_scorers import Scorer, outcome, scores

Group = TypeVar("Group", bound=Hashable)

STRIDES = (1, 2)
"""Temporal grids on which contexts end: of models of frames, and of two frames a step."""


def outcomes(quad: Quad, scorers: Mapping[str, Scorer] = FAMILY) -> Float64[np.ndarray, " n"]:
    """Returns how a quad comes out, for every stride and scorer.

    Each is 1 where the impossible clips surprise more, 0 where the possible ones do, ½ on a tie;
    after the latest context within the run, looking ``AFTER`` frames beyond it.
    """
    found: list[float] = []
    for stride in STRIDES:
        at = quad.stop // stride * stride
        end = at + (min(len(quad.videos[0]), quad.stop + AFTER) - at) // stride * stride
        clips = [torch.from_numpy(clip[:end].copy()) for clip in (*quad.videos, *quad.foils(at))]
        videos = [clip.permute(0, 3, 1, 2).float() / 255 for clip in clips]
        found += [outcome(each) for each in scores(videos, at, scorers).values()]
    return np.array(found)


def choose(
    groups: Sequence[Group],
    came: Float64[np.ndarray, "quads n"],
    counts: Mapping[Group, int],
    *,
    within: Sequence[Hashable],
    tolerance: float,
) -> list[int]:
    """Chooses quads of which every scorer is right on a half, in each violation and over all.

    Args:
        groups: Of each quad of the pool.
        came: Their :func:`outcomes`.
        counts: Quads to choose of every group.
        within: What each quad violates.
        tolerance: By how many quads a scorer may be off, in each violation and over all.

    Returns:
        Which quads, in order.

    Raises:
        DataError: If the pool is too small, or no choice is as even as that.
    """
    there = {group: sum(group == each for each in groups) for group in counts}
    if short := {group: n for group, n in there.items() if n < counts[group]}:
        raise DataError(
            "the pool has too few quads to choose from",
            seen=f"{short}",
            accepted=f"at least {dict(counts)}",
            fix="raise the plan's pool",
        )
    member = np.array([[group == each for each in groups] for group in counts], dtype=float)
    of = [np.array([each == one for each in within]) for one in dict.fromkeys(within)]
    of.append(np.ones(len(came), dtype=bool))
    off = np.vstack([((came - 0.5) * mask[:, None]).T for mask in of])
    off = np.unique(off[np.abs(off).any(axis=1)], axis=0)  # many scorers agree on every quad
    limits = [LinearConstraint(member, list(counts.values()), list(counts.values()))]
    if len(off):
        limits.append(LinearConstraint(off, -tolerance, tolerance))
    # Any choice within the tolerance will do: the search ends at the first, always the same.
    found = milp(
        np.zeros(len(came)),
        integrality=np.ones(len(came), dtype=np.int64),
        bounds=Bounds(0, 1),
        constraints=limits,
    )
    if found.status != 0:
        raise DataError(
            "no choice of quads is even enough",
            seen=f"tolerance {tolerance}; {found.message}",
            accepted="a pool of which some choice is",
            fix="raise the plan's pool or tolerance",
        )
    return [int(i) for i in np.flatnonzero(found.x > 0.5)]
