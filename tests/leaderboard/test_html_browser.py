"""The pages in a real browser: quiet, inert, usable by keyboard, and never wider than a phone."""

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from media_files import add_media

from worldbench.leaderboard import build, write

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.browser

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FIRST_ADAPTER = "#board tbody tr:first-child th"
WIDTHS = (320, 360, 900, 1600)


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
def site(tree, tmp_path) -> Path:
    for name in ("copy_last", "linear_flow", "context_mean", "real_future"):
        tree.measured(name)
    long = tree.card("a" * 64, summary=HOSTILE, source="https://example.org/" + "x" * 200)
    tree.add(long, status="failed", reason=HOSTILE + "y" * 300)
    write(build(tree.root), tmp_path / "out")
    return tmp_path / "out" / "site"


@pytest.fixture
def curved(permanence, tree, make_quads, make_result, tmp_path) -> Path:
    """Curves of eleven adapters, one with the longest of names; costs, a duel, clips."""
    for name, able in (("a" * 64, 0.7), ("dit_m", 0.65), ("jepa_m", 0.6)):
        tree.add(tree.card(name), make_quads(name, able), suite="permanence")
    for name, family, cost in (("dit", "generative", 290.0), ("jepa", "predictive", 38.0)):
        found = make_result("surprise_gflops", cost, None, unit="GFLOP", higher_is_better=False)
        tree.add(tree.card(name, family=family), (found,), suite="cost")
    out = tmp_path / "out"
    add_media(out / "site" / "media", tree.card("dit", family="generative"), HOSTILE)
    write(build(permanence), out)
    return out / "site"


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


def kinds(site: Path) -> list[Path]:
    """One page of every kind, and of models one that was measured and one that failed."""
    names = ("dit", "copy_last", "a" * 64)
    models = [path for name in names for path in site.glob(f"models/{name}-*.html")]
    others = [path for path in pages(site) if path.parent.name != "models"]
    return [*others, *models]


def model(site: Path, name: str) -> Path:
    (found,) = site.glob(f"models/{name}-*.html")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["site", "curved"])
def test_pages_are_quiet_inert_and_never_wider_than_the_screen(browser, request, which, scheme):
    site = request.getfixturevalue(which)
    page = browser.new_page(color_scheme=scheme)
    said, asked, alerts = [], [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    page.route("**/*", lambda route: (asked.append(route.request.url), route.continue_()))
    for path in pages(site):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert all("media/" in str(i.get_attribute("src")) for i in page.locator("img").all())
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(252, 252, 251)", "dark": "rgb(18, 20, 22)"}[scheme]
    assert (said, alerts) == ([], [])
    outside = [url for url in asked if not url.startswith(("data:", site.as_uri()))]
    assert outside == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["site", "curved"])
def test_pages_pass_axe(browser, request, which, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    )
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    for path in kinds(request.getfixturevalue(which)):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = axe.Axe().run(page).response
        told = [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in found["violations"]]
        assert told == [], path
        assert any(rule["id"] == "color-contrast" for rule in found["passes"])
    page.close()


def test_columns_sort_by_keyboard_and_unmeasured_rows_stay_last(browser, site):
    page = browser.new_page()
    page.goto((site / "suites" / "video_distance.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    head = page.locator("table >> nth=0 >> th", has_text="psnr")
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
        said = page.inner_text("#said")
        assert "psnr (dB) ↑" in said
        assert said.endswith(f"higher is better, {expected}.")
        seen.append(page.locator("table >> nth=0 >> tbody tr:first-child th").inner_text())
        last = page.locator("table >> nth=0 >> tbody tr:last-child th").inner_text()
        assert last.startswith("aaaa")
    assert seen[0].startswith("real_future")
    assert seen[1].startswith("copy_last")
    page.close()


def shown(page) -> list[str]:
    rows = page.locator("#board tbody tr:visible th a")
    return sorted(rows.all_inner_texts())


def settled(page, count: int) -> list[str]:
    """Returns who is shown, once so many are: a form tells of its reset before it is done."""
    playwright.expect(page.locator("#count")).to_have_text(re.compile(f"{count} of "))
    return shown(page)


def test_the_board_is_filtered_by_keyboard(browser, site):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    everyone = shown(page)
    assert len(everyone) == 5
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "model":
            break
    page.keyboard.type("FLOW")
    assert settled(page, 1) == ["linear_flow"]
    assert page.inner_text("#count") == "1 of 5 adapters"
    for _ in range(4):
        page.keyboard.press("Backspace")
    assert settled(page, 5) == everyone
    page.keyboard.press("Tab")
    page.keyboard.press("o")  # of "oracle": a word typed slowly would be several choices
    assert settled(page, 1) == ["real_future"]
    page.keyboard.press("Home")
    assert settled(page, 5) == everyone
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert settled(page, 3) == sorted(set(everyone) - {"real_future", "copy_last"})
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert settled(page, 5) == everyone
    page.close()


def test_choosing_a_suite_hides_the_columns_of_others(browser, site, tree, make_result):
    accuracy = make_result("pair_accuracy", 0.75, 0.05, headline=True)
    tree.add(tree.card("linear_flow"), (accuracy,), suite="permanence")
    write(build(tree.root), site.parent)
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.select_option("[name=suite]", label="permanence")
    heads = page.locator("#board thead th:visible")
    (asked,) = (text for text in heads.all_inner_texts() if "@1" in text)
    assert asked.startswith("permanence@1")
    assert heads.count() == 3
    assert page.locator("#board tbody tr:first-child > :visible").count() == 3
    page.close()


def test_the_pages_read_the_same_without_scripts(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.locator(FIRST_ADAPTER).first.inner_text().startswith("context_mean")
    assert page.locator("th button:enabled").count() == 0
    assert not page.locator("#filters").is_visible()
    context.close()


def test_clips_play(browser, curved):
    page = browser.new_page()
    page.goto(model(curved, "dit").as_uri())
    video = page.locator("video")
    assert video.count() == 1
    assert video.get_attribute("controls") == ""
    # Resolves once a frame beyond the first half second was shown.
    plays = """v => v.play().then(() => new Promise(done => {
      const look = (_, frame) => frame.mediaTime > 0.5 ? done(frame.mediaTime)
        : v.requestVideoFrameCallback(look);
      v.requestVideoFrameCallback(look);
    }))"""
    assert video.evaluate(plays) > 0.5
    assert video.evaluate("v => [v.error, v.videoWidth > 0, v.duration > 0]") == [None, True, True]
    page.close()


def boxes(page, selector: str) -> list[dict[str, float]]:
    return [found.bounding_box() for found in page.locator(selector).all()]


def test_labels_of_a_curve_stand_beside_it_apart_and_below_it_on_a_phone(browser, curved):
    page = browser.new_page()
    page.goto((curved / "suites" / "permanence.html").as_uri())
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
    page.goto((curved / "suites" / "permanence.html").as_uri())
    point = page.locator(".curve >> nth=1 >> g g", has_text="dit (denoising_error), hidden = 12")
    point.scroll_into_view_if_needed()
    box = point.locator("use").bounding_box()
    under = "([x, y]) => document.elementFromPoint(x, y).closest('g').querySelector('title')"
    middle = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    assert "n = 24 in 12 clusters" in page.evaluate(f"{under}.textContent", middle)
    link = page.locator(".curve >> nth=1 >> a")
    table = page.locator(f"{link.get_attribute('href')} table")
    assert not table.is_visible()
    link.press("Enter")
    table.wait_for(state="visible")
    assert "hidden = 10" in table.inner_text()
    assert "skipped" in table.inner_text()
    page.close()
