import re
from html.parser import HTMLParser

import pytest

from worldbench.leaderboard import build, render

VOID = {"meta", "link", "br"}
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'"


class Page(HTMLParser):
    """Collects elements and fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def html(records) -> str:
    return render(build(records))["site/index.html"].decode()


def test_the_page_asks_for_nothing_and_forbids_it(records):
    page = Page(html(records))
    policy = next(m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'")
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "data"} and value
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert "url(" not in html(records)
    assert "@import" not in html(records)


def test_ids_are_unique_and_links_lead_somewhere(records):
    page = Page(html(records))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {str(a["href"])[1:] for a in page.all("a")} <= set(ids)


def test_hostile_text_stays_text(tree, make_result):
    tree.protocol = {HOSTILE: HOSTILE}
    tree.measured("copy_last")
    tree.add(tree.card("model", summary=HOSTILE, source=HOSTILE), status="failed", reason=HOSTILE)
    tree.add(tree.card("other"), (make_result("x", 1.0, unit=HOSTILE, headline=True),))
    page = Page(html(tree.root))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not any(name.startswith("on") for _, a in page.elements for name in a)


def test_every_scroll_region_can_be_focused_and_has_a_name(records):
    regions = [a for a in Page(html(records)).all("div") if a.get("role") == "region"]
    assert len(regions) >= 4
    assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)


def test_every_chart_says_its_numbers(records):
    charts = Page(html(records)).all("svg")
    assert len(charts) == 4
    assert all(chart["role"] == "img" for chart in charts)
    frechet = next(c for c in charts if str(c["aria-label"]).startswith("frechet"))
    assert "linear_flow 6.00 [5.70, 6.30]" in str(frechet["aria-label"])


def test_chart_positions_grow_with_the_score(records):
    text = html(records)
    figure = next(f for f in text.split("<figure>") if "psnr (dB) ↑<" in f)
    found = re.findall(r"<g><title>(\w+):.*?cx=\"([\d.]+)%\"", figure, flags=re.DOTALL)
    places = {name: float(x) for name, x in found}
    assert places["copy_last"] < places["context_mean"] < places["linear_flow"]
    assert places["linear_flow"] < places["real_future"] <= 98.0


def test_a_score_far_below_the_floor_does_not_squash_the_others(tree, make_result):
    for name, family, value in [
        *(("copy_last", "baseline", 16.0), ("real_future", "oracle", 0.0)),
        *(("good", "generative", 5.0), ("untrained", "generative", 500.0)),
    ]:
        given = make_result("frechet_inf", value, higher_is_better=False, headline=True)
        tree.add(tree.card(name, family=family), (given,))
    _, figure = html(tree.root).split("<figure>")
    found = re.findall(r"<g><title>(\w+):.*?cx=\"([\d.]+)%\"", figure, flags=re.DOTALL)
    places = {name: float(x) for name, x in found}
    assert places["good"] - places["real_future"] > 5
    assert "untrained" not in places
    assert re.search(r">500\S* →</text>", figure)


def test_floor_and_ceiling_are_labelled_in_words(records):
    text = html(records)
    assert '<span class="tag floor">floor</span>' in text
    assert '<span class="tag ceiling">ceiling</span>' in text


def test_unmeasured_cells_sort_last_and_say_why(records):
    text = html(records)
    assert re.search(
        r'<td data-sort=""><details class="failed"><summary>failed</summary>ran out', text
    )
    assert '<td data-sort="" class="none">not run</td>' in text


def test_a_section_without_scores_still_shows_its_records(tree):
    tree.add(tree.card("model"), status="failed", reason="no weights")
    text = html(tree.root)
    assert "no weights" in text
    assert "no headline metric" in text


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
