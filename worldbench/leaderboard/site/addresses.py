"""Where pages lie below ``site/``: names of files that no record can choose freely."""

import re
from collections.abc import Iterable

from worldbench.errors import RecordError
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


def refuse_shared(pages: Iterable[tuple[str, str]]) -> None:
    """Refuses two suites or adapters on one page, where one would stand for the other.

    Args:
        pages: The address of each page, and whose it is.

    Raises:
        RecordError: Naming both.
    """
    owners: dict[str, str] = {}
    for address, owner in pages:
        if owners.setdefault(address, owner) != owner:
            raise RecordError(
                f"two share the page {address}",
                seen=f"{owners[address]} and {owner}",
                accepted="names, and first 12 characters of revisions, that tell them apart",
                fix="delete the records of the one that does not belong here",
            )


def anchor(section: Section) -> str:
    """Returns the id of a section within its pages."""
    return f"s-{section.key[:12]}"
