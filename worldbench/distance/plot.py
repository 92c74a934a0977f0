"""The finite-sample curve as a picture: one SVG file that needs nothing beside it."""

import html
import math
from collections.abc import Sequence

from worldbench.leaderboard.ticks import round_multiples
from worldbench.metrics.sample_curve import CurvePoint

_WIDTH, _HEIGHT = 640.0, 360.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 76.0, 24.0, 40.0, 52.0
_INK, _PALE, _FAKE, _REAL, _LIMIT = "#333", "#ddd", "#0b62a4", "#7a7a7a", "#b3441e"


def curve_svg(points: Sequence[CurvePoint], title: str, limit: float | None = None) -> str:
    """Draws FD over the number of clips, beside what disjoint real clips give.

    Args:
        points: The curve, two points or more, in rising order of n.
        title: What it says above.
        limit: FD∞, drawn as a line across where it is known.

    Returns:
        The SVG text; the same points give the same text.

    Raises:
        ValueError: If there are fewer than two points.
    """
    if len(points) < 2:
        raise ValueError(f"a curve needs at least 2 points, got {len(points)}")
    frame = _Frame(points, limit)
    parts = [*frame.axes(), *_series(points, frame)]
    if limit is not None:
        y = frame.y(limit)
        parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, _LIMIT, dash="6 4"))
        parts.append(_text(_WIDTH - _RIGHT, y - 5, "FD∞", "end", _LIMIT))
    parts.append(_text(_LEFT, 22.0, title, size=14))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'width="{_WIDTH:g}" height="{_HEIGHT:g}" role="img" font-family="system-ui, sans-serif">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<rect width="{_WIDTH:g}" height="{_HEIGHT:g}" fill="#fff"/>\n{body}\n</svg>\n'
    )


class _Frame:
    """Where numbers stand: clips on a logarithmic axis, distances on a linear one from zero."""

    def __init__(self, points: Sequence[CurvePoint], limit: float | None) -> None:
        tops = [p.frechet + (p.frechet_spread or 0.0) for p in points]
        self.ns = [point.n for point in points]
        self.low = min(0.0, limit or 0.0)
        self.high = 1.05 * max(*tops, *(p.floor or 0.0 for p in points), limit or 0.0, 1e-12)

    def x(self, n: int) -> float:
        first, last = math.log(self.ns[0]), math.log(self.ns[-1])
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log(n) - first) / (last - first)

    def y(self, value: float) -> float:
        inner = _HEIGHT - _TOP - _BOTTOM
        return _TOP + inner * (self.high - value) / (self.high - self.low)

    def axes(self) -> list[str]:
        step, multiples = round_multiples(self.low, self.high, 6)
        parts = []
        for i in multiples:
            y = self.y(i * step)
            parts.append(_line(_LEFT, y, _WIDTH - _RIGHT, y, _PALE))
            parts.append(_text(_LEFT - 8, y + 4, f"{i * step:g}", "end"))
        for n in self.ns:
            parts.append(_text(self.x(n), _HEIGHT - _BOTTOM + 18, str(n), "middle"))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(_text(middle, _HEIGHT - 12, "clips on each side (logarithmic)", "middle"))
        return parts


def _series(points: Sequence[CurvePoint], frame: _Frame) -> list[str]:
    parts = []
    fakes = [(frame.x(p.n), frame.y(p.frechet)) for p in points]
    reals = [(frame.x(p.n), frame.y(p.floor)) for p in points if p.floor is not None]
    for places, colour, name in ((reals, _REAL, "real against real"), (fakes, _FAKE, "FD")):
        if not places:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[0]
        parts.append(_text(x + 10, y - 6, name, colour=colour))
    for point in points:
        if point.frechet_spread is not None:
            x = frame.x(point.n)
            ends = (point.frechet - point.frechet_spread, point.frechet + point.frechet_spread)
            parts.append(_line(x, frame.y(max(ends[0], frame.low)), x, frame.y(ends[1]), _FAKE))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashes}/>'
    )


def _text(
    x: float, y: float, said: str, anchor: str = "start", colour: str = _INK, size: int = 12
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}">{html.escape(said)}</text>'
    )
