"""From the board to the text of every page."""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from worldbench.leaderboard import text
from worldbench.leaderboard.board import Board
from worldbench.leaderboard.site import addresses, views
from worldbench.leaderboard.site.costs import has_costs
from worldbench.leaderboard.site.duel import duel
from worldbench.leaderboard.site.material import Material
from worldbench.leaderboard.site.seeds import folder_of

_CARD = (
    ("summary", "Summary"),
    ("family", "Family"),
    ("parameters", "Parameters"),
    ("training_data", "Training data"),
    ("training_compute", "Training compute"),
    ("capabilities", "Can"),
    ("operators", "Operators of surprise"),
    ("size", "Native size"),
    ("frames", "Native frames"),
    ("fps", "Native frames per second"),
    ("temporal_stride", "Frames per latent step"),
    ("min_context", "Shortest context, frames"),
    ("max_context", "Longest context, frames"),
    ("stochastic", "Samples differ by seed"),
    ("licence", "Licence"),
    ("source", "Source"),
    ("revision", "Revision"),
)
"""Fields of a card, in the order in which a page shows them, with what they are called."""


def render(board: Board, media: Path | None = None) -> Mapping[str, str]:
    """Returns every page: path below ``site/`` → HTML text.

    Everything that came from a record is escaped. Pages follow from record bodies, trial tables and
    the media files that exist, and from nothing else.

    Args:
        board: The board.
        media: The folder of clips and pictures; None for pages without.

    Raises:
        RecordError: If trial tables are not their records', a list of media cannot be read, or two
            suites or adapters share a page.
    """
    suites = tuple(dict.fromkeys(section.suite for section in board.sections))
    addresses.refuse_shared((addresses.suite(name), name) for name in suites)
    addresses.refuse_shared(
        (addresses.model(each.name, each.revision), f"{each.name}@{each.revision}")
        for each in board.adapters
    )
    material = Material.of(board, media)
    environment = _environment()
    rivals = duel(board, material)
    shared = {
        "addresses": addresses,
        "board": board,
        "card_fields": _CARD,
        "costs_known": has_costs(board),
        "rivals": rivals,
        "seeds_known": folder_of(board.records).is_dir(),
        "suites": suites,
        "text": text,
    }

    def page(template: str, address: str, **given: object) -> str:
        root = "../" * address.count("/")
        found = environment.get_template(f"site/{template}.html.j2")
        return found.render(shared | given | {"root": root, "address": address})

    pages = {addresses.BOARD: page("index", addresses.BOARD, view=views.overview(board, material))}
    for name in suites:
        address = addresses.suite(name)
        pages[address] = page("suite", address, view=views.suite_page(board, name, material))
    for entry in board.adapters:
        address = addresses.model(entry.name, entry.revision)
        pages[address] = page("model", address, view=views.model_page(board, entry, material))
    if rivals is not None:
        pages[addresses.DUEL] = page("duel", addresses.DUEL, view=rivals)
    return pages


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worldbench", "leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = text.plain
    environment.filters["said"] = _said
    return environment


def _said(value: object) -> str:
    """Returns one field of a card as shown."""
    if value is None or value in ("", ()):
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return text.plain((" × " if isinstance(value[0], int) else ", ").join(map(str, value)))
    if isinstance(value, float):
        return f"{value:g}"
    return text.plain(value)
