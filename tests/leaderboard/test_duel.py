"""What the duel says of two checkpoints, through what is rendered."""

import re
from dataclasses import replace

import pytest
from site_pages import page, words

from worldbench.errors import RecordError
from worldbench.leaderboard import build, render


def test_the_duel_tests_pairs_and_speaks_of_checkpoints(rivals):
    told = words(page(rivals.root, "duel"))
    assert "dit against jepa" in told
    assert "pair_accuracy: A is better (p < 0.001)" in told
    assert "about these two checkpoints" in told
    assert "Whether generative or predictive models are better" in told
    assert "no cost record for both of them" in told
    assert "see the training-data flag of dit, jepa" in told


def test_without_two_schools_there_is_no_duel(tree):
    tree.measured("linear_flow")
    pages = render(build(tree.root))
    assert "site/duel.html" not in pages
    assert b"duel.html" not in pages["site/index.html"]


def test_any_two_adapters_of_the_two_schools_meet(tree, make_result):
    for name, family in (("sora", "generative"), ("ijepa", "predictive"), ("nova", "generative")):
        found = (make_result("x", 0.5, headline=True),)
        tree.add(tree.card(name, family=family), found)
    tree.add(tree.card("nova"), (make_result("x", 0.5, headline=True),), suite="another")
    assert "nova against ijepa" in words(page(tree.root, "duel"))


def add_seeds(rivals, make_result, values):
    seeds = replace(rivals, root=rivals.root.parent / "seeds" / "records")
    for seed, value in enumerate(values):
        found = make_result("pair_accuracy", value, 0.05, headline=True)
        seeds.add(seeds.card(f"dit-xs-{seed}"), (found,), suite="permanence")


@pytest.mark.parametrize(
    ("values", "open_"), [((0.6, 0.62, 0.64), False), ((0.2, 0.5, 0.95), True)]
)
def test_a_difference_is_held_against_the_spread_of_seeds(rivals, make_result, values, open_):
    add_seeds(rivals, make_result, values)
    told = words(page(rivals.root, "duel"))
    assert f"largest − smallest {max(values) - min(values):.2f}" in told
    assert ("another seed could turn this round" in told) == open_
    assert "the seeds beside are of dit-xs, which are other models" in told


def test_seeds_asked_otherwise_are_not_held_against_anything(rivals, make_result):
    rivals_protocol = dict(rivals.protocol)
    rivals.protocol = {"context": 99}
    add_seeds(rivals, make_result, (0.1, 0.9))
    rivals.protocol = rivals_protocol
    told = words(page(rivals.root, "duel"))
    assert "No models named as seeds of one model were asked these questions" in told


def test_two_records_of_one_seed_are_no_spread(rivals, make_result):
    add_seeds(rivals, make_result, (0.6, 0.62))
    seeds = replace(rivals, root=rivals.root.parent / "seeds" / "records")
    found = (make_result("pair_accuracy", 0.9, 0.05, headline=True),)
    again = seeds.add(seeds.card("dit-xs-1", version=2), found, suite="permanence")
    with pytest.raises(RecordError, match="two records stand for seed 1 of dit-xs") as caught:
        render(build(rivals.root))
    told = str(caught.value)
    first = seeds.card("dit-xs-1").revision[:12]
    assert str(again) in told
    assert f"dit-xs-1/{first}" in told
    assert f"revision {first}" in told
    assert f"revision {again.parent.parent.name}" in told
    assert "delete the one that is out of date" in told


def test_one_seed_may_answer_several_questions(rivals, make_result):
    protocol = rivals.protocol
    for asked in (protocol, {"context": 99}):
        rivals.protocol = asked
        add_seeds(rivals, make_result, (0.6, 0.62))
    rivals.protocol = protocol
    assert "Models named as seeds of one model" in words(page(rivals.root, "duel"))


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_a_side_without_scores_is_told_with_its_reason(rivals, make_result, status):
    rivals.add(
        rivals.card("dit", family="generative"),
        (make_result("accuracy", 0.9, headline=True),),
        suite="colours",
    )
    reason = "out of memory at batch 3"
    card = rivals.card("jepa", family="predictive")
    rivals.add(card, status=status, reason=reason, suite="colours")
    told = words(page(rivals.root, "duel")).split("What cannot be concluded")[1]
    assert re.search(
        rf"Who is better on colours@1 [^:]*: B \(jepa\) (was )?{status}: {reason}", told
    )
    assert "no metric there puts both on one scale" not in told


def test_a_score_that_a_side_skipped_is_told_with_its_reason(rivals, make_result):
    gaps = {"dit": {"value": 0.9}, "jepa": {"value": None, "reason": "no pixels"}}
    families = {"dit": "generative", "jepa": "predictive"}
    for name, gap in gaps.items():
        status = "ok" if name == "dit" else "skipped"
        found = make_result("sharpness", headline=True, status=status, **gap)
        rivals.add(rivals.card(name, family=families[name]), (found,), suite="colours")
    told = words(page(rivals.root, "duel")).split("What cannot be concluded")[1]
    assert "no metric there puts both on one scale; B (jepa) was skipped: no pixels." in told
