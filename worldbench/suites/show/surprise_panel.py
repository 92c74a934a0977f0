"""One adapter's surprises at the four clips of a quad, as curves under their frames."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from worldbench.leaderboard import text as board_text
from worldbench.leaderboard.ticks import round_multiples
from worldbench.suites.quad_trials import Cut
from worldbench.suites.show import svg
from worldbench.suites.show.asked import Answer, Surprise
from worldbench.suites.show.columns import GAP, Columns
from worldbench.suites.show.words import OUTCOMES, ClipWords

_PANEL, _HEAD, _FOOT, _REASON = 112, 30, 34, 40
_ZOOM = 0.5
"""Share of the largest value below which nothing lies where an axis leaves out the zero."""


def height_of(answer: Answer) -> svg.Pixels:
    """Returns how many pixels a panel takes."""
    if answer.surprise is not None:
        return _HEAD + _PANEL + _FOOT
    return _REASON + 17 * len(_why_not(answer, 0))


def _why_not(answer: Answer, top: svg.Pixels) -> list[str]:
    said = f"not asked: {answer.reason}"
    return svg.paragraph(16, top + _REASON, said, svg.WIDTH - 32)


def panel(
    answer: Answer, columns: Columns, words: Sequence[ClipWords], top: svg.Pixels
) -> list[str]:
    """Returns the surprises of one adapter, or why there are none.

    Args:
        answer: What it answered.
        columns: The frames above.
        words: What the clips are called.
        top: Where the panel begins, in pixels; :func:`height_of` says how far it reaches.
    """
    parts = [
        svg.path([(16, top), (svg.WIDTH - 16, top)], ""),
        svg.text(16, top + 20, answer.label, "head"),
    ]
    surprise, cut = answer.surprise, answer.cut
    if surprise is None or cut is None:
        return [*parts, *_why_not(answer, top)]
    axis = _Axis(surprise.values, top + _HEAD + _PANEL - 6, top + _HEAD + 6)
    x0 = columns.x(cut.context) - GAP / 2
    stride = answer.card.temporal_stride
    steps = [
        (at, min(at + stride, cut.end))
        for at in range(cut.context, cut.context + stride * surprise.values.shape[1], stride)
    ]
    return [
        *parts,
        svg.rect(columns.left, top + _HEAD, x0 - columns.left, _PANEL, "band"),
        svg.text(16, top + 38, surprise.operator),
        svg.text(16, top + 55, axis.told),
        *_verdict(surprise, words, top + 20),
        *_grid(cut, steps, axis, columns, top + _HEAD),
        *_curves(surprise.values, axis, steps, columns, words),
    ]


def _grid(
    cut: Cut, steps: Sequence[tuple[int, int]], axis: "_Axis", columns: Columns, top: svg.Pixels
) -> list[str]:
    """The cut, values at the left of it and, below, the frames of each latent step."""
    x0, x1 = columns.x(cut.context) - GAP / 2, columns.x(cut.end) - GAP / 2
    bottom = top + _PANEL + 16
    parts = [svg.text(x0 - 8, bottom, f"{cut.context} frames seen, then", anchor="end")]
    for value, said in axis.ticks():
        y = axis.place(value)
        parts.append(svg.path([(x0, y), (x1, y)], ""))
        parts.append(svg.text(x0 - 8, y + 4, said, anchor="end"))
    parts += [
        svg.text(columns.middle(*step), bottom, _frames(*step), anchor="middle") for step in steps
    ]
    return [*parts, svg.path([(x0, top), (x0, top + _PANEL)], "cut")]


def _frames(start: int, stop: int) -> str:
    return f"{start}–{stop - 1}" if stop - start > 1 else str(start)


def _curves(
    values: Float64[np.ndarray, "4 steps"],
    axis: "_Axis",
    steps: Sequence[tuple[int, int]],
    columns: Columns,
    words: Sequence[ClipWords],
) -> list[str]:
    """Lines, marks, and names at the right; names that would touch stand side by side."""
    parts, ends, xs = [], [], [columns.middle(*step) for step in steps]
    for row, (each, said) in enumerate(zip(values, words, strict=True)):
        points = [(x, axis.place(float(value))) for x, value in zip(xs, each, strict=True)]
        parts.append(svg.path(points, f"line {said.kind}"))
        hollow = " hollow" if row in (1, 3) else ""
        for (x, y), step, value in zip(points, steps, each, strict=True):
            told = f"{said.name}, {_frames(*step)}: {board_text.number(float(value))}"
            parts.append(svg.dot(x, y, f"{said.kind}{hollow}", said=told))
        ends.append((points[-1][1], said))
    groups: list[list[tuple[float, ClipWords]]] = []
    for end in sorted(ends, key=lambda end: end[0]):
        if groups and end[0] - groups[-1][-1][0] < 13:
            groups[-1].append(end)
        else:
            groups.append([end])
    for group in groups:
        y = sum(at for at, _ in group) / len(group) + 4
        parts.append(svg.spans(xs[-1] + 10, y, [(said.kind, said.name) for _, said in group]))
    return parts


def _verdict(surprise: Surprise, words: Sequence[ClipWords], y: svg.Pixels) -> list[str]:
    """Returns the sums that are compared and how the quad came out, at the right edge."""
    possible, impossible = (math.fsum(surprise.values[at].ravel()) for at in ([0, 1], [2, 3]))
    tie, (mark, word) = surprise.outcome == 0.5, OUTCOMES[surprise.outcome]
    word = word if words[2].kind == "impossible" else ""
    more = "" if tie or possible <= 0 else _percent(impossible / possible - 1)
    places = board_text.decimals(impossible)
    # As many digits as set the sums apart, where the suite does.
    while not tie and places < 12 and f"{impossible:.{places}f}" == f"{possible:.{places}f}":
        places += 1
    told = [
        (words[2].kind, f"I1 + I2 = {board_text.number(impossible, places)}"),
        ("", {1.0: ">", 0.5: "≈", 0.0: "<"}[surprise.outcome]),
        ("possible", f"A + P = {board_text.number(possible, places)}"),
        *([("", f"({more})")] if more else []),
    ]
    right = svg.WIDTH - 16
    return [
        svg.rect(right - 62, y - 14, 62, 19, word or "tie", ' rx="4"'),
        svg.text(right - 31, y, f"{mark} {word}", "badge", "middle"),
        svg.spans(right - 72, y, told, "end"),
    ]


def _percent(share: float) -> str:
    """Returns a difference in percent, with its sign and two digits."""
    percent = share * 100
    said = f"{percent:+.0f}" if abs(percent) >= 10 else f"{percent:+.2g}"
    return f"{said} %".replace("-", "−")


class _Axis:
    """Maps surprises to pixels; from 0 where that leaves room to see differences."""

    def __init__(
        self, values: Float64[np.ndarray, "4 steps"], bottom: svg.Pixels, top: svg.Pixels
    ) -> None:
        low, high = float(values.min()), float(values.max())
        self.zero = 0 <= low <= _ZOOM * high or high == low == 0
        pad = 0.08 * (high - low) or abs(high) * 0.1 or 1.0
        self.low = 0.0 if self.zero else low - pad
        self.high = high + pad
        self.bottom, self.top = bottom, top

    @property
    def told(self) -> str:
        """Says where the axis begins."""
        return "axis from 0" if self.zero else f"axis from {self.low:.2g}, not 0"

    def place(self, value: float) -> float:
        """Returns the pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.bottom + (self.top - self.bottom) * share

    def ticks(self) -> list[tuple[float, str]]:
        """Returns round values and how they are written."""
        step, multiples = round_multiples(self.low, self.high, 4)
        return [(at * step, f"{at * step:.6g}") for at in multiples]
