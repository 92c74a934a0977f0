"""Tables and numbers as Markdown shows them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table; no cell can leave its place, or be HTML."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    flat = " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("&", "&amp;").replace("<", "&lt;")


def flattened(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Returns nested settings as sorted pairs of dotted name and value."""
    rows: list[tuple[str, str]] = []
    for name, value in sorted(settings.items()):
        if isinstance(value, Mapping):
            rows += flattened(value, f"{above}{name}.")
        else:
            rows.append((f"{above}{name}", _plain(value)))
    return rows


def listed(values: Mapping[str, Any]) -> str:
    """Returns names with their values on one line, sorted."""
    return ", ".join(f"{name} {_plain(value)}" for name, value in sorted(values.items()))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def count(number: int | float) -> str:
    """Returns a whole number in groups of three."""
    return f"{number:,.0f}"


def flops(number: int | float) -> str:
    """Returns FLOPs with three digits, e.g. ``9.1 GFLOP``."""
    power = min(6, int(math.log10(number) // 3)) if number >= 1 else 0
    return f"{number / 1000.0**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}FLOP"


def duration(seconds: int | float) -> str:
    """Returns a time, e.g. ``1 h 2 min 3 s``."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    hours = f"{minutes // 60} h " if minutes >= 60 else ""
    return f"{hours}{minutes % 60} min {round(seconds) % 60} s"
