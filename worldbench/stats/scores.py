"""The pair rule (which of two futures surprises more) and skill between floor and ceiling."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldbench.stats.clusters import finite
from worldbench.stats.intervals import Interval, normal_quantile

TIE_TOLERANCE = 1e-6
"""Sums closer than this share of their mean magnitude are equal: float32 scorers round there."""

MIN_GAP_ERRORS = 3.0
"""Standard errors that floor and ceiling must be apart for skill to mean anything."""


def pair_score(impossible: Float[np.ndarray, "..."], possible: Float[np.ndarray, "..."]) -> float:
    """Says whether the impossible futures surprise more than the possible ones: 1, ½ or 0.

    With I = Σ impossible and P = Σ possible (exactly rounded, float64), it is a tie when
    ``|I − P| ≤ 1e-6 · (|I| + |P|) / 2``; two sums of 0 tie. A quad passes both of its impossible
    clips as one argument and both possible ones as the other.

    Args:
        impossible: Surprises, any shape.
        possible: Surprises, as many values as ``impossible``.

    Returns:
        1.0 if I > P, 0.0 if I < P, 0.5 on a tie.

    Raises:
        ValueError: If either is empty or not finite, or they differ in number of values (the longer
            sum would win by its length).
    """
    unlikely, likely = finite("impossible", impossible), finite("possible", possible)
    if len(unlikely) != len(likely):
        raise ValueError(
            f"impossible has {len(unlikely)} values and possible {len(likely)}; "
            "sums over different numbers of steps cannot be compared"
        )
    high, low = math.fsum(unlikely), math.fsum(likely)
    if abs(high - low) <= TIE_TOLERANCE * (abs(high) + abs(low)) / 2:
        return 0.5
    return 1.0 if high > low else 0.0


@dataclass(frozen=True)
class Skill:
    """A place between floor (0) and ceiling (1), or why there is none.

    Attributes:
        value: The skill, not clipped; None if undefined.
        reason: Why it is undefined; None if it is defined.
    """

    value: float | None
    reason: str | None


def skill(value: float, floor: float, ceiling: float, *, standard_error: float | None) -> Skill:
    """Places a value between its measured floor and ceiling: (value − floor) / (ceiling − floor).

    Works as it stands where lower is better (ceiling < floor). Not clipped: worse than the floor is
    negative, better than the ceiling exceeds 1.

    Args:
        value: The metric of the adapter.
        floor: The metric of the best trivial model.
        ceiling: The metric of the real future.
        standard_error: Of the gap ``ceiling − floor``; None if unknown (see
            :func:`gap_standard_error`), which leaves the skill undefined.

    Returns:
        The skill, undefined where the gap is 0 or under 3 standard errors.

    Raises:
        ValueError: If a number is not finite, or the standard error is negative.
    """
    given = {"value": value, "floor": floor, "ceiling": ceiling}
    if standard_error is not None:
        given["standard_error"] = standard_error
    for name, number in given.items():
        if not math.isfinite(number):
            raise ValueError(f"{name} must be finite, got {number}")
    gap = ceiling - floor
    if gap == 0.0:
        return Skill(None, f"floor and ceiling are equal ({floor:g})")
    if standard_error is None:
        return Skill(None, "the standard error of ceiling − floor is unknown")
    if standard_error < 0.0:
        raise ValueError(f"standard_error must not be negative, got {standard_error}")
    if abs(gap) < MIN_GAP_ERRORS * standard_error:
        return Skill(
            None,
            f"ceiling − floor = {gap:.3g} is under {MIN_GAP_ERRORS:g} standard errors "
            f"({standard_error:.3g} each)",
        )
    return Skill((value - floor) / gap, None)


def gap_standard_error(floor: Interval, ceiling: Interval, *, level: float = 0.95) -> float | None:
    """Standard error of ``ceiling − floor`` from the widths of their intervals.

    Each half-width over its normal quantile is taken as a standard error, and the two are added in
    quadrature. Floor and ceiling measured on the same trials usually correlate positively, which
    makes this too large rather than too small. A constant by construction has low = high.

    Args:
        floor: Interval of the floor.
        ceiling: Interval of the ceiling.
        level: The level both intervals were formed at.

    Returns:
        The standard error; None if either interval has no ends.

    Raises:
        ValueError: If level is outside (0, 1).
    """
    z = normal_quantile(level)
    widths = []
    for interval in (floor, ceiling):
        if interval.low is None or interval.high is None:
            return None
        widths.append(interval.high - interval.low)
    return math.hypot(*widths) / (2.0 * z)
