"""The board as one self-contained page: no request leaves it, and it works without scripts."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board
from worldbench.leaderboard.breakdowns import groups
from worldbench.leaderboard.chart import chart
from worldbench.leaderboard.curves import curves


def render(board: Board) -> str:
    """Returns the page as HTML text; everything that came from a record is escaped."""
    environment = Environment(
        loader=PackageLoader("worldbench", "leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = text.plain
    charts = {
        section.key: [c for i in range(len(section.columns)) if (c := chart(section, i))]
        for section in board.sections
    }
    template = environment.get_template("site.html.j2")
    return template.render(
        board=board,
        charts=charts,
        curves={section.key: curves(section) for section in board.sections},
        groups={section.key: groups(section) for section in board.sections},
        text=text,
    )
