"""No scorer without memory wins a shipped headline: those it was chosen by, and others."""

import math

import numpy as np
import pytest
from quad_bench import clips_of, part_of
from scipy.stats import norm

from worldbench.data.worlds.content import AFTER
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.quad_plans import QuadPlan
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
FULL = ("permanence_full", "consistency3d_full")
SETS_OF_QUADS = (*QUICK, *FULL)
ASKED = [(name, stride) for name in SETS_OF_QUADS for stride in (1, 2)]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def outcomes(data: WorldData, trial: Trial, stride: int) -> dict[str, float]:
    """How one quad comes out for every scorer, cut where an adapter of this stride would be."""
    at = int(trial.factors["stop"]) // stride * stride
    end = at + (min(data.frames, int(trial.factors["stop"]) + AFTER) - at) // stride * stride
    clips = quad_clips(clips_of(data, [trial]), Cut(at, end - at))
    found = scores(list(clips), at, {**FAMILY, **UNSEEN})
    return {name: outcome(surprises) for name, surprises in found.items()}


@pytest.mark.parametrize(("name", "stride"), ASKED)
def test_scorers_without_memory_are_at_a_half_on_a_headline(name: str, stride: int) -> None:
    suite, is_headline = SUITES[name.split("_")[0]]
    data = part_of(name, lambda quad: quad.condition == "occluded" and "/train-" not in quad.id)
    trials = [trial for trial in suite.trials(data) if is_headline(trial)]
    assert len(trials) == (24 if name in QUICK else 150)
    plan = SETS[name]
    assert isinstance(plan, QuadPlan)
    every = [(str(t.factors["violation"]), outcomes(data, t, stride)) for t in trials]
    groups = [{violation} for violation in {violation for violation, _ in every}]
    for group in [*groups, {violation for violation, _ in every}]:
        for scorer in FAMILY:
            off = sum(found[scorer] - 0.5 for violation, found in every if violation in group)
            assert abs(off) <= plan.tolerance, (group, scorer)
    # Of those that the choice never saw, none is farther off than the luckiest of so many coins.
    likely = float(norm.isf(0.01 / 2 / (len(UNSEEN) * len(SETS_OF_QUADS))))
    for scorer in UNSEEN:
        right = float(np.mean([found[scorer] for _, found in every]))
        assert abs(right - 0.5) <= likely * 0.5 / math.sqrt(len(every)), (scorer, right)
