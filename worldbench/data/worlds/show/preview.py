"""Pictures of a set or a family for people: a contact sheet and a clip wall."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from worldbench.data.worlds import sets
from worldbench.data.worlds.content import Content, QuadEntry, WorldClip
from worldbench.data.worlds.families import FAMILIES
from worldbench.data.worlds.pictures.render import Rendered, render
from worldbench.data.worlds.show.sheet import FROM_A, FROM_P, MARGIN, Row, contact_sheet, wrap
from worldbench.data.worlds.show.wall import clip_wall, panel
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.storage.build import content_of
from worldbench.data.worlds.storage.shards import SUPERSAMPLE
from worldbench.errors import unknown_name
from worldbench.progress import Progress
from worldbench.record import unwritable, write_atomic
from worldbench.schema import Scalar

T = TypeVar("T")

_COARSE = {"columns": 8, "side": 128}
_FINE = {"columns": 16, "side": 96}  # quads turn on single frames
_LINES = 4  # of caption below the title of a fine row


def preview(
    name: str, out: Path, *, clips: int = 8, progress: Progress | None = None
) -> list[Path]:
    """Draws ``NAME-sheet.png`` and ``NAME-wall.mp4``; nothing but these clips is rendered.

    A set with quads shows, for each kind in turn, A, P and both spliced clips with the identical
    run marked in green and the source of each frame below it (A blue, P orange). Otherwise, and
    for a family, the sheet shows clips of every kind in turn.

    Args:
        name: A set or a family.
        out: A folder, made if need be.
        clips: How many clips to show; a quad counts as two.
        progress: How to show progress.

    Returns:
        The files.

    Raises:
        UsageError: If the name is neither.
        EnvironmentFault: If a folder cannot be written.
    """
    progress = progress or Progress()
    if name in sets.SETS:
        content = content_of(name, progress=progress)[0]
    elif name in FAMILIES:
        content = family_content(name, clips)
    else:
        known = [*sets.SETS, *FAMILIES]
        raise unknown_name("set or family of worlds", name, known, fix="worldbench data list")
    hidden_first = sorted(content.quads, key=lambda quad: quad.condition == "visible")
    quads = in_turn(hidden_first, lambda q: (q.violation, q.condition), max(1, clips // 2))
    by_id = {clip.id: clip for clip in content.clips}
    shown = [by_id[clip_id] for quad in quads for clip_id in quad.clips]
    test_first = sorted(content.clips, key=lambda clip: clip.split != "test")
    shown = shown or in_turn(test_first, _kind, clips)
    drawn: dict[str, Rendered] = {}
    with progress.task(f"rendering a preview of {name}", len(shown)) as step:
        for clip in shown:
            drawn[clip.id] = render(clip.track, supersample=SUPERSAMPLE)
            step.add(1)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    return [_sheet(name, out, content, shown, quads, drawn), _wall(name, out, shown[:clips], drawn)]


def family_content(name: str, clips: int) -> Content:
    """Simulates a few specs of a family whose factors are balanced."""
    specs = FAMILIES[name].specs(clips, seed=0)
    tracks = [simulate(spec) for spec in specs]
    return Content(
        name,
        tuple(
            WorldClip(f"{name}/{at}", track, track.spec.split, str(at), track.label, track.factors)
            for at, track in enumerate(tracks)
        ),
    )


def in_turn(items: Iterable[T], kind: Callable[[T], Hashable], count: int) -> list[T]:
    """Takes so many items, one of each kind in turn, kinds and items in their order."""
    kinds: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        kinds[kind(item)].append(item)
    taken: list[T] = []
    depth = 0
    while len(taken) < count and any(len(group) > depth for group in kinds.values()):
        taken += [group[depth] for group in kinds.values() if len(group) > depth]
        depth += 1
    return taken[:count]


def _kind(clip: WorldClip) -> Hashable:
    return (clip.label, clip.track.spec.family) if clip.label else clip.track.spec.family


def _sheet(
    name: str,
    out: Path,
    content: Content,
    shown: Sequence[WorldClip],
    quads: Sequence[QuadEntry],
    drawn: dict[str, Rendered],
) -> Path:
    rows = [row for quad in quads for row in _quad_rows(quad, drawn)]
    rows = rows or [
        Row(_rgb(drawn[clip.id]), clip.label or clip.id, _lines(clip)) for clip in shown
    ]
    heading = f"{name}: {len(content.clips)} clips"
    if quads:
        heading += f", {len(content.quads)} quads. Green: A and P are identical. "
        heading += "Blue: taken from A, orange: from P"
    elif name in FAMILIES and name not in sets.SETS:
        heading = f"{name}: {FAMILIES[name].summary}"
    sheet = contact_sheet(rows, heading, **_FINE if quads else _COARSE)
    done, png = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    path = out / f"{name}-sheet.png"
    write_atomic(path, png.tobytes())
    return path


def _quad_rows(quad: QuadEntry, drawn: dict[str, Rendered]) -> list[Row]:
    a, p = (_rgb(drawn[clip_id]) for clip_id in quad.clips)
    cut = (quad.start + quad.stop) // 2
    from_a = np.arange(len(a)) < cut
    verdict = "possible" if quad.condition == "both_possible" else "impossible"
    factors = wrap(_pairs(quad.factors), MARGIN)
    rows = (
        ("A, real", from_a | True, [f"{quad.violation}, {quad.condition}", quad.id]),
        ("P, real", from_a & False, factors[:_LINES]),
        (f"A then P from {cut}, {verdict}", from_a, factors[_LINES : 2 * _LINES]),
        (f"P then A from {cut}, {verdict}", ~from_a, factors[2 * _LINES :]),
    )
    # A visible quad carries the run of the occluded one: there its own clips differ.
    run = (quad.start, quad.stop) if quad.condition != "visible" else None
    return [
        Row(
            np.where(of_a[:, None, None, None], a, p),
            title,
            tuple(lines),
            tuple(FROM_A if taken else FROM_P for taken in of_a),
            run,
        )
        for title, of_a, lines in rows
    ]


def _wall(name: str, out: Path, shown: Sequence[WorldClip], drawn: dict[str, Rendered]) -> Path:
    panels = [
        panel(_rgb(clip), np.asarray(clip.depth), np.asarray(clip.segmentation))
        for clip in (drawn[entry.id] for entry in shown)
    ]
    path = out / f"{name}-wall.mp4"
    titles = [clip.label or ", ".join([clip.id, *_lines(clip)]) for clip in shown]
    clip_wall(path, panels, titles, float(shown[0].track.spec.fps))
    return path


def _rgb(clip: Rendered) -> np.ndarray:
    return np.asarray(clip.rgb)


def _lines(clip: WorldClip) -> tuple[str, ...]:
    factors = {**clip.track.factors, **clip.factors}
    told = _pairs({name: level for name, level in factors.items() if level != clip.label})
    return (clip.id, told) if clip.label else (told,)


def _pairs(factors: Mapping[str, Scalar]) -> str:
    return ", ".join(
        f"{name} {level:g}" if isinstance(level, float) else f"{name} {level}"
        for name, level in factors.items()
    )
