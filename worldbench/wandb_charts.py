"""Tables and bar charts of a record, and of a sweep's cells, as W&B shows them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worldbench.redaction import redact_text
from worldbench.schema import Body, MetricResult

METRIC_COLUMNS = (
    *("metric", "factors", "value", "low", "high", "n", "clusters", "unit"),
    *("higher_is_better", "headline", "status", "reason"),
)
CELL_COLUMNS = (
    *("adapter", "revision", "suite", "data", "status", "reason", "metric", "value", "low", "high"),
    *("key", "seconds", "device"),
)

Cell = Mapping[str, Any]
"""What is kept of a cell of a sweep: the columns above."""


class Canvas:
    """Puts tables and charts into an open run, offline and whole.

    Args:
        wandb: The package.
        run: The open run.
    """

    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run

    def table(self, key: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Logs a table."""
        self._run.log({key: self._bound(key, columns, rows)})

    def bars(self, key: str, title: str, values: Mapping[str, float]) -> None:
        """Logs a chart of one bar per label."""
        key = f"plots/{re.sub(r'[^A-Za-z0-9_.-]', '_', key)}"
        columns, rows = ("label", "value"), [list(item) for item in values.items()]
        table = self._bound(f"{key}_table", columns, rows)
        self._run.log({key: self._wandb.plot.bar(table, "label", "value", title=title)})

    def _bound(self, key: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Any:
        table = self._wandb.Table(columns=list(columns), data=[list(row) for row in rows])
        # Logged unbound, a table also becomes an artifact, staged for good in the home folder.
        table.bind_to_run(run=self._run, key=key, step="rows")
        return table


def draw_record(canvas: Canvas, body: Body) -> None:
    """Shows every metric as a row of a table, and what was broken down as bars."""
    canvas.table("metrics", METRIC_COLUMNS, [_row(metric) for metric in body.metrics])
    for name, values in breakdowns(body.metrics).items():
        canvas.bars(name, f"{name} of {body.adapter.name} on {body.suite.name}", values)


def draw_sweep(canvas: Canvas, cells: Sequence[Cell]) -> None:
    """Shows every cell as a row of a table, and the headline of every suite as bars."""
    canvas.table("cells", CELL_COLUMNS, [[cell[name] for name in CELL_COLUMNS] for cell in cells])
    for suite in sorted({cell["suite"] for cell in cells}):
        measured = [c for c in cells if c["suite"] == suite and c["value"] is not None]
        asked = len({c["adapter"] for c in measured})
        values = {
            # Cells of one adapter differ in the question, which the key tells.
            c["adapter"] if asked == len(measured) else f"{c['adapter']} {c['key'][:6]}": c["value"]
            for c in measured
        }
        if values:
            canvas.bars(suite, f"{suite}: {measured[0]['metric']}", values)


def breakdowns(metrics: Iterable[MetricResult]) -> dict[str, dict[str, float]]:
    """Returns values by factors for every metric that was measured more than once."""
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        if metric.value is not None:
            found.setdefault(metric.name, {})[_factors(metric) or "all"] = metric.value
    return {name: values for name, values in found.items() if len(values) > 1}


def _row(metric: MetricResult) -> list[object]:
    told = metric.model_dump()
    told |= {"metric": metric.label, "factors": _factors(metric)}
    told["reason"] = redact_text(metric.reason or "")
    return [told[name] for name in METRIC_COLUMNS]


def _factors(metric: MetricResult) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(metric.factors.items()))
