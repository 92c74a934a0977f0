"""Two checkpoints against each other: what differs, beside the seeds, and what stays open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board, Entry
from worldbench.leaderboard.site.costs import SUITE as COST
from worldbench.leaderboard.site.costs import Cost, costs
from worldbench.leaderboard.site.exposure import exposure
from worldbench.leaderboard.site.frontiers import Frontier, frontiers
from worldbench.leaderboard.site.material import Material
from worldbench.leaderboard.site.seeds import Seeded, read_seeds, spreads
from worldbench.leaderboard.site.strips import Ruler, Strip
from worldbench.leaderboard.strokes import is_twin_name
from worldbench.schema import Body

if TYPE_CHECKING:
    # The comparison is built of the board's own parts, which are being imported here.
    from worldbench.comparison.outcome import Configuration, Line

SCHOOLS = ("dit", "jepa")
"""The reference models, which stand for themselves where a board has both."""


@dataclass(frozen=True)
class Bout:
    """One metric: the row under the heads of a comparison, and its difference drawn around 0."""

    cells: tuple[str, ...]
    strip: Strip | None
    winner: str | None


@dataclass(frozen=True)
class Round:
    """One suite configuration that both were asked.

    Attributes:
        suite: Name of the suite.
        heading: Suite, version and data.
        key: Board key.
        bouts: Metrics on which both have a score.
        apart: Why there are none, a phrase; None where there are.
        verdicts: What can be concluded, a sentence each.
        unpaired: What could not be tested, and why.
        seeds: The spread over seeds of the same questions.
        against: Sentences that hold a difference against the spread.
    """

    suite: str
    heading: str
    key: str
    bouts: tuple[Bout, ...]
    apart: str | None
    verdicts: tuple[str, ...]
    unpaired: tuple[str, ...]
    seeds: tuple[Seeded, ...]
    against: tuple[str, ...]


@dataclass(frozen=True)
class Duel:
    """Everything that the page of two checkpoints shows."""

    a: Entry
    b: Entry
    heads: tuple[str, ...]
    rounds: tuple[Round, ...]
    method: str
    unmatched: tuple[str, ...]
    costs: tuple[tuple[Cost, ...], tuple[Cost, ...]]
    frontiers: tuple[Frontier, ...]
    open: tuple[str, ...]

    @property
    def curved(self) -> bool:
        """Whether adapters are drawn by colours and shapes of their own."""
        return bool(self.frontiers)


def rivals(board: Board) -> tuple[Entry, Entry] | None:
    """Returns the two adapters of the duel: the reference models, else one of each school.

    Of a school it is the adapter with the largest coverage, then the first by name.
    """
    able = [e for e in board.adapters if not e.role and not is_twin_name(e.name, board.adapters)]
    named = [[e for e in able if e.name == name] for name in SCHOOLS]
    if not all(named):
        named = [[e for e in able if e.family == f] for f in ("generative", "predictive")]
    if not all(named):
        return None
    return named[0][0], named[1][0]


def duel(board: Board, material: Material) -> Duel | None:
    """Compares the two rivals of a board; None where it has none, or they were asked nothing alike.

    Raises:
        RecordError: If two rows files contradict each other, or two records stand for one seed.
    """
    from worldbench.comparison import compare, find, words

    pair = rivals(board)
    if pair is None:
        return None
    a, b = pair
    found = find(f"{a.name}@{a.revision}", f"{b.name}@{b.revision}", board.records)
    if not found.pairs:
        return None
    result = compare(a.name, b.name, found)
    seeds = read_seeds(board.records)
    rounds = [
        _round(configuration, seeds.get(configuration.key, ()), (a.name, b.name))
        for configuration in result.configurations
        if configuration.suite != COST
    ]
    both_ids = {f"{entry.name}@{entry.revision}" for entry in pair}
    both = (costs(board, f"{a.name}@{a.revision}"), costs(board, f"{b.name}@{b.revision}"))
    return Duel(
        a=a,
        b=b,
        heads=words.HEADS,
        rounds=tuple(rounds),
        method=words.reading(result),
        unmatched=tuple(result.unmatched),
        costs=both,
        frontiers=tuple(f for f in frontiers(board) if both_ids <= {dot.id for dot in f.dots}),
        open=tuple(_open(board, material, a, b, rounds)),
    )


def _round(configuration: "Configuration", seeds: Sequence[Body], names: tuple[str, str]) -> Round:
    from worldbench.comparison import words

    own, measured = spreads(seeds, names), words.measured(configuration)
    differences = {line.column.label: line.difference for line in configuration.lines}
    return Round(
        suite=configuration.suite,
        heading=words.heading(configuration),
        key=configuration.key,
        bouts=tuple(_bout(line) for line in measured),
        apart=None if measured else _apart(configuration),
        verdicts=tuple(words.conclusions(configuration)),
        unpaired=tuple(words.unpaired(configuration)),
        seeds=own,
        against=tuple(_against(own, differences)),
    )


def _apart(configuration: "Configuration") -> str:
    """Says why two sides share no score: what kept one from having any, where something did."""
    sides = {"A": configuration.a, "B": configuration.b}
    failed = [_silent(x, s.name, s.status, s.reason) for x, s in sides.items() if s.status != "ok"]
    if failed:
        return "; ".join(failed)
    headline = next((line for line in configuration.lines if line.column.headline), None)
    cells = zip(sides, (headline.a, headline.b), strict=True) if headline else ()
    silent = [
        _silent(x, sides[x].name, cell.status, cell.reason)
        for x, cell in cells
        if cell.status in ("skipped", "failed")
    ]
    return "; ".join(["no metric there puts both on one scale", *silent])


def _silent(letter: str, name: str, status: str, reason: str | None) -> str:
    said = f"{letter} ({text.plain(name)}) {'was ' if status == 'skipped' else ''}{status}"
    return f"{said}: {text.plain(reason)}" if reason else said


def _bout(line: "Line") -> Bout:
    from worldbench.comparison import words

    paired, strip = line.paired, None
    if paired is not None:
        ruler = Ruler.around_zero(paired.difference, paired.low, paired.high)
        strip = ruler.strip(paired.difference, paired.low, paired.high)
    return Bout(tuple(words.cells(line)), strip, line.winner)


def _against(seeds: tuple[Seeded, ...], differences: Mapping[str, float | None]) -> list[str]:
    """Holds headline differences against the largest spread of models named as seeds of one."""
    said = []
    for label in dict.fromkeys(each.column.label for each in seeds if each.column.headline):
        known = [(each.spread, each) for each in seeds if each.column.label == label]
        wide = [(spread, each) for spread, each in known if spread is not None]
        difference = differences.get(label)
        if not wide or difference is None:
            continue
        spread, widest = max(wide, key=lambda item: item[0])
        told = (
            f"{text.plain(label)}: A and B are {text.number(abs(difference))} apart; "
            f"{len(widest.values)} models named as seeds of {text.plain(widest.stem)} are up to "
            f"{text.number(spread)} apart."
        )
        more = " These differ by as much, so another seed could turn this round."
        said.append(told + (more if abs(difference) <= spread else ""))
    return said


def _open(
    board: Board, material: Material, a: Entry, b: Entry, rounds: Sequence[Round]
) -> list[str]:
    """Returns what the numbers of the page do not settle."""
    left, right = text.plain(a.name), text.plain(b.name)
    said = [
        f"Whether {a.family} or {b.family} models are better: {left} and {right} are one "
        "checkpoint each, and a school is more than one checkpoint.",
        "Whether a difference under the detectable one, which stands in every table, exists: it "
        "may well have been missed.",
    ]
    stems = sorted({text.plain(each.stem) for r in rounds for each in r.seeds})
    if stems:
        said.append(
            f"How far {left} and {right} themselves vary with the training seed: the seeds beside "
            f"are of {', '.join(stems)}, which are other models."
        )
    without = [r.heading for r in rounds if not r.seeds]
    if without:
        said.append(f"How far scores vary with the training seed on: {'; '.join(without)}.")
    said += [f"Who is better on {r.heading}: {r.apart}." for r in rounds if r.apart]
    exposed = sorted(text.plain(e.name) for e in (a, b) if _exposed(board, material, e))
    if exposed:
        said.append(
            "How well they do away from what they were trained on: see the training-data flag of "
            f"{', '.join(exposed)} on the board."
        )
    if not all(costs(board, f"{e.name}@{e.revision}") for e in (a, b)):
        said.append("Who is better at equal inference cost: no cost record for both of them.")
    return said


def _exposed(board: Board, material: Material, entry: Entry) -> bool:
    id = f"{entry.name}@{entry.revision}"
    asked = [s for s in board.sections if any(row.id == id for row in s.rows)]
    return any(exposure(material.cards[id], section).kind for section in asked)
