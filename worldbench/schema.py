"""What the parts of worldbench say to each other: cards, trials, metric results and records.

Nothing here imports torch, so that the leaderboard and ``worldbench list`` start fast. The types
that carry tensors live in :mod:`worldbench.adapter`.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, field_validator, model_validator

from worldbench.limits import Limited, PathPart
from worldbench.scale import Scale

SCHEMA_VERSION = 1
"""Version of the record layout; :func:`worldbench.record.read` refuses any other."""

SCALES_KEY = "scales"
"""Where a suite's protocol holds the scales of metrics that worldbench doesn't know."""

Scalar = str | int | float | bool
Status = Literal["ok", "skipped", "failed"]
Family = Literal["baseline", "generative", "predictive", "replay", "oracle"]

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an adapter may be called: its name becomes the name of a folder."""


def canonical_json(value: object) -> str:
    """Serialises to the one JSON text that digests are taken of: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Returns the SHA-256 of a JSON-serialisable value's canonical text, as 64 hex characters."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def seed_of(*key: object) -> int:
    """Returns the seed that follows from a JSON-serialisable key alone.

    60 bits: not negative in any 64-bit integer, as ``torch.Generator`` asks.
    """
    return int(digest(list(key))[:15], 16)


_SCALES = TypeAdapter(dict[str, Scale])


class AdapterCard(Limited):
    """The identity of an adapter: what it is, what it can do, and on which clips.

    ``revision`` is a digest of weights and configuration: two adapters with the same revision give
    the same answers. A context of C frames is legal when ``min_context ≤ C`` (and ``≤ max_context``
    where there is one) and C is a multiple of ``temporal_stride``; latent step j stands for frames
    ``[j·stride, (j+1)·stride)``.
    """

    name: str
    revision: PathPart
    family: Family
    summary: str = ""
    capabilities: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    parameters: int | None = None
    fps: float | None = None
    size: tuple[int, int] | None = None
    frames: int | None = None
    temporal_stride: int = Field(default=1, ge=1)
    min_context: int = Field(default=1, ge=1)
    max_context: int | None = None
    stochastic: bool = False
    training_data: str | None = None
    training_compute: str | None = None
    licence: str | None = None
    source: str | None = None

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, name: str) -> str:
        if not SAFE_NAME.fullmatch(name):
            raise ValueError(
                f"adapter name {name!r} must be 1-64 letters, digits, '.', '_' or '-', "
                "starting with a letter or digit: it names a folder"
            )
        return name

    def legal_context(self, context: int) -> bool:
        """Says whether the adapter accepts a context of that many frames."""
        longest = self.max_context if self.max_context is not None else context
        return self.min_context <= context <= longest and context % self.temporal_stride == 0


@dataclass(frozen=True)
class Trial:
    """One question to a model.

    Attributes:
        id: Unique within a suite configuration and stable across machines.
        cluster: The scene or source video it came from; intervals are clustered by it.
        clips: Ids of the clips that the data set must load for it.
        factors: What distinguishes it, for breakdowns.
    """

    id: str
    cluster: str
    clips: tuple[str, ...]
    factors: Mapping[str, Scalar] = field(default_factory=dict)


class MetricResult(Limited):
    """One score: a number with its interval, or a status with the reason why there is none."""

    name: str
    factors: dict[str, Scalar] = Field(default_factory=dict)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0
    unit: str = ""
    higher_is_better: bool
    headline: bool = False
    status: Status = "ok"
    reason: str | None = None

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> "MetricResult":
        if self.status == "ok" and (self.value is None or not math.isfinite(self.value)):
            raise ValueError(f"metric {self.name!r} is ok but its value is {self.value!r}")
        if self.status != "ok" and (self.value is not None or not self.reason):
            raise ValueError(f"metric {self.name!r} is {self.status}: no value, but a reason")
        return self

    @property
    def label(self) -> str:
        """The name as shown: ``frechet[effnetlite0-dt-pca64]`` where an extractor defines it."""
        extractor = self.factors.get("extractor")
        return f"{self.name}[{extractor}]" if extractor else self.name

    @property
    def described(self) -> str:
        """The label with the factors that it does not tell: ``top1 {probe=knn}``."""
        told = sorted((k, v) for k, v in self.factors.items() if k != "extractor")
        inner = ", ".join(f"{name}={value}" for name, value in told)
        return f"{self.label} {{{inner}}}" if inner else self.label

    @property
    def identity(self) -> tuple[str, tuple[tuple[str, Scalar], ...]]:
        """Which score of a record it is: its name and factors."""
        return self.name, tuple(sorted(self.factors.items()))


class Exclusion(Limited):
    """An input that was left out of a run, and why."""

    path: str
    reason: str


class DataInfo(Limited):
    """The data a record was measured on, identified by content and not by location."""

    name: str
    digest: str
    clips: int
    clusters: int
    excluded: tuple[Exclusion, ...] = ()


class SuiteInfo(Limited):
    """The questions a record answers: suite, version, data and the whole protocol."""

    name: PathPart
    version: PathPart
    metric_versions: dict[str, str] = Field(default_factory=dict)
    data: DataInfo
    protocol: dict[str, Any]

    @property
    def scales(self) -> dict[str, Scale]:
        """The scales that the suite itself tells (``scales`` in its protocol), by metric."""
        return _SCALES.validate_json(canonical_json(self.protocol.get(SCALES_KEY, {})))

    @field_validator("protocol")
    @classmethod
    def _tells_scales(cls, protocol: dict[str, Any]) -> dict[str, Any]:
        _SCALES.validate_json(canonical_json(protocol.get(SCALES_KEY, {})))
        return protocol


class Body(Limited):
    """The reproducible half of a record: the only part that tests, equality and the board read."""

    status: Status
    reason: str | None = None
    key: PathPart
    adapter: AdapterCard
    suite: SuiteInfo
    metrics: tuple[MetricResult, ...] = ()
    trials: str | None = None

    @model_validator(mode="after")
    def _measured_or_explained(self) -> "Body":
        if self.status == "ok" and not self.metrics:
            raise ValueError("a record with status ok must hold metrics")
        if self.status != "ok" and not self.reason:
            raise ValueError(f"a {self.status} record must give its reason")
        return self

    @property
    def headline(self) -> MetricResult | None:
        """The suite's first headline metric, if the run got as far as measuring."""
        return next((m for m in self.metrics if m.headline), None)

    @property
    def board_key(self) -> str:
        """Digest of everything but the adapter: records that share it are comparable."""
        suite = self.suite
        return digest(
            [suite.name, suite.version, suite.metric_versions, suite.data.digest, suite.protocol]
        )


class Provenance(Limited):
    """How a record came about; never part of equality."""

    command: str
    config: dict[str, Any]
    started: str
    seconds: float
    worldbench: str
    commit: str | None
    dirty: bool | None
    packages: dict[str, str]
    python: str
    platform: str
    device: str
    peak_memory_mib: float
    trials_sha256: str | None = None
    notes: tuple[str, ...] = ()


class Record(Limited):
    """One adapter on one suite configuration."""

    model_config = ConfigDict(populate_by_name=True)

    schema_version: int = Field(default=SCHEMA_VERSION, alias="schema")
    body: Body
    provenance: Provenance

    def to_json(self) -> str:
        """Returns the record as text: sorted keys, two-space indent, one final newline."""
        data = self.model_dump(mode="json", by_alias=True)
        return (
            json.dumps(data, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
        )
