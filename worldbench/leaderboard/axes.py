"""The two axes of a curve, and labels that must not cover each other."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worldbench.leaderboard import text
from worldbench.leaderboard.ticks import round_multiples

_EDGE = 2.5
_DODGE = 1.3
"""Percent of the width between adapters at one level, where there is room."""
_CROWD = 0.6
"""Share of the distance of two levels that the adapters of one may fill."""
_UNEVEN = 8.0
"""From this ratio of widest to narrowest step on, levels stand on a logarithmic axis."""
_TICK = 14


class Across:
    """The levels of a factor, in percent of the width; adapters stand side by side at each.

    Args:
        levels: Ascending, two or more.
        lines: How many adapters.
    """

    def __init__(self, levels: Sequence[float], lines: int) -> None:
        steps = [b - a for a, b in pairwise(levels)]
        self.logarithmic = levels[0] > 0 and max(steps) >= _UNEVEN * min(steps)
        places = [math.log(level) for level in levels] if self.logarithmic else list(levels)
        span = places[-1] - places[0] or 1.0  # large neighbours may have equal logarithms
        self._levels = levels
        self._places = [(place - places[0]) / span for place in places]
        closest = min(b - a for a, b in pairwise(self._places))
        room = _CROWD * closest * (100 - 2 * _EDGE) / (1 + _CROWD * closest)
        self._step = min(_DODGE, room / max(lines - 1, 1))
        self._middle = (lines - 1) / 2
        self._pad = _EDGE + self._step * self._middle

    def at(self, level: int, line: int | None = None) -> float:
        """Returns where the n-th adapter stands at the n-th level, or the level's middle."""
        shift = 0.0 if line is None else (line - self._middle) * self._step
        return self._pad + (100 - 2 * self._pad) * self._places[level] + shift

    def ticks(self) -> list[tuple[float, str]]:
        """Returns the labels of levels, without those that would touch the one before."""
        shown: list[tuple[float, str]] = []
        for i, level in enumerate(self._levels):
            said = f"{level:g}".replace("-", "−")
            x = self.at(i)
            if not shown or x - shown[-1][0] >= 2 + 1.6 * (len(said) + len(shown[-1][1])):
                shown.append((x, said))
        return shown


@dataclass(frozen=True)
class Up:
    """A range of scores, in pixels from the top of a drawing."""

    low: float
    high: float
    top: int
    height: int

    @classmethod
    def around(
        cls, values: Iterable[float], limits: tuple[float, float], top: int, height: int
    ) -> "Up":
        """Returns the axis that shows the values within limits, with some air around them."""
        shown = [min(max(value, limits[0]), limits[1]) for value in values]
        low, high = min(shown), max(shown)
        air = (high - low) * 0.04 or abs(low) * 0.1 or 1.0
        return cls(low - air, high + air, top, height)

    def at(self, value: float) -> float:
        """Returns the height at which a score stands; beyond the drawing if it is out of range."""
        return self.top + self.height * (self.high - value) / (self.high - self.low)

    def within(self, value: float) -> float:
        """Returns the height nearest to a score's that the drawing shows."""
        return self.at(min(max(value, self.low), self.high))

    def ticks(self, taken: Iterable[float]) -> list[tuple[float, str]]:
        """Returns round scores with their labels, away from heights that are taken."""
        step, multiples = round_multiples(self.low, self.high, 5)
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        heights = [(self.at(i * step), text.number(i * step, places)) for i in multiples]
        given = list(taken)
        return [(y, said) for y, said in heights if all(abs(y - t) >= _TICK for t in given)]


def spread(wanted: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Returns the places nearest to those wanted (least squares) that are so far apart.

    Places keep the order of what was wanted and stay within ``[low, high]`` where they fit.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # Less the distance that its predecessors need, place i must not be above place i + 1: isotonic
    # regression, by pooling neighbours that violate it.
    pools: list[tuple[float, int]] = []
    for k, i in enumerate(order):
        mean, size = wanted[i] - k * apart, 1
        while pools and pools[-1][0] >= mean:
            before, count = pools.pop()
            mean = (mean * size + before * count) / (size + count)
            size += count
        pools.append((mean, size))
    fitted = [mean for mean, size in pools for _ in range(size)]
    last = max(low, high - (len(wanted) - 1) * apart)
    placed = [0.0] * len(wanted)
    for k, (i, mean) in enumerate(zip(order, fitted, strict=True)):
        placed[i] = min(max(mean, low), last) + k * apart
    return placed
