"""A W&B workspace as code: what a project with tracked runs opens with.

Built from records, whose metrics are the keys that :class:`worldbench.wandb_tracker.WandbTracker`
logs, so that panels and runs agree. Building needs no network and no key; only publishing does.
"""

import importlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from worldbench.errors import EnvironmentFault
from worldbench.redaction import redact_text
from worldbench.schema import Body
from worldbench.wandb_tracker import EXAMPLE, metric_key

NAME = "worldbench"
_COLUMNS = ("summary:status", "summary:reason", "config:adapter.name", "config:suite.name")


def workspace(bodies: Iterable[Body], *, entity: str, project: str) -> Any:
    """Builds the workspace.

    Sections: every suite with a panel per metric that ranks adapters or has no factors, its table
    of trials aside; the example videos of all runs; curves of training. Runs are grouped by sweep.

    Args:
        bodies: Of the records whose metrics shall have panels.
        entity: User or team.
        project: W&B project.

    Raises:
        EnvironmentFault: If wandb-workspaces is not installed.
    """
    workspaces, panels = _packages()
    sections = [
        workspaces.Section(
            name=suite,
            is_open=True,
            panels=[
                panels.BarPlot(title=title, metrics=keys, groupby="config:adapter.name")
                for title, keys in metrics.items()
            ],
        )
        for suite, metrics in sorted(shown(bodies).items())
    ]
    videos = panels.MediaBrowser(title="context, truth | model", media_keys=[f"{EXAMPLE}/0"])
    loss = panels.LinePlot(title="loss", x="step", y=["loss"])
    sections.append(workspaces.Section(name="examples", is_open=True, panels=[videos]))
    sections.append(workspaces.Section(name="training", panels=[loss]))
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=sections,
        runset_settings=workspaces.RunsetSettings(
            groupby=[workspaces.Metric("Group")], pinned_columns=list(_COLUMNS)
        ),
    )


def shown(bodies: Iterable[Body]) -> dict[str, dict[str, list[str]]]:
    """Returns by suite and metric the keys of its panel.

    Adapters that are asked by different operators have their headline under different keys: they
    share the panel.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for body in bodies:
        for metric in body.metrics:
            if metric.headline or metric.factors.keys() <= {"extractor"}:
                panels = found.setdefault(body.suite.name, {})
                title = f"{metric.label}, {metric.unit}" if metric.unit else metric.label
                panels.setdefault(title, set()).add(metric_key(metric))
    return {
        suite: {title: sorted(keys) for title, keys in sorted(panels.items())}
        for suite, panels in found.items()
    }


def as_json(built: Any) -> str:
    """Returns a workspace as W&B would be sent it, with its random ids numbered instead."""
    model = json.loads(built._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return json.dumps(_numbered(model, []), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def publish(built: Any) -> str:
    """Sends a workspace to W&B and returns its address.

    Raises:
        EnvironmentFault: If W&B cannot be reached or knows no key.
    """
    try:
        return str(built.save().url)
    except Exception as error:
        raise EnvironmentFault(
            "the workspace cannot be published",
            seen=redact_text(" ".join(str(error).split())),
            accepted="a W&B server that can be reached, and a key for it",
            fix="wandb login, or export WANDB_API_KEY; without --publish nothing is sent",
        ) from error


def _numbered(value: Any, seen: list[str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _number(str(item), seen) if key == "__id__" else _numbered(item, seen)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_numbered(item, seen) for item in value]
    return value


def _number(name: str, seen: list[str]) -> str:
    if name not in seen:
        seen.append(name)
    return str(seen.index(name))


def _packages() -> Sequence[Any]:
    try:
        names = ("wandb_workspaces.workspaces", "wandb_workspaces.reports.v2")
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise EnvironmentFault(
            "dashboards need a package that is not installed",
            seen=error,
            accepted="wandb-workspaces 0.4 or newer",
            fix="pip install 'worldbench-suite[dashboards]'",
        ) from error
