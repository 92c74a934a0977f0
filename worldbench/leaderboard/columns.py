"""Which metrics stand side by side: the columns of a section and the cells of a record in them."""

from collections import Counter
from collections.abc import Iterable, Sequence

from worldbench.errors import RecordError
from worldbench.leaderboard.board import Cell, Column
from worldbench.schema import Body, MetricResult, Scalar

ColumnKey = tuple[str, tuple[tuple[str, Scalar], ...], bool]


def is_main(metric: MetricResult) -> bool:
    """Says whether a metric has a column of its own, rather than a line among the breakdowns."""
    return metric.headline or metric.factors.keys() <= {"extractor"}


class Layout:
    """The columns and breakdowns of a section, shared by all of its records.

    Headline metrics of one name share a column even where a factor other than the extractor
    differs, because adapters of different schools compute the same question by different operators;
    the factor is then told in the cell. Where one record holds several of them, each has a column.

    Args:
        bodies: The records of the section, in an order that does not depend on files.

    Raises:
        RecordError: If records disagree on the unit or direction of a metric, or one record holds
            the same metric twice.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._split = {
            name
            for body in bodies
            for name, count in Counter(
                (m.label, m.headline) for m in body.metrics if is_main(m)
            ).items()
            if count > 1
        }
        main: dict[ColumnKey, Column] = {}
        rest: dict[ColumnKey, Column] = {}
        for body in bodies:
            for metric in body.metrics:
                place = main if is_main(metric) else rest
                key = self._key(metric)
                known = place.setdefault(key, _column(key, metric))
                _agree(known, metric, body)
        main = dict(sorted(main.items(), key=lambda item: not item[1].headline))
        self._main, self._rest = tuple(main), tuple(rest)
        self.columns = tuple(main.values())
        self.breakdowns = tuple(rest.values())

    def _key(self, metric: MetricResult) -> ColumnKey:
        whole = not is_main(metric) or (metric.label, metric.headline) in self._split
        kept = {k: v for k, v in metric.factors.items() if whole or k == "extractor"}
        return metric.name, tuple(sorted(kept.items())), metric.headline

    def cells(self, body: Body) -> tuple[Cell, ...]:
        """Returns a record's cells, one per column."""
        return self._fill(body, self._main)

    def details(self, body: Body) -> tuple[Cell, ...]:
        """Returns a record's cells, one per breakdown."""
        return self._fill(body, self._rest)

    def _fill(self, body: Body, places: Iterable[ColumnKey]) -> tuple[Cell, ...]:
        if body.status != "ok":
            return tuple(Cell(body.status, body.reason) for _ in places)
        found: dict[ColumnKey, MetricResult] = {}
        for metric in body.metrics:
            key = self._key(metric)
            if key in found:
                raise RecordError(
                    f"a record of {body.adapter.name} holds the same metric twice",
                    seen=f"{metric.label} {dict(metric.factors)}",
                    accepted="one result per metric and factors",
                    fix="run the cell again with overwrite=true",
                )
            found[key] = metric
        return tuple(_cell(found.get(key), dict(key[1])) for key in places)


def factor_text(factors: Iterable[tuple[str, Scalar]]) -> str:
    """Returns factors as text, e.g. ``condition = occluded, violation = presence``."""
    return ", ".join(f"{name} = {value}" for name, value in sorted(factors))


def _column(key: ColumnKey, metric: MetricResult) -> Column:
    shown = factor_text((k, v) for k, v in key[1] if k != "extractor")
    return Column(
        name=metric.name,
        label=f"{metric.label} ({shown})" if shown else metric.label,
        factors=dict(key[1]),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        headline=metric.headline,
    )


def _agree(column: Column, metric: MetricResult, body: Body) -> None:
    expected = (column.unit, column.higher_is_better)
    if (metric.unit, metric.higher_is_better) != expected:
        raise RecordError(
            f"records of {body.suite.name}@{body.suite.version} disagree on {metric.label}",
            seen=f"unit {metric.unit!r}, higher_is_better={metric.higher_is_better} "
            f"from {body.adapter.name}",
            accepted=f"unit {expected[0]!r}, higher_is_better={expected[1]}, as in other records",
            fix="run the older cell again, or give the suite a new version",
        )


def _cell(metric: MetricResult | None, column: dict[str, Scalar]) -> Cell:
    if metric is None:
        return Cell("not run", "its record does not hold this metric")
    return Cell(
        status=metric.status,
        reason=metric.reason,
        qualifier=factor_text((k, v) for k, v in metric.factors.items() if k not in column),
        value=metric.value,
        low=metric.low,
        high=metric.high,
        n=metric.n,
        clusters=metric.clusters,
    )
