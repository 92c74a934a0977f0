"""Four clips of a quad, and under them what surprised each adapter, on one axis of time."""

import numpy as np

from worldbench.suites.show import svg
from worldbench.suites.show.asked import AskedQuad
from worldbench.suites.show.columns import GAP, Columns, context_frames
from worldbench.suites.show.surprise_panel import height_of, panel
from worldbench.suites.show.words import ClipWords, clip_words, how, scene

_LEFT, _TOP, _BELOW = 172, 104, 22


def surprise_figure(quad: AskedQuad) -> str:
    """Returns the figure of one quad as an SVG document."""
    cuts, (height, width) = quad.cuts, quad.pair.shape[2:4]
    end = max(cut.end for cut in cuts)
    seen = context_frames(quad.run[0], cuts[0].context)
    columns = Columns.of(seen, cuts[0].context, end, left=_LEFT, aspect=width / height)
    pitch = columns.cell[1] + _BELOW
    words = clip_words(quad.trial)
    parts = _header(quad, columns, _TOP + 4 * pitch - _BELOW)
    for row, each in enumerate(words):
        parts += _row(quad, columns, each, row, _TOP + row * pitch)
    top = _TOP + 4 * pitch + 10
    for answer in quad.answers:
        parts += panel(answer, columns, words, top)
        top += height_of(answer)
    # Over the pictures, so that it is seen where clips are cut.
    parts += [_cut_line(quad, columns, pitch)]
    told = svg.paragraph(16, top + 8, how(quad.trial), svg.WIDTH - 32)
    title, below = f"Surprise: {quad.trial.id}", scene(quad.trial)
    height = top + 17 * len(told) + 8
    return svg.document(height, title, below, [*parts, *told], _images(quad, columns))


def _header(quad: AskedQuad, columns: Columns, bottom: svg.Pixels) -> list[str]:
    """Frame numbers and, where there is one, the run in which A and P are identical."""
    parts = [svg.text(16, _TOP - 12, "frame")]
    parts += [
        svg.text(columns.middle(f, f + 1), _TOP - 12, f, anchor="middle") for f in columns.frames
    ]
    start, stop = quad.run
    shown = [frame for frame in columns.frames if start <= frame < stop]
    if quad.trial.factors["condition"] != "visible" and shown:
        left, right = columns.x(shown[0]), columns.x(shown[-1]) + columns.cell[0]
        said = f"frames {start}–{stop - 1}: A and P identical"
        parts += [
            svg.rect(left - 2, _TOP - 6, right - left + 4, bottom - _TOP + 10, "band"),
            svg.rect(left, _TOP - 6, right - left, 4, "run"),
            svg.text((left + right) / 2, _TOP - 30, said, "run", "middle"),
        ]
    return parts


def _row(
    quad: AskedQuad, columns: Columns, words: ClipWords, row: int, top: svg.Pixels
) -> list[str]:
    """One clip: what it shows, how its curve is drawn, its frames and which clip each is from."""
    hollow = " hollow" if row in (1, 3) else ""
    line = top + columns.cell[1] / 2 - 8
    parts = [
        svg.text(16, line + 5, words.name, "title"),
        svg.path([(42, line), (82, line)], f"line {words.kind}"),
        svg.dot(62, line, f"{words.kind}{hollow}"),
        svg.text(92, line + 4, words.kind, words.kind),
        *svg.paragraph(16, line + 25, words.shows, _LEFT - 20),
    ]
    cut = quad.cuts[0].context
    sources = {0: (0, 0), 1: (1, 1), 2: (0, 1), 3: (1, 0)}[row]
    parts += [
        part
        for frame in columns.frames
        for part in _frame(quad, columns, sources[frame >= cut], frame, top)
    ]
    if row >= 2:
        below, split = top + columns.cell[1] + 14, columns.x(cut)
        first, second = ("A", "P") if row == 2 else ("P", "A")
        parts += [
            svg.text(split - GAP - 6, below, f"frames of {first}", anchor="end"),
            svg.text(split + 6, below, f"frames of {second}"),
        ]
    return parts


def _frame(quad: AskedQuad, columns: Columns, clip: int, frame: int, top: svg.Pixels) -> list[str]:
    """A frame of A or of P, with a ring round the target where it is seen."""
    x = columns.x(frame)
    shown = svg.use(_name(quad, clip, frame), x, top)
    if not quad.truth or not bool(quad.truth[clip].target[frame].any()):
        return [shown]
    rows, across = np.nonzero(quad.truth[clip].target[frame].numpy())
    scale = columns.cell[0] / quad.pair.shape[3]
    down, right = (scale * float(at.min() + at.max() + 1) / 2 for at in (rows, across))
    radius = scale * float(max(np.ptp(rows), np.ptp(across)) + 1) / 2 + 3
    rings = [svg.dot(right, down, kind, radius) for kind in ("halo", "ring")]
    return [shown, svg.clipped(x, top, columns.cell, rings)]


def _name(quad: AskedQuad, clip: int, frame: int) -> str:
    """Names a picture; those of the run are the same in A and P."""
    same = bool((quad.pair[0, frame] == quad.pair[1, frame]).all())
    return f"{'ap'[clip and not same]}{frame}"


def _images(quad: AskedQuad, columns: Columns) -> str:
    names = {
        _name(quad, clip, frame): quad.pair[clip, frame]
        for clip in range(2)
        for frame in columns.frames
    }
    return "".join(svg.image(name, picture, columns.cell) for name, picture in names.items())


def _cut_line(quad: AskedQuad, columns: Columns, pitch: svg.Pixels) -> str:
    x = columns.x(quad.cuts[0].context) - GAP / 2
    return svg.path([(x, _TOP - 22), (x, _TOP + 4 * pitch)], "cut")
