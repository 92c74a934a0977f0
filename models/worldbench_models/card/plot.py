"""Line charts as SVG text, legible on light and dark pages; the same lines give the same bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from worldbench.leaderboard.ticks import round_multiples

_WIDTH, _HEIGHT = 760, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 44, 46

_COLOURS = ("c0", "c1", "c2", "c3", "c4", "c5", "c6")
_STYLE = """
  svg { --paper: #fcfcfc; --ink: #23232a; --quiet: #65656f; --rule: #dcdce2 }
  .c0 { --line: #1f6fb5 } .c1 { --line: #c2570c } .c2 { --line: #1c7f54 } .c3 { --line: #a2397d }
  .c4 { --line: #6a54c4 } .c5 { --line: #8a6d00 } .c6 { --line: #65656f }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #17181c; --ink: #ececf1; --quiet: #a2a2ad; --rule: #3a3b43 }
    .c0 { --line: #6cb2f0 } .c1 { --line: #f2955a } .c2 { --line: #5fc79a }
    .c3 { --line: #e58bc6 } .c4 { --line: #ab9cf5 } .c5 { --line: #dcc058 }
    .c6 { --line: #a2a2ad }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--quiet) }
  text.title { font-size: 14px; font-weight: 600; fill: var(--ink) }
  .paper { fill: var(--paper) } .rule { stroke: var(--rule) }
  polyline { fill: none; stroke: var(--line); stroke-width: 1.8; stroke-linejoin: round }
  circle { fill: var(--line) }
"""


@dataclass(frozen=True)
class Line:
    """A named sequence of (x, y) points, y finite."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: Above it.
        across: What x is.
        up: What y is.
        lines: What is drawn.
        logarithmic: Whether y is drawn by its logarithm, if all of it is positive.
    """

    title: str
    across: str
    up: str
    lines: tuple[Line, ...]
    logarithmic: bool = False


def draw(panels: Sequence[Panel]) -> str:
    """Returns an SVG document with the panels below each other."""
    height = _HEIGHT * len(panels)
    told = escape("; ".join(panel.title for panel in panels))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img">',
        f"<title>{told}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {number * _HEIGHT})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    xs = [x for line in panel.lines for x, _ in line.points]
    ys = [y for line in panel.lines for _, y in line.points]
    x_axis = _Axis(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    logarithmic = panel.logarithmic and min(ys) > 0
    low = min(ys) if logarithmic else min(0.0, *ys)
    y_axis = _Axis(low, max(ys), _HEIGHT - _BOTTOM, _TOP, logarithmic)
    parts = [
        f'<text class="title" x="{_LEFT}" y="22">{escape(panel.title)}</text>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">'
        f"{escape(panel.across)}</text>",
        f'<text x="{_LEFT}" y="37">{escape(panel.up)}</text>',
    ]
    for value in y_axis.ticks():
        y = y_axis.place(value)
        parts.append(f'<path class="rule" d="M{_LEFT} {y}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y}" dy=".35em" text-anchor="end">{value:g}</text>')
    for value in x_axis.ticks():
        x = x_axis.place(value)
        parts.append(
            f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{value:,.6g}</text>'
        )
    for index, line in enumerate(panel.lines):
        parts += _line(line, index, x_axis, y_axis)
    return parts


def _line(line: Line, index: int, x_axis: "_Axis", y_axis: "_Axis") -> list[str]:
    colour, row = _COLOURS[index % len(_COLOURS)], _TOP + 10 + 18 * index
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in line.points]
    path = " ".join(f"{x},{y}" for x, y in places)
    dots = [f'<circle cx="{x}" cy="{y}" r="2.4"/>' for x, y in places] if len(places) < 30 else []
    legend = _WIDTH - _RIGHT + 16
    return [
        f'<g class="{colour}"><polyline points="{path}"/>',
        *dots,
        f'<polyline points="{legend},{row} {legend + 18},{row}"/></g>',
        f'<text x="{legend + 25}" y="{row}" dy=".35em">{escape(line.name)}</text>',
    ]


class _Axis:
    """Maps values to pixels, with round ticks."""

    def __init__(
        self, low: float, high: float, begin: int, end: int, logarithmic: bool = False
    ) -> None:
        self.logarithmic, self.begin, self.end = logarithmic, begin, end
        self.low, self.high = self._at(low), self._at(high)
        if self.low == self.high:
            pad = abs(self.low) * 0.1 or 0.5
            self.low, self.high = self.low - pad, self.high + pad

    def _at(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def place(self, value: float) -> str:
        """Returns the pixel of a value, to a tenth."""
        share = (self._at(value) - self.low) / (self.high - self.low)
        return f"{self.begin + (self.end - self.begin) * share:.1f}"

    def ticks(self) -> list[float]:
        """Returns multiples of 1, 2 or 5 times a power of ten; few of them."""
        if self.logarithmic:
            powers = range(math.floor(self.low), math.ceil(self.high) + 1)
            for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
                marks = [round(s * 10.0**p, 12) for p in powers for s in steps]
                shown = [m for m in marks if self.low - 1e-9 <= math.log10(m) <= self.high + 1e-9]
                if len(shown) >= 3:
                    return shown
            return shown
        step, multiples = round_multiples(self.low, self.high, 6)
        return [round(index * step, 12) for index in multiples]
