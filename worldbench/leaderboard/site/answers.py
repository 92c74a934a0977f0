"""How a model answered question by question, where its trial table holds surprises of quads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Row, Section
from worldbench.leaderboard.rows import Absent
from worldbench.leaderboard.site.material import Material

POSSIBLE = ("mean_A", "mean_P")
IMPOSSIBLE = ("mean_I1", "mean_I2")

_TOP, _PLOT, _BOTTOM = 24, 132, 26


@dataclass(frozen=True)
class Dot:
    """One question: where it stands, whether it was answered right, and what it says."""

    x: str
    y: str
    kind: Literal["right", "tied", "wrong"]
    said: str


@dataclass(frozen=True)
class Answers:
    """The headline questions of a section in the order of the answers.

    A dot's height is (impossible − possible) ÷ (impossible + possible), surprises summed over the
    two clips of a kind: from −1 to 1, above 0 where the impossible clips surprised more.
    """

    operator: str
    dots: tuple[Dot, ...]
    zero: str
    top: str
    bottom: str
    reach: str
    height: int

    def count(self, kind: str) -> int:
        """Says how many questions were answered so."""
        return sum(dot.kind == kind for dot in self.dots)


def answers(section: Section, row: Row, material: Material) -> Answers | None:
    """Lays out a model's answers; None where its table holds no surprises of quads."""
    if section.headline is None or row.status != "ok":
        return None
    table = material.table(row)
    name = section.headline.name
    if isinstance(table, Absent) or not {*POSSIBLE, *IMPOSSIBLE, "operator", name} <= table.keys():
        return None
    found = sorted(_balances(table, name))
    if not found:
        return None
    reach = max(abs(balance) for balance, _, _ in found) or 1.0
    middle = _TOP + _PLOT / 2
    dots = tuple(
        Dot(
            x=f"{1.5 + 97 * (i + 0.5) / len(found):.2f}%",
            y=f"{middle - _PLOT / 2 * balance / reach:.1f}",
            kind="right" if score > 0.5 else "wrong" if score < 0.5 else "tied",
            said=f"{text.plain(trial)}: {text.number(balance, 4)}",
        )
        for i, (balance, trial, score) in enumerate(found)
    )
    operators = {o for o, s in zip(table["operator"], table[name], strict=True) if s is not None}
    return Answers(
        operator=", ".join(sorted(text.plain(each) for each in operators if each)),
        dots=dots,
        zero=f"{middle:.1f}",
        top=f"{_TOP}",
        bottom=f"{_TOP + _PLOT}",
        reach=text.number(reach),
        height=_TOP + _PLOT + _BOTTOM,
    )


def _balances(table: Mapping[str, list[Any]], name: str) -> list[tuple[float, str, float]]:
    found = []
    for i, score in enumerate(table[name]):
        clips = [table[column][i] for column in (*IMPOSSIBLE, *POSSIBLE)]
        if not isinstance(score, int | float) or any(value is None for value in clips):
            continue
        impossible, possible = sum(clips[:2]), sum(clips[2:])
        scale = sum(abs(value) for value in clips)
        balance = (impossible - possible) / scale if scale else 0.0
        found.append((balance, str(table["trial"][i]), float(score)))
    return found
