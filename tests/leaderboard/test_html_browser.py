"""The page in a real browser: quiet, inert, usable by keyboard, and never wider than a phone."""

import shutil
from collections.abc import Iterator
from itertools import pairwise

import pytest

from worldbench.leaderboard import build, write

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.browser

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FIRST_ADAPTER = "table >> nth=1 >> tbody tr:first-child th"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the PATH")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def address(tree, tmp_path) -> str:
    for name in ("copy_last", "linear_flow", "context_mean", "real_future"):
        tree.measured(name)
    long = tree.card("a" * 64, summary=HOSTILE, source="https://example.org/" + "x" * 200)
    tree.add(long, status="failed", reason=HOSTILE + "y" * 300)
    write(build(tree.root), tmp_path / "out")
    return (tmp_path / "out" / "site" / "index.html").as_uri()


@pytest.fixture
def curved(permanence, tree, make_quads, tmp_path) -> str:
    """A page with curves of eleven adapters, of which one has the longest of names."""
    for name, able in (("a" * 64, 0.7), ("dit_m", 0.65), ("jepa_m", 0.6)):
        tree.add(tree.card(name), make_quads(name, able), suite="permanence")
    write(build(permanence), tmp_path / "out")
    return (tmp_path / "out" / "site" / "index.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("pages", ["address", "curved"])
def test_the_page_is_quiet_inert_and_never_wider_than_the_screen(browser, request, pages, scheme):
    address = request.getfixturevalue(pages)
    page = browser.new_page(color_scheme=scheme)
    said, asked, alerts = [], [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.goto(address)
    for width in (320, 360, 900, 1600):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 251)", "dark": "rgb(18, 20, 22)"}[scheme]
    assert page.locator("img").count() == 0
    assert (said, alerts) == ([], [])
    assert [url for url in asked if not url.startswith("data:")] == [address]
    page.close()


def test_columns_sort_by_keyboard_and_unmeasured_rows_stay_last(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    head = page.locator("table >> nth=1 >> th", has_text="psnr")
    for _ in range(60):
        page.keyboard.press("Tab")
        if head.evaluate("h => h.contains(document.activeElement)"):
            break
    assert head.evaluate("h => h.contains(document.activeElement)")
    assert head.evaluate("h => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert head.get_attribute("aria-sort") == "none"
    seen = []
    for expected in ("descending", "ascending"):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == expected
        assert f"Sorted by psnr (dB) ↑, higher is better, {expected}." in page.inner_text("#said")
        seen.append(page.locator(FIRST_ADAPTER).first.inner_text().split()[0])
        last = page.locator("table >> nth=1 >> tbody tr:last-child th").inner_text()
        assert last.startswith("aaaa")
    assert [name.removesuffix("ceiling").removesuffix("floor") for name in seen] == [
        "real_future",
        "copy_last",
    ]
    page.close()


def test_the_page_reads_the_same_without_scripts(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator(FIRST_ADAPTER).first.inner_text().startswith("real_future")
    assert page.locator("th button:enabled").count() == 0
    context.close()


def boxes(page, selector: str) -> list[dict[str, float]]:
    return [found.bounding_box() for found in page.locator(selector).all()]


def test_labels_of_a_curve_stand_beside_it_apart_and_below_it_on_a_phone(browser, curved):
    page = browser.new_page()
    page.goto(curved)
    for width, beside in ((1600, True), (700, True), (500, False), (320, False)):
        page.set_viewport_size({"width": width, "height": 900})
        plot = page.locator(".curve svg[role=img]").first.bounding_box()
        labels = sorted(boxes(page, ".curve:first-child .ends li"), key=lambda box: box["y"])
        assert len(labels) == 11
        for box in labels:
            assert (box["x"] > plot["x"] + plot["width"]) == beside
            assert (box["y"] >= plot["y"] + plot["height"]) != beside
            assert box["x"] + box["width"] <= width
        if beside:
            assert all(a["y"] + a["height"] <= b["y"] + 0.5 for a, b in pairwise(labels))
    page.close()


def test_a_point_tells_its_numbers_and_its_link_opens_the_table(browser, curved):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(curved)
    point = page.locator(".curve >> nth=1 >> g g", has_text="dit (denoising_error), hidden = 12")
    point.scroll_into_view_if_needed()
    box = point.locator("use").bounding_box()
    under = "([x, y]) => document.elementFromPoint(x, y).closest('g').querySelector('title')"
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert "n = 24 in 12 clusters" in page.evaluate(f"{under}.textContent", middle)
    table = page.locator("details .scroll table")
    assert not table.is_visible()
    page.locator(".curve >> nth=1 >> a").press("Enter")
    table.wait_for(state="visible")
    assert "hidden = 10" in table.inner_text()
    assert "skipped" in table.inner_text()
    page.close()
