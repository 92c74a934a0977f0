"""Controls beside the headline, and breakdowns that stay readable when there are many."""

import re

import pytest

from worldbench.leaderboard import build, render
from worldbench.leaderboard.breakdowns import groups


@pytest.fixture
def many(tree, make_quads, make_result):
    """Two schools with 60 breakdowns more, and one adapter that was skipped."""
    for name, operator in (("dit", "denoising_error"), ("jepa", "latent_error")):
        asked = {"condition": "occluded", "operator": operator}
        more = tuple(
            make_result("pair_accuracy", 0.7, factors=asked | {"violation": kind, "hidden": level})
            for kind in ("identity", "count", "speed")
            for level in range(23, 3, -1)
        )
        tree.add(tree.card(name), make_quads(name, 0.9) + more)
    tree.add(tree.card("clip_scorer"), status="skipped", reason="it can't be asked")
    return tree.root


def columns(records) -> dict[str, object]:
    return {column.name: column for column in build(records).sections[0].columns}


def test_headline_and_controls_are_columns_and_all_else_is_a_breakdown(permanence):
    (section,) = build(permanence).sections
    assert [column.label for column in section.columns] == [
        "pair_accuracy (condition = occluded, violation = presence)",
        "visible_control",
        "both_possible_control",
        "tied",
        "rollout_skill[own]",
    ]
    assert {row.adapter: row.cells[0].qualifier for row in section.rows if row.status == "ok"}[
        "jepa"
    ] == "operator = latent_error"
    assert {column.name for column in section.breakdowns} == {"pair_accuracy", "bag_accuracy"}


def test_controls_stand_on_their_scales(permanence):
    found = columns(permanence)
    ends = {
        name: (c.floor and c.floor.value, c.ceiling and c.ceiling.value)
        for name, c in found.items()
    }
    assert ends == {
        "pair_accuracy": (0.5, 1.0),
        "visible_control": (0.5, 1.0),
        "both_possible_control": (None, None),
        "tied": (None, None),
        "rollout_skill": (0.0, 1.0),
    }
    assert found["visible_control"].no_skill is None
    assert "control" in found["both_possible_control"].no_skill
    assert "control" in found["tied"].no_skill
    assert "it is a skill" in found["rollout_skill"].no_skill


def test_a_control_without_a_better_direction_says_where_it_should_be(permanence):
    files = {name: content.decode() for name, content in render(build(permanence)).items()}
    assert "both\\_possible\\_control → 0.5" in files["leaderboard.md"]
    page = files["site/suites/permanence.html"]
    assert "<span>both_possible_control <span" in page
    assert '<span class="vh">, should be 0.5</span>' in page
    assert re.search(r">should be 0\.5</text>", page)


def test_breakdowns_of_different_schools_share_a_line_that_tells_the_operator(permanence):
    (section,) = build(permanence).sections
    assert all("operator" not in column.factors for column in section.breakdowns)
    rows = {row.adapter: row for row in section.rows}
    assert rows["dit"].details[0].qualifier == "operator = denoising_error"
    assert rows["jepa"].details[0].qualifier == "operator = latent_error"


def test_an_operator_beside_the_same_metric_without_one_keeps_its_own_line(tree, make_result):
    factors = ({"scorer": "x"}, {"scorer": "x", "operator": "one"})
    rest = tuple(make_result("bag", 0.5, factors=given) for given in factors)
    headline = make_result("pair_accuracy", 0.7, headline=True, factors={"operator": "one"})
    tree.add(tree.card("model"), (headline, *rest))
    (section,) = build(tree.root).sections
    assert [dict(column.factors) for column in section.breakdowns] == list(factors)


def test_two_headlines_of_a_name_share_columns_across_operators(tree, make_result):
    for name, operator in (("dit", "denoising_error"), ("jepa", "latent_error")):
        scores = tuple(
            make_result(
                "pair_accuracy", 0.7, headline=True, factors={"violation": v, "operator": operator}
            )
            for v in ("presence", "identity")
        )
        tree.add(tree.card(name), scores)
    (section,) = build(tree.root).sections
    assert [column.label for column in section.columns] == [
        "pair_accuracy (violation = presence)",
        "pair_accuracy (violation = identity)",
    ]


def test_few_breakdowns_share_a_table_and_many_have_one_per_metric(permanence, many):
    # Both fixtures write to one tree: 60 lines more than the 14 of the quads.
    section = next(s for s in build(many).sections if s.suite == "video_distance")
    assert [(group.name, len(group.lines)) for group in groups(section)] == [
        ("pair_accuracy", 71),
        ("bag_accuracy", 3),
    ]
    few = next(s for s in build(permanence).sections if s.suite == "permanence")
    assert [(group.name, len(group.lines)) for group in groups(few)] == [("", 14)]


def test_lines_say_what_differs_and_numbers_run_upwards(many):
    (section,) = build(many).sections
    first, bags = groups(section)
    assert first.caption == "condition = occluded; higher is better"
    assert bags.caption == "higher is better"
    said = [line for line, _ in first.lines if "violation = count" in line]
    assert said == [f"hidden = {level}, violation = count" for level in range(4, 24)]
    assert all(
        section.breakdowns[i].factors.get("hidden") == int(line.split("= ")[1].split(",")[0])
        for line, i in first.lines
        if line.startswith("hidden")
    )


def test_who_was_skipped_is_told_once_per_table_and_not_in_every_line(many):
    files = {name: content.decode() for name, content in render(build(many)).items()}
    told = "Not in this table: clip_scorer (skipped: it can&#39;t be asked)."
    page = files["site/suites/video_distance.html"]
    assert page.count(told) == 2
    # The operator stands once in the head of an adapter's column, not in each of its cells.
    assert page.count("operator = latent_error</span></th>") == 1
    assert page.count("it can&#39;t be asked") < 12
    assert "<summary>Breakdowns of pair_accuracy (71)</summary>" in page
    text = files["leaderboard.md"]
    assert "<summary>Breakdowns of pair\\_accuracy (71)</summary>" in text
    assert "Not in this table: clip\\_scorer (skipped: it can't be asked)" in text
