"""IntPhys (Riochet et al. 2018, arXiv 1803.07616): four folders of frames per scene.

``<block>/<scene>/<movie>/`` holds ``scene/scene_001.png`` … and ``status.json``, whose
``header.is_possible`` says what the movie is. The dev set, as its archives unpack, has 30 scenes in
each of three blocks and four movies of 100 frames per scene. Depth and masks are not read.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from worldbench.data.files import contained
from worldbench.data.layouts.folder import existing_folder
from worldbench.data.layouts.listing import read_text
from worldbench.data.quadruplets import Movie, Quadruplet
from worldbench.errors import DataError, unknown_name

BLOCKS = {"O1": "permanence", "O2": "shape", "O3": "continuity"}
"""The blocks and what they are about: object permanence, shape constancy, continuity."""

STATUS = "status.json"
SCENE = "scene"

_BLOCK = re.compile(r"O\d+")


def intphys(root: str | Path, *, blocks: Sequence[str] | None = None) -> tuple[Quadruplet, ...]:
    """Lists the quadruplets of IntPhys; opens no picture.

    Scenes that do not hold two possible and two impossible movies are listed all the same, with
    what they hold, and so are movies without a label, as those of the test set are. What movies are
    called says nothing and is not used.

    Args:
        root: The folder that holds the blocks, e.g. ``dev``.
        blocks: Which of :data:`BLOCKS`; those that are there if None.

    Returns:
        Quadruplets sorted by block and scene; factor ``block``.

    Raises:
        DataError: If a block is missing or not one of IntPhys, or a path leaves the root.
        UsageError: If no block is called so, with the alternatives.
    """
    base = existing_folder(root)
    for name in blocks or ():
        if name not in BLOCKS:
            raise unknown_name("block", name, BLOCKS, fix="correct data.blocks, or leave it out")
    wanted = _blocks(base, blocks)
    scenes = [(block, scene) for block in wanted for scene in _folders(base / block, base)]
    return tuple(_quadruplet(block, scene, base) for block, scene in scenes)


def _blocks(base: Path, blocks: Sequence[str] | None) -> list[str]:
    """Returns the blocks to read, all of which are there."""
    present = [path.name for path in _folders(base, base) if _BLOCK.fullmatch(path.name)]
    wanted = sorted(set(present if blocks is None else blocks))
    missing = sorted(set(wanted) - set(present))
    unknown = sorted(set(wanted) - set(BLOCKS))
    if missing or unknown or not wanted:
        what = f"no block {missing[0]}" if missing else "no blocks of IntPhys"
        raise DataError(
            f"unknown block {unknown[0]}" if unknown else f"{what} in the data root",
            seen=f"{', '.join(present) or 'none'} in {base}",
            accepted=f"folders {', '.join(BLOCKS)}, each <scene>/<movie>/{SCENE}/*.png",
            fix="set data.root to the folder that holds the blocks, e.g. the unpacked dev",
        )
    return wanted


def _quadruplet(block: str, scene: Path, base: Path) -> Quadruplet:
    name = contained(scene, base)
    movies = [
        Movie(contained(folder, base), _possible(folder, base)) for folder in _folders(scene, base)
    ]
    return Quadruplet(name, name, {"block": block}, tuple(movies))


def _folders(folder: Path, base: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for path in found:
        contained(path, base)
    return sorted(found, key=lambda path: path.name)


def _possible(movie: Path, base: Path) -> bool | None:
    """Reads whether a movie is possible; None where its status does not say so."""
    file = movie / STATUS
    contained(file, base)
    try:
        possible = json.loads(read_text(file))["header"]["is_possible"]
    except (DataError, ValueError, KeyError, TypeError):
        return None
    return possible if isinstance(possible, bool) else None
