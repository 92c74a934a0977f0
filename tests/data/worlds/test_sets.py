"""Plans give the sets they promise, the same whatever the workers."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from worldbench.data.worlds.plans import LabelledPlan, MixturePlan
from worldbench.data.worlds.quad_plans import QUADS, QuadPlan
from worldbench.data.worlds.sets import SETS
from worldbench.data.worlds.spec import VERSION
from worldbench.errors import DataError
from worldbench.schema import digest


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


def test_a_mixture_has_its_splits() -> None:
    content = MixturePlan("m", "", "drop", {"train": 3, "test": 5}).make(1, quiet)
    assert Counter(clip.split for clip in content.clips) == {"train": 3, "test": 5}
    assert len({clip.track.digest for clip in content.clips}) == 8


@pytest.mark.parametrize("label", ["motion", "appearance", "combined"])
def test_labelled_sets_have_sixteen_even_classes(label: str) -> None:
    content = LabelledPlan("l", "", label, {"train": 2, "test": 1}).make(1, quiet)
    assert len(content.clips) == 48
    assert set(Counter((c.split, c.label) for c in content.clips).values()) == {1, 2}
    assert len({c.label for c in content.clips}) == 16
    for clip in content.clips[::5]:
        words = clip.label.split()
        told = " ".join(str(clip.factors[f]) for f in ("colour", "shape", "event"))
        assert all(word in told for word in words)


@pytest.mark.slow
def test_quads_come_with_their_controls_and_what_was_refused() -> None:
    plan = QuadPlan("q", "", {"presence (drop)": 4, "both_possible": 1}, {"truck": 2})
    content = plan.make(1, quiet)
    conditions = Counter(quad.condition for quad in content.quads)
    assert conditions == {"occluded": 4, "visible": 4, "both_possible": 1}
    assert len(content.clips) == 2 * 9 + 2
    known = {clip.id: clip for clip in content.clips}
    assert len(known) == len(content.clips)
    for quad in content.quads:
        assert {known[clip].cluster for clip in quad.clips} == {quad.cluster}
        assert quad.stop - quad.start >= 2
    assert sum(quad.factors["distribution"] == "out" for quad in content.quads) == 2
    assert content.drawn["presence (drop)"] == 4 + sum(
        n for why, n in content.rejected.items() if why.startswith("presence (drop):")
    )


@pytest.mark.slow
def test_workers_do_not_change_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldbench.data.worlds.simulation._WORTH_PROCESSES", 1)
    plan = QuadPlan("q", "", {"colour": 3, "slide (screen)": 2})
    assert plan.make(1, quiet).digest == plan.make(2, quiet).digest


def test_what_a_plan_does_without_leaves_its_digest_as_it_was() -> None:
    plan = QuadPlan("q", "a set", {"slide (screen)": 3}, {"dolly": 2}, 5)
    told = {name: getattr(plan, name) for name in ("name", "summary", "counts", "views", "seed")}
    assert plan.digest == digest(["quads", VERSION, told, QUADS])
    assert replace(plan, training={}, training_views={}, frames=16, fps=8.0, pool={}) == plan


@pytest.mark.parametrize(
    "changed",
    [
        {"training": {"presence (drop)": 1}},
        {"training_views": {"dolly": 1}},
        {"frames": 24},
        {"fps": 12.0},
        {"pool": {"slide (screen)": 6}},
        {"tolerance": 1.0},
    ],
)
def test_what_a_plan_does_with_is_in_its_digest(changed: dict[str, Any]) -> None:
    plan = QuadPlan("q", "a set", {"slide (screen)": 3}, {"dolly": 2}, 5)
    assert replace(plan, **changed).digest != plan.digest


def test_training_quads_are_a_split_of_their_own_without_controls() -> None:
    kinds = {"presence (drop)": 2, "presence (rebound)": 1}
    plan = QuadPlan("q", "", {"presence (drop)": 1}, training=kinds, frames=24, fps=12.0)
    content = plan.make(1, quiet)
    splits = {clip.id: clip.split for clip in content.clips}
    told = Counter((splits[quad.clips[0]], quad.condition) for quad in content.quads)
    assert told == {("test", "occluded"): 1, ("test", "visible"): 1, ("train", "occluded"): 3}
    for quad in content.quads:
        assert len({splits[clip] for clip in quad.clips}) == 1
        assert quad.factors["distribution"] == "in"
        assert quad.factors["hidden"] == quad.stop - quad.start or quad.condition == "visible"
    assert {(clip.track.frames, clip.track.spec.fps) for clip in content.clips} == {(24, 12.0)}
    by_split = {
        split: {clip.cluster for clip in content.clips if clip.split == split}
        for split in ("train", "test")
    }
    assert not by_split["train"] & by_split["test"]
    assert len(by_split["train"]) == 3
    assert len({clip.track.digest for clip in content.clips}) == len(content.clips)


@pytest.mark.parametrize("name", ["permanence_quick", "permanence_full"])
def test_sets_of_permanence_hold_scenes_to_fit_on(name: str) -> None:
    plan = SETS[name]
    assert isinstance(plan, QuadPlan)
    presence = {kind for kind in plan.counts if kind.startswith("presence")}
    assert set(plan.training) == presence
    assert (plan.frames, plan.fps) == (24, 12.0)


def test_plans_that_differ_have_different_digests() -> None:
    digests = {plan.digest for plan in SETS.values()}
    assert len(digests) == len(SETS)


def test_a_kind_that_never_makes_a_quad_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.data.worlds import quad_plans

    monkeypatch.setattr(quad_plans, "_REDRAWS", 3)
    monkeypatch.setitem(quad_plans.QUADS, "slide (screen)", ("hidden_piece", {"hide": "in_view"}))
    with pytest.raises(DataError, match="identical run too short"):
        QuadPlan("q", "", {"slide (screen)": 1}).make(1, quiet)


def test_the_sets_that_suites_and_the_demo_use_exist() -> None:
    assert {
        "worlds",
        "permanence_quick",
        "permanence_full",
        "consistency3d_quick",
        "consistency3d_full",
        "worlds_motion",
        "worlds_appearance",
        "worlds_combined",
    } <= set(SETS)
