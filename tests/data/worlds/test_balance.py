"""A pool's choice against brute force, and outcomes against the suite's own."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch

from worldbench.data.worlds import balance, quads
from worldbench.data.worlds.content import AFTER
from worldbench.data.worlds.fairness import Unqualified
from worldbench.data.worlds.families import family
from worldbench.data.worlds.quad_plans import QuadPlan
from worldbench.data.worlds.quads import Quad
from worldbench.errors import DataError
from worldbench.suites.quad_scores import trivial_outcomes
from worldbench.suites.quad_trials import Cut, quad_clips
from worldbench.trivial_scorers import SCORERS

GROUPS = ["a"] * 5 + ["b"] * 5
COUNTS = {"a": 2, "b": 3}


@pytest.fixture(scope="module")
def quad() -> Quad:
    for spec in family("occluder_pass").specs(20, 0, frames=24, fps=12.0):
        try:
            return quads.make_quad(spec, "presence", soon=True)
        except Unqualified:
            continue
    raise AssertionError("no quad")


def cost(came: np.ndarray, taken: tuple[int, ...]) -> float:
    off = np.abs((came[list(taken)] - 0.5).sum(axis=0))
    return float(off.sum() + len(off) * off.max())


@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_is_more_even(seed: int) -> None:
    came = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 1.0], size=(10, 4))
    taken = balance.choose(GROUPS, came, COUNTS)
    assert Counter(GROUPS[at] for at in taken) == COUNTS
    every = (
        one + other for one in combinations(range(5), 2) for other in combinations(range(5, 10), 3)
    )
    assert cost(came, tuple(taken)) == pytest.approx(min(cost(came, each) for each in every))


def test_a_pool_that_is_too_small_says_how_many_it_has() -> None:
    with pytest.raises(DataError, match="too few") as caught:
        balance.choose(GROUPS, np.full((10, 1), 0.5), {"a": 2, "b": 6})
    assert "'b': 5" in str(caught.value)


@pytest.mark.parametrize("stride", balance.STRIDES)
def test_outcomes_are_those_that_the_suite_measures(quad: Quad, stride: int) -> None:
    pair = torch.from_numpy(np.stack(quad.videos)).permute(0, 1, 4, 2, 3).float() / 255
    at = quad.stop // stride * stride
    end = at + (min(24, quad.stop + AFTER) - at) // stride * stride
    asked = trivial_outcomes(quad_clips(pair, Cut(at, end - at)), at)
    which = balance.STRIDES.index(stride) * len(SCORERS)
    measured = balance.outcomes(quad)[which : which + len(SCORERS)]
    assert dict(zip(SCORERS, measured, strict=True)) == {
        name.removeprefix("trivial_"): value for name, value in asked.items()
    }


def test_a_difference_that_comes_too_late_is_refused(quad: Quad) -> None:
    early = quad.videos[0].copy(), quad.videos[1].copy()
    early[0][quad.stop : quad.stop + AFTER] = early[1][quad.stop : quad.stop + AFTER]
    with pytest.raises(Unqualified, match="after the run"):
        quads.require_difference(
            early[0][: quad.stop + AFTER], early[1][: quad.stop + AFTER], quad.start, quad.stop
        )


def test_plans_with_a_pool_keep_their_counts_and_say_what_they_left() -> None:
    plan = QuadPlan("pooled", "", {"presence (steady)": 2}, pool=2, frames=24, fps=12.0)
    made = plan.make(2, lambda done, total: None)
    assert [quad.condition for quad in made.quads] == ["occluded", "visible"] * 2
    assert made.rejected["presence (steady): not chosen from the pool"] == 2
    assert made.drawn["presence (steady)"] >= 4
    assert plan.digest != QuadPlan("pooled", "", {"presence (steady)": 2}, frames=24).digest
