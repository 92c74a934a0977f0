"""Weights & Biases as a tracker; wandb itself is imported when a run starts and not before."""

import logging
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from worldbench.errors import ContractError, DataError, EnvironmentFault, unknown_name
from worldbench.redaction import redact, redact_text, refuse_api_keys
from worldbench.schema import MetricResult, Record
from worldbench.wandb_charts import Canvas, Cell, draw_record, draw_sweep
from worldbench.wandb_service import end_service, import_wandb

MAX_TABLE_ROWS = 2000
"""Most rows of the table of trials; a longer file is thinned to rows spread evenly over it."""

INIT_TIMEOUT_S = 30.0
"""Seconds that a run waits for the W&B server before it goes on without."""

FINISH_TIMEOUT_S = 120.0
"""Seconds that a finished run waits for uploads; what is left can go up later (`wandb sync`)."""

EXAMPLE = "example"
"""Key of example videos, before their number."""

_log = logging.getLogger(__name__)


class WandbTracker:
    """Weights & Biases, offline unless told otherwise.

    Nothing that W&B would collect by itself (code, git, console, machine, command line) is sent or
    kept: the record holds it, redacted. Offline runs stay whole inside one
    ``wandb/offline-run-…`` folder, so that any machine can upload them with ``wandb sync``.

    Args:
        project: Name of the W&B project.
        entity: User or team; None is the default of the account.
        mode: ``offline`` or ``online``.
        directory: Folder that gets the ``wandb`` folder; None is the working directory.
        tags: Tags of the run.
        api_key: Only there to be refused: keys belong in the environment.

    Raises:
        UsageError: For an unknown mode, or any ``api_key``.
    """

    def __init__(
        self,
        project: str = "worldbench",
        entity: str | None = None,
        mode: str = "offline",
        directory: str | None = None,
        tags: Iterable[str] = (),
        *,
        api_key: object = None,
    ) -> None:
        refuse_api_keys({"tracker": {"api_key": api_key}})
        if mode not in ("offline", "online"):
            raise unknown_name(
                "W&B mode",
                mode,
                ("offline", "online"),
                fix="set tracker.mode, or switch tracking off with tracker=none",
            )
        self._project, self._entity, self._mode = project, entity, mode
        self._directory, self._tags = directory, [str(tag) for tag in tags]
        self._wandb: Any = None
        self._run: Any = None
        self._group = ""
        self._drawn: set[str] = set()
        self._hooks: tuple[Any, Any] = (sys.exit, sys.excepthook)

    def start(self, *, name: str, group: str, config: Mapping[str, object]) -> None:
        """Opens a W&B run; never prompts, and gives up after :data:`INIT_TIMEOUT_S`.

        Raises:
            UsageError: If the config carries an API key.
            EnvironmentFault: If wandb is missing or cannot log in without asking.
            OSError: If the folder cannot be made.
        """
        self._open(name, group, config, "cell")

    def _open(self, name: str, group: str, config: Mapping[str, object], kind: str) -> None:
        refuse_api_keys(config)
        wandb = self._wandb = import_wandb()
        self._hooks = (sys.exit, sys.excepthook)
        if self._directory is not None:
            Path(self._directory).mkdir(parents=True, exist_ok=True)
        settings = wandb.Settings(
            mode=self._mode,
            silent=True,
            init_timeout=INIT_TIMEOUT_S,
            login_timeout=1.0,
            finish_timeout=FINISH_TIMEOUT_S,
            finish_timeout_raises=True,
            console="off",
            save_code=False,
            disable_git=True,
            disable_job_creation=True,
            label_disable=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        # Before init, for `silent` given to init alone does not stop a prompt at a terminal.
        wandb.setup(settings=settings)
        run = wandb.init(
            project=self._project,
            entity=self._entity,
            name=redact_text(name),
            group=redact_text(group),
            job_type=kind,
            dir=self._directory,
            tags=self._tags,
            config=redact(config),
            reinit="create_new",
            settings=settings,
        )
        if run.disabled:
            raise EnvironmentFault("W&B has disabled itself", seen="no credentials for mode=online")
        self._run, self._group, self._drawn = run, group, set()

    def progress(self, done: int, total: int) -> None:
        """Logs the two counts as a step of the run's history."""
        self._open_run().log({"progress/done": done, "progress/total": total})

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Logs numbers beside ``step``, which is the x-axis of their charts.

        W&B's own step only counts calls: it drops whatever is logged for an earlier one, and a
        training that resumes from a checkpoint passes some steps again. A dot in a name becomes an
        underscore, for W&B's axes take names with dots for nested ones.
        """
        run = self._open_run()
        row = {name.replace(".", "_"): value for name, value in values.items()}
        for name in sorted(row.keys() - self._drawn):
            run.define_metric(name, step_metric="step")
        self._drawn |= row.keys()
        run.log({**row, "step": step})

    def record(self, record: Record) -> None:
        """Writes status, reason and metrics to the run's summary (see :func:`summary`).

        Metrics also come as a table and, where they were broken down, as bars. In a sweep a file
        is left for its summary run.
        """
        run = self._open_run()
        run.summary.update(summary(record))
        draw_record(Canvas(self._wandb, run), record.body)
        from worldbench.wandb_sweep import note_cell

        note_cell(self._group, record)

    def trials(self, path: Path) -> None:
        """Logs up to :data:`MAX_TABLE_ROWS` rows as the table ``trials``."""
        run = self._open_run()
        columns, rows, total = _rows(path)
        Canvas(self._wandb, run).table("trials", columns, rows)
        run.summary.update({"trials_shown": len(rows), "trials_total": total})

    def videos(self, paths: Mapping[str, Path]) -> None:
        """Logs MP4 files by copying them; nothing is decoded or encoded.

        Raises:
            DataError: If a path is not an existing MP4 file.
        """
        run = self._open_run()
        for path in paths.values():
            if path.suffix.lower() != ".mp4" or not path.is_file():
                raise DataError(
                    "cannot show a video",
                    seen=path,
                    accepted="an existing .mp4 file",
                    fix="write the example videos before handing them to the tracker",
                )
        # Of every run by the same keys, so that one panel shows those of all.
        for i, (title, path) in enumerate(paths.items()):
            video = self._wandb.Video(str(path), caption=redact_text(title), format="mp4")
            run.log({f"{EXAMPLE}/{i}": video})

    def sweep(self, group: str, cells: Sequence[Cell]) -> None:
        """Makes the summary run of a sweep: a row per cell, and bars of every suite's headline.

        Args:
            group: The sweep's name, as its cells were started with.
            cells: What is known of each (:func:`worldbench.wandb_sweep.cells_of`).

        Raises:
            EnvironmentFault: As :meth:`start` and :meth:`finish` do.
        """
        self._open("summary", group, {}, "summary")
        failed = True
        try:
            run = self._open_run()
            draw_sweep(Canvas(self._wandb, run), cells)
            counts = Counter(str(cell["status"]) for cell in cells)
            run.summary.update(
                {"cells": len(cells), **{f"cells/{k}": n for k, n in counts.items()}}
            )
            failed = counts["failed"] > 0
        finally:
            self.finish(failed=failed)

    def finish(self, *, failed: bool) -> None:
        """Closes the run and, unless another run of this process uses it, ends W&B's service.

        Raises:
            EnvironmentFault: If the service process ended badly.
            TimeoutError: If uploads took longer than :data:`FINISH_TIMEOUT_S`.
        """
        wandb, run = self._wandb, self._run
        self._wandb = self._run = None
        if wandb is None:
            return
        try:
            if run is not None:
                run.finish(exit_code=int(failed))
                if self._mode == "offline":
                    folder = shlex.quote(run.settings.sync_dir)
                    _log.info("W&B run kept offline; upload it with: wandb sync %s", folder)
        finally:
            end_service(wandb, run, self._hooks)

    def _open_run(self) -> Any:
        if self._run is None:
            raise ContractError("the tracker has no open run", fix="call start() first")
        return self._run


def metric_key(metric: MetricResult) -> str:
    """Returns a metric's key in a summary: its label, then ``{factor=value,…}`` if it has any.

    The extractor is part of the label already: ``frechet[effnetlite0-dt-pca64]``.
    """
    factors = sorted((k, v) for k, v in metric.factors.items() if k != "extractor")
    inner = ",".join(f"{name}={value}" for name, value in factors)
    return f"{metric.label}{{{inner}}}" if inner else metric.label


def summary(record: Record) -> dict[str, object]:
    """Flattens a record to ``status``, ``reason`` and, per metric, its value or why it has none.

    A measured metric gives ``<key>`` and, where it has an interval, ``<key>/low`` and
    ``<key>/high``; any other gives ``<key>/status`` and ``<key>/reason`` and no number.
    """
    body = record.body
    flat: dict[str, object] = {"status": body.status, "reason": redact_text(body.reason or "")}
    for metric in body.metrics:
        key = metric_key(metric)
        if metric.status == "ok":
            values = {key: metric.value, f"{key}/low": metric.low, f"{key}/high": metric.high}
            flat |= {name: value for name, value in values.items() if value is not None}
        else:
            flat[f"{key}/status"] = metric.status
            flat[f"{key}/reason"] = redact_text(metric.reason or "")
    return flat


def _rows(path: Path) -> tuple[list[str], list[list[object]], int]:
    """Reads the scalar columns of a Parquet file and at most MAX_TABLE_ROWS rows, evenly spread."""
    import pyarrow.parquet as pq
    from pyarrow import types

    file = pq.ParquetFile(path)
    scalar = (types.is_string, types.is_large_string, types.is_floating, types.is_integer)
    names = [f.name for f in file.schema_arrow if any(accepts(f.type) for accepts in scalar)]
    first = [name for name in ("trial", "cluster", "role") if name in names]
    columns = first + [name for name in names if name not in first]
    with file:
        table = file.read(columns=columns).select(columns)
    total = table.num_rows
    shown = min(total, MAX_TABLE_ROWS)
    table = table.take([i * total // shown for i in range(shown)])
    return columns, [list(row.values()) for row in table.to_pylist()], total
