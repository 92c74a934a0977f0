"""Whether a model may have been trained on what it is asked about, as far as its card tells.

A record names the data of its questions and holds the card of the adapter. Neither holds training
clips, so nothing here proves that two sets share none: the flag says what is stated.
"""

import re
from dataclasses import dataclass
from typing import Literal

from worldbench.leaderboard.board import Section
from worldbench.schema import AdapterCard

Kind = Literal["", "same source", "same data", "not stated"]

_WORLDS = re.compile(r"(worlds|permanence|consistency3d)([_-]\w+)*")
"""Names of the sets that worldbench simulates."""


@dataclass(frozen=True)
class Exposure:
    """A flag, empty where the card gives no cause for one, and the sentence behind it."""

    kind: Kind
    said: str


def exposure(card: AdapterCard, section: Section) -> Exposure:
    """Compares the training data that a card states with the data of a section."""
    if card.family == "oracle" or card.parameters == 0:
        return Exposure("", "It has no parameters, so it was trained on nothing.")
    stated, data = card.training_data, section.data.name
    if not stated:
        return Exposure("not stated", "Its card states no training data.")
    if _WORLDS.fullmatch(data) and "procedural worlds" in stated.lower():
        return Exposure(
            "same source",
            "By its card it was trained on the generator that made these clips, the procedural "
            "worlds. Splits of those differ by seed.",
        )
    if re.search(rf"(?<!\w){re.escape(data.lower())}(?!\w)", stated.lower()):
        said = f"Its card names {data}, the data of these questions, as training data."
        return Exposure("same data", f"{said} Only their splits can keep the two apart.")
    return Exposure("", f"Its card states training data, and {data} is not among it.")
