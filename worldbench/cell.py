"""A cell of a sweep: a question (suite on data), an adapter, the record's key and place."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from worldbench import record as records
from worldbench.adapter import Adapter
from worldbench.data.source import ClipSource
from worldbench.errors import ContractError, RecordError
from worldbench.record import UNRESOLVED, record_key, record_path
from worldbench.scale import Scale
from worldbench.schema import (
    SCALES_KEY,
    AdapterCard,
    Body,
    DataInfo,
    Record,
    SuiteInfo,
    Trial,
    digest,
)
from worldbench.suite import Scaled, Setting, Suite

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Question:
    """A suite on data: what is asked of every adapter alike."""

    suite: Suite
    data: ClipSource
    setting: Setting
    trials: tuple[Trial, ...]
    info: SuiteInfo

    @classmethod
    def of(cls, suite: Suite, data: ClipSource, setting: Setting) -> "Question":
        """Lists the trials and writes down the protocol."""
        trials = tuple(suite.trials(data)[: setting.limit])
        added = {name: getattr(setting, name) for name in ("precision", "seed", "limit")}
        added |= _scales(suite)
        own = suite.protocol(data)
        if taken := sorted(own.keys() & {*added, SCALES_KEY}):
            raise ContractError(
                f"suite {suite.name!r}: its protocol uses names that are the run's",
                seen=", ".join(taken),
                accepted="other names; scales of metrics are told by the attribute `scales`",
                fix=f"e.g. {taken[0]}_of_suite",
            )
        info = SuiteInfo(
            name=suite.name,
            version=suite.version,
            metric_versions=dict(suite.metric_versions),
            data=data.info,
            protocol={**own, **added},
        )
        return cls(suite, data, setting, trials, info)


def _scales(suite: Suite) -> dict[str, Any]:
    if not isinstance(suite, Scaled):
        return {}
    scales = suite.scales
    if not isinstance(scales, Mapping) or not all(
        isinstance(name, str) and isinstance(scale, Scale) for name, scale in scales.items()
    ):
        raise ContractError(
            f"suite {suite.name!r}: its scales cannot be read",
            seen=repr(scales)[:200],
            accepted="a mapping of metrics' names to worldbench.scale.Scale",
            fix='scales = {"accuracy": Scale(floor=0.5, ceiling=1.0)}',
        )
    return {SCALES_KEY: {name: scale.model_dump(mode="json") for name, scale in scales.items()}}


@dataclass(frozen=True)
class Cell(Question):
    """A question to one adapter, identified before anything runs."""

    adapter: Adapter
    key: str
    path: Path

    @classmethod
    def identify(cls, adapter: Adapter, question: Question, root: Path) -> "Cell":
        """Works out the record's key and place."""
        info = question.info
        key = record_key(
            adapter.card.revision,
            info.name,
            info.version,
            info.metric_versions,
            info.data.digest,
            info.protocol,
        )
        path = record_path(root, adapter.card, info.name, info.version, key)
        asked = {f.name: getattr(question, f.name) for f in fields(Question)}
        return cls(**asked, adapter=adapter, key=key, path=path)

    def body(self, **outcome: Any) -> Body:
        """Returns a record body with this cell's identity and the outcome given."""
        return Body(key=self.key, adapter=self.adapter.card, suite=self.info, **outcome)

    def finished(self) -> Record | None:
        """Returns the cell's record if it holds a result that need not be measured again."""
        return finished_record(self.path, self.key)


def finished_record(path: Path, key: str) -> Record | None:
    """Reads the record at a path if it is complete: ok with its rows, or skipped."""
    if not path.is_file():
        return None
    try:
        record = records.read(path)
    except RecordError as error:
        logger.warning("running again, because: %s", error.one_line)
        return None
    body = record.body
    if body.key != key or body.status == "failed":
        return None
    if body.trials is not None:
        rows = path.with_name(body.trials)
        if not rows.is_file() or records.file_digest(rows) != record.provenance.trials_sha256:
            logger.warning("running again, because the rows are not those of %s", path)
            return None
    return record


def unresolved(
    root: Path, config: dict[str, Any], info: SuiteInfo | None, reason: str
) -> tuple[Path, Body]:
    """Makes the failed record of a cell whose adapter never came to have a revision.

    Args:
        root: The records folder.
        config: The composed configuration, redacted.
        info: What was asked, if suite and data got that far.
        reason: What failed.

    Returns:
        Where the record belongs, and its body.
    """
    adapter, suite, data = config["adapter"], config["suite"], config["data"]
    card = AdapterCard(name=adapter["name"], revision=UNRESOLVED, family=adapter["family"])
    if info is None:
        info = SuiteInfo(
            name=suite["name"],
            version=UNRESOLVED,
            data=DataInfo(name=data["name"], digest=UNRESOLVED, clips=0, clusters=0),
            protocol={"suite": suite},  # not the data's options, which hold local paths
        )
    key = digest([adapter, suite, data])
    path = record_path(root, card, info.name, info.version, key)
    return path, Body(status="failed", reason=reason, key=key, adapter=card, suite=info)


def supersede(root: Path, config: dict[str, Any], question: Question) -> None:
    """Removes what earlier attempts at this very configuration left that never got a revision."""
    for info in (None, question.info):
        path, _ = unresolved(root, config, info, "superseded")
        path.unlink(missing_ok=True)
