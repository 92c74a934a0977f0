"""Curves over a numeric factor: which there are, where they run, and what they say."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from worldbench.leaderboard import build, render
from worldbench.leaderboard.axes import Across, Up, spread
from worldbench.leaderboard.breakdowns import sweeps
from worldbench.leaderboard.curves import Curve, curves
from worldbench.leaderboard.strokes import COLOURS

HOSTILE = '"><script>alert(1)</script>'
ASKED = {"violation": "presence", "condition": "occluded"}


def html(records) -> str:
    """The pages of all suites, one after the other."""
    pages = render(build(records)).items()
    return "".join(page.decode() for path, page in pages if path.startswith("site/suites/"))


def curve_over(records, factor: str) -> Curve:
    (section,) = build(records).sections
    return next(curve for curve in curves(section) if f"by {factor} " in curve.heading)


def percent(text: str) -> float:
    return float(text.removesuffix("%"))


def test_breakdowns_that_differ_in_one_number_become_a_curve(permanence):
    (section,) = build(permanence).sections
    found = {sweep.factor: [level for level, _ in sweep.levels] for sweep in sweeps(section)}
    assert found == {"distractors": [0, 1, 2], "hidden": [4, 5, 6, 8, 10, 12]}


def test_levels_are_numbers_in_order_and_not_words_or_truths(tree, make_result):
    levels = [{"step": 10}, {"step": 9.5}, {"step": 2}, {"word": "1"}, {"word": "2"}]
    levels += [{"word": "3"}, {"moving": True}, {"moving": False}]
    metrics = tuple(make_result("m", 1.0, factors=factors) for factors in levels)
    tree.add(tree.card("model"), metrics)
    (sweep,) = sweeps(build(tree.root).sections[0])
    assert [level for level, _ in sweep.levels] == [2, 9.5, 10]


@pytest.mark.parametrize("measured", [1, 2])
def test_less_than_three_levels_with_a_number_are_no_curve(tree, make_result, measured):
    skipped = {"status": "skipped", "reason": "too long"}
    metrics = tuple(
        make_result("m", 1.0 if i < measured else None, factors={"step": i})
        if i < measured
        else make_result("m", None, factors={"step": i}, **skipped)
        for i in range(4)
    )
    tree.add(tree.card("model"), (*metrics, make_result("h", 1.0, headline=True)))
    assert "<figure class=" not in html(tree.root)


def test_schools_share_a_curve_by_the_operators_of_their_headlines(permanence):
    curve = curve_over(permanence, "hidden")
    assert {one.name: one.operator for one in curve.series} == {
        **{"dit": "denoising_error", "dit_random": "denoising_error"},
        **{"jepa": "latent_error", "jepa_random": "latent_error"},
        **dict.fromkeys(
            ("copy_last", "context_mean", "linear_flow", "real_future"), "sample_distance"
        ),
    }
    assert "operator" not in curve.detail


def test_a_second_operator_has_no_curve_and_a_table_line_of_its_own(tree, make_quads, make_result):
    second = tuple(
        make_result(
            "pair_accuracy", 0.6, factors=ASKED | {"operator": "sample_distance", "hidden": level}
        )
        for level in (4, 5, 6)
    )
    tree.add(tree.card("dit"), make_quads("dit", 0.9) + second)
    tree.add(tree.card("copy_last"), make_quads("copy_last", 0.0))
    (section,) = build(tree.root).sections
    assert [sweep.factor for sweep in sweeps(section)] == ["distractors", "hidden"]
    index = next(
        i
        for i, column in enumerate(section.breakdowns)
        if column.factors == ASKED | {"operator": "sample_distance", "hidden": 4}
    )
    # Where it is another adapter's own operator, the line tells that one's score beside.
    assert {row.adapter: row.details[index].value for row in section.rows} == {
        "dit": 0.6,
        "copy_last": 0.5,
    }


def test_points_stand_where_their_numbers_are(permanence):
    curve = curve_over(permanence, "hidden")
    dit = next(one for one in curve.series if one.name == "dit")
    xs, ys = [percent(p.x) for p in dit.points], [float(p.y) for p in dit.points]
    assert xs == sorted(xs)
    assert xs[3] - xs[2] == pytest.approx(2 * (xs[1] - xs[0]), abs=0.03)
    assert ys == sorted(ys)
    for point in dit.points:
        assert float(point.high) <= float(point.y) <= float(point.low)
    ceiling = next(y for y in curve.ys if y.kind == "ceiling")
    floor = next(y for y in curve.ys if y.kind == "floor")
    assert (floor.said, ceiling.said) == ("floor 0.5", "ceiling 1")
    assert float(ceiling.at) < ys[0] < ys[-1] < float(floor.at)
    assert re.search(r"hidden = 4: 0\.97\d? \[.*\], n = 88 in 44 clusters", dit.points[0].said)


def test_a_level_that_was_not_measured_breaks_the_line(permanence):
    curve = curve_over(permanence, "hidden")
    assert curve.gaps
    assert all((len(one.points), len(one.segments)) == (5, 3) for one in curve.series)
    assert not curve_over(permanence, "distractors").gaps


def test_adapters_of_one_level_stand_side_by_side(permanence):
    points = [one.points[0] for one in curve_over(permanence, "hidden").series]
    assert len({point.x for point in points}) == len(points)


@pytest.mark.parametrize("lines", [1, 2, 12])
def test_dodged_adapters_stay_on_the_drawing_and_off_the_next_level(lines):
    across = Across([4.0, 5.0, 6.0, 8.0, 9.0, 10.0, 11.0, 12.0], lines)
    places = [[across.at(level, line) for line in range(lines)] for level in range(8)]
    assert all(0 < x < 100 for level in places for x in level)
    assert all(max(a) < min(b) for a, b in pairwise(places))


def test_levels_of_very_uneven_steps_stand_on_a_logarithmic_axis():
    across = Across([0.01, 0.1, 1.0], 1)
    assert across.logarithmic
    assert across.at(1) == pytest.approx(50)
    assert not Across([0.0, 0.1, 1.0], 1).logarithmic


def test_labels_keep_their_order_and_distance_and_move_no_more_than_needed():
    for wanted, placed in (
        ([10.0, 100.0, 50.0], [10, 100, 50]),
        ([50.0, 50.0, 50.0], [30, 50, 70]),
        ([0.0, 0.0], [0, 20]),
        ([199.0, 200.0], [180, 200]),
    ):
        assert spread(wanted, 20.0, 0.0, 200.0) == placed


def test_an_axis_of_one_score_has_room():
    up = Up.around([0.0], (-1.0, 1.0), 0, 100)
    assert up.at(0.0) == pytest.approx(50)


def test_a_score_far_off_is_told_and_does_not_squash_the_others(tree, make_result):
    for name, value in (("dit", 0.6), ("copy_last", 0.0), ("dit_random", -40.0)):
        skills = [make_result("rollout_skill", value, factors={"hidden": i}) for i in range(3)]
        tree.add(tree.card(name), (*skills, make_result("h", 1.0, headline=True)))
    curve = curve_over(tree.root, "hidden")
    at = {one.name: (float(one.end), one.beyond) for one in curve.series}
    assert at["copy_last"][0] - at["dit"][0] > 50
    assert [said for _, said in at.values() if said] == ["↓ −40.00"]


def test_floors_and_twins_stay_in_the_background(permanence):
    strokes = {one.name: one.stroke for one in curve_over(permanence, "hidden").series}
    assert {name for name, stroke in strokes.items() if not stroke.muted} == {"dit", "jepa"}
    assert strokes["dit_random"].style == f"{strokes['dit'].style} twin"
    assert strokes["dit"].style != strokes["jepa"].style
    assert strokes["copy_last"].style == "k-floor"


def test_twelve_adapters_differ_by_colour_and_shape(tree, make_quads):
    for i in range(12):
        tree.add(tree.card(f"model{i}"), make_quads("dit", 0.9 - 0.03 * i))
    series = curve_over(tree.root, "hidden").series
    assert len({(one.stroke.style, one.stroke.shape) for one in series}) == 12
    places = sorted(one.place for one in series)
    assert min(b - a for a, b in pairwise(places)) >= 19.9


def test_revisions_of_one_adapter_are_told_apart(tree, make_quads):
    for version in (1, 2):
        tree.add(tree.card("dit", version), make_quads("dit", 0.9))
    assert len({one.name for one in curve_over(tree.root, "hidden").series}) == 2


def test_a_curve_says_what_it_shows_and_leads_to_the_numbers(permanence):
    text = html(permanence)
    labels = re.findall(r'<svg role="img"[^>]*aria-label="([^"]*)"', text)
    said = next(label for label in labels if "by hidden" in label)
    assert re.search(r"dit \(denoising_error\): 0\.97\d? at 4 to 0\.\d+ at 12", said)
    for target in re.findall(r'<a href="#(b-[^"]*)">', text):
        assert text.count(f'id="{target}"') == 1


def test_hostile_factors_stay_text(tree, make_result):
    metrics = tuple(
        make_result(HOSTILE, 1.0, unit=HOSTILE, factors={HOSTILE: i, "operator": HOSTILE})
        for i in range(3)
    )
    headline = make_result("h", 1.0, headline=True, factors={"operator": HOSTILE})
    tree.add(tree.card("model"), (*metrics, headline))
    text = html(tree.root)
    assert "<figure class=" in text
    assert text.count("<script>") == 1


def test_hostile_names_stay_text(permanence):
    board = build(permanence)
    (section,) = board.sections
    # No card accepts such a name; a page must not rely on that.
    rows = tuple(replace(row, adapter=HOSTILE, revision=HOSTILE) for row in section.rows)
    text = render(replace(board, sections=(replace(section, rows=rows),)))
    page = text["site/suites/permanence.html"].decode()
    assert "&lt;script&gt;" in page
    assert page.count("<script>") == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_lines_reach_a_contrast_of_three(permanence, scheme):
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    blocks = re.findall(r":root \{(.*?)\}", html(permanence), flags=re.DOTALL)
    plain, lines = (
        dict(re.findall(r"--(\w+): (#\w{6})", b)) for b in blocks[scheme == "dark" :: 2]
    )
    paper = luminance(plain["paper"])
    assert len(lines) == COLOURS
    for colour in lines.values():
        low, high = sorted((paper, luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_the_same_records_in_another_order_give_the_same_bytes(tree, tmp_path, make_quads):
    pages = []
    names = ("dit", "jepa", "copy_last", "dit_random")
    for turn, order in enumerate((names, names[::-1])):
        tree.root = tmp_path / f"turn{turn}"
        for name in order:
            tree.add(tree.card(name), make_quads(name, len(name) / 10))
        pages.append(render(build(tree.root)))
    assert pages[0] == pages[1]


def test_a_board_without_curves_carries_nothing_of_them(records):
    page = html(records)
    assert 'class="curve' not in page
    assert "--k0:" not in page
