"""What the templates are given: one view per page, all of it data."""

from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board, Cell, Column, Entry, Row, Section
from worldbench.leaderboard.breakdowns import Group, groups
from worldbench.leaderboard.chart import Chart, chart
from worldbench.leaderboard.curves import Curve, curves
from worldbench.leaderboard.site import addresses
from worldbench.leaderboard.site.answers import Answers, answers
from worldbench.leaderboard.site.controls import (
    Battery,
    batteries,
    headline_breakdowns,
    references,
)
from worldbench.leaderboard.site.costs import SUITE as COST
from worldbench.leaderboard.site.costs import Cost, costs
from worldbench.leaderboard.site.exposure import Exposure, exposure
from worldbench.leaderboard.site.frontiers import Frontier, frontiers
from worldbench.leaderboard.site.material import Material, Media
from worldbench.leaderboard.site.prose import About, about
from worldbench.leaderboard.site.strips import Ruler, Strip
from worldbench.schema import AdapterCard


@dataclass(frozen=True)
class Scored:
    """A cell with its drawing."""

    cell: Cell
    strip: Strip | None


@dataclass(frozen=True)
class Standing:
    """One adapter on the board: its scores and what its card says of training data."""

    entry: Entry
    address: str
    scores: tuple[Scored, ...]
    exposures: tuple[tuple[str, Exposure], ...]


@dataclass(frozen=True)
class Overview:
    """The front page.

    Attributes:
        sections: Those with a column in the big table.
        silent: Those without a headline metric, which have a page but no column.
        standings: One per adapter.
        charts: The headline charts, by section key.
        reasons: Why cells are empty: reason, and the cells as text.
    """

    sections: tuple[Section, ...]
    silent: tuple[Section, ...]
    standings: tuple[Standing, ...]
    charts: dict[str, tuple[Chart, ...]]
    reasons: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def curved(self) -> bool:
        """Whether adapters are drawn by colours and shapes of their own."""
        return False


@dataclass(frozen=True)
class Reference:
    """A floor, a baseline or an untrained twin beside the headline."""

    row: Row
    what: str
    scored: Scored


@dataclass(frozen=True)
class Chapter:
    """One section of a suite's page."""

    section: Section
    charts: tuple[Chart, ...]
    curves: tuple[Curve, ...]
    groups: tuple[Group, ...]
    batteries: tuple[Battery, ...]
    references: tuple[Reference, ...]
    exposures: tuple[tuple[Row, Exposure], ...]


@dataclass(frozen=True)
class SuitePage:
    """One suite."""

    name: str
    about: About
    chapters: tuple[Chapter, ...]
    frontiers: tuple[Frontier, ...]

    @property
    def curved(self) -> bool:
        """Whether adapters are drawn by colours and shapes of their own."""
        return bool(self.frontiers) or any(chapter.curves for chapter in self.chapters)


@dataclass(frozen=True)
class Part:
    """One section on a model's page."""

    section: Section
    row: Row
    exposure: Exposure
    scores: tuple[tuple[Column, Scored], ...]
    breakdown: tuple[tuple[str, Scored], ...]
    answers: Answers | None


@dataclass(frozen=True)
class ModelPage:
    """One revision of an adapter."""

    entry: Entry
    card: AdapterCard
    parts: tuple[Part, ...]
    absent: tuple[Section, ...]
    costs: tuple[Cost, ...]
    media: Media

    @property
    def curved(self) -> bool:
        """Whether adapters are drawn by colours and shapes of their own."""
        return False


def overview(board: Board, material: Material) -> Overview:
    """Returns the front page's view."""
    shown = [i for i, s in enumerate(board.sections) if s.headline or not s.columns]
    silent = [s for i, s in enumerate(board.sections) if i not in shown]
    rulers = {i: _ruler(board.sections[i], 0) for i in shown}
    standings = []
    for entry in board.adapters:
        card = material.cards[f"{entry.name}@{entry.revision}"]
        scores = tuple(_scored(entry.cells[i], rulers[i]) for i in shown)
        told = [
            (text.title(board.sections[i]), exposure(card, board.sections[i]))
            for i in shown
            if entry.cells[i].value is not None
        ]
        flags = tuple((title, flag) for title, flag in told if flag.kind)
        address = addresses.model(entry.name, entry.revision)
        standings.append(Standing(entry, address, scores, flags))
    sections = tuple(board.sections[i] for i in shown)
    charts = {
        s.key: tuple(c for i, col in enumerate(s.columns) if col.headline and (c := chart(s, i)))
        for s in sections
    }
    return Overview(sections, tuple(silent), tuple(standings), charts, _reasons(board))


def suite_page(board: Board, name: str, material: Material) -> SuitePage:
    """Returns the view of one suite's page."""
    own = [section for section in board.sections if section.suite == name]
    chapters = tuple(_chapter(section, material) for section in own)
    return SuitePage(name, about(name), chapters, frontiers(board) if name == COST else ())


def model_page(board: Board, entry: Entry, material: Material) -> ModelPage:
    """Returns the view of one model's page."""
    id = f"{entry.name}@{entry.revision}"
    card = material.cards[id]
    asked, absent = [], []
    for section in board.sections:
        row = next((row for row in section.rows if row.id == id), None)
        if row is None:
            absent.append(section)
        elif section.suite != COST:
            asked.append(_part(section, row, card, material))
    return ModelPage(
        entry=entry,
        card=card,
        parts=tuple(asked),
        absent=tuple(absent),
        costs=costs(board, id),
        media=material.media(entry.name, entry.revision),
    )


def _scored(cell: Cell, ruler: Ruler | None) -> Scored:
    return Scored(cell, ruler.of_cell(cell) if ruler else None)


def _ruler(section: Section, index: int) -> Ruler | None:
    if index >= len(section.columns):
        return None
    return Ruler.of(section.columns[index], [row.cells[index] for row in section.rows])


def _reasons(board: Board) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Gathers why records hold no numbers, and headline cells none, each reason once."""
    found: dict[str, list[str]] = {}
    for section in board.sections:
        for row in section.rows:
            cell = section.headline_cell(row)
            if cell.value is None and cell.reason:
                said = f"{text.plain(row.adapter)} on {text.title(section)}: {cell.status}"
                found.setdefault(text.plain(cell.reason), []).append(said)
    return tuple((reason, tuple(cells)) for reason, cells in found.items())


def _chapter(section: Section, material: Material) -> Chapter:
    ruler = _ruler(section, 0)
    flags = [(row, exposure(material.card(row), section)) for row in section.rows]
    return Chapter(
        section=section,
        charts=tuple(c for i in range(len(section.columns)) if (c := chart(section, i))),
        curves=curves(section),
        groups=groups(section),
        batteries=batteries(section),
        references=tuple(
            Reference(row, what, _scored(cell, ruler)) for row, cell, what in references(section)
        ),
        exposures=tuple((row, flag) for row, flag in flags if flag.kind),
    )


def _part(section: Section, row: Row, card: AdapterCard, material: Material) -> Part:
    scores = tuple(
        (column, _scored(cell, _ruler(section, i)))
        for i, (column, cell) in enumerate(zip(section.columns, row.cells, strict=True))
    )
    return Part(
        section=section,
        row=row,
        exposure=exposure(card, section),
        scores=scores,
        breakdown=_breakdown(section, row),
        answers=answers(section, row, material),
    )


def _breakdown(section: Section, row: Row) -> tuple[tuple[str, Scored], ...]:
    """Returns the headline metric by factor, all on one ruler."""
    lines = headline_breakdowns(section)
    cells: Sequence[Cell] = [row.details[i] for i, _, _ in lines]
    if section.headline is None or all(cell.value is None for cell in cells):
        return ()
    ruler = Ruler.of(section.headline, [*cells, row.cells[0]])
    return tuple(
        (said, _scored(cell, ruler))
        for (_, _, said), cell in zip(lines, cells, strict=True)
        if cell.status != "not run"
    )
