"""Pages are short, their links lead somewhere, and the numbers they tell are those of the code."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from doc_pages import DOCS, PAGES, ROOT, prose

_LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
_OPTION = re.compile(r"^\| `suite\.(\w+)` \| (\S.*?) \|", re.M)
_CONSTANT = re.compile(r"^\| `(len\()?([\w.]+)\.([A-Z][A-Z_]+)\)?` \| (\S.*?) \|", re.M)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    kept = (re.sub(r"[^\w\s-]", "", head.lower().replace("`", "")) for head in heads)
    return {head.strip().replace(" ", "-") for head in kept}


@every_page
def test_a_page_is_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 200
    assert lines[0].startswith("# ")


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    links = _LINK.findall(prose(page))
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert path.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(path), link


def test_the_index_names_every_page() -> None:
    named = {link.partition("#")[0] for link in _LINK.findall(prose(DOCS / "README.md"))}
    assert {page.name for page in PAGES} - {"README.md"} <= named


@every_page
def test_default_options_are_those_of_the_suite(page: Path) -> None:
    told = _OPTION.findall(prose(page))
    if not told:
        return
    defaults = yaml.safe_load((ROOT / "conf" / "suite" / f"{page.stem}.yaml").read_text())
    for option, value in told:
        assert yaml.safe_load(value) == defaults[option], option


@every_page
def test_constants_are_those_of_the_code(page: Path) -> None:
    for counted, module, name, value in _CONSTANT.findall(prose(page)):
        found: Any = getattr(importlib.import_module(module), name)
        assert (len(found) if counted else found) == ast.literal_eval(value), name


def test_protocol_pages_tell_numbers() -> None:
    for stem in ("permanence", "consistency3d", "video_distance", "probe", "intphys", "cost"):
        assert _OPTION.search(prose(DOCS / f"{stem}.md")), stem
    for stem in ("permanence", "consistency3d", "video_distance", "probe", "statistics"):
        assert _CONSTANT.search(prose(DOCS / f"{stem}.md")), stem
