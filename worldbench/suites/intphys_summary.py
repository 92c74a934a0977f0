"""From rows to metrics: the statistics of the IntPhys suites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row, Summary
from worldbench.suites.means import mean_of

HEADLINE = "pair_accuracy"
RELATIVE = "relative_accuracy"
AGGREGATES = ("mean", "max")
MINIMUM = "minimum"

Group = tuple[dict[str, Scalar], Sequence[Row]]
"""Factors that rows have in common, and the rows."""


@dataclass(frozen=True)
class Column:
    """A published score: operator, context (or :data:`MINIMUM` over contexts) and aggregate."""

    operator: str
    context: int | str
    aggregate: str

    @property
    def name(self) -> str:
        """What the column of the rows is called."""
        return f"{RELATIVE}.{self.operator}.{self.context}.{self.aggregate}"

    @classmethod
    def read(cls, name: str) -> "Column":
        """Reads a column's name."""
        operator, context, aggregate = name.removeprefix(f"{RELATIVE}.").rsplit(".", 2)
        return cls(operator, int(context) if context.isdigit() else context, aggregate)

    @property
    def factors(self) -> dict[str, Scalar]:
        """As metrics have them."""
        return {"operator": self.operator, "context": self.context, "aggregate": self.aggregate}


def summarise(
    rows: Sequence[Row], contexts: Sequence[int], factors: Mapping[str, Mapping[str, str]]
) -> Summary:
    """Averages scores over quadruplets, with intervals clustered by scene.

    Args:
        rows: One per quadruplet.
        contexts: Those of the protocol; what an adapter could not take becomes a ``skipped`` line.
        factors: Of each trial, by id; each value is a breakdown.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [Column.read(name) for name in names if name.startswith(f"{RELATIVE}.")]
    operators = list(dict.fromkeys(column.operator for column in columns))
    groups = _groups(rows, factors)
    skipped = [c for c in contexts if all(column.context != c for column in columns)]
    partly = _partly(contexts, skipped, rows)
    metrics = _ours(operators, groups, partly)
    for column in columns:
        metrics += _published(column, groups, partly)
    metrics += [_skipped(operator, c) for operator in operators for c in skipped]
    return Summary(tuple(metrics), tuple(rows))


def _ours(
    operators: Sequence[str], groups: Sequence[Group], partly: str | None
) -> list[MetricResult]:
    """Returns the score over all contexts, of the first operator as the headline."""
    return [
        _accuracy(
            HEADLINE,
            f"{HEADLINE}.{operator}" if place else HEADLINE,
            rows,
            {"operator": operator, **common},
            headline=not place and not common,
            reason=partly,
        )
        for place, operator in enumerate(operators)
        for common, rows in groups
    ]


def _published(column: Column, groups: Sequence[Group], partly: str | None) -> list[MetricResult]:
    """Returns one published score; breakdowns of the mean alone, which is what papers report."""
    of_contexts = partly if column.context == MINIMUM else None
    return [
        _accuracy(
            RELATIVE,
            column.name,
            rows,
            {**column.factors, **common},
            reason="; ".join(filter(None, (of_contexts, _inexact(rows)))) or None,
        )
        for common, rows in (groups if column.aggregate == "mean" else groups[:1])
    ]


def _groups(rows: Sequence[Row], factors: Mapping[str, Mapping[str, str]]) -> list[Group]:
    """Returns all rows, then those of each value of each factor that has several."""
    found: list[Group] = [({}, rows)]
    of = [factors[row["trial"]] for row in rows]
    for name in sorted({name for known in of for name in known}):
        for value in sorted({known[name] for known in of if name in known}):
            part = [row for row, known in zip(rows, of, strict=True) if known.get(name) == value]
            if len(part) < len(rows):
                found.append(({name: value}, part))
    return found


def _accuracy(
    name: str, column: str, rows: Sequence[Row], factors: dict[str, Scalar], **said: Any
) -> MetricResult:
    return mean_of(name, rows, lambda row: float(row[column]), factors, **said)


def _partly(contexts: Sequence[int], skipped: Sequence[int], rows: Sequence[Row]) -> str | None:
    """Says what of the protocol the adapter could not be asked, or None."""
    said = []
    if skipped:
        asked = f"{len(contexts) - len(skipped)} of {len(contexts)}"
        said.append(f"over {asked} contexts, without {', '.join(map(str, skipped))} frames")
    if rows[0]["shorter"]:
        said.append(f"without {rows[0]['shorter']} shorter contexts of the first window")
    return "; ".join(said) or None


def _inexact(rows: Sequence[Row]) -> str | None:
    count = sum(not row["exact"] for row in rows)
    if not count:
        return None
    return f"{count} quadruplets begin alike: all four combinations of their movies count"


def _skipped(operator: str, context: int) -> MetricResult:
    return MetricResult(
        name=RELATIVE,
        factors=Column(operator, context, AGGREGATES[0]).factors,
        higher_is_better=True,
        status="skipped",
        reason=f"the adapter cannot take a context of {context} frames",
    )
