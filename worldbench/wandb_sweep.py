"""The summary run of a sweep: one more run of its W&B group, made when all cells are done.

Cells may run in other processes and on other machines: each leaves a file in the sweep's folder,
which they share. Hydra's own hook at the end of a sweep does not fire when a cell has failed, so
that the hook at its start only remembers what :func:`summed_up` does on the way out.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from worldbench.record import write_atomic
from worldbench.redaction import redact_text
from worldbench.schema import Record, digest
from worldbench.wandb_charts import Cell

FOLDER = "cells"
"""Of a sweep's folder: one file per cell."""

logger = logging.getLogger(__name__)

_started: list[tuple[str, DictConfig]] = []


class SweepSummary(Callback):
    """Remembers that a sweep with a tracker has started."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra in the process that launches the cells."""
        _started.append((str(config.hydra.sweep.dir), config.tracker))


@contextmanager
def summed_up() -> Iterator[None]:
    """Runs what may be a sweep; when it is over, failed or not, its summary run is made."""
    _started.clear()
    try:
        yield
    finally:
        for group, tracker in _started:
            _sum_up(group, tracker)
        _started.clear()


def note_cell(group: str, record: Record) -> None:
    """Leaves what the summary shall say of a cell, if the group is the folder of a sweep."""
    if not Path(group).is_dir():
        return
    body, headline = record.body, record.body.headline
    cell = {
        "adapter": body.adapter.name,
        "revision": body.adapter.revision[:12],
        "suite": body.suite.name,
        "data": body.suite.data.name,
        "status": body.status,
        "reason": redact_text(body.reason or ""),
        "metric": headline.label if headline else None,
        "value": headline.value if headline else None,
        "low": headline.low if headline else None,
        "high": headline.high if headline else None,
        "key": body.key[:12],
        "seconds": record.provenance.seconds,
        "device": record.provenance.device,
    }
    name = digest([body.adapter.name, body.adapter.revision, body.key])[:16]
    text = json.dumps(cell, sort_keys=True, indent=2, allow_nan=False) + "\n"
    write_atomic(Path(group) / FOLDER / f"{name}.json", text.encode())


def cells_of(group: str) -> list[Cell]:
    """Returns what the cells of a sweep have left, by suite and adapter."""
    files = sorted((Path(group) / FOLDER).glob("*.json"))
    cells: list[Cell] = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    return sorted(cells, key=lambda cell: (cell["suite"], cell["adapter"], cell["key"]))


def _sum_up(group: str, config: DictConfig) -> None:
    from worldbench.compose import instantiate
    from worldbench.wandb_tracker import WandbTracker

    try:
        tracker, cells = instantiate("tracker", config), cells_of(group)
        if isinstance(tracker, WandbTracker) and cells:
            tracker.sweep(group, cells)
    except Exception as error:
        # As of any tracker: the records are what counts, and they are written.
        said = redact_text(" ".join(str(error).split()))
        logger.warning("the sweep's summary run could not be made: %s", said)
