"""How the adapters of a section are drawn: who has a colour, and who stays in the background."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worldbench.leaderboard.board import Entry, Row

COLOURS = 6
SHAPES = 4
"""With six colours and four shapes, twelve adapters differ by both."""

_TWIN = "_random"
"""What the name of a model's untrained twin adds to its own."""


@dataclass(frozen=True)
class Stroke:
    """One adapter's way of being drawn.

    Attributes:
        style: Class names: a colour, and what mutes it.
        shape: Number of the marker.
        muted: Whether it stands in the background: floors, ceilings, baselines and twins.
        twin: Whether it is the untrained twin of another adapter.
    """

    style: str
    shape: int
    muted: bool
    twin: bool


def strokes(rows: Sequence[Row]) -> tuple[Stroke, ...]:
    """Returns a stroke per row: the same for an adapter in every drawing of a section.

    A twin wears the colour of its model, as they are read together.
    """
    names = {row.adapter for row in rows}
    order: dict[str, int] = {}
    for row in rows:
        if not (_is_twin(row, names) or _is_reference(row)):
            order.setdefault(row.id, len(order))
    of_model = {row.adapter: order[row.id] for row in reversed(rows) if row.id in order}
    return tuple(_stroke(row, i, names, order, of_model) for i, row in enumerate(rows))


def is_twin_name(name: str, adapters: Iterable[Entry]) -> bool:
    """Says whether an adapter is, by its name, the untrained twin of another on the board."""
    names = {entry.name for entry in adapters}
    return name.endswith(_TWIN) and name.removesuffix(_TWIN) in names


def _stroke(
    row: Row, i: int, names: set[str], order: dict[str, int], of_model: dict[str, int]
) -> Stroke:
    if row.id in order:
        place = order[row.id]
        return Stroke(f"k{place % COLOURS}", place % SHAPES, muted=False, twin=False)
    twin = _is_twin(row, names)
    model = of_model.get(row.adapter.removesuffix(_TWIN)) if twin else None
    if model is not None:
        return Stroke(f"k{model % COLOURS} twin", model % SHAPES, muted=True, twin=True)
    return Stroke(f"k-{row.role or 'quiet'}", i % SHAPES, muted=True, twin=twin)


def _is_twin(row: Row, names: set[str]) -> bool:
    return row.adapter.endswith(_TWIN) and row.adapter.removesuffix(_TWIN) in names


def _is_reference(row: Row) -> bool:
    return bool(row.role) or row.family in ("baseline", "oracle")
