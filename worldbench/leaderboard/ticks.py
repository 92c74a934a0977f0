"""Where round numbers stand on an axis."""

import math

from worldbench.limits import SMALLEST


def round_multiples(low: float, high: float, about: int) -> tuple[float, range]:
    """Returns a step of 1, 2 or 5 times a power of ten and its multiples within [low, high].

    There are none where the span is too small to divide.

    Args:
        low: Lower end, below ``high``.
        high: Upper end.
        about: How many steps the span should have, at most.
    """
    if high - low < SMALLEST:
        return 1.0, range(0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return step, range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
