"""What sets and families there are, and how far each set is made on this machine."""

from collections.abc import Iterator
from dataclasses import dataclass

from worldbench.data.worlds import sets
from worldbench.data.worlds.content import SetPlan
from worldbench.data.worlds.families import FAMILIES
from worldbench.data.worlds.storage import shards
from worldbench.data.worlds.storage.build import folder_of, shipped_bytes, simulated_path
from worldbench.data.worlds.storage.store import Label, read_label
from worldbench.errors import DataError


@dataclass(frozen=True)
class Item:
    """One set.

    Attributes:
        name: Its name.
        summary: One line.
        clips: How many; None before it is simulated for the first time.
        quads: The same of quads.
        shipped: Whether its tracks come with the package.
        built: Whether its pictures lie in the cache at the size they were made for.
    """

    name: str
    summary: str
    clips: int | None
    quads: int | None
    shipped: bool
    built: bool


def inventory() -> Iterator[Item]:
    """Yields every set; nothing is simulated or rendered."""
    for plan in sets.SETS.values():
        shipped = _label(plan, shipped_bytes(plan.name))
        path = simulated_path(plan)
        label = shipped or _label(plan, path.read_bytes() if path.is_file() else None)
        if label is None:
            yield Item(plan.name, plan.summary, None, None, False, False)
            continue
        folder = folder_of(label.name, label.digest, label.size)
        built = shards.complete(folder, label.clips)
        yield Item(plan.name, plan.summary, label.clips, label.quads, shipped is not None, built)


def families() -> dict[str, str]:
    """Returns the summary of every family by name."""
    return {name: family.summary for name, family in FAMILIES.items()}


def _label(plan: SetPlan, packed: bytes | None) -> Label | None:
    try:
        label = read_label(packed) if packed is not None else None
    except DataError:
        return None
    return label if label is not None and label.plan == plan.digest else None
