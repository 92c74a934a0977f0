"""What a paired test could have seen: the smallest difference it finds most of the time."""

import math


def minimal_detectable(
    se: float | None, clusters: int, *, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Minimal detectable difference of a clustered mean: ``(t_{1−α/2} + t_{power}) · se``.

    Quantiles are Student's with G − 1 degrees of freedom over G clusters (Bloom 1995, "Minimum
    detectable effects"). A true difference of this size is found significant, two-sided at α and
    without correction for other tests, in a share ``power`` of repetitions.

    Args:
        se: Clustered standard error of the difference; None where it could not be formed.
        clusters: Number of clusters it came from.
        alpha: Significance threshold.
        power: Share of repetitions in which the difference is to be found.

    Returns:
        The difference, positive, in the unit of ``se``; None where ``se`` is None or 0 (pairs that
        all differ alike say nothing about the spread) or there is one cluster.

    Raises:
        ValueError: If se is negative or not finite, clusters < 1, or alpha or power are outside
            (0, 1).
    """
    for name, share in (("alpha", alpha), ("power", power)):
        if not 0.0 < share < 1.0:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {share}")
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}")
    if se is None:
        return None
    if not (math.isfinite(se) and se >= 0.0):
        raise ValueError(f"se must be finite and not negative, got {se}")
    if se == 0.0 or clusters == 1:
        return None
    from scipy.special import stdtrit  # only here: pair scores are wanted where there is no SciPy

    free = float(clusters - 1)
    return float((stdtrit(free, 1.0 - alpha / 2.0) + stdtrit(free, power)) * se)
