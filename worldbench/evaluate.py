"""The one loop: adapter × suite → record."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from worldbench import __version__
from worldbench import record as records
from worldbench.adapter import Adapter, Replays
from worldbench.batches import clip_batches
from worldbench.cell import Cell
from worldbench.data.video import encode
from worldbench.errors import EnvironmentFault
from worldbench.parts import Parts, by_trial, in_trial_order, table_bytes
from worldbench.provenance import Stopwatch
from worldbench.schema import Body, Record, digest
from worldbench.suite import Batch, Notes, Row, Scorer
from worldbench.tracking import Tracker

logger = logging.getLogger(__name__)

EXAMPLES = 2  # videos that a tracker is shown per run


def evaluate(
    cell: Cell,
    *,
    tracker: Tracker,
    watch: Stopwatch,
    overwrite: bool = False,
    examples: Path | None = None,
) -> Record:
    """Runs one cell, or returns its record if it is already there.

    Args:
        cell: What to run.
        tracker: Is told of progress, metrics, trials and example videos.
        watch: Started with the run; gives the record's provenance.
        overwrite: Run again although a finished record exists.
        examples: Folder for the example videos that the tracker is shown; None for no videos.

    Returns:
        The record, which is also on disk: ``ok``, or ``skipped`` with the reason.

    Raises:
        WorldbenchError: If the data, the adapter or the machine fails; finished batches stay on
            disk and the same command resumes after them.
    """
    # Of two jobs of one cell, the second waits and finds the first's record.
    with records.locked(cell.path, partial(records.unwritable, cell.path)):
        if not overwrite and (finished := cell.finished()) is not None:
            logger.info("already measured: %s (overwrite=true runs it again)", cell.path)
            _warn_of_other_options(finished, watch)
            return finished
        reason = cell.suite.unsupported(cell.adapter.card)
        if reason is not None:
            return keep(cell.path, cell.body(status="skipped", reason=reason), watch)
        if isinstance(cell.adapter, Replays):
            cell.adapter.require(cell.trials, cell.suite.samples)
        fingerprint = digest([cell.key, __version__, torch.__version__, cell.setting.device.type])
        parts = Parts(cell.path, fingerprint, again=overwrite)
        scorer = cell.suite.scorer(cell.data, cell.setting)
        summary = scorer.summarise(_rows(cell, scorer, parts, tracker))
        watch.notes += scorer.notes if isinstance(scorer, Notes) else ()
        rows_file = cell.path.with_suffix(".parquet")
        body = cell.body(status="ok", metrics=summary.metrics, trials=rows_file.name)
        record = keep(cell.path, body, watch, table_bytes(summary.rows))
        parts.remove()
        tracker.trials(rows_file)
        if examples is not None:
            tracker.videos(_example_videos(cell, scorer, examples))
        return record


def _warn_of_other_options(record: Record, watch: Stopwatch) -> None:
    """Tells when equal revisions hide different options, as an adapter's card may wrongly do."""
    before, now = record.provenance.config.get("adapter"), watch.config.get("adapter")
    if before != now:
        logger.warning(
            "but with other options of the adapter: then %s, now %s. Whatever changes an adapter's "
            "answers must change card.revision",
            before,
            now,
        )


def _rows(cell: Cell, scorer: Scorer, parts: Parts, tracker: Tracker) -> list[Row]:
    """Scores every trial that has no rows yet and returns the rows of all, in trial order."""
    rows = parts.read()
    if rows:
        logger.info("resuming after %d of %d trials", len(rows), len(cell.trials))
    with cell.setting.progress.task(cell.adapter.card.name, len(cell.trials)) as step:
        step.to(sum(trial.id in rows for trial in cell.trials))
        for batch in _unfinished(cell, set(rows)):
            scored = score(scorer, cell.adapter, batch)
            parts.write(batch.ordinal, scored)
            rows.update(by_trial(scored))
            step.to(len(rows))
            tracker.progress(step.done, step.total)
    return in_trial_order(rows, (trial.id for trial in cell.trials))


def keep(path: Path, body: Body, watch: Stopwatch, rows: bytes | None = None) -> Record:
    """Writes a record with its provenance, and its rows beside it, and returns it."""
    sha256 = None if rows is None else hashlib.sha256(rows).hexdigest()
    record = Record(body=body, provenance=watch.provenance(sha256))
    records.write(path, record, rows)
    return record


def score(scorer: Scorer, adapter: Adapter, batch: Batch) -> list[Row]:
    """Scores a batch, in halves if it does not fit into memory.

    Raises:
        EnvironmentFault: If not even one trial fits.
    """
    try:
        return scorer.score(adapter, batch)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        size = len(batch.trials)
        if size == 1:
            raise EnvironmentFault(
                f"adapter {adapter.card.name!r} runs out of memory on a single trial",
                seen=str(error).splitlines()[0],
                accepted="a device with room for one trial",
                fix="a smaller precision (precision=bf16), another device=, or suite.samples=1",
            ) from error
    # Outside the except block: the exception's traceback would keep the tensors alive.
    torch.cuda.empty_cache()
    logger.warning("out of memory with %d trials at once: trying %d", size, size // 2)
    half = size // 2
    return score(scorer, adapter, batch[:half]) + score(scorer, adapter, batch[half:])


def _out_of_memory(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError)
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def score_trials(cell: Cell, chosen: Sequence[int]) -> list[Row]:
    """Scores some of a cell's trials, by position, without writing anything."""
    scorer = cell.suite.scorer(cell.data, cell.setting)
    ids = [list(cell.trials[i].clips) for i in chosen]
    clips = clip_batches(
        cell.data, ids, device=cell.setting.device, num_workers=cell.setting.num_workers
    )
    rows = []
    for i, video in zip(chosen, clips, strict=True):
        rows += score(scorer, cell.adapter, Batch((cell.trials[i],), video, i))
    return rows


def _unfinished(cell: Cell, done: set[str]) -> Iterator[Batch]:
    """Yields the trials that have no rows yet, on the same grid of batches as ever.

    Keeping the grid makes a resumed run bit-equal to an uninterrupted one.
    """
    size = cell.setting.batch_size
    starts = range(0, len(cell.trials), size)
    grid = [(start, cell.trials[start : start + size]) for start in starts]
    left = [(start, group) for start, group in grid if not all(t.id in done for t in group)]
    clips = clip_batches(
        cell.data,
        [[clip for trial in group for clip in trial.clips] for _, group in left],
        device=cell.setting.device,
        num_workers=cell.setting.num_workers,
    )
    for (start, group), video in zip(left, clips, strict=True):
        yield Batch(group, video, start)


def _example_videos(cell: Cell, scorer: Scorer, folder: Path) -> dict[str, Path]:
    trials = cell.trials[:EXAMPLES]
    ids = [clip for trial in trials for clip in trial.clips]
    (video,) = clip_batches(cell.data, [ids], device=cell.setting.device)
    paths = {}
    for index, (trial, pixels) in enumerate(
        scorer.examples(cell.adapter, Batch(trials, video, 0)).items()
    ):
        paths[trial] = folder / f"example_{index}.mp4"
        encode(paths[trial], pixels, cell.data.fps)
    return paths
