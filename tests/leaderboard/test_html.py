import re

import pytest
from html_page import Page

from worldbench.leaderboard import build, render

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'"


def site(records) -> dict[str, str]:
    pages = render(build(records)).items()
    return {path: page.decode() for path, page in pages if path.endswith(".html")}


def html(records) -> str:
    return site(records)["site/index.html"]


def suite(records, name: str = "video_distance") -> str:
    return site(records)[f"site/suites/{name}.html"]


def test_there_is_a_page_per_suite_and_per_revision_of_a_model(tree):
    tree.measured("copy_last")
    tree.measured("linear_flow", 1)
    tree.measured("linear_flow", 2)
    paths = set(site(tree.root))
    assert {"site/index.html", "site/suites/video_distance.html"} <= paths
    assert sum("models/linear_flow-" in path for path in paths) == 2
    assert len(paths) == 5


def test_no_page_asks_for_anything_and_all_forbid_it(records):
    for path, text in site(records).items():
        page = Page(text)
        policy = next(
            m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
        )
        assert str(policy["content"]).startswith("default-src 'none'")
        addresses = [
            value
            for _, attributes in page.elements
            for name, value in attributes.items()
            if name in {"src", "href", "srcset", "action", "data", "poster"} and value
        ]
        assert not [a for a in addresses if re.match(r"(?!data:)[a-z]+:|//", a)], path
        assert "url(" not in text
        assert "@import" not in text


def test_ids_are_unique_and_links_lead_to_pages_and_places_that_exist(permanence, tree):
    tree.measured("copy_last")
    pages = {path: Page(text) for path, text in site(permanence).items()}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        folder = path.rpartition("/")[0]
        for link in page.all("a"):
            target, _, place = str(link["href"]).partition("#")
            parts = [*folder.split("/"), *target.split("/")]
            while ".." in parts:
                at = parts.index("..")
                del parts[at - 1 : at + 1]
            led = pages["/".join(parts)] if target else page
            assert not place or place in led.ids, (path, link)


def test_hostile_text_stays_text_on_every_page(tree, make_result):
    tree.protocol = {HOSTILE: HOSTILE}
    tree.measured("copy_last")
    card = tree.card("model", summary=HOSTILE, source=HOSTILE, training_data=HOSTILE)
    tree.add(card, status="failed", reason=HOSTILE)
    metrics = (
        make_result("x", 1.0, unit=HOSTILE, headline=True),
        make_result("trivial", 0.5, factors={"scorer": HOSTILE, HOSTILE: HOSTILE}),
    )
    tree.add(tree.card("other"), metrics)
    tree.add(tree.card("other"), metrics, suite='"><b onclick=x>Ü')  # no path separator
    pages = site(tree.root)
    assert len(pages) == 6
    for path, text in pages.items():
        assert re.fullmatch(r"site/[a-z0-9_/-]+\.html", path)
        page = Page(text)
        assert len(page.all("script")) == 1
        assert page.all("img") == []
        assert not any(name.startswith("on") for _, a in page.elements for name in a)


def test_every_scroll_region_can_be_focused_and_has_a_name_of_its_own(permanence):
    for path, text in site(permanence).items():
        regions = [a for a in Page(text).all("div") if a.get("role") == "region"]
        assert regions or "clip_scorer" in path  # which was never measured
        assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)
        names = [region["aria-label"] for region in regions]
        assert len(names) == len(set(names))


def test_every_chart_says_its_numbers(records):
    charts = [a for a in Page(suite(records)).all("svg") if a.get("role") == "img"]
    assert len(charts) == 3
    frechet = next(c for c in charts if str(c["aria-label"]).startswith("frechet"))
    assert "linear_flow 6.00 [5.70, 6.30]" in str(frechet["aria-label"])


def test_drawings_without_words_of_their_own_are_hidden_from_screen_readers(permanence):
    for text in site(permanence).values():
        for drawing in Page(text).all("svg"):
            assert drawing.get("aria-label") or "aria-hidden" in drawing or "clip" in str(drawing)


def test_chart_positions_grow_with_the_score(records):
    figure = next(f for f in suite(records).split("<figure>") if "psnr (dB) ↑<" in f)
    found = re.findall(r"<g><title>(\w+):.*?cx=\"([\d.]+)%\"", figure, flags=re.DOTALL)
    places = {name: float(x) for name, x in found}
    assert places["copy_last"] < places["context_mean"] < places["linear_flow"]
    assert places["linear_flow"] < places["real_future"] <= 98.0


def test_a_cell_of_the_board_shows_dot_whisker_floor_and_ceiling_in_order(records):
    row = next(r for r in html(records).split("<tr") if "linear_flow-" in r and "strip" in r)

    def at(pattern: str) -> float:
        found = re.search(pattern, row)
        assert found is not None
        return float(found[1])

    dot = at(r'class="dot" cx="([\d.]+)%"')
    low, high = (
        at(r'class="whisker" x1="([\d.]+)%"'),
        at(r'class="whisker" x1="[^"]+" x2="([\d.]+)%"'),
    )
    floor, ceiling = at(r'floor-line" x1="([\d.]+)%"'), at(r'ceiling-line" x1="([\d.]+)%"')
    # The smaller the distance the better, so that the ceiling stands on the left.
    assert ceiling < low < dot < high < floor


def test_a_score_far_below_the_floor_does_not_squash_the_others(tree, make_result):
    for name, family, value in [
        *(("copy_last", "baseline", 16.0), ("real_future", "oracle", 0.0)),
        *(("good", "generative", 5.0), ("untrained", "generative", 500.0)),
    ]:
        given = make_result("frechet_inf", value, higher_is_better=False, headline=True)
        tree.add(tree.card(name, family=family), (given,))
    _, figure = suite(tree.root).split("<figure>")
    drawn, _ = figure.split("</figure>", 1)
    found = re.findall(r"<g><title>(\w+):.*?cx=\"([\d.]+)%\"", drawn, flags=re.DOTALL)
    places = {name: float(x) for name, x in found}
    assert places["good"] - places["real_future"] > 5
    assert "untrained" not in places
    assert re.search(r">500\S* →</text>", figure)


def test_floor_and_ceiling_are_labelled_in_words(records):
    text = html(records)
    assert '<span class="tag floor">floor</span>' in text
    assert '<span class="tag ceiling">ceiling</span>' in text
    assert "Copy" not in re.findall(r'<p class="legend">.*?</p>', text, flags=re.DOTALL)[0]


def test_unmeasured_cells_sort_last_and_say_why(records):
    text = html(records)
    assert re.search(
        r'<td data-sort=""[^>]*><details class="failed"><summary>failed</summary>ran out', text
    )
    assert re.search(r'<td data-sort="" class="none[^"]*">not run</td>', text)


def test_reasons_for_empty_cells_are_gathered_on_the_board(records):
    _, reasons = html(records).split("Why cells are empty", 1)
    assert "<dt>ran out of memory at batch 3</dt><dd>broken_dit on video_distance@1" in reasons


def test_a_section_without_scores_still_shows_its_records(tree):
    tree.add(tree.card("model"), status="failed", reason="no weights")
    assert "no weights" in html(tree.root)
    assert "no headline metric" in html(tree.root)
    assert "no weights" in suite(tree.root)


def test_a_suite_without_a_headline_has_a_page_and_no_column(records, tree, make_result):
    tree.add(tree.card("linear_flow"), (make_result("hue", 0.5, None),), suite="colours")
    heads = re.findall(r"<th scope=\"col\".*?</th>", html(records), flags=re.DOTALL)
    assert not any("colours" in head for head in heads)
    assert 'href="suites/colours.html' in html(records)
    assert "hue" in suite(records, "colours")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_colours_reach_a_contrast_of_four_and_a_half(records, scheme):
    blocks = re.findall(r":root \{(.*?)\}", html(records), flags=re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", blocks[scheme == "dark"]))

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = luminance(colours["paper"])
    for name in ("ink", "quiet", "accent", "floor", "ceiling", "bad"):
        low, high = sorted((paper, luminance(colours[name])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, name
