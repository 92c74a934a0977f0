"""What the pages of suites and models say, through what is rendered."""

import json
import re

import pytest
from html_page import Page
from media_files import add_media
from site_pages import page, words

from worldbench.errors import RecordError
from worldbench.leaderboard import build, render, write
from worldbench.leaderboard.site import addresses


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


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("model", "0123456789ab" + "0" * 52), ("model", "0123456789ab" + "1" * 52)),
        (("model", "a-0123456789"), ("model-a", "0123456789")),
    ],
)
def test_two_models_that_would_share_a_page_are_refused(tree, tmp_path, one, two):
    for name, revision in (one, two):
        tree.add(tree.card(name, revision=revision), status="failed", reason="x")
    with pytest.raises(RecordError, match="share the page models/model-") as caught:
        write(build(tree.root), tmp_path / "out")
    for name, revision in (one, two):
        assert f"{name}@{revision}" in str(caught.value.seen)
    assert not (tmp_path / "out").exists()


def test_two_suites_that_would_share_a_page_are_refused(tree):
    page = addresses.suite("Colours").removeprefix("suites/").removesuffix(".html")
    for suite in ("Colours", page):
        tree.add(tree.card("model"), status="failed", reason="x", suite=suite)
    with pytest.raises(RecordError, match=f"seen:     Colours and {page}"):
        render(build(tree.root))


def test_names_that_differ_in_case_alone_have_pages_of_their_own(tree):
    for name in ("Model", "model"):
        tree.add(tree.card(name), status="failed", reason="x")
    models = [path for path in render(build(tree.root)) if "/models/" in path]
    assert len({path.lower() for path in models}) == 2
