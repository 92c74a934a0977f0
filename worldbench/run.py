"""``worldbench run``: Hydra composes, one cell is evaluated, one record is written."""

import logging
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from worldbench.cell import Cell, Question, supersede, unresolved
from worldbench.compose import instantiate, register_search_path
from worldbench.errors import EnvironmentFault, UsageError, WorldbenchError
from worldbench.evaluate import evaluate, keep
from worldbench.exits import exits_are_failures
from worldbench.job import in_sweep, log_failure, sweep_name
from worldbench.options import at_least, choose_device, folder_path, one_of, yes_or_no
from worldbench.provenance import Stopwatch
from worldbench.redaction import redact, redact_text, refuse_api_keys
from worldbench.schema import SAFE_NAME, Record
from worldbench.suite import Setting
from worldbench.tracking import Guarded, Tracker
from worldbench.wandb_sweep import summed_up

logger = logging.getLogger(__name__)

PRECISIONS = ("fp32", "bf16", "fp16")
NATIVE = "native"
"""As ``data.size``: the adapter's own, which a sweep over adapters gives each."""


def main() -> None:
    """Runs under Hydra's command line (``sys.argv``), single or as a multirun."""
    register_search_path()
    start = hydra.main(version_base="1.3", config_path="pkg://worldbench.conf", config_name="run")
    with summed_up():
        start(job)()


def job(config: DictConfig) -> float | None:
    """Runs one cell.

    Returns:
        The headline value, for Hydra's sweepers; None if it was not measured.

    Raises:
        WorldbenchError: After a ``failed`` record has been written.
    """
    resolved: Any = OmegaConf.to_container(config, resolve=True)
    refuse_api_keys(resolved)
    public = redact(resolved)
    for option in ("dry_run", "overwrite"):
        yes_or_no(option, config[option])
    root = folder_path("records", config.records)
    watch = Stopwatch(choose_device(config.device), _command(), public)
    tracker = Guarded(instantiate("tracker", config.tracker))
    question: Question | None = None
    cell: Cell | None = None
    failed = True
    try:
        with exits_are_failures():
            if not config.dry_run:
                name = f"{config.adapter.name}-{config.suite.name}"
                tracker.start(name=name, group=sweep_name(), config=public)
            question = ask(config)
            cell = answerer(config, question, root)
            if config.dry_run:
                _describe(cell)
                failed = False
                return None
            _tell_of_other_format(cell, watch)
            record = _run(cell, tracker, watch, config)
            supersede(root, public, cell)
            failed = False
            return _conclude(record, cell.path)
    except Exception as error:
        if not config.dry_run:
            _keep_failure(error, cell or question, root, public, watch, tracker)
        raise
    finally:
        tracker.finish(failed=failed)


def ask(config: DictConfig) -> Question:
    """Makes the suite, data and setting that a configuration describes.

    Raises:
        WorldbenchError: If one of them cannot be made.
    """
    name = str(config.adapter.name)
    if not SAFE_NAME.fullmatch(name):
        raise UsageError(
            f"adapter {name!r} cannot be made: its name becomes the name of a folder",
            accepted="1-64 letters, digits, '.', '_' or '-', a letter or digit first",
            fix="adapter.name=my_model",
        )
    setting = Setting(
        device=choose_device(config.device),
        precision=one_of("precision", config.precision, PRECISIONS),
        batch_size=at_least("batch_size", config.batch_size, 1),
        num_workers=at_least("num_workers", config.num_workers, 0),
        seed=at_least("seed", config.seed, 0),
        limit=None if config.limit is None else at_least("limit", config.limit, 2),
    )
    suite = instantiate("suite", config.suite)
    return Question.of(suite, instantiate("data", _sized(config)), setting)


def _sized(config: DictConfig) -> DictConfig:
    """Returns the configuration of the data, with the adapter's size where it asks for that.

    Raises:
        UsageError: If the adapter has no size of its own.
    """
    if config.data.get("size") != NATIVE:
        return cast(DictConfig, config.data)
    size = instantiate("adapter", config.adapter).card.size
    if size is None:
        raise UsageError(
            f"{config.adapter.name} has no size of its own: it takes clips of any",
            seen=f"data.size={NATIVE}",
            accepted="[height,width] in pixels; what others on the same board are asked at",
            fix="data.size=[256,256]",
        )
    return cast(DictConfig, OmegaConf.merge(config.data, {"size": list(size)}))


def answerer(config: DictConfig, question: Question, root: Path) -> Cell:
    """Makes the adapter that a configuration describes, and with it the cell.

    Raises:
        WorldbenchError: If it cannot be made.
    """
    return Cell.identify(instantiate("adapter", config.adapter), question, root)


def _tell_of_other_format(cell: Cell, watch: Stopwatch) -> None:
    """Notes that clips come at another rate or size than the model's own.

    It is asked all the same: all models of a board see the same clips. But at another rate things
    move faster or slower than the model has learnt, and its score is to be read with that in mind.
    """
    card, data = cell.adapter.card, cell.data
    size = data.protocol.get("size")
    other = []
    if card.fps is not None and abs(card.fps / data.fps - 1) > 0.01:
        other.append(f"{data.fps:g} frames per second, not {card.fps:g}")
    if card.size is not None and size is not None and tuple(size) != card.size:
        other.append(f"{size[0]}×{size[1]} pixels, not {card.size[0]}×{card.size[1]}")
    if other:
        note = f"the clips have {' and '.join(other)}, for which {card.name} was made"
        watch.notes.append(note)
        fix = []
        if card.fps is not None:
            fix.append(f"data.fps={card.fps:g}")
        if card.size is not None:
            fix.append(f"data.size={NATIVE}")
        logger.warning("%s; of data that can be resampled: %s", note, " ".join(fix))


def _run(cell: Cell, tracker: Tracker, watch: Stopwatch, config: DictConfig) -> Record:
    # cuDNN's fastest algorithm may differ from run to run; the same command gives the same record.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    with tempfile.TemporaryDirectory(prefix="worldbench-") as folder:
        wants_videos = config.tracker.name != "none"
        record = evaluate(
            cell,
            tracker=tracker,
            watch=watch,
            overwrite=config.overwrite,
            examples=Path(folder) if wants_videos else None,
        )
        tracker.record(record)
        return record


def _conclude(record: Record, path: Path) -> float | None:
    body = record.body
    logger.info("%s: %s", body.status, path)
    if body.reason is not None:
        logger.info("  %s", body.reason)
    told = [m for m in body.metrics if m.headline or m.factors.keys() <= {"extractor", "path"}]
    for metric in told:
        span = "" if metric.low is None else f" [{metric.low:.4g}, {metric.high:.4g}]"
        shown = f"{metric.value:.4g}{span}" if metric.value is not None else metric.status
        side = f" {metric.factors['path']}" if "path" in metric.factors else ""
        why = f" ({metric.reason})" if metric.reason else ""
        logger.info("  %s%s %s%s", metric.label, side, shown, why)
    if len(told) < len(body.metrics):
        logger.info("  and %d more by factor in the record", len(body.metrics) - len(told))
    headline = body.headline
    return headline.value if headline is not None else None


def _keep_failure(
    error: Exception,
    reached: Question | None,
    root: Path,
    config: dict[str, Any],
    watch: Stopwatch,
    tracker: Tracker,
) -> None:
    """Leaves a failed record, unless the cell holds a finished one or the folder is the problem.

    A wrong command line leaves none: the question was never asked.
    """
    log_failure(error)
    if isinstance(error, UsageError):
        return
    if isinstance(error, WorldbenchError):
        reason = error.one_line
    else:
        reason = traceback.format_exception_only(error)[-1].strip()
    # Reasons are committed and shown: no secrets, and nothing that steers a terminal.
    reason = "".join(c if c.isprintable() else " " for c in redact_text(reason))
    try:
        if isinstance(reached, Cell):
            if reached.finished() is None:
                body = reached.body(status="failed", reason=reason)
                tracker.record(keep(reached.path, body, watch))
        elif reached is not None or in_sweep():
            # A single run without usable data has told its user; a sweep must show the gap.
            info = reached.info if reached is not None else None
            tracker.record(keep(*unresolved(root, config, info, reason), watch))
    except EnvironmentFault as unwritable:
        logger.error("no failed record could be kept: %s", unwritable.one_line)


def _describe(cell: Cell) -> None:
    card, data = cell.adapter.card, cell.info.data
    state = "finished, would be skipped" if cell.finished() else "would run"
    reason = cell.suite.unsupported(card)
    logger.info("%s (%s, revision %s)", card.name, card.family, card.revision[:12])
    logger.info("  on %s@%s with %s", cell.suite.name, cell.suite.version, data.name)
    logger.info(
        "  %d trials in batches of %d on %s, %s; %d clips of %d videos, %d excluded",
        len(cell.trials),
        cell.setting.batch_size,
        cell.setting.device,
        cell.setting.precision,
        data.clips,
        data.clusters,
        len(data.excluded),
    )
    logger.info("  %s: %s", f"would be skipped: {reason}" if reason else state, cell.path)


def _command() -> Sequence[str]:
    """The command line of this job: in a sweep, with the overrides of its own cell."""
    if not in_sweep():
        return ["worldbench", "run", *sys.argv[1:]]
    folder = next((w for w in sys.argv if w.startswith("--config-dir=")), None)
    if "--config-dir" in sys.argv[:-1]:
        folder = f"--config-dir={sys.argv[sys.argv.index('--config-dir') + 1]}"
    flags = [folder] if folder is not None else []
    return ["worldbench", "run", *flags, *HydraConfig.get().overrides.task]
