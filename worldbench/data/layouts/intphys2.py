"""IntPhys 2 (Bordes et al. 2025, arXiv 2506.09849): a CSV of video files, four per scene.

``<split>/metadata.csv`` and ``<split>/Videos/<name>.mp4``. Column ``type`` says what a video is and
to which it belongs: ``1_Possible`` goes with ``1_Impossible``, ``2_Possible`` with
``2_Impossible``. Nothing else could pair them: videos are encoded one by one, so that what they
share is equal but for compression (and, the release says, for clouds). Splits with labels are
``Debug`` (5 scenes, three times each) and ``Main`` (253).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from worldbench.data.files import contained
from worldbench.data.layouts.folder import existing_folder
from worldbench.data.layouts.listing import bad_line, read_csv
from worldbench.data.quadruplets import Movie, Quadruplet
from worldbench.errors import DataError, unknown_name

SPLITS = ("Debug", "Main")
LISTING = "metadata.csv"
COLUMNS = ("SceneIndex", "type", "condition")
NAMES = ("file_name", "name", "filename")
"""Columns that name the file: a path below the split, or its name in ``Videos``, bare."""

FACTORS = {"condition": "condition", "Difficulty": "difficulty", "Camera": "camera"}
"""Columns that distinguish scenes, and what their factors are called."""

_TYPE = re.compile(r"([12])_(Possible|Impossible)")
_VARIANTS = re.compile(r"(immutability|continuity)_(?:texture|swap)")


def intphys2(
    root: str | Path, *, split: str = "Main", conditions: Sequence[str] | None = None
) -> tuple[Quadruplet, ...]:
    """Lists the quadruplets of IntPhys 2; opens no video.

    Variants of a condition count as the condition (``immutability_texture``,
    ``continuity_swap``), as the release's own scores have it. Rows of one scene that name every
    type equally often are as many quadruplets of one cluster, in the order of the rows.

    Args:
        root: The folder that holds the splits.
        split: One of :data:`SPLITS`.
        conditions: Keep only these.

    Returns:
        Quadruplets in the order of the listing; factors ``condition``, ``difficulty`` and
        ``camera``, as far as the listing has them.

    Raises:
        DataError: If the listing is missing, lacks a column or has a malformed row, or a path
            leaves the split's folder.
        UsageError: If there is no such split or condition, with the alternatives.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS, fix="data.split=Main")
    base = existing_folder(Path(existing_folder(root), split))
    scenes: dict[str, list[tuple[Movie, Mapping[str, str]]]] = {}
    for scene, movie, factors in _rows(base):
        scenes.setdefault(scene, []).append((movie, factors))
    known = {factors["condition"] for rows in scenes.values() for _, factors in rows}
    for name in conditions or ():
        if name not in known:
            raise unknown_name("condition", name, known, fix="correct data.conditions")
    return tuple(
        quadruplet
        for scene, rows in scenes.items()
        for quadruplet in _quadruplets(f"{split}/{scene}", rows, split)
        if conditions is None or quadruplet.factors["condition"] in conditions
    )


def _rows(base: Path) -> Iterable[tuple[str, Movie, dict[str, str]]]:
    """Yields the scene, movie and factors of each line."""
    listing = base / LISTING
    contained(listing, base)
    columns, rows = read_csv(listing)
    file = next((name for name in NAMES if name in columns), None)
    missing = [name for name in COLUMNS if name not in columns]
    if missing or file is None:
        lacking = missing or ["file_name"]
        raise DataError(
            f"missing CSV column {', '.join(map(repr, lacking))}",
            seen=f"columns {', '.join(columns) or 'none'} in {listing}",
            accepted=f"{', '.join(COLUMNS)}, and one of {', '.join(NAMES)}",
            fix=f"use the {LISTING} of the release",
        )
    for number, row in rows:
        kind = _TYPE.fullmatch((row["type"] or "").strip())
        if kind is None or not row["SceneIndex"] or not row[file] or not row["condition"]:
            accepted = f"{','.join(COLUMNS)} with a type such as 1_Possible, and {file}"
            raise bad_line(listing, number, row, accepted)
        name = row[file].strip()
        path = name if file == "file_name" else f"Videos/{name.removesuffix('.mp4')}.mp4"
        factors = {factor: row[key].strip() for key, factor in FACTORS.items() if row.get(key)}
        factors["condition"] = _VARIANTS.sub(r"\1", factors["condition"])
        movie = Movie(contained(path, base), kind[2] == "Possible", kind[1])
        yield row["SceneIndex"].strip(), movie, factors


def _quadruplets(
    scene: str, rows: Sequence[tuple[Movie, Mapping[str, str]]], split: str
) -> list[Quadruplet]:
    factors = rows[0][1]
    kinds: dict[tuple[str, bool | None], list[Movie]] = {}
    for movie, _ in rows:
        below = Movie(f"{split}/{movie.path}", movie.possible, movie.pair)
        kinds.setdefault((movie.pair, movie.possible), []).append(below)
    counts = {len(movies) for movies in kinds.values()}
    if len(kinds) != 4 or len(counts) != 1:
        movies = tuple(movie for same in kinds.values() for movie in same)
        return [Quadruplet(scene, scene, factors, movies)]  # its fault is told by the scan
    groups = list(zip(*kinds.values(), strict=True))
    names = [scene] if len(groups) == 1 else [f"{scene}.{k}" for k in range(len(groups))]
    return [
        Quadruplet(name, scene, factors, movies) for name, movies in zip(names, groups, strict=True)
    ]
