"""The pages of the documentation, and what stands in their fenced blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "worldbench" / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def commands(page: Path) -> list[str]:
    """Returns the lines of all shell blocks, continued ones in one."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", line).strip() for line in lines if line.strip()]


def files(page: Path) -> dict[str, str]:
    """Returns the contents of the files that a page shows: a block below its path and a colon."""
    found = re.findall(
        r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M
    )
    return dict(found)


def prose(page: Path) -> str:
    """Returns a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
