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
from worldbench.trivial_scorers import outcome, scores

Group = TypeVar("Group", bound=Hashable)

STRIDES = (1, 2)
"""Temporal grids on which contexts end: of models of frames, and of two frames a step."""


def outcomes(quad: Quad) -> Float64[np.ndarray, " n"]:
    """Returns how a quad comes out, for every stride and trivial scorer.

    Each is 1 where the impossible clips surprise more, 0 where the possible ones do, ½ on a tie;
    after the latest context within the run, looking ``AFTER`` frames beyond it.
    """
    found: list[float] = []
    for stride in STRIDES:
        at = quad.stop // stride * stride
        end = at + (min(len(quad.videos[0]), quad.stop + AFTER) - at) // stride * stride
        clips = [torch.from_numpy(clip[:end].copy()) for clip in (*quad.videos, *quad.foils(at))]
        videos = [clip.permute(0, 3, 1, 2).float() / 255 for clip in clips]
        found += [outcome(each) for each in scores(videos, at).values()]
    return np.array(found)


def choose(
    groups: Sequence[Group], came: Float64[np.ndarray, "quads n"], counts: Mapping[Group, int]
) -> list[int]:
    """Chooses quads on which all scorers come out as near to ½ as they can at once.

    The scorer that is farthest off counts most, then the sum over all.

    Args:
        groups: Of each quad of the pool.
        came: Their :func:`outcomes`.
        counts: Quads to choose of every group.

    Returns:
        Which quads, in order.

    Raises:
        DataError: If the pool is too small.
    """
    there = {group: sum(group == each for each in groups) for group in counts}
    if short := {group: n for group, n in there.items() if n < counts[group]}:
        raise DataError(
            "the pool has too few quads to choose from",
            seen=f"{short}",
            accepted=f"at least {dict(counts)}",
            fix="raise the plan's pool",
        )
    quads, scorers = came.shape
    # Unknowns: whether each quad is taken, how far each scorer is off, how far the farthest is.
    off, eye, one = came.T - 0.5, np.eye(scorers), np.ones((scorers, 1))
    member = np.array([[group == each for each in groups] for group in counts], dtype=float)
    limits = [
        LinearConstraint(np.hstack([off, -eye, 0 * one]), -np.inf, 0),
        LinearConstraint(np.hstack([-off, -eye, 0 * one]), -np.inf, 0),
        LinearConstraint(np.hstack([0 * off, eye, -one]), -np.inf, 0),
        LinearConstraint(
            np.hstack([member, np.zeros((len(counts), scorers + 1))]),
            list(counts.values()),
            list(counts.values()),
        ),
    ]
    found = milp(
        np.concatenate([np.zeros(quads), np.ones(scorers), [float(scorers)]]),
        integrality=np.concatenate([np.ones(quads), np.zeros(scorers + 1)]),
        bounds=Bounds(0, np.concatenate([np.ones(quads), np.full(scorers + 1, np.inf)])),
        constraints=limits,
        options={"mip_rel_gap": 0.0, "time_limit": 120.0},
    )
    # Of an optimum that was not proved another machine may find another.
    if found.status != 0:
        raise DataError(
            "no best choice of quads found", seen=found.message, fix="change the plan's pool"
        )
    return [int(i) for i in np.flatnonzero(found.x[:quads] > 0.5)]
