"""Labelled scenes with looks that no training clip has: what probes are asked about as a transfer.

The same classes of motion, with colours, sizes, speeds and textures that ``test_ood`` alone has
(:mod:`worldbench.data.worlds`). They are simulated on first use and belong to no shipped set.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from worldbench.cache import cache_lock
from worldbench.data.worlds.content import Content
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.plans import LabelledPlan
from worldbench.data.worlds.storage import store
from worldbench.data.worlds.storage.build import simulate, simulated_path
from worldbench.errors import DataError
from worldbench.options import at_least, one_of
from worldbench.record import write_atomic

LABELS = ("motion", "combined")
"""Kinds of labels whose classes do not name a colour, which is what is unseen."""


class UnseenWorlds(WorldData):
    """Clips of unseen looks, of the classes of ``worlds_motion`` or ``worlds_combined``.

    Args:
        name: What records and the board show.
        label: One of :data:`LABELS`.
        per_class: Clips of each class.
        max_clips: Only so many clips, chosen by the hash of their ids; all if None.
        size: Height and width (one integer for both); what the scenes were made for if None.
        workers: Processes that simulate and render; one per core if None.

    Raises:
        UsageError: If a label does not exist or a number makes no sense.
    """

    def __init__(
        self,
        name: str,
        label: str = "motion",
        per_class: int = 20,
        *,
        max_clips: int | None = None,
        size: int | Sequence[int] | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(name, "test_ood", max_clips=max_clips, size=size, workers=workers)
        self._plan = LabelledPlan(
            name,
            f"{label} of unseen looks",
            one_of("data.label", label, LABELS),
            {"test_ood": at_least("data.per_class", per_class, 1)},
        )

    @cached_property
    def _loaded(self) -> tuple[Content, dict[str, np.ndarray] | None]:
        path = simulated_path(self._plan)
        with cache_lock(path):
            if path.is_file():
                try:
                    return store.unpack(path.read_bytes()), None
                except DataError:
                    path.unlink()
            content = simulate(self._plan, workers=self.workers)
            write_atomic(path, store.pack(content, plan=self._plan.digest))
        return content, None
