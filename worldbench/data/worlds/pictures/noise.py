"""A smooth random field: the pattern of every surface.

Spectral synthesis: a sum of plane waves whose vectors lie between one over and times the square
root of two cycles per unit, in directions spread evenly over the half sphere. Their ratios are
irrational, so the field never repeats; nothing in it is finer than the shortest wave, so it never
aliases as a checkerboard does.
"""

import math

import torch
from torch import Tensor

from worldbench.data.worlds.pictures.intersect import Triple

WAVES = 8


def _waves() -> tuple[tuple[float, float, float, float], ...]:
    """Wave vectors and phases, in cycles: spherical Fibonacci points (Swinbank & Purser 2006).

    Lengths step through an octave in an order (times 3 modulo 8) that heights don't follow.
    """
    golden = (math.sqrt(5) - 1) / 2
    rows = []
    for k in range(WAVES):
        height = (k + 0.5) / WAVES
        length = 2 ** ((3 * k % WAVES + 0.5) / WAVES - 0.5)
        ring, turn = math.sqrt(1 - height * height), 2 * math.pi * golden * k
        direction = (ring * math.cos(turn), ring * math.sin(turn), height)
        x, y, z = (length * part for part in direction)
        rows.append((x, y, z, (k + 0.5) * math.sqrt(2) % 1))
    return tuple(rows)


_WAVES = _waves()


def noise(point: Triple) -> Tensor:
    """Value of the field, of mean 0 and standard deviation ⅔, almost always within [−2, 2].

    A wave is 1 − 32 a² (¾ − a) of its phase's distance a to the nearest integer: it follows the
    cosine to 0.02, its strongest overtone is at −38 dB, and unlike a library's cosine it rounds
    alike on every device.

    Args:
        point: Coordinates in cycles of the unit wave.
    """
    x, y, z = point
    total = torch.zeros_like(x)
    for kx, ky, kz, phase in _WAVES:
        a = x * kx
        a.add_(y * ky).add_(z * kz).add_(phase)
        a.sub_(a.round()).abs_()
        total.add_((a * a).mul_(a.sub_(0.75)))
    return total.mul_(32 / 3).add_(WAVES / 3)


def blend(point: Triple) -> Tensor:
    """Share of the second colour, in [0, 1]: the smoothstep of :func:`noise` over [−1, 1]."""
    share = noise(point).mul_(0.5).add_(0.5).clamp_(0, 1)
    return share * share * (3 - 2 * share)
