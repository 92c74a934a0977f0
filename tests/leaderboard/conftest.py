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
from provenances import provenance
from site_pages import quad_table

from worldbench.record import file_digest, record_path, write
from worldbench.schema import (
    AdapterCard,
    Body,
    DataInfo,
    Exclusion,
    MetricResult,
    Provenance,
    Record,
    Scalar,
    SuiteInfo,
    digest,
)

Metrics = tuple[MetricResult, ...]

EXTRACTOR = "effnetlite0-dt-pca64"
CLUSTERS, PER_CLUSTER = 40, 2

QUALITY = {"real_future": 30.0, "linear_flow": 23.0, "copy_last": 20.0, "context_mean": 20.1}
DISTANCE = {"real_future": 1.2, "linear_flow": 6.0, "copy_last": 14.0, "context_mean": 14.05}


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


OPERATORS = {"dit": "denoising_error", "jepa": "latent_error"}


def quads(name: str, able: float, hidden: tuple[int, ...] = (4, 5, 6, 8, 10, 12)) -> Metrics:
    """What a record of matched quads holds: headline, controls, and breakdowns of the headline.

    Args:
        name: Of the adapter; its beginning says by which operator it is asked.
        able: 0 at chance, 1 at the ceiling on the easiest level.
        hidden: Levels of the duration; the one of 10 frames could not be asked.
    """
    operator = OPERATORS.get(name.split("_")[0], "sample_distance")
    asked = {"violation": "presence", "condition": "occluded", "operator": operator}

    def accuracy(ease: float, clusters: int = 40, **factors: Scalar) -> MetricResult:
        value = 0.5 + 0.5 * able * ease
        half = 0.01 + 1.2 * math.sqrt(value * (1.001 - value) / clusters)
        ends = {"low": max(value - half, 0.0), "high": min(value + half, 1.0)}
        counts = {"n": 2 * clusters, "clusters": clusters}
        return result("pair_accuracy", value, None, factors=asked | factors, **ends, **counts)

    def unasked(**factors: Scalar) -> MetricResult:
        given = {"status": "skipped", "reason": "no boundary between 9 and 11", "n": 0}
        return result("pair_accuracy", None, factors=asked | factors, **given)

    curve = [
        unasked(hidden=level)
        if level == 10
        else accuracy(1 - 0.07 * (level - 4), 60 - 4 * level, hidden=level)
        for level in hidden
    ]
    return (
        accuracy(0.7).model_copy(update={"headline": True}),
        result("visible_control", 1.0 if able else 0.5, 0.0),
        result("both_possible_control", 0.49, 0.04),
        result("tied", 0.0 if able else 1.0, 0.0, higher_is_better=False),
        result("rollout_skill", 1.3 * able - 0.2, 0.1, factors={"extractor": "own"}),
        *(accuracy(ease, tier=tier) for tier, ease in (("easy", 1.0), ("hard", 0.4))),
        *(accuracy(0.9 - 0.2 * level, distractors=level) for level in range(3)),
        *curve,
        *(
            result("bag_accuracy", 0.5, 0.0, factors={"scorer": scorer})
            for scorer in ("constant", "mean_of_context", "last_of_context")
        ),
    )


@pytest.fixture
def make_quads() -> Callable[..., Metrics]:
    return quads


@pytest.fixture
def permanence(tree: Tree) -> Path:
    """Both schools with their twins, floors and the real future on matched quads; one skipped."""
    able = {"dit": 0.95, "jepa": 0.9, "dit_random": 0.05, "jepa_random": -0.04}
    able |= {"copy_last": 0.0, "context_mean": 0.0, "linear_flow": 0.3, "real_future": 1.0}
    families = {"dit": "generative", "jepa": "predictive", "real_future": "oracle"}
    for name, ability in able.items():
        family = families.get(name.removesuffix("_random"), "baseline")
        tree.add(tree.card(name, family=family), quads(name, ability), suite="permanence")
    card = tree.card("clip_scorer", family="predictive")
    reason = "it can't be asked how surprised it is"
    tree.add(card, status="skipped", reason=reason, suite="permanence")
    return tree.root


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "records")


@pytest.fixture
def rivals(tree, make_result):
    """The two schools on the same quads: the first is right more often."""
    gains = {"dit": [0.3] * 30 + [-0.1] * 4, "jepa": [0.2] * 8 + [0.0] * 2 + [-0.2] * 24}
    for (name, balances), family in zip(gains.items(), ("generative", "predictive"), strict=True):
        table = quad_table(balances)
        mean = sum(table["pair_accuracy"]) / len(balances)
        found = make_result("pair_accuracy", mean, 0.1, headline=True, n=34, clusters=34)
        card = tree.card(name, family=family, training_data="clips of the procedural worlds")
        tree.add(card, (found,), table, suite="permanence")
    return tree


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
