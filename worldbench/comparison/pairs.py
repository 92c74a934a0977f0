"""Finds the records of two sides that answer the same questions, and says where they differ."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.errors import UsageError, unknown_name
from worldbench.record import read, read_all
from worldbench.schema import Body, Record, SuiteInfo, canonical_json


@dataclass(frozen=True)
class Source:
    """A record and where it was read."""

    path: Path
    record: Record

    @property
    def body(self) -> Body:
        """The reproducible half of the record."""
        return self.record.body


@dataclass(frozen=True)
class Pair:
    """Two records that share a :attr:`worldbench.schema.Body.board_key`."""

    a: Source
    b: Source


@dataclass(frozen=True)
class Unmatched:
    """A record without a partner.

    Attributes:
        side: ``a`` or ``b``, whose record it is.
        source: The record.
        nearest: The other side's record of the same suite that differs in the fewest keys; None if
            the other side has none.
        keys: The keys they differ in, each as ``name: value of a | value of b``.
    """

    side: str
    source: Source
    nearest: Source | None
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What two sides have in common, and what they have not."""

    pairs: tuple[Pair, ...]
    unmatched: tuple[Unmatched, ...]


def find(a: str, b: str, root: Path) -> Found:
    """Pairs the records of two sides by suite configuration.

    Args:
        a: A record's path, a folder of records, or an adapter's ``NAME`` or ``NAME@REVISION``. What
            contains a path separator or ends in ``.json`` is a path.
        b: The same, the other side.
        root: The records folder that names are looked up in.

    Returns:
        The pairs, by suite, version and data; and what stayed alone.

    Raises:
        UsageError: If a side cannot be found or has two records of one configuration.
        RecordError: If a record cannot be read.
    """
    sides = [_by_key(word, sources(word, root)) for word in (a, b)]
    shared = sorted(sides[0].keys() & sides[1].keys(), key=lambda key: _order(sides[0][key]))
    alone = [{k: s for k, s in side.items() if k not in shared} for side in sides]
    lonely = [
        _unmatched(side, source, list(others.values()))
        for side, own, others in (("a", alone[0], alone[1]), ("b", alone[1], alone[0]))
        for source in sorted(own.values(), key=_order)
    ]
    return Found(tuple(Pair(sides[0][k], sides[1][k]) for k in shared), tuple(lonely))


def sources(word: str, root: Path) -> list[Source]:
    """Returns the records that a word of the command line stands for, at least one.

    Raises:
        UsageError: If there are none.
        RecordError: If a record cannot be read.
    """
    separators = {os.sep, os.altsep or os.sep}
    if word.endswith(".json") or separators & set(word):
        return _of_path(Path(word))
    if not root.is_dir():
        raise UsageError(
            "no records folder to look adapters up in",
            seen=root,
            accepted="a folder written by `worldbench run`",
            fix="--records DIR, or give the paths of two records",
        )
    known = [Source(path, record) for path, record in read_all(root)]
    name, _, revision = word.partition("@")
    named = [source for source in known if source.body.adapter.name == name]
    if not named:
        names = {source.body.adapter.name for source in known}
        raise unknown_name("adapter", name, names, fix=f"a path, or ls {root}")
    found = [source for source in named if source.body.adapter.revision.startswith(revision)]
    if not found:
        raise UsageError(
            f"no record of {name} has this revision",
            seen=revision,
            accepted=", ".join(sorted({s.body.adapter.revision[:12] for s in named})),
            fix=f"ls {root / name}",
        )
    return found


def _of_path(path: Path) -> list[Source]:
    paths = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not paths or not paths[0].is_file():
        raise UsageError(
            "there is no record here",
            seen=path,
            accepted="a record's JSON file, a folder of them, or the name of an adapter",
            fix="worldbench run, or ls reports/records",
        )
    return [Source(one, read(one)) for one in paths]


def _by_key(word: str, found: Sequence[Source]) -> dict[str, Source]:
    by_key: dict[str, Source] = {}
    for source in found:
        known = by_key.setdefault(source.body.board_key, source)
        if known is not source:
            one, two = (f"{s.body.adapter.name}@{s.body.adapter.revision}" for s in (known, source))
            raise UsageError(
                f"{word} has two records of {_title(source.body.suite)}",
                seen=f"{known.path} and {source.path}",
                accepted="one record of each suite configuration on each side",
                fix=f"name one of them: {one[:40]}, {two[:40]}, or its path",
            )
    return by_key


def _order(source: Source) -> tuple[str, ...]:
    suite = source.body.suite
    return suite.name, suite.version, suite.data.name, source.body.board_key


def _title(suite: SuiteInfo) -> str:
    return f"{suite.name}@{suite.version} on {suite.data.name}"


def _unmatched(side: str, source: Source, others: Sequence[Source]) -> Unmatched:
    suite = source.body.suite
    same = [other for other in others if other.body.suite.name == suite.name]
    if not same:
        return Unmatched(side, source, None, ())
    told = [(differing(suite, other.body.suite), other) for other in same]
    if side == "b":
        told = [(differing(other.body.suite, suite), other) for other in same]
    keys, nearest = min(told, key=lambda item: (len(item[0]), _order(item[1])))
    return Unmatched(side, source, nearest, tuple(keys))


def differing(a: SuiteInfo, b: SuiteInfo) -> list[str]:
    """Lists the keys in which two suite configurations differ.

    Returns:
        Lines such as ``protocol.context: 4 | 6``, sorted by key; empty if the records are
        comparable.
    """
    one, two = dict(_flat(_comparable(a))), dict(_flat(_comparable(b)))
    absent = "not there"
    return [
        f"{key}: {one.get(key, absent)} | {two.get(key, absent)}"
        for key in sorted(one.keys() | two.keys())
        if one.get(key, absent) != two.get(key, absent)
    ]


def _comparable(suite: SuiteInfo) -> dict[str, Any]:
    """The parts that the board key is made of."""
    return {
        "suite": suite.name,
        "version": suite.version,
        "metric_versions": suite.metric_versions,
        "data.digest": suite.data.digest,
        "protocol": suite.protocol,
    }


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping) or not value:
        yield prefix, canonical_json(value)
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{prefix}.{key}" if prefix else str(key))


def crossed(unmatched: Sequence[Unmatched]) -> list[tuple[Unmatched, Source]]:
    """Returns each record of ``a`` that has a near but not an equal partner, with that partner."""
    return [(u, u.nearest) for u in unmatched if u.side == "a" and u.nearest is not None]


def refuse_other_questions(a: str, b: str, found: Found) -> None:
    """Refuses two sides without a common suite configuration.

    Raises:
        UsageError: Naming for each suite that both have the keys that differ.
    """
    if found.pairs:
        return
    near = [
        f"{_title(u.source.body.suite)}: {'; '.join(short(key) for key in u.keys)}"
        for u, _ in crossed(found.unmatched)
    ]
    suites = [
        "/".join(sorted({u.source.body.suite.name for u in found.unmatched if u.side == side}))
        for side in ("a", "b")
    ]
    raise UsageError(
        f"{a} and {b} share no suite configuration, so nothing can be compared",
        seen="\n            ".join(near) or f"{suites[0]} against {suites[1]}",
        accepted="records of equal suite, version, metric versions, data and protocol",
        fix="run both with the same options (the values of each key stand as A | B)",
    )


def short(key: str, limit: int = 160) -> str:
    """Returns a line of :func:`differing`, cut where a value is long."""
    return key if len(key) <= limit else f"{key[: limit - 1]}…"
