"""A cell of a sweep: one adapter on one suite configuration, with its record's key and place."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench import record as records
from worldbench.adapter import Adapter
from worldbench.data.source import ClipSource
from worldbench.errors import RecordError
from worldbench.record import UNRESOLVED, record_key, record_path
from worldbench.schema import AdapterCard, Body, DataInfo, Family, Record, SuiteInfo, Trial, digest
from worldbench.suite import Setting, Suite

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One adapter on one suite configuration, identified before anything runs."""

    adapter: Adapter
    suite: Suite
    data: ClipSource
    setting: Setting
    trials: tuple[Trial, ...]
    info: SuiteInfo
    key: str
    path: Path

    @classmethod
    def identify(
        cls, adapter: Adapter, suite: Suite, data: ClipSource, setting: Setting, root: Path
    ) -> "Cell":
        """Lists the trials and works out the record's key and place."""
        trials = tuple(suite.trials(data)[: setting.limit])
        run = {name: getattr(setting, name) for name in ("precision", "seed", "limit")}
        info = SuiteInfo(
            name=suite.name,
            version=suite.version,
            metric_versions=dict(suite.metric_versions),
            data=data.info,
            protocol={**suite.protocol(data), **run},
        )
        key = record_key(
            adapter.card.revision,
            suite.name,
            suite.version,
            suite.metric_versions,
            info.data.digest,
            info.protocol,
        )
        path = record_path(root, adapter.card, suite.name, suite.version, key)
        return cls(adapter, suite, data, setting, trials, info, key, path)

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
    rows_there = body.trials is None or path.with_name(body.trials).is_file()
    return record if body.key == key and body.status != "failed" and rows_there else None


@dataclass(frozen=True)
class Unresolved:
    """A cell that failed before it could be identified, known by its configuration alone."""

    path: Path
    body: Body

    @classmethod
    def of(cls, root: Path, config: dict[str, Any], reason: str) -> "Unresolved":
        """Builds the failed record of a configuration.

        Args:
            root: The records folder.
            config: The composed configuration, redacted.
            reason: What failed.
        """
        adapter, suite, data = config["adapter"], config["suite"], config["data"]
        family: Family = adapter.get("family") or "baseline"
        card = AdapterCard(name=adapter["name"], revision=UNRESOLVED, family=family)
        protocol = {k: v for k, v in suite.items() if k not in ("name", "summary", "_target_")}
        run = {name: config[name] for name in ("precision", "seed", "limit")}
        info = SuiteInfo(
            name=suite["name"],
            version=UNRESOLVED,
            data=DataInfo(name=data["name"], digest=UNRESOLVED, clips=0, clusters=0),
            protocol={**protocol, "clips": data, **run},
        )
        key = digest([adapter, suite, data, run])
        path = record_path(root, card, info.name, info.version, key)
        body = Body(status="failed", reason=reason, key=key, adapter=card, suite=info)
        return cls(path, body)
