"""What models cost: the records of the suite ``cost``, and what exactly they counted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worldbench.leaderboard.board import Board, Cell, Column, Row, Section
from worldbench.leaderboard.text import plain

SUITE = "cost"
FLOPS = "_gflops"
"""How its counts of operations end; before it stands the call."""

OWN = "gflops"
"""The count that a record of scores holds of its own answers, as those of probes do."""

_CALLS = {
    **dict.fromkeys(("pair_accuracy", "rigidity_accuracy"), "surprise"),
    **dict.fromkeys(("frechet", "frechet_inf", "kernel", "psnr", "ssim"), "generate"),
}
"""The kind of call that a headline score takes; any, where it is not known here."""


@dataclass(frozen=True)
class Cost:
    """One measured cost of an adapter, or why there is none.

    Attributes:
        on: The data, and what the call was about where the record tells it.
        column: The cost.
        cell: How much.
    """

    on: str
    column: Column
    cell: Cell


@dataclass(frozen=True)
class Price:
    """One count of operations over the adapters of one section.

    Attributes:
        column: The count.
        told: What was counted and where, a sentence.
        values: How much, by row id.
    """

    column: Column
    told: str
    values: Mapping[str, float]


def costs(board: Board, id: str) -> tuple[Cost, ...]:
    """Returns what the records of the suite ``cost`` say of an adapter, by its row id."""
    found = []
    for section in _measured(board):
        for row in section.rows:
            if row.id == id:
                found += [
                    Cost(", ".join(filter(None, (section.data.name, _about(section, c)))), c, cell)
                    for c, cell in _cells(section, row)
                ]
    return tuple(found)


def has_costs(board: Board) -> bool:
    """Says whether any record of the board measured a cost."""
    return any(_measured(board))


def prices(board: Board, section: Section, column: Column) -> tuple[Price, ...]:
    """Returns the counts of operations that a headline score can be drawn against.

    The score's own records come first: where they count what their answers took, or say why they
    could not, nothing else is the cost of these answers. Else it is what records of the suite
    ``cost`` counted on a call of this kind, each of their sections by itself: they asked about
    other data or lengths.

    Args:
        board: Where costs are looked for.
        section: Where the score stands.
        column: The score.
    """
    if any(each.name == OWN for each in (*section.columns, *section.breakdowns)):
        told = f"Operations as counted in the records of the scores, {_named(section)}."
        return tuple(Price(c, told, had) for c, had in _counts(section) if c.name == OWN)
    call = _CALLS.get(column.name)
    return tuple(
        Price(each, _told(measured, each), had)
        for measured in _measured(board)
        for each, had in _counts(measured)
        if (each.name == call + FLOPS if call else each.name.endswith(FLOPS))
    )


def _measured(board: Board) -> Iterator[Section]:
    return (section for section in board.sections if section.suite == SUITE)


def _counts(section: Section) -> Iterator[tuple[Column, Mapping[str, float]]]:
    """Yields the columns and breakdowns of a section that hold numbers, with those by row id."""
    cells = [(row.id, _cells(section, row)) for row in section.rows]
    for i, column in enumerate((*section.columns, *section.breakdowns)):
        had = {id: value for id, own in cells if (value := own[i][1].value) is not None}
        if had:
            yield column, had


def _cells(section: Section, row: Row) -> list[tuple[Column, Cell]]:
    main = list(zip(section.columns, row.cells, strict=True))
    return main + list(zip(section.breakdowns, row.details, strict=True))


def _told(section: Section, column: Column) -> str:
    about = _about(section, column)
    return (
        f"Operations{f' of {about}' if about else ''}, from {_named(section)}. The questions of "
        "the score may be longer or shorter, and then cost more or less."
    )


def _about(section: Section, column: Column) -> str:
    """Returns what a call was about, as the protocol of its records has it; empty if untold."""
    context, horizon = (section.protocol.get(name) for name in ("context", "horizon"))
    if not isinstance(context, int) or not isinstance(horizon, int):
        return ""
    foreseen = f"{horizon} frames foreseen after {context}"
    return {
        "encode": f"a clip of {context + horizon} frames",
        "predict": foreseen,
        "generate": foreseen,
        "surprise": f"a quad of {context} + {horizon} frames",
    }.get(column.name.removesuffix(FLOPS), "")


def _named(section: Section) -> str:
    suite, data = plain(section.suite), plain(section.data.name)
    return f"{suite}@{plain(section.version)} · {data} ({section.key[:12]})"
