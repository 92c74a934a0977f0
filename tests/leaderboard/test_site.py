"""What the pages of suites, models and the duel say, through what is rendered."""

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from html_page import Page
from media_files import add_media

from worldbench.errors import RecordError
from worldbench.leaderboard import build, render

FLOPS = {"unit": "GFLOP", "higher_is_better": False}


def page(records, path: str, media=None) -> str:
    """The one page whose path begins so."""
    pages = render(build(records), media).items()
    (found,) = (text.decode() for name, text in pages if name.startswith(f"site/{path}"))
    return found


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def quad_table(balances, operator="latent_error"):
    """Rows of quads whose impossible clips surprise by so much more than the possible ones."""
    scores = [1.0 if b > 0 else 0.0 if b < 0 else 0.5 for b in balances]
    count = len(scores)
    return {
        "trial": [f"q{i}" for i in range(count)],
        "cluster": [f"s{i}" for i in range(count)],
        "role": ["rollout"] * count,
        "operator": [operator] * count,
        "pair_accuracy": scores,
        **{name: [1.0] * count for name in ("mean_A", "mean_P")},
        **{name: [1.0 + b for b in balances] for name in ("mean_I1", "mean_I2")},
    }


@pytest.fixture
def rivals(tree, make_result):
    """The two schools on the same quads: the first is right more often."""
    gains = {"dit": [0.3] * 30 + [-0.1] * 4, "jepa": [0.2] * 8 + [0.0] * 2 + [-0.2] * 24}
    for (name, balances), family in zip(gains.items(), ("generative", "predictive"), strict=True):
        table = quad_table(balances)
        mean = sum(table["pair_accuracy"]) / len(balances)
        found = make_result("pair_accuracy", mean, 0.1, headline=True, n=34, clusters=34)
        card = tree.card(name, family=family, training_data="clips of the procedural worlds")
        tree.add(card, (found,), table, suite="permanence")
    return tree


def test_a_suite_is_explained_and_an_unknown_one_says_so(rivals, make_result):
    accuracy = make_result("x", 0.5, headline=True)
    rivals.add(rivals.card("dit"), (accuracy,), suite="colours")
    assert "keep an object in mind" in page(rivals.root, "suites/permanence")
    assert "comes from another package" in page(rivals.root, "suites/colours")


def test_trivial_scorers_on_what_counts_stand_first_with_their_distance(tree, make_result):
    asked = {"violation": "presence", "condition": "occluded"}
    metrics = [make_result("pair_accuracy", 0.7, headline=True, factors=asked)]
    for violation, value in (("colour", 0.9), ("presence", 0.54)):
        given = asked | {"violation": violation, "scorer": "mean_of_context"}
        metrics.append(make_result("trivial_accuracy", value, factors=given))
    tree.add(tree.card("dit"), tuple(metrics), suite="permanence")
    told = words(page(tree.root, "suites/permanence"))
    first, second = told.index("violation = presence: the questions"), told.index("does not count")
    assert first < second
    assert "At most 0.040 off one half" in told
    assert "mean of context 0.540" in told


def test_answers_are_counted_from_the_trial_table(rivals):
    told = words(page(rivals.root, "models/jepa-"))
    assert "surprised more: 8 of 34; tied 2; below 24" in told
    html = page(rivals.root, "models/jepa-")
    assert [html.count(f'<circle class="{kind}"') for kind in ("right", "tied", "wrong")] == [
        *(8, 2, 24)
    ]


def test_a_table_without_surprises_has_no_such_figure(records):
    assert "question by question" not in page(records, "models/linear_flow-")


def test_the_card_is_shown_whole(rivals):
    told = words(page(rivals.root, "models/dit-"))
    assert "Training data clips of the procedural worlds" in told
    assert "Licence not stated" in told


@pytest.mark.parametrize(
    ("stated", "data", "parameters", "flag"),
    [
        ("clips of the procedural worlds", "permanence_quick", 5, "same source"),
        ("Kinetics-400, train", "kinetics-400", 5, "same data"),
        ("Kinetics-400, train", "ucf101", 5, ""),
        ("MyUCF101x", "ucf101", 5, ""),
        (None, "ucf101", 5, "not stated"),
        (None, "ucf101", 0, ""),
    ],
)
def test_training_data_is_flagged_as_cards_state_it(
    tree, make_result, stated, data, parameters, flag
):
    card = tree.card("dit", training_data=stated, parameters=parameters)
    path = tree.add(card, (make_result("x", 1.0, headline=True),))
    record = json.loads(path.read_text())
    record["body"]["suite"]["data"]["name"] = data
    path.write_text(json.dumps(record))
    rows = page(tree.root, "index").split("<tbody>")[1].split("</tbody>")[0]
    assert re.findall(r'<a class="tag [^>]*>([^<]*)</a>', rows) == ([flag] if flag else [])


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
    assert "No models that differ in their seed alone were asked these questions" in told


def test_costs_are_shown_and_scores_drawn_against_them(rivals, make_result):
    assert "There is no record of the suite cost" in words(page(rivals.root, "models/dit-"))
    for name, cost in (("dit", 290.0), ("jepa", 38.0)):
        card = rivals.card(name, family="generative" if name == "dit" else "predictive")
        found = make_result("surprise_gflops", cost, None, **FLOPS)
        encode = make_result("encode_gflops", cost / 10, None, **FLOPS)
        skipped = make_result("predict_gflops", None, status="skipped", reason="no way", **FLOPS)
        rivals.add(card, (found, encode, skipped), suite="cost")
    assert "surprise_gflops (GFLOP) 290.0" in words(page(rivals.root, "models/dit-"))
    assert "no way" in page(rivals.root, "models/dit-")
    (figure,) = page(rivals.root, "duel").split('<figure class="frontier">')[1:]
    places = dict(re.findall(r"<title>(\w+): .*?<use href=\S+ x=\"([\d.]+)%", figure))
    assert float(places["jepa"]) < float(places["dit"])
    assert "surprise_gflops" in figure


def test_media_that_exist_are_embedded_with_words(rivals, tmp_path):
    media = tmp_path / "media"
    add_media(media, rivals.card("dit"), "a ball goes behind a screen")
    found = Page(page(rivals.root, "models/dit-", media))
    (video,) = found.all("video")
    assert {"controls", "muted", "playsinline"} <= video.keys()
    assert str(video["poster"]).endswith("/clip.jpg")
    assert "a ball goes behind" in str(video["aria-label"])
    (picture,) = found.all("img")
    assert picture["alt"] == "a ball goes behind a screen"
    assert Page(page(rivals.root, "models/jepa-", media)).all("video") == []


@pytest.mark.parametrize(
    "told",
    [
        "[",
        '{"clips": []}',
        '{"clips": [{"video": "a.mp4"}], "pictures": []}',
        '{"clips": [], "pictures": [{"file": "../x.svg", "title": "", "alternative": ""}]}',
    ],
)
def test_a_list_of_media_that_cannot_be_used_is_refused(rivals, tmp_path, told):
    folder = add_media(tmp_path / "media", rivals.card("dit"))
    (folder / "media.json").write_text(told)
    with pytest.raises(RecordError, match=r"media\.json cannot be used"):
        render(build(rivals.root), tmp_path / "media")


def test_the_same_records_give_the_same_bytes_wherever_they_lie(rivals, tmp_path):
    moved = tmp_path / "elsewhere" / "records"
    once = render(build(rivals.root))
    moved.parent.mkdir()
    rivals.root.rename(moved)
    assert render(build(moved)) == once


def test_names_that_differ_in_case_alone_have_pages_of_their_own(tree):
    for name in ("Model", "model"):
        tree.add(tree.card(name), status="failed", reason="x")
    models = [path for path in render(build(tree.root)) if "/models/" in path]
    assert len({path.lower() for path in models}) == 2
