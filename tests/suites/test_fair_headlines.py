"""No scorer without memory wins a shipped headline: those it was chosen by, and others."""

import math

import numpy as np
import pytest
from quad_bench import clips_of, part_of

from worldbench.data.worlds.content import AFTER
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.sets import SETS
from worldbench.schema import Trial
from worldbench.suites import consistency3d, permanence
from worldbench.suites.quad_trials import Cut, quad_clips
from worldbench.trivial_family import FAMILY, UNSEEN
from worldbench.trivial_scorers import outcome, scores

SUITES = {
    "permanence": (permanence.Permanence(), permanence.is_headline),
    "consistency3d": (consistency3d.Consistency3D(views=0), consistency3d.is_headline),
}
QUICK = ("permanence_quick", "consistency3d_quick")
FULL = [
    pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])
    for name in ("permanence_full", "consistency3d_full")
]


def outcomes(data: WorldData, trial: Trial, stride: int) -> dict[str, float]:
    """How one quad comes out for every scorer, cut where an adapter of this stride would be."""
    at = int(trial.factors["stop"]) // stride * stride
    end = at + (min(data.frames, int(trial.factors["stop"]) + AFTER) - at) // stride * stride
    clips = quad_clips(clips_of(data, [trial]), Cut(at, end - at))
    found = scores(list(clips), at, {**FAMILY, **UNSEEN})
    return {name: outcome(surprises) for name, surprises in found.items()}


@pytest.mark.parametrize("name", [*QUICK, *FULL])
def test_scorers_without_memory_are_at_a_half_on_a_headline(name: str) -> None:
    suite, is_headline = SUITES[name.split("_")[0]]
    data = part_of(name, lambda quad: quad.condition == "occluded" and "/train-" not in quad.id)
    trials = [trial for trial in suite.trials(data) if is_headline(trial)]
    assert len(trials) == (24 if name in QUICK else 150)
    off_by = SETS[name].tolerance  # type: ignore[attr-defined]
    for stride in (1, 2):
        every = [outcomes(data, trial, stride) for trial in trials]
        for violation in sorted({str(trial.factors["violation"]) for trial in trials}):
            of = [each for each, t in zip(every, trials, strict=True)
                  if t.factors["violation"] == violation]  # fmt: skip
            for scorer in FAMILY:
                assert abs(sum(each[scorer] - 0.5 for each in of)) <= off_by, (violation, scorer)
        for scorer in FAMILY:
            assert abs(sum(each[scorer] - 0.5 for each in every)) <= off_by, scorer
        # Of eighteen that the choice never saw, none is farther off than a coin might be.
        for scorer in UNSEEN:
            right = float(np.mean([each[scorer] for each in every]))
            assert abs(right - 0.5) <= 3 * 0.5 / math.sqrt(len(every)), (scorer, right)
