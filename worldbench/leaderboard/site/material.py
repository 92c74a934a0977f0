"""What pages are made of beyond the board: whole records, their trial tables, and media files."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.errors import RecordError
from worldbench.leaderboard.board import Board, Row
from worldbench.leaderboard.rows import Absent, load
from worldbench.leaderboard.site import addresses
from worldbench.record import read_all
from worldbench.schema import AdapterCard, Record, canonical_json

MANIFEST = "media.json"
"""Names the files of one checkpoint's media folder, with what they show in words."""

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class Clip:
    """A video with its still, and what it shows; both paths are relative to ``site/``."""

    video: str
    poster: str
    title: str
    caption: str
    alternative: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """A picture and what it shows; the path is relative to ``site/``."""

    file: str
    title: str
    alternative: str


@dataclass(frozen=True)
class Media:
    """What there is to see of one checkpoint."""

    clips: tuple[Clip, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Material:
    """The records of a board and the media beside its pages.

    Attributes:
        root: The records folder.
        records: By path below it.
        cards: The card of each adapter, by ``name@revision``.
        media_root: The folder of all media, if there is one.
    """

    root: Path
    records: Mapping[str, Record]
    cards: Mapping[str, AdapterCard]
    media_root: Path | None

    @classmethod
    def of(cls, board: Board, media_root: Path | None) -> "Material":
        """Reads the records of a board again, whole."""
        records = {
            path.relative_to(board.records).as_posix(): record
            for path, record in read_all(board.records)
        }
        cards: dict[str, AdapterCard] = {}
        # The same choice among prose that differs as on the board.
        found = (record.body.adapter for record in records.values())
        for card in sorted(found, key=lambda card: canonical_json(card.model_dump())):
            cards.setdefault(f"{card.name}@{card.revision}", card)
        return cls(board.records, records, cards, media_root)

    def card(self, row: Row) -> AdapterCard:
        """Returns the card in a row's record."""
        return self.records[row.record].body.adapter

    def table(self, row: Row) -> Mapping[str, list[Any]] | Absent:
        """Returns the trial table of a row's record, by column.

        Raises:
            RecordError: If the rows are not those that the record was made from.
        """
        return load(self.root / row.record, self.records[row.record])

    def media(self, name: str, revision: str) -> Media:
        """Returns what there is to see of a checkpoint: what its manifest names and what exists.

        Raises:
            RecordError: If the manifest cannot be read or names files outside its folder.
        """
        folder = addresses.checkpoint(name, revision)
        if self.media_root is None or not (self.media_root / folder / MANIFEST).is_file():
            return Media()
        path = self.media_root / folder / MANIFEST
        try:
            told = json.loads(path.read_bytes())
            clips = [Clip(**each) for each in told["clips"]]
            pictures = [Picture(**each) for each in told["pictures"]]
            named = [file for clip in clips for file in (clip.video, clip.poster)]
            named += [picture.file for picture in pictures]
            bad = next((file for file in named if not _FILE.fullmatch(file)), None)
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, f"{type(error).__name__}: {error}") from error
        if bad is not None:
            raise _unreadable(path, f"a file called {bad!r}")
        base = f"media/{folder}"
        there = {file for file in named if (path.parent / file).is_file()}
        return Media(
            tuple(_below(base, clip) for clip in clips if {clip.video, clip.poster} <= there),
            tuple(
                Picture(f"{base}/{each.file}", each.title, each.alternative)
                for each in pictures
                if each.file in there
            ),
        )


def _below(base: str, clip: Clip) -> Clip:
    files = {"video": f"{base}/{clip.video}", "poster": f"{base}/{clip.poster}"}
    return Clip(**(vars(clip) | files))


def _unreadable(path: Path, seen: str) -> RecordError:
    return RecordError(
        f"the list of media {path} cannot be used",
        seen=seen,
        accepted="lists of clips and pictures in its own folder",
        fix="make it again: python -m worldbench.suites.show.rollouts",
    )
