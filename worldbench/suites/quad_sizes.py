"""Quads at another size than the one they were made for.

Their runs of identical frames were found in pictures of the set's own size. In finer ones a sliver
of what is hidden may still show, or show again, a frame earlier or later: a splice there would be
no tie for those who see only frames. So the runs are looked for again, in the pictures asked about.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from worldbench.data.worlds.content import QuadEntry
from worldbench.data.worlds.fairness import Unqualified, identical_run

if TYPE_CHECKING:
    from worldbench.suites.quad_trials import QuadSource

_IN_PLAIN_SIGHT = "visible"  # the condition of controls, whose clips differ wherever they are cut


def is_resized(data: "QuadSource", entries: Sequence[QuadEntry]) -> bool:
    """Says whether a source shows its clips at another size than they were made for."""
    size = data.protocol.get("size")
    if size is None or not entries:
        return False
    spec = data.track(entries[0].clips[0]).spec
    return tuple(size) != (spec.height, spec.width)


def fitted(data: "QuadSource", entries: Sequence[QuadEntry]) -> list[QuadEntry]:
    """Returns the quads with the runs that their pictures have; those without one are left out.

    Every run lies within the one that the quad was made with. Controls in plain sight have none.
    """
    if not is_resized(data, entries):
        return list(entries)
    found = (_fitted(data, entry) for entry in entries)
    return [entry for entry in found if entry is not None]


def _fitted(data: "QuadSource", entry: QuadEntry) -> QuadEntry | None:
    if entry.condition == _IN_PLAIN_SIGHT:
        return entry
    a, p = data.load(entry.clips)
    try:
        start, stop = identical_run(a[entry.start : entry.stop], p[entry.start : entry.stop])
    except Unqualified:
        return None  # too short
    return replace(entry, start=entry.start + start, stop=entry.start + stop)
