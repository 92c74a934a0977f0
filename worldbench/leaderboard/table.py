"""From records to a board: group what is comparable, fill the cells, place and rank them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from worldbench.errors import RecordError, UsageError
from worldbench.leaderboard.board import NOT_RUN, Board, Cell, Column, Entry, Role, Row, Section
from worldbench.leaderboard.columns import Layout
from worldbench.leaderboard.compare import Contender, Contest, standings
from worldbench.leaderboard.rows import Absent, Scores, load, scores
from worldbench.leaderboard.scales import anchored, is_floor, place
from worldbench.record import read_all
from worldbench.schema import AdapterCard, Body, DataInfo, Record, canonical_json

_SHOWN_ON_CARD = (
    "summary",
    "parameters",
    "training_data",
    "training_compute",
    "licence",
    "source",
)


@dataclass(frozen=True)
class _Source:
    """A record and where it was read, relative to the records folder."""

    root: Path
    path: Path
    record: Record

    @property
    def body(self) -> Body:
        return self.record.body

    @property
    def id(self) -> str:
        return f"{self.body.adapter.name}@{self.body.adapter.revision}"

    @property
    def relative(self) -> str:
        return self.path.relative_to(self.root).as_posix()


def build(records: Path) -> Board:
    """Builds the board of every record below a folder.

    The result depends only on record bodies and the rows that belong to them: not on the order of
    files, on provenance, on the locale or on the time.

    Args:
        records: The records folder, ``<adapter>/<revision12>/<suite>@<version>/<key12>.json``.

    Raises:
        UsageError: If the folder does not exist.
        RecordError: If a record cannot be read, two of them contradict each other, or rows are not
            those that the record was made from.
    """
    if not records.is_dir():
        raise UsageError(
            "the records folder does not exist",
            seen=records,
            accepted="a folder that `worldbench run` wrote",
            fix="pass it with --records DIR, or run a suite first",
        )
    groups: dict[str, list[_Source]] = defaultdict(list)
    for path, record in read_all(records):
        groups[record.body.board_key].append(_Source(records, path, record))
    sections = [_section(key, _ordered(group)) for key, group in groups.items()]
    sections.sort(key=lambda s: (s.suite, s.version, s.data.name, s.key))
    ranked = _with_ranks(sections, groups)
    cards = [source.body.adapter for group in groups.values() for source in group]
    return Board(sections=ranked, adapters=_entries(cards, ranked), records=records)


def _ordered(group: Iterable[_Source]) -> list[_Source]:
    ordered = sorted(group, key=lambda source: (source.id, source.body.key))
    for one, two in pairwise(ordered):
        if one.id == two.id:
            raise RecordError(
                f"two records answer the same question for {one.id}",
                seen=f"{one.path} and {two.path}",
                accepted="one record per adapter revision, suite, data and protocol",
                fix="delete the one measured with older metric versions",
            )
    return ordered


def _section(key: str, sources: Sequence[_Source]) -> Section:
    bodies = [source.body for source in sources]
    layout = Layout(bodies)
    cells = [layout.cells(body) for body in bodies]
    columns = tuple(
        anchored(column, zip(bodies, (row[i] for row in cells), strict=True))
        for i, column in enumerate(layout.columns)
    )
    rows = tuple(
        _row(source, columns, row, layout.details(source.body))
        for source, row in zip(sources, cells, strict=True)
    )
    suite = bodies[0].suite
    return Section(
        key=key,
        suite=suite.name,
        version=suite.version,
        data=_data(bodies),
        protocol=suite.protocol,
        columns=columns,
        breakdowns=layout.breakdowns,
        rows=rows,
    )


def _data(bodies: Sequence[Body]) -> DataInfo:
    """Returns the data as a measured record describes it; a failed one may not have seen it."""
    first = min(bodies, key=lambda b: (b.status != "ok", canonical_json(b.suite.data.model_dump())))
    return first.suite.data


def _row(
    source: _Source, columns: Sequence[Column], cells: Sequence[Cell], details: tuple[Cell, ...]
) -> Row:
    card = source.body.adapter
    role: Role = ""
    if card.family == "oracle":
        role = "ceiling"
    elif is_floor(card.name, columns):
        role = "floor"
    return Row(
        adapter=card.name,
        revision=card.revision,
        family=card.family,
        role=role,
        record=source.relative,
        status=source.body.status,
        reason=source.body.reason,
        cells=tuple(place(column, cell) for column, cell in zip(columns, cells, strict=True)),
        details=details,
    )


def _with_ranks(
    sections: Sequence[Section], groups: Mapping[str, Sequence[_Source]]
) -> tuple[Section, ...]:
    contests = [
        contest for section in sections for contest in _contests(section, groups[section.key])
    ]
    found = standings(contests)
    return tuple(_ranked(section, found) for section in sections)


def _contests(section: Section, sources: Sequence[_Source]) -> list[Contest]:
    """Returns one contest per headline column, among all adapters but the oracles."""
    by_record = {source.relative: source for source in sources}
    entries: list[list[Contender]] = [[] for _ in section.columns]
    for row in section.rows:
        if all(cell.value is None for cell in row.cells):
            continue
        source = by_record[row.record]
        # Read for the oracles as well, so that rows that are not a record's own never go unnoticed.
        table = load(source.path, source.record)
        if row.family == "oracle":
            continue
        for i, (column, cell) in enumerate(zip(section.columns, row.cells, strict=True)):
            if cell.value is None or not column.headline:
                continue
            same = [c for c in section.columns if c.headline and c.name == column.name]
            own: Scores | Absent
            if isinstance(table, Absent):
                own = table
            elif cell.low is None and cell.reason:
                own = Absent(cell.reason)
            elif len(same) > 1:
                own = Absent(f"its rows do not tell the {len(same)} columns of {column.name} apart")
            else:
                own = scores(table, column.name)
            entries[i].append(Contender(row.id, cell.value, own))
    return [
        Contest(f"{section.key}/{column.label}", column.higher_is_better, tuple(contenders))
        for column, contenders in zip(section.columns, entries, strict=True)
        if column.headline
    ]


def _ranked(section: Section, found: Mapping[tuple[str, str], int | str]) -> Section:
    rows = []
    for row in section.rows:
        cells = []
        for column, cell in zip(section.columns, row.cells, strict=True):
            rank = found.get((f"{section.key}/{column.label}", row.id))
            if isinstance(rank, int):
                cell = replace(cell, rank=rank)
            elif rank is not None:
                cell = replace(cell, no_rank=rank)
            cells.append(cell)
        rows.append(replace(row, cells=tuple(cells)))
    return replace(section, rows=tuple(sorted(rows, key=lambda row: _position(section, row))))


def _position(section: Section, row: Row) -> tuple[int, float, float, str]:
    """Sort key: ceilings, then by rank and headline value, then what was not measured."""
    cell = section.headline_cell(row)
    if cell.value is None or section.headline is None:
        return (1 if row.status == "ok" else 2, 0.0, 0.0, row.id)
    sign = -1.0 if section.headline.higher_is_better else 1.0
    rank = float(cell.rank) if cell.rank is not None else float("inf")
    tier = -1 if row.role == "ceiling" else 0
    return (tier, rank, sign * cell.value, row.id)


def _entries(cards: Iterable[AdapterCard], sections: Sequence[Section]) -> tuple[Entry, ...]:
    known: dict[tuple[str, str], AdapterCard] = {}
    # Revisions cover weights and configuration, not the prose of a card: one text is chosen.
    for card in sorted(cards, key=lambda c: canonical_json(c.model_dump())):
        known.setdefault((card.name, card.revision), card)
    return tuple(
        sorted(
            (_entry(card, sections) for _, card in sorted(known.items())),
            key=lambda entry: (-entry.measured, entry.name, entry.revision),
        )
    )


def _entry(card: AdapterCard, sections: Sequence[Section]) -> Entry:
    cells, measured, possible = [], 0, 0
    role: Role = ""
    for section in sections:
        row = next((r for r in section.rows if r.id == f"{card.name}@{card.revision}"), None)
        headline = [i for i, column in enumerate(section.columns) if column.headline]
        possible += len(headline)
        measured += sum(row.cells[i].value is not None for i in headline) if row else 0
        role = role or (row.role if row else "")
        cells.append(section.headline_cell(row) if row else NOT_RUN)
    return Entry(
        name=card.name,
        revision=card.revision,
        family=card.family,
        role=role,
        card={key: getattr(card, key) for key in _SHOWN_ON_CARD},
        measured=measured,
        possible=possible,
        cells=tuple(cells),
    )
