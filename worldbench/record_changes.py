"""What became of the scores between two folders of records."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldbench.agreement import agree
from worldbench.leaderboard.scales import scale_of
from worldbench.record import read_all
from worldbench.schema import Body, MetricResult

Named = dict[tuple[str, tuple[tuple[str, object], ...]], MetricResult]


@dataclass(frozen=True)
class Change:
    """What became of one score.

    Attributes:
        kind: ``worse``, ``better``, ``changed`` (where no direction is better), ``added``,
            ``removed`` or ``status`` (measured before or after only).
        adapter: Name.
        suite: ``NAME@VERSION``.
        data: Name.
        metric: Label and factors.
        before: The value, its status, or None.
        after: Likewise.
    """

    kind: str
    adapter: str
    suite: str
    data: str
    metric: str
    before: float | str | None
    after: float | str | None


def moved(before: Body, after: Body) -> list[Change]:
    """Lists the scores of two records of one question that differ by more than machines do."""
    old, new = _named(before), _named(after)
    found = []
    for name in dict.fromkeys([*old, *new]):
        a, b = old.get(name), new.get(name)
        if a is None or b is None or a.value is None or b.value is None:
            told = _told(a), _told(b)
            if told[0] != told[1]:
                kind = "added" if a is None else "removed" if b is None else "status"
                found.append(_change(kind, after, (b or a), *told))
        elif not agree(a.value, b.value):
            found.append(_change(_direction(b, after, a.value), after, b, a.value, b.value))
    if before.status != after.status:
        found.insert(0, _change("status", after, None, before.status, after.status))
    return found


def _direction(metric: MetricResult, after: Body, before: float) -> str:
    scale = scale_of(metric.name, after.suite)
    if scale is not None and scale.target is not None:
        return "changed"  # a control has a value that it should have, and no better one
    assert metric.value is not None
    return "better" if (metric.value > before) == metric.higher_is_better else "worse"


def diff(base: Path, head: Path) -> dict[str, Any]:
    """Compares two folders of records.

    Records of one adapter's name that answer the same question belong together, whatever the
    revision; of several revisions equal ones first.

    Returns:
        ``rows`` and ``counts``, plain JSON types, as :mod:`worldbench.score_comment` shows them. Of
        records that come or go, only headlines are listed.

    Raises:
        RecordError: If a record cannot be read.
    """
    pairs = _paired(_bodies(base), _bodies(head))
    rows: list[Change] = []
    counts = Counter({"added": 0, "removed": 0, "changed": 0, "unchanged": 0})
    for before, after in pairs:
        if before is not None and after is not None:
            found = moved(before, after)
            counts["changed" if found else "unchanged"] += 1
        else:
            body = before or after
            assert body is not None  # a pair has a side
            kind = "added" if before is None else "removed"
            found = _whole(kind, body)
            counts[kind] += 1
        rows += found
    return {"rows": [asdict(row) for row in rows], "counts": dict(counts)}


def _bodies(root: Path) -> list[Body]:
    return [record.body for _, record in read_all(root)]


def _paired(base: Iterable[Body], head: Iterable[Body]) -> list[tuple[Body | None, Body | None]]:
    sides: list[dict[tuple[str, str], list[Body]]] = []
    for bodies in (base, head):
        groups: dict[tuple[str, str], list[Body]] = {}
        for body in bodies:
            groups.setdefault((body.adapter.name, body.board_key), []).append(body)
        sides.append(groups)
    found: list[tuple[Body | None, Body | None]] = []
    for name in sorted({*sides[0], *sides[1]}):
        old, new = ({b.adapter.revision: b for b in side.get(name, ())} for side in sides)
        same = [revision for revision in old if revision in new]
        found += [(old.pop(revision), new.pop(revision)) for revision in same]
        left, right = list(old.values()), list(new.values())
        longest = max(len(left), len(right))
        left += [None] * (longest - len(left))  # type: ignore[list-item]
        right += [None] * (longest - len(right))  # type: ignore[list-item]
        found += list(zip(left, right, strict=True))
    return found


def _whole(kind: str, body: Body) -> list[Change]:
    told: list[MetricResult | None] = [metric for metric in body.metrics if metric.headline]
    rows = []
    for metric in told or [None]:
        value = _told(metric) if metric is not None else body.status
        sides = (None, value) if kind == "added" else (value, None)
        rows.append(_change(kind, body, metric, *sides))
    return rows


def _named(body: Body) -> Named:
    return {metric.identity: metric for metric in body.metrics}


def _told(metric: MetricResult | None) -> float | str | None:
    if metric is None:
        return None
    return metric.value if metric.value is not None else metric.status


def _change(
    kind: str,
    body: Body,
    metric: MetricResult | None,
    before: float | str | None,
    after: float | str | None,
) -> Change:
    suite = f"{body.suite.name}@{body.suite.version}"
    named = "" if metric is None else metric.described
    data = body.suite.data.name
    return Change(kind, body.adapter.name, suite, data, named, before, after)
