"""A realistic tree of records: a floor, two rivals, the real future, one failed, one skipped."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worldbench.record import file_digest, record_path, write
from worldbench.schema import (
    AdapterCard,
    Body,
    DataInfo,
    Exclusion,
    MetricResult,
    Provenance,
    Record,
    SuiteInfo,
    digest,
)

EXTRACTOR = "effnetlite0-dt-pca64"
CLUSTERS, PER_CLUSTER = 40, 2

QUALITY = {"real_future": 30.0, "linear_flow": 23.0, "copy_last": 20.0, "context_mean": 20.1}
DISTANCE = {"real_future": 1.2, "linear_flow": 6.0, "copy_last": 14.0, "context_mean": 14.05}


def provenance(**changes: Any) -> Provenance:
    given = {
        "command": "worldbench run",
        "config": {},
        "started": "2024-01-01T00:00:00Z",
        "seconds": 1.0,
        "worldbench": "0.1.0",
        "commit": None,
        "dirty": None,
        "packages": {},
        "python": "3.12",
        "platform": "linux",
        "device": "cpu",
        "peak_memory_mib": 100.0,
    }
    return Provenance(**(given | changes))


def result(
    name: str, value: float | None, half: float | None = 0.1, **changes: Any
) -> MetricResult:
    ends = {} if half is None or value is None else {"low": value - half, "high": value + half}
    given = {"higher_is_better": True, "n": CLUSTERS * PER_CLUSTER, "clusters": CLUSTERS}
    return MetricResult(name=name, value=value, **(given | ends | changes))


def rows(name: str, samples: int = 2) -> dict[str, list[Any]]:
    """Per-trial PSNR and Fréchet influence values; scenes are equally hard for every adapter."""
    scenes = np.random.default_rng(1).normal(size=CLUSTERS)
    own = np.random.default_rng(sum(map(ord, name)))
    columns: dict[str, list[Any]] = {
        key: [] for key in ("trial", "cluster", "role", "psnr", "frechet.influence")
    }
    for scene in range(CLUSTERS):
        for take in range(PER_CLUSTER):
            for sample in range(samples + 1):
                reference = sample == samples
                psnr = QUALITY[name] + scenes[scene] + 0.3 * own.normal()
                for key, value in {
                    "trial": f"t{scene}-{take}",
                    "cluster": f"scene{scene}",
                    "role": "reference" if reference else "rollout",
                    "psnr": None if reference else psnr,
                    "frechet.influence": float(own.normal()),
                }.items():
                    columns[key].append(value)
    return columns


@dataclass
class Tree:
    """Writes records where the layout wants them."""

    root: Path
    protocol: dict[str, Any] = field(default_factory=lambda: {"context": 4, "horizon": 12})

    def card(self, name: str, version: int = 1, **changes: Any) -> AdapterCard:
        families = {"copy_last": "baseline", "context_mean": "baseline", "real_future": "oracle"}
        given = {"name": name, "revision": digest([name, version]), "summary": f"{name} adapter"}
        return AdapterCard(**(given | {"family": families.get(name, "generative")} | changes))

    def add(
        self,
        card: AdapterCard,
        metrics: tuple[MetricResult, ...] = (),
        table: Mapping[str, list[Any]] | None = None,
        *,
        suite: str = "video_distance",
        record: Provenance | None = None,
        **changes: Any,
    ) -> Path:
        data = DataInfo(
            name="worlds-quick",
            digest="d" * 64,
            clips=80,
            clusters=CLUSTERS,
            excluded=(Exclusion(path="a.mp4", reason="too short"),),
        )
        info = SuiteInfo(name=suite, version="1", data=data, protocol=self.protocol)
        key = digest([card.revision, suite, self.protocol, changes.pop("salt", "")])
        path = record_path(self.root, card, suite, "1", key)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = record or provenance()
        trials = None
        if table is not None:
            trials = f"{key[:12]}.parquet"
            pq.write_table(pa.table(dict(table)), path.parent / trials)
            sha = file_digest(path.parent / trials)
            told = told.model_copy(update={"trials_sha256": sha})
        given: dict[str, Any] = {"status": "ok", "metrics": metrics, "trials": trials}
        body = Body(key=key, adapter=card, suite=info, **(given | changes))
        write(path, Record(body=body, provenance=told))
        return path

    def measured(self, name: str, version: int = 1, **changes: Any) -> Path:
        """Adds an ok record of one of the four measured adapters."""
        table = rows(name)
        psnr = [value for value in table["psnr"] if value is not None]
        metrics = (
            result(
                "frechet",
                DISTANCE[name],
                0.3,
                higher_is_better=False,
                headline=True,
                factors={"extractor": EXTRACTOR},
            ),
            result("psnr", math.fsum(psnr) / len(psnr), 0.4, unit="dB", headline=True),
            result("ssim", QUALITY[name] / 40, None),
            result("psnr", QUALITY[name] - 1, 0.6, unit="dB", factors={"tier": "hard"}),
        )
        return self.add(self.card(name, version), metrics, table, **changes)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "records")


@pytest.fixture
def records(tree: Tree) -> Path:
    """All adapters on video_distance, and one of them on permanence."""
    for name in ("copy_last", "linear_flow", "context_mean", "real_future"):
        tree.measured(name)
    tree.add(tree.card("broken_dit"), status="failed", reason="ran out of memory\nat batch 3")
    tree.add(
        tree.card("small_jepa", family="predictive"),
        status="skipped",
        reason="it predicts latents and has no read-out to pixels",
    )
    accuracy = result(
        "pair_accuracy", 0.75, 0.05, headline=True, factors={"operator": "latent_error"}
    )
    tree.add(tree.card("small_jepa", family="predictive"), (accuracy,), suite="permanence")
    return tree.root


@pytest.fixture
def make_result() -> Callable[..., MetricResult]:
    return result


@pytest.fixture
def make_rows() -> Callable[..., dict[str, list[Any]]]:
    return rows


@pytest.fixture
def make_provenance() -> Callable[..., Provenance]:
    return provenance
