"""``worldbench verify``: run a record again and compare. Numbers are checked, not believed."""

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from worldbench import record as records
from worldbench.adapter import Replays
from worldbench.cell import Cell
from worldbench.compose import explained, register_search_path
from worldbench.errors import RecordError, UsageError
from worldbench.evaluate import evaluate, score_trials
from worldbench.parts import Row, read_rows
from worldbench.provenance import Stopwatch
from worldbench.redaction import REDACTED
from worldbench.registry import GROUPS
from worldbench.run import answerer, ask
from worldbench.schema import Body, Record
from worldbench.suite import Fits
from worldbench.tracking import NoTracker

RELATIVE = 5e-3
ABSOLUTE = 1e-4
"""Two machines agree when |a − b| ≤ ABSOLUTE + RELATIVE·|a|.

Decoders, convolutions and encoders round differently between CPUs and releases; on one machine the
numbers are equal to the last bit.
"""


@dataclass(frozen=True)
class Outcome:
    """What a verification found.

    Attributes:
        agrees: Whether everything compared agrees.
        report: Lines for the user.
    """

    agrees: bool
    report: str


def verify(path: Path, overrides: Sequence[str] = (), limit: int | None = None) -> Outcome:
    """Runs a record's configuration again and compares what comes out.

    Args:
        path: The record.
        overrides: What moved since, e.g. ``data.root=DIR``.
        limit: Run only so many trials, spread evenly, and compare their rows; all trials and all
            metrics if None.

    Returns:
        The outcome, with the largest deviation or the list of what differs.

    Raises:
        RecordError: If the record cannot be read, did not succeed, or its rows were altered.
        WorldbenchError: If the run fails.
    """
    record = records.read(path)
    if record.body.status != "ok":
        raise RecordError(
            f"only a record with status ok can be verified: {path}",
            seen=f"{record.body.status}: {record.body.reason}",
            fix="run the cell again",
        )
    rows = _stored_rows(path, record)
    config = _configuration(record, overrides)
    with tempfile.TemporaryDirectory(prefix="worldbench-verify-") as folder:
        cell = answerer(config, ask(config), Path(folder))
        differences = _identity(record.body, cell)
        if differences:
            return Outcome(False, "\n".join(["another question was asked:", *differences]))
        if limit is not None:
            some = _compare_rows(rows, _score_some(cell, limit))
            return _with_means(some, record.body, rows)
        watch = Stopwatch(cell.setting.device, ["worldbench", "verify"], {})
        again = evaluate(cell, tracker=NoTracker(), watch=watch)
    slack = cell.suite.slack if isinstance(cell.suite, Fits) else {}
    return _compare_metrics(record.body, again.body, slack)


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


def _configuration(record: Record, overrides: Sequence[str]) -> DictConfig:
    register_search_path()
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


def _identity(body: Body, cell: Cell) -> list[str]:
    """Lists in what the cell differs from the recorded one, apart from its scores."""
    pairs = {
        "adapter revision": (body.adapter.revision, cell.adapter.card.revision),
        "suite version": (body.suite.version, cell.suite.version),
        "metric versions": (body.suite.metric_versions, cell.info.metric_versions),
        "data digest": (body.suite.data.digest, cell.info.data.digest),
        "protocol": (body.suite.protocol, cell.info.protocol),
    }
    return [f"  {name}: recorded {a}, now {b}" for name, (a, b) in pairs.items() if a != b]


def _score_some(cell: Cell, limit: int) -> list[Row]:
    if limit < 1:
        raise UsageError("--limit is too small", seen=limit, accepted="1 or more", fix="--limit 8")
    if isinstance(cell.adapter, Replays):
        cell.adapter.require(cell.trials, cell.suite.samples)
    step = max(1, len(cell.trials) // limit)
    return score_trials(cell, range(0, len(cell.trials), step)[:limit])


def _compare_rows(stored: Sequence[Row], again: Sequence[Row]) -> Outcome:
    known = _numbered(row for row in stored if row["role"] != "reference")
    deviations, lines = [0.0], []
    for place, row in _numbered(again).items():
        before = known.get(place)
        if before is None:
            lines.append(f"  {row['trial']} row {place[1]}: not in the record")
            continue
        for name, value in before.items():
            if isinstance(value, float) and isinstance(now := row.get(name), float):
                deviations.append(_deviation(value, now))
                if deviations[-1] > 1:
                    lines.append(f"  {row['trial']} {name}: recorded {value:.6g}, now {now:.6g}")
    return _outcome(lines, deviations, f"{len(again)} rows")


def _numbered(rows: Iterable[Row]) -> dict[tuple[str, int], Row]:
    """Returns rows by trial and place within it: a suite gives a trial's rows in a fixed order."""
    counts: Counter[str] = Counter()
    found = {}
    for row in rows:
        trial = str(row["trial"])
        found[trial, counts[trial]] = row
        counts[trial] += 1
    return found


def _with_means(sample: Outcome, body: Body, rows: Sequence[Row]) -> Outcome:
    """Adds to a sample's outcome whether the record's means are those of its rows.

    Distances are not means of rows: only a full verification checks them, and the report says so.
    """
    lines, unchecked = [], []
    for metric in body.metrics:
        if metric.value is None or set(metric.factors) - {"extractor"}:
            continue
        values = [row[metric.name] for row in rows if row.get(metric.name) is not None]
        if not values:
            unchecked.append(metric.label)
        elif _deviation(metric.value, mean := math.fsum(values) / len(values)) > 1:
            lines.append(f"  {metric.label}: recorded {metric.value:.6g}, its rows give {mean:.6g}")
    said = [sample.report, *lines]
    if unchecked:
        said.append(f"not checked without all trials: {', '.join(unchecked)}")
    return Outcome(sample.agrees and not lines, "\n".join(said))


def _compare_metrics(body: Body, again: Body, slack: Mapping[str, float]) -> Outcome:
    deviations, lines = [0.0], []
    now = {(m.name, str(sorted(m.factors.items()))): m for m in again.metrics}
    for metric in body.metrics:
        other = now.pop((metric.name, str(sorted(metric.factors.items()))), None)
        if other is None or other.status != metric.status:
            lines.append(
                f"  {metric.label}: recorded {metric.status}, now {other and other.status}"
            )
            continue
        for part in ("value", "low", "high"):
            a, b = getattr(metric, part), getattr(other, part)
            if a is None or b is None:
                if a is not b:
                    lines.append(f"  {metric.label} {part}: recorded {a}, now {b}")
                continue
            deviations.append(_deviation(a, b, slack.get(metric.name, 0.0)))
            if deviations[-1] > 1:
                lines.append(f"  {metric.label} {part}: recorded {a:.6g}, now {b:.6g}")
    lines += [f"  {m.label}: not in the record" for m in now.values()]
    return _outcome(lines, deviations, f"{len(body.metrics)} metrics")


def _deviation(a: float, b: float, slack: float = 0.0) -> float:
    """Returns |a − b| in units of what is allowed; NaN counts as infinitely far."""
    deviation = abs(a - b) / (ABSOLUTE + RELATIVE * abs(a) + slack)
    return math.inf if math.isnan(deviation) else deviation


def _outcome(lines: list[str], deviations: Sequence[float], compared: str) -> Outcome:
    if lines:
        return Outcome(False, "\n".join([f"does not verify ({compared} compared):", *lines]))
    worst = max(deviations)
    return Outcome(True, f"verified: {compared} agree (largest deviation {worst:.2g} of allowed)")
