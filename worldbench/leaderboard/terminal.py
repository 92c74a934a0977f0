"""The board on a terminal: what a person wants to see right after a run."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board, Cell, Section

_PIPED_WIDTH = 160  # columns, where there is no terminal to ask


def show(board: Board) -> None:
    """Prints one table per section to stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPED_WIDTH)
    for section in board.sections:
        console.print(_table(section))
    if not board.sections:
        console.print("no records yet")


def _table(section: Section) -> Table:
    reasons: dict[str, int] = {}
    table = Table(title=Text(text.title(section)), title_justify="left", caption_justify="left")
    table.add_column("adapter", no_wrap=True)
    for column in section.columns:
        heading = Text(f"{text.plain(column.label)} {text.arrow(column)}")
        table.add_column(heading, justify="right", overflow="fold")
    for row in section.rows:
        role = f" ({row.role})" if row.role else ""
        # Text and not str: names and reasons from outside must not be read as markup.
        cells = [Text(_cell(cell, reasons)) for cell in row.cells]
        table.add_row(Text(f"{text.plain(row.adapter)}{role}"), *cells)
    notes = [f"({number}) {reason}" for reason, number in reasons.items()]
    table.caption = Text("\n".join(notes)) if notes else None
    return table


def _cell(cell: Cell, reasons: dict[str, int]) -> str:
    """Returns a cell's text; a reason becomes a numbered note, since many cells share one."""
    if cell.value is None:
        if not cell.reason:
            return cell.status
        return f"{cell.status} ({reasons.setdefault(text.plain(cell.reason), len(reasons) + 1)})"
    parts = [text.score(cell)]
    if cell.low is not None:
        parts.append(text.interval(cell))
    if cell.rank is not None:
        parts.append(f"rank {cell.rank}")
    return " ".join(parts)
