"""The pages that document the worlds: every family with its factors and two clips of it.

For maintainers: ``python -m worldbench.data.worlds.show.gallery reports/worlds`` writes
``README.md`` and a JPEG per family. The text follows from the families, so a test can hold it
against them.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from worldbench.data.worlds import palette, sets
from worldbench.data.worlds.families import FAMILIES, Factor, Family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import simulate
from worldbench.errors import UsageError
from worldbench.record import write_atomic

_SIDE, _COLUMNS, _ROWS, _GAP = 80, 8, 2, 2
_QUALITY = 82

_INTRODUCTION = """\
# The procedural worlds

Physically simulated (MuJoCo, no OpenGL), ray-cast 3D clips whose truth is known exactly: depth,
identities, normals, poses, contacts, visible and amodal pixels. `SceneSpec` → `simulate` → `Track`
→ `render`; 16 frames at 8 fps and 64×64 unless a spec says otherwise, in any other length, rate,
size and aspect ratio too. This page is written by
`python -m worldbench.data.worlds.show.gallery reports/worlds`; look at more with
`worldbench data preview NAME`. Below, two clips of each family, every other frame.
"""

_SETS = """\
## Sets

`worldbench data build NAME` renders one into the cache; suites do so by themselves. Sets marked
*shipped* come as tracks inside the package and give the same pictures on every machine; the others
are simulated on first use.
"""


def text() -> str:
    """Returns the page, in Markdown."""
    parts = [_INTRODUCTION, "## Families\n"]
    parts += [_section(family) for family in FAMILIES.values()]
    parts += [_SETS, "| set | what it holds |", "| --- | --- |"]
    parts += [f"| `{plan.name}` | {plan.summary} |" for plan in sets.SETS.values()]
    return "\n".join(parts) + "\n"


def _section(family: Family) -> str:
    rows = [
        f"| `{name}` | {_levels(factor)} | {factor.meaning} |"
        for name, factor in family.factors.items()
    ]
    return "\n".join(
        [
            f"### {family.name}",
            "",
            f"{family.summary[:1].upper()}{family.summary[1:]}.",
            "",
            f"![Two clips of {family.name}]({family.name}.jpg)",
            "",
            "| factor | levels | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _levels(factor: Factor) -> str:
    if factor.levels == palette.COLOURS:
        return f"{', '.join(palette.COLOURS)}; in test_ood {', '.join(palette.OOD_COLOURS)}"
    counts = {level: factor.levels.count(level) for level in factor.levels}
    told = [f"{level} ×{times}" if times > 1 else str(level) for level, times in counts.items()]
    fixed = "" if factor.default is None else f" ({factor.default} unless asked for)"
    return ", ".join(told) + fixed


def picture(family: Family) -> np.ndarray:
    """Draws two balanced clips of a family, frames from left to right, ``h w 3`` RGB."""
    tracks = [simulate(spec) for spec in family.specs(_ROWS, 0)]
    clips = np.asarray(render_rgb(tracks, size=_SIDE))
    shown = clips[:, np.linspace(0, clips.shape[1] - 1, _COLUMNS).round().astype(int)]
    framed = np.pad(shown, ((0, 0), (0, 0), (0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
    sheet: np.ndarray = np.concatenate([np.concatenate(list(row), 1) for row in framed], 0)
    return sheet


def write(folder: Path) -> None:
    """Writes the page and its pictures.

    Raises:
        EnvironmentFault: If the folder cannot be written.
    """
    for name, family in FAMILIES.items():
        bgr = cv2.cvtColor(picture(family), cv2.COLOR_RGB2BGR)
        done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        if not done:
            raise RuntimeError("OpenCV could not encode a JPEG")
        write_atomic(folder / f"{name}.jpg", jpeg.tobytes())
    write_atomic(folder / "README.md", text().encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(str(UsageError("one folder is needed", accepted="reports/worlds")))
    write(Path(sys.argv[1]))
