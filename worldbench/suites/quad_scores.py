"""What one quad says: which clips surprised more, by the sum, by the maximum, one by one."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench import trivial_scorers
from worldbench.stats import pair_score
from worldbench.suites.quad_trials import CLIPS

PREFIXES = {"vanish": ("I1", "A"), "appear": ("I2", "P")}
"""Pairs of clips that share their context: the impossible one, the possible one."""


def outcomes(surprises: Float64[np.ndarray, "4 steps"]) -> dict[str, Any]:
    """Returns how a quad came out, by one operator.

    Args:
        surprises: Of A, P, I1 and I2, per future latent step.

    Returns:
        ``outcome``: 1 if both impossible clips together surprise more than both possible ones, ½ on
        a tie, else 0; ``outcome_max``: the same of each clip's largest step; ``vanish`` and
        ``appear``: of the two clips that share a context, whether the impossible one surprises
        more; ``mean_<clip>``: a clip's mean over steps.
    """
    clips = dict(zip(CLIPS, surprises, strict=True))
    most = surprises.max(axis=1)
    return {
        "outcome": pair_score(impossible=surprises[2:], possible=surprises[:2]),
        "outcome_max": pair_score(impossible=most[2:], possible=most[:2]),
        **{
            name: pair_score(impossible=clips[one], possible=clips[two])
            for name, (one, two) in PREFIXES.items()
        },
        **{f"mean_{name}": float(clips[name].mean()) for name in CLIPS},
    }


def trivial_outcomes(
    clips: Float[Tensor, "4 t 3 h w"], context: int, *, prefixes: bool = False
) -> dict[str, float]:
    """Returns how a quad comes out for every trivial scorer, as ``trivial_<scorer>``.

    Args:
        clips: A, P, I1 and I2.
        context: Frames of context.
        prefixes: Whether to add ``future_only_vanish`` and ``future_only_appear``: which clip of a
            shared prefix the change in the future alone finds odd.
    """
    scored = trivial_scorers.scores(list(clips.cpu()), context)
    found = {f"trivial_{name}": trivial_scorers.outcome(each) for name, each in scored.items()}
    if prefixes:
        change = dict(zip(CLIPS, scored[trivial_scorers.FUTURE_ONLY], strict=True))
        for name, (one, two) in PREFIXES.items():
            found[f"future_only_{name}"] = pair_score(
                impossible=np.array([change[one]]), possible=np.array([change[two]])
            )
    return found
