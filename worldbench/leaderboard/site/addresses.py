"""Where pages lie below ``site/``: names of files that no record can choose freely."""

import re

from worldbench.leaderboard.board import Section
from worldbench.schema import digest

BOARD = "index.html"
DUEL = "duel.html"

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def slug(name: str) -> str:
    """Returns a name as part of a file name: as it is where that is safe on every system.

    Otherwise letters that are not safe become dashes and a digest keeps names apart, also those
    that differ in case alone.
    """
    if _SAFE.fullmatch(name):
        return name
    kept = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:40]
    return f"{kept or 'name'}-{digest(name)[:8]}"


def suite(name: str) -> str:
    """Returns the page of a suite, all its versions and data."""
    return f"suites/{slug(name)}.html"


def model(name: str, revision: str) -> str:
    """Returns the page of one revision of an adapter."""
    return f"models/{checkpoint(name, revision)}.html"


def checkpoint(name: str, revision: str) -> str:
    """Returns what one revision of an adapter is called in addresses."""
    return f"{slug(name)}-{slug(revision[:12])}"


def anchor(section: Section) -> str:
    """Returns the id of a section within its pages."""
    return f"s-{section.key[:12]}"
