"""Which metrics stand side by side: the columns of a section and the cells of a record in them."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from worldbench.errors import RecordError
from worldbench.leaderboard.board import Cell, Column
from worldbench.leaderboard.scales import scale_of
from worldbench.schema import Body, MetricResult, Scalar, SuiteInfo

ColumnKey = tuple[str, tuple[tuple[str, Scalar], ...], bool]

_OF_WHAT = frozenset({"extractor", "geometry"})
"""Factors that say what a metric was measured with, not of which part of the trials."""

OPERATOR = "operator"
"""The factor in which adapters of different schools differ where they answer the same question."""


def is_main(metric: MetricResult) -> bool:
    """Says whether a metric has a column of its own, rather than a line among the breakdowns."""
    return metric.headline or metric.factors.keys() <= _OF_WHAT


class Layout:
    """The columns and breakdowns of a section, shared by all of its records.

    Adapters of different schools compute the same question by different operators, so that headline
    metrics of one name share a column, and their breakdowns a line, whatever the operator; the cell
    tells it. Only the operator of a record's headline is shared: a second opinion by another one
    has a line of its own. Where records disagree on another factor of a headline, the cell tells
    that too; where one record holds several headline metrics of a name, each has a column.

    Args:
        bodies: The records of the section, in an order that does not depend on files.

    Raises:
        RecordError: If records disagree on the unit or direction of a metric, or one record holds
            the same metric twice.
    """

    def __init__(self, bodies: Sequence[Body]) -> None:
        mains = [[metric for metric in body.metrics if is_main(metric)] for body in bodies]
        self._split = _twice(mains, lambda metric: (metric.label, metric.headline))
        self._operators_split = _twice(mains, lambda metric: _without_operator(_whole(metric)))
        self._agreed = _agreed(mains)
        main: dict[ColumnKey, Column] = {}
        rest: dict[ColumnKey, Column] = {}
        unknown: set[ColumnKey] = set()  # whose unit nobody has told yet
        for body in bodies:
            for metric, key in self._keys(body):
                place = main if is_main(metric) else rest
                if key not in place:
                    place[key] = _column(key, metric, body.suite)
                    unknown.add(key)
                if _tells_unit(metric):
                    if key in unknown:
                        place[key] = replace(place[key], unit=metric.unit)
                        unknown.remove(key)
                    _agree(place[key], metric, body)
        main = dict(sorted(main.items(), key=lambda item: not item[1].headline))
        self._main, self._rest = tuple(main), tuple(rest)
        self.columns = tuple(main.values())
        self.breakdowns = tuple(rest.values())

    def _keys(self, body: Body) -> Iterator[tuple[MetricResult, ColumnKey]]:
        """Yields a record's metrics, each with the column or breakdown that it stands in."""
        operators = {m.factors[OPERATOR] for m in body.metrics if m.headline and _asked(m)}
        own = operators.pop() if len(operators) == 1 else None
        held = {_whole(metric) for metric in body.metrics}
        for metric in body.metrics:
            key = _whole(metric)
            shared = _without_operator(key)
            if is_main(metric):
                key = self._main_key(metric)
            elif _asked(metric) and metric.factors[OPERATOR] == own and shared not in held:
                key = shared
            yield metric, key

    def _main_key(self, metric: MetricResult) -> ColumnKey:
        name, factors, headline = _whole(metric)
        if (metric.label, headline) not in self._split:
            agreed = self._agreed[metric.label, headline]
            return name, tuple(item for item in factors if item in agreed), headline
        shared = _without_operator((name, factors, headline))
        return (name, factors, headline) if shared in self._operators_split else shared

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
        for metric, key in self._keys(body):
            if key in found:
                raise RecordError(
                    f"a record of {body.adapter.name} holds the same metric twice",
                    seen=f"{metric.label} {dict(metric.factors)}",
                    accepted="one result per metric and factors",
                    fix="run the cell again with overwrite=true",
                )
            found[key] = metric
        # What one record asks as a second opinion may be another one's headline operator.
        named = {_whole(metric): metric for metric in body.metrics}
        return tuple(_cell(found.get(key) or named.get(key), dict(key[1])) for key in places)


def _whole(metric: MetricResult) -> ColumnKey:
    return *metric.identity, metric.headline


def _without_operator(key: ColumnKey) -> ColumnKey:
    name, factors, headline = key
    return name, tuple(item for item in factors if item[0] != OPERATOR), headline


def _asked(metric: MetricResult) -> bool:
    return OPERATOR in metric.factors


def _twice(
    mains: Iterable[Sequence[MetricResult]], key: Callable[[MetricResult], Hashable]
) -> set[Hashable]:
    """Returns the keys that some record holds more than once."""
    counted = (Counter(map(key, metrics)) for metrics in mains)
    return {held for counts in counted for held, count in counts.items() if count > 1}


def _agreed(
    mains: Iterable[Iterable[MetricResult]],
) -> dict[tuple[str, bool], set[tuple[str, Scalar]]]:
    """Returns the factors, but for the operator, that all records give a metric alike."""
    agreed: dict[tuple[str, bool], set[tuple[str, Scalar]]] = {}
    for metric in (metric for metrics in mains for metric in metrics):
        items = set(_without_operator(_whole(metric))[1])
        agreed.setdefault((metric.label, metric.headline), items).intersection_update(items)
    return agreed


def factor_text(factors: Iterable[tuple[str, Scalar]]) -> str:
    """Returns factors as text, e.g. ``condition = occluded, violation = presence``."""
    return ", ".join(f"{name} = {value}" for name, value in sorted(factors))


def _column(key: ColumnKey, metric: MetricResult, suite: SuiteInfo) -> Column:
    shown = factor_text((k, v) for k, v in key[1] if k != "extractor")
    return Column(
        name=metric.name,
        label=f"{metric.label} ({shown})" if shown else metric.label,
        factors=dict(key[1]),
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        headline=metric.headline,
        scale=scale_of(metric.name, suite),
    )


def _tells_unit(metric: MetricResult) -> bool:
    """Says whether a result names its unit; what was not measured may leave it out."""
    return metric.status == "ok" or metric.unit != ""


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
