"""A pool's choice against brute force, and outcomes against the suite's own."""

from collections import Counter
from collections.abc import Iterable
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
from worldbench.trivial_family import FAMILY
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


VIOLATED = ["one"] * 3 + ["other"] * 2 + ["one"] * 2 + ["other"] * 3


def unevenness(came: np.ndarray, taken: Iterable[int]) -> float:
    """By how many quads the scorer that is farthest off a half is off, in any violation or all."""
    sums = [
        np.abs(
            sum(
                (came[at] - 0.5 for at in taken if one in (VIOLATED[at], "")),
                np.zeros(came.shape[1]),
            )
        )
        for one in ("one", "other", "")  # the last: all
    ]
    return float(np.max(sums))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tolerance", [0.5, 1.0])
def test_a_choice_is_found_where_there_is_one(seed: int, tolerance: float) -> None:
    came = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 1.0], size=(10, 4))
    every = (
        (*one, *other)
        for one in combinations(range(5), 2)
        for other in combinations(range(5, 10), 3)
    )
    possible = any(unevenness(came, each) <= tolerance for each in every)
    if not possible:
        with pytest.raises(DataError, match="even enough") as caught:
            balance.choose(GROUPS, came, COUNTS, within=VIOLATED, tolerance=tolerance)
        assert str(tolerance) in str(caught.value)
        return
    taken = balance.choose(GROUPS, came, COUNTS, within=VIOLATED, tolerance=tolerance)
    assert Counter(GROUPS[at] for at in taken) == COUNTS
    assert taken == sorted(taken)
    assert unevenness(came, taken) <= tolerance


def test_some_pools_have_a_choice_and_some_have_none() -> None:
    """Or the test above would prove little."""
    found = []
    for seed in range(8):
        came = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 1.0], size=(10, 4))
        try:
            balance.choose(GROUPS, came, COUNTS, within=VIOLATED, tolerance=0.5)
            found.append(True)
        except DataError:
            found.append(False)
    assert set(found) == {True, False}


def test_violations_are_balanced_each_by_itself() -> None:
    """One that is always right there and one that is always wrong here do not make a half."""
    came = np.array([[1.0]] * 5 + [[0.0]] * 5)
    within = ["one"] * 5 + ["other"] * 5
    counts = {"a": 2, "b": 2}
    taken = balance.choose(GROUPS, came, counts, within=["all"] * 10, tolerance=0.0)
    assert len(taken) == 4
    with pytest.raises(DataError, match="even enough"):
        balance.choose(GROUPS, came, counts, within=within, tolerance=0.5)


def test_a_pool_that_is_too_small_says_how_many_it_has() -> None:
    with pytest.raises(DataError, match="too few") as caught:
        balance.choose(
            GROUPS, np.full((10, 1), 0.5), {"a": 2, "b": 6}, within=VIOLATED, tolerance=0.0
        )
    assert "'b': 5" in str(caught.value)


@pytest.mark.parametrize("stride", balance.STRIDES)
def test_outcomes_are_those_that_the_suite_measures(quad: Quad, stride: int) -> None:
    pair = torch.from_numpy(np.stack(quad.videos)).permute(0, 1, 4, 2, 3).float() / 255
    at = quad.stop // stride * stride
    end = at + (min(24, quad.stop + AFTER) - at) // stride * stride
    asked = trivial_outcomes(quad_clips(pair, Cut(at, end - at)), at)
    which = balance.STRIDES.index(stride) * len(FAMILY)
    measured = dict(zip(FAMILY, balance.outcomes(quad)[which : which + len(FAMILY)], strict=True))
    assert {name: measured[name] for name in SCORERS} == {
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
    kind = "presence (steady)"
    plan = QuadPlan("pooled", "", {kind: 2}, pool={kind: 4}, tolerance=1.0, frames=24, fps=12.0)
    made = plan.make(2, lambda done, total: None)
    assert [quad.condition for quad in made.quads] == ["occluded", "visible"] * 2
    assert made.rejected[f"{kind}: not chosen from the pool"] == 2
    assert made.drawn[kind] >= 4
    assert plan.digest != QuadPlan("pooled", "", {kind: 2}, frames=24, fps=12.0).digest
