"""What a board is: sections of comparable records, each a table of adapters × metrics.

Everything here is data. :mod:`worldbench.leaderboard.table` builds it from records, and
:mod:`~worldbench.leaderboard.markdown` and :mod:`~worldbench.leaderboard.html` render it. Numbers
are kept as measured; rounding happens only when rendering.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from worldbench.scale import Scale
from worldbench.schema import DataInfo, Family, Scalar

Role = Literal["", "floor", "ceiling"]
CellStatus = Literal["ok", "skipped", "failed", "not run"]


@dataclass(frozen=True)
class Cell:
    """One adapter on one metric: a number, or a status with the reason why there is none.

    Attributes:
        status: ``ok`` if there is a number.
        reason: Why there is none; None where the number exists or nothing was ever run.
        qualifier: Factors of this adapter's measurement that its column leaves open, such as the
            operator that computed its surprise.
        value: The score, in the column's unit.
        low: Lower end of its 95 % interval; None, as ``high``, where none could be formed.
        high: Upper end.
        n: Number of trials.
        clusters: Number of clusters they came from.
        skill: 0 at the column's floor, 1 at its ceiling, not clipped; None if not defined.
        rank: 1 + number of adapters significantly better; None if not ranked.
        no_rank: Why a headline number has no rank.
    """

    status: CellStatus
    reason: str | None = None
    qualifier: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clusters: int = 0
    skill: float | None = None
    rank: int | None = None
    no_rank: str | None = None


NOT_RUN = Cell("not run")
"""The cell of a question that was never put to the adapter."""


@dataclass(frozen=True)
class Anchor:
    """A floor or a ceiling.

    Attributes:
        source: The adapter it was measured on, or ``by construction``.
        value: Its score.
        low: Lower end of its 95 % interval; equal to ``value`` by construction, None if unknown.
        high: Upper end.
    """

    source: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Column:
    """One metric of a section.

    Attributes:
        name: Name of the metric.
        label: The name as shown, with the extractor and the factors that tell columns apart.
        factors: Those factors.
        unit: Unit of its values, empty for shares and pure numbers.
        higher_is_better: Its direction.
        headline: Whether adapters are ranked on it.
        scale: What its values are read on; None if nobody has told.
        floor: Where trivial models stand, if the metric has a floor and it was measured.
        ceiling: Where the real future stands, likewise.
        no_skill: Why its cells have no skill; None where they do.
    """

    name: str
    label: str
    factors: Mapping[str, Scalar]
    unit: str
    higher_is_better: bool
    headline: bool
    scale: Scale | None = None
    floor: Anchor | None = None
    ceiling: Anchor | None = None
    no_skill: str | None = None


@dataclass(frozen=True)
class Row:
    """One record in its section.

    Attributes:
        adapter: Name of the adapter.
        revision: Its revision, in full.
        family: Its family.
        role: ``floor`` or ``ceiling`` if it anchors the scales, else empty.
        record: Path of the record below the records folder.
        status: Status of the record as a whole.
        reason: Why it is not ``ok``.
        cells: One per column of the section.
        details: One per breakdown of the section.
    """

    adapter: str
    revision: str
    family: Family
    role: Role
    record: str
    status: CellStatus
    reason: str | None
    cells: tuple[Cell, ...]
    details: tuple[Cell, ...]

    @property
    def id(self) -> str:
        """What tells rows of a section apart: name and revision of the adapter."""
        return f"{self.adapter}@{self.revision}"


@dataclass(frozen=True)
class Section:
    """Records that answer the same questions on the same data under the same protocol.

    Attributes:
        key: :attr:`worldbench.schema.Body.board_key`.
        suite: Name of the suite.
        version: Its version.
        data: The data, with the inputs left out of it.
        protocol: The whole protocol.
        columns: Headline metrics first, then those without a breakdown.
        breakdowns: All other metrics: one per combination of factors.
        rows: Ceiling first, then by rank on the first headline metric, then by value.
    """

    key: str
    suite: str
    version: str
    data: DataInfo
    protocol: Mapping[str, Any]
    columns: tuple[Column, ...]
    breakdowns: tuple[Column, ...]
    rows: tuple[Row, ...]

    @property
    def headline(self) -> Column | None:
        """The first headline metric: the summary shows it and the order of rows follows it."""
        return self.columns[0] if self.columns and self.columns[0].headline else None

    def headline_cell(self, row: Row) -> Cell:
        """Returns a row's cell in the headline column, or the status of its record."""
        return row.cells[0] if self.headline else Cell(row.status, row.reason)


@dataclass(frozen=True)
class Entry:
    """One adapter over the whole board.

    Attributes:
        name: Its name.
        revision: Its revision, in full.
        card: What else its card says, as shown.
        family: Its family.
        role: ``floor`` or ``ceiling`` if it anchors the scale of some section, else empty.
        measured: Headline cells with a number, over all sections.
        possible: Headline cells there are.
        cells: One per section: its first headline metric, or a status.
    """

    name: str
    revision: str
    family: Family
    role: Role
    card: Mapping[str, str | int | None]
    measured: int
    possible: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Board:
    """All sections, by suite, version and data, and the adapters in them.

    Attributes:
        sections: By suite, version and data.
        adapters: By coverage, then by name.
        records: The folder it was built from, where the site finds cards and trial tables.
    """

    sections: tuple[Section, ...]
    adapters: tuple[Entry, ...]
    records: Path = field(compare=False)
