"""Skills of means, and what is said where there is nothing to take a mean of."""

import numpy as np
import pytest

from worldbench.suites.means import mean_of, skill_between

SCENES = [f"scene{i}" for i in range(40)]


def around(mean: float, seed: int) -> np.ndarray:
    return mean + 0.1 * np.random.default_rng(seed).standard_normal(len(SCENES))


def test_a_skill_lies_between_floor_and_ceiling() -> None:
    told = skill_between(around(0.5, 0), around(0.2, 1), around(0.8, 2), SCENES, between="a copy")
    assert told["value"] == pytest.approx(0.5, abs=0.1)
    assert told["low"] < told["value"] < told["high"]
    assert (told["n"], told["clusters"]) == (40, 40)


def test_nobody_is_placed_above_a_real_future_that_is_worse_than_the_floor() -> None:
    told = skill_between(around(0.05, 0), around(0.7, 1), around(0.25, 2), SCENES, between="a copy")
    assert told["status"] == "skipped"
    assert "undefined between a copy and the real future: the ceiling (0.2" in told["reason"]
    assert "is worse than the floor (0." in told["reason"]


def test_what_was_not_asked_says_so_or_why() -> None:
    assert mean_of("score", [], lambda row: 1.0, {}).reason == "no trial of this kind was asked"
    why = "the real future of none of 3 views can be measured: too few matches"
    assert mean_of("score", [], lambda row: 1.0, {}, absent=why).reason == why
    rows = [{"cluster": "a"}]
    found = mean_of("score", rows, lambda row: None, {}, absent=why)
    assert (found.status, found.reason) == ("skipped", "no trial has such a value")
