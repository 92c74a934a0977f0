"""Pairs of records on the same questions, with scores that a test can reckon with."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from provenances import provenance

from worldbench.record import file_digest, record_path, write
from worldbench.schema import (
    AdapterCard,
    Body,
    DataInfo,
    MetricResult,
    Record,
    SuiteInfo,
    digest,
)

PROTOCOL = {"context": 4, "clips": {"fps": 8.0}}
Add = Callable[..., Path]


def scored(name: str, values: Sequence[float], **changes: Any) -> MetricResult:
    mean = math.fsum(values) / len(values)
    given = {
        "value": mean,
        "low": mean - 0.1,
        "high": mean + 0.1,
        "n": len(values),
        "clusters": len(values),
    }
    given |= {"higher_is_better": True, "headline": True}
    return MetricResult(name=name, **(given | changes))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def add(root: Path) -> Add:
    """Writes one record; ``columns`` are scores per trial, each a headline metric."""

    def add(
        name: str,
        columns: dict[str, Sequence[float]] | None = None,
        *,
        clusters: Sequence[str] | None = None,
        trials: Sequence[str] | None = None,
        version: int = 1,
        suite: str = "motion",
        protocol: dict[str, Any] = PROTOCOL,
        rows: bool = True,
        changes: dict[str, Any] | None = None,
        **body: Any,
    ) -> Path:
        card = AdapterCard(name=name, revision=digest([name, version]), family="generative")
        data = DataInfo(name="worlds-quick", digest="d" * 64, clips=80, clusters=40)
        info = SuiteInfo(name=suite, version="1", data=data, protocol=protocol)
        key = digest([card.revision, suite, protocol])
        path = record_path(root, card, suite, "1", key)
        path.parent.mkdir(parents=True, exist_ok=True)
        metrics = tuple(scored(m, v, **(changes or {})) for m, v in (columns or {}).items())
        sha = None
        if columns is not None:
            count = len(next(iter(columns.values())))
            ids = list(trials or [f"t{i:03d}" for i in range(count)])
            table = {"trial": ids, "cluster": list(clusters or ids), "role": ["rollout"] * count}
            body["trials"] = f"{key[:12]}.parquet"
            place = path.parent / body["trials"]
            pq.write_table(pa.table(table | {m: list(v) for m, v in columns.items()}), place)
            sha = file_digest(place)
            if not rows:
                place.unlink()
        given: dict[str, Any] = {"status": "ok", "metrics": metrics}
        written = Body(key=key, adapter=card, suite=info, **(given | body))
        write(path, Record(body=written, provenance=provenance(trials_sha256=sha)))
        return path

    return add


@pytest.fixture
def noise() -> np.random.Generator:
    return np.random.default_rng(3)
