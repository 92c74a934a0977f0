"""``worldbench verify``: run a record again and compare. Numbers are checked, not believed."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from worldbench import record as records
from worldbench.adapter import Replays
from worldbench.agreement import Outcome, compare_metrics, compare_rows, means_apart, outcome
from worldbench.cell import Cell, Question
from worldbench.compose import explained, register_search_path
from worldbench.errors import RecordError, UsageError
from worldbench.evaluate import evaluate, score_trials
from worldbench.foreign import foreign_targets
from worldbench.parts import Row, read_rows
from worldbench.provenance import Stopwatch
from worldbench.redaction import REDACTED
from worldbench.registry import GROUPS
from worldbench.run import answerer, ask
from worldbench.schema import Body, Record
from worldbench.suite import BeyondRows, Fits, Suite
from worldbench.tracking import NoTracker

_ADDED = ("reference", "confusion")
"""Roles of the rows that a suite adds when it summarises; no trial answered them."""


def verify(
    path: Path,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    *,
    trust: bool = False,
) -> Outcome:
    """Runs a record's configuration again and compares what comes out.

    Args:
        path: The record.
        overrides: What moved since, e.g. ``data.root=DIR``.
        limit: Run only so many trials, spread evenly, and compare their rows, and all metrics with
            what the suite makes of the record's own rows; run all trials if None.
        trust: Whether it may run what is neither ours nor an installed plugin's.

    Returns:
        The outcome, with the largest deviation or the list of what differs.

    Raises:
        RecordError: If the record cannot be read, did not succeed, or its rows were altered.
        WorldbenchError: If the run fails.
    """
    record, rows = _measured(path)
    config = _configuration(record, overrides, trust=trust)
    with tempfile.TemporaryDirectory(prefix="worldbench-verify-") as folder:
        cell = answerer(config, ask(config), Path(folder))
        differences = _identity(record.body, cell)
        if differences:
            return _another_question(differences)
        if limit is not None:
            some = compare_rows(rows, _score_some(cell, limit), _slack(cell.suite))
            whole = _summary(record.body, rows, cell)
            agrees = some.agrees and whole.agrees
            return Outcome(agrees, f"{some.report}\n{whole.report}", whole.unchecked)
        watch = Stopwatch(cell.setting.device, ["worldbench", "verify"], {})
        again = evaluate(cell, tracker=NoTracker(), watch=watch)
    return compare_metrics(record.body.metrics, again.body.metrics, _slack(cell.suite) or {})


def verify_summary(path: Path) -> Outcome:
    """Compares a record's metrics with what its suite makes of its rows. Asks no model.

    Args:
        path: The record.

    Raises:
        RecordError: If the record cannot be read, did not succeed, or its rows were altered.
        WorldbenchError: If its suite or data cannot be made here.
    """
    record, rows = _measured(path)
    question = ask(_configuration(record, ()))
    differences = _other_question(record.body, question)
    return _another_question(differences) if differences else _summary(record.body, rows, question)


def _measured(path: Path) -> tuple[Record, list[Row]]:
    record = records.read(path)
    if record.body.status != "ok":
        raise RecordError(
            f"only a record with status ok can be verified: {path}",
            seen=f"{record.body.status}: {record.body.reason}",
            fix="run the cell again",
        )
    return record, _stored_rows(path, record)


def _stored_rows(path: Path, record: Record) -> list[Row]:
    rows_file = path.with_name(str(record.body.trials))
    if not rows_file.is_file() or (
        records.file_digest(rows_file) != record.provenance.trials_sha256
    ):
        raise RecordError(
            f"the rows of {path} are missing or were altered",
            seen=rows_file if rows_file.is_file() else "no such file",
            accepted=f"sha256 {record.provenance.trials_sha256}",
            fix="restore it from version control, or run the cell again with overwrite=true",
        )
    return read_rows(rows_file)


def _configuration(record: Record, overrides: Sequence[str], *, trust: bool = False) -> DictConfig:
    register_search_path()
    if not trust and (foreign := foreign_targets(record.provenance.config)):
        raise RecordError(
            "the record would run what is neither ours nor an installed plugin's",
            seen=foreign[0],
            accepted="classes of worldbench and of packages that ship configurations for it",
            fix="worldbench verify RECORD --trust, if it is yours",
        )
    bare = [word for word in overrides if word.partition("=")[0] in GROUPS]
    if bare:
        raise UsageError(
            "a record is verified with what it was made with",
            seen=", ".join(bare),
            accepted="options that moved, such as data.root=DIR",
            fix="worldbench run, to measure something else",
        )
    hidden = _hidden(record.provenance.config)
    given = {word.partition("=")[0] for word in overrides}
    if hidden - given:
        raise UsageError(
            "options of this record were not kept, because their names look like secrets",
            seen=", ".join(sorted(hidden - given)),
            accepted="their values on the command line",
            fix=f"worldbench verify RECORD {sorted(hidden - given)[0]}=...",
        )
    recorded = OmegaConf.create(record.provenance.config)
    # The device is provenance, not protocol: any machine may verify.
    recorded.device = "auto"
    OmegaConf.set_struct(recorded, True)
    with explained():
        config = OmegaConf.merge(recorded, OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(config, DictConfig)  # two mappings merge into a mapping
    return config


def _hidden(config: Mapping[str, object], prefix: str = "") -> set[str]:
    """Returns the dotted names of the options that were redacted."""
    names: set[str] = set()
    for name, value in config.items():
        if isinstance(value, Mapping):
            names |= _hidden(value, f"{prefix}{name}.")
        elif value == REDACTED:
            names.add(f"{prefix}{name}")
    return names


def _another_question(differences: Sequence[str]) -> Outcome:
    return Outcome(False, "\n".join(["another question was asked:", *differences]))


def _identity(body: Body, cell: Cell) -> list[str]:
    """Lists in what the cell differs from the recorded one, apart from its scores."""
    pairs = {"adapter revision": (body.adapter.revision, cell.adapter.card.revision)}
    return [*_unequal(pairs), *_other_question(body, cell)]


def _other_question(body: Body, question: Question) -> list[str]:
    told, now = body.suite, question.info
    return _unequal(
        {
            "suite version": (told.version, now.version),
            "metric versions": (told.metric_versions, now.metric_versions),
            "data digest": (told.data.digest, now.data.digest),
            "protocol": (told.protocol, now.protocol),
        }
    )


def _unequal(pairs: Mapping[str, tuple[object, object]]) -> list[str]:
    return [f"  {name}: recorded {a}, now {b}" for name, (a, b) in pairs.items() if a != b]


def _slack(suite: Suite) -> Mapping[str, float] | None:
    """Returns by how much scores may differ because heads were fitted; None if none were."""
    return suite.slack if isinstance(suite, Fits) else None


def _score_some(cell: Cell, limit: int) -> list[Row]:
    if limit < 1:
        raise UsageError("--limit is too small", seen=limit, accepted="1 or more", fix="--limit 8")
    if isinstance(cell.adapter, Replays):
        cell.adapter.require(cell.trials, cell.suite.samples)
    step = max(1, len(cell.trials) // limit)
    return score_trials(cell, range(0, len(cell.trials), step)[:limit])


def _summary(body: Body, rows: Sequence[Row], question: Question) -> Outcome:
    """Compares a record's metrics with what its suite makes of the rows that it keeps."""
    scored = [row for row in rows if row["role"] not in _ADDED]
    asked = {trial.id for trial in question.trials}
    if odd := {str(row["trial"]) for row in scored} ^ asked:
        return Outcome(False, f"does not verify: its rows are not of the trials asked: {min(odd)}")
    if isinstance(question.suite, BeyondRows):
        return _of_means(body, rows)
    scorer = question.suite.scorer(question.data, question.setting)
    try:
        made = scorer.summarise(scored).metrics
    except Exception as error:  # rows are foreign: whatever they break, they are not the suite's
        told = f"{type(error).__name__}: {error}"
        return Outcome(False, f"does not verify: its suite makes no metrics of its rows: {told}")
    found = compare_metrics(body.metrics, made, {})
    return Outcome(found.agrees, f"of its own rows: {found.report}")


def _of_means(body: Body, rows: Sequence[Row]) -> Outcome:
    lines, unchecked = means_apart(body, rows)
    count = sum(metric.value is not None for metric in body.metrics) - len(unchecked)
    found = outcome(lines, [0.0], f"{count} metrics of its own rows")
    said = [found.report]
    if unchecked:
        said.append(f"not checked without all trials: {', '.join(unchecked)}")
    return Outcome(found.agrees, "\n".join(said), tuple(unchecked))
