"""Per-trial results beside a record: what the board compares adapters by."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from worldbench.errors import RecordError
from worldbench.limits import LARGEST
from worldbench.record import file_digest
from worldbench.schema import Record

KEY_COLUMNS = ("trial", "cluster", "role")


@dataclass(frozen=True)
class Scores:
    """One adapter's per-trial results on one metric.

    Attributes:
        kind: ``trials`` if they are scores whose mean is the metric, ``influence`` if the metric
            minus its limit is about their mean.
        values: By trial; for influence values by role and trial.
        clusters: Cluster by the same ids.
    """

    kind: Literal["trials", "influence"]
    values: Mapping[str, float]
    clusters: Mapping[str, str]


@dataclass(frozen=True)
class Absent:
    """Why there are no per-trial results."""

    reason: str


def load(path: Path, record: Record) -> dict[str, list[Any]] | Absent:
    """Reads the rows file of a record, one list per column.

    Args:
        path: The record's own path; its rows stand beside it.
        record: The record.

    Raises:
        RecordError: If the rows are not those that the record was made from, or their name leaves
            the record's folder.
    """
    name = record.body.trials
    if name is None:
        return Absent("the record names no rows file")
    if Path(name).name != name:
        raise RecordError(
            f"record {path} names rows outside its folder",
            seen=name,
            accepted="a plain file name, such as <key12>.parquet",
            fix="run the cell again; records are generated, never edited",
        )
    rows = path.parent / name
    if not rows.is_file():
        return Absent(f"its rows file {name} is missing")
    expected = record.provenance.trials_sha256
    if expected is not None and (found := file_digest(rows)) != expected:
        raise RecordError(
            f"rows {rows} are not those the record was made from",
            seen=f"sha256 {found}",
            accepted=f"sha256 {expected}",
            fix="restore the file from version control, or run the cell again",
        )
    try:
        with rows.open("rb") as stream:
            columns: dict[str, list[Any]] = pq.ParquetFile(stream).read().to_pydict()
    except (pa.ArrowException, OSError) as error:
        return Absent(f"its rows file {name} cannot be read ({type(error).__name__})")
    missing = [column for column in KEY_COLUMNS if column not in columns]
    if missing:
        return Absent(f"its rows file {name} has no column {missing[0]!r}")
    return columns


def scores(columns: Mapping[str, list[Any]], metric: str) -> Scores | Absent:
    """Extracts one metric: scores per trial where it is a mean, else influence values.

    Several samples of a trial are averaged first, so that a trial counts once.

    Args:
        columns: As :func:`load` returns them.
        metric: Name of the metric, which is also the name of its column.
    """
    if metric in columns:
        return _collect(columns, metric, "trials")
    if f"{metric}.influence" in columns:
        return _collect(columns, f"{metric}.influence", "influence")
    return Absent(f"its rows hold neither {metric} nor {metric}.influence")


def _collect(
    columns: Mapping[str, list[Any]], name: str, kind: Literal["trials", "influence"]
) -> Scores | Absent:
    samples: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, str] = {}
    keys = (columns[key] for key in KEY_COLUMNS)
    for trial, cluster, role, value in zip(*keys, columns[name], strict=True):
        if kind == "trials" and (role != "rollout" or value is None):
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            return Absent(f"its rows hold a {name} that is not a finite number")
        if abs(value) > LARGEST:
            return Absent(f"its rows hold a {name} beyond ±{LARGEST:g}")
        key = str(trial) if kind == "trials" else f"{role}/{trial}"
        if clusters.setdefault(key, str(cluster)) != str(cluster):
            return Absent(f"its rows put trial {trial} into two clusters")
        samples[key].append(float(value))
    if not samples:
        return Absent(f"its rows hold no {name}")
    if kind == "trials":
        return Scores(kind, {k: math.fsum(v) / len(v) for k, v in samples.items()}, clusters)
    # Every row weighs 1/N in the estimate; re-weighed so that every trial weighs 1/len(samples),
    # which is how influence_difference sums them.
    weight = len(samples) / len(columns[name])
    return Scores(kind, {k: weight * math.fsum(v) for k, v in samples.items()}, clusters)
