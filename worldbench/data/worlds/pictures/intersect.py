"""Where rays enter and leave the convex primitives, and where they meet the room.

Vectors are triples of tensors (structure of arrays); all shapes broadcast. Only operations that
IEEE 754 rounds exactly are used, one by one, so that a ray's result depends neither on its place
in the batch nor on the device. Masks are arithmetic: on a CPU, `where` costs ten products.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Triple = tuple[Tensor, Tensor, Tensor]
Interval = tuple[Tensor, Tensor]

FAR = 1e9
"""Depths from here on are misses."""

_HUGE = 1e30


def root(x: Tensor) -> Tensor:
    """Square root, rounded exactly.

    A CPU's float32 root comes from a vector library that is off by one bit for 1 to 17 % of values,
    other ones on other processors. No root of a float32 lies within a float64's error of the middle
    between two float32, so that the detour rounds right.
    """
    return x.double().sqrt_().to(x.dtype)


def _dot(a: Triple, b: Triple) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _ball(origin: Triple, direction: Triple, radius: Tensor) -> Interval:
    # The foot of the perpendicular keeps the digits that b² − 4ac would cancel (Haines et al.,
    # Ray Tracing Gems, ch. 7).
    square = _dot(direction, direction)
    middle = -_dot(origin, direction) / square
    x, y, z = (o + middle * d for o, d in zip(origin, direction, strict=True))
    slack = radius * radius - (x * x + y * y + z * z)
    half = root(slack.clamp(min=0) / square)
    return middle - half + (-slack).clamp_(min=0).mul_(_HUGE), middle + half


def _tube(origin: Triple, direction: Triple, radius: Tensor) -> Interval:
    (ox, oy, _), (dx, dy, _) = origin, direction
    square = dx * dx + dy * dy
    across = ox * dy - oy * dx
    slack = radius * radius * square - across * across
    half = root(slack.clamp(min=0))
    middle = -(ox * dx + oy * dy)
    return (middle - half) / square + (-slack).clamp_(min=0).mul_(_HUGE), (middle + half) / square


def _slab(origin: Tensor, direction: Tensor, half: Tensor) -> Interval:
    inverse = 1 / direction
    middle = origin * inverse
    reach = half * inverse.abs()
    return -middle - reach, reach - middle


def sphere(origin: Triple, direction: Triple, size: Triple) -> Interval:
    """Depths at which rays enter and leave a sphere; entering after leaving means a miss.

    Args:
        origin: Of the rays, in the geom's frame.
        direction: Of the rays, in the geom's frame, of any length but zero.
        size: As in ``scene.Geom``.

    Returns:
        Entry and exit, negative behind the origin.
    """
    return _ball(origin, direction, size[0])


def box(origin: Triple, direction: Triple, size: Triple) -> Interval:
    """Depths at which rays enter and leave a box; see :func:`sphere`.

    No component of the direction may be zero.
    """
    x, y, z = (_slab(*axis) for axis in zip(origin, direction, size, strict=True))
    enter = torch.maximum(torch.maximum(x[0], y[0]), z[0])
    return enter, torch.minimum(torch.minimum(x[1], y[1]), z[1])


def cylinder(origin: Triple, direction: Triple, size: Triple) -> Interval:
    """Depths at which rays enter and leave a capped cylinder; see :func:`box`."""
    tube, caps = _tube(origin, direction, size[0]), _slab(origin[2], direction[2], size[1])
    return torch.maximum(tube[0], caps[0]), torch.minimum(tube[1], caps[1])


def capsule(origin: Triple, direction: Triple, size: Triple) -> Interval:
    """Depth at which rays enter a capsule, and any later one inside it; see :func:`box`.

    A ray enters a capsule where it enters the ball about the axis point at the height at which it
    enters the endless tube, that height limited to the axis.
    """
    (ox, oy, oz), (_, _, dz) = origin, direction
    square = direction[0] * direction[0] + direction[1] * direction[1]
    across = ox * direction[1] - oy * direction[0]
    half = root((size[0] * size[0] * square - across * across).clamp_(min=0))
    enter = -(ox * direction[0] + oy * direction[1] + half) / square
    height = torch.maximum(torch.minimum(oz + enter * dz, size[1]), -size[1])
    return _ball((ox, oy, oz - height), direction, size[0])


PRIMITIVES: tuple[Callable[[Triple, Triple, Triple], Interval], ...] = (
    sphere,
    box,
    cylinder,
    capsule,
)
"""By the integer code of the kind."""


def first_hit(interval: Interval) -> Tensor:
    """Depth of the entry where it lies ahead; at least :data:`FAR` where the ray misses."""
    enter, leave = interval
    missed = (enter - leave).clamp_(min=0) + (-enter).clamp_(min=0)
    return enter.abs() + missed.mul_(_HUGE)


def blocks(interval: Interval) -> Tensor:
    """Tells where the convex solid lies ahead of a point outside it."""
    enter, leave = interval
    return leave.gt(enter.clamp(min=1e-4))


def room_hit(low: Triple, high: Triple, direction: Triple) -> tuple[Tensor, Tensor]:
    """Depth and side at which rays from inside leave an axis-aligned box.

    Args:
        low: Smallest corner minus the rays' origin.
        high: Largest corner minus the rays' origin.
        direction: Of the rays.

    Returns:
        Depth; and the side as float32: 0 to 5 for −x, +x, −y, +y, −z, +z.
    """
    ways = [(a / d, b / d) for a, b, d in zip(low, high, direction, strict=True)]
    x, y, z = (torch.maximum(a, b) for a, b in ways)
    depth = torch.minimum(torch.minimum(x, y), z)
    side = ways[2][1].gt(0).to(depth.dtype).add_(4)
    for axis, reach in ((1, y), (0, x)):
        here = reach.le(depth).to(depth.dtype)
        other = ways[axis][1].gt(0).to(depth.dtype).add_(2 * axis)
        side = side + here * (other - side)
    return depth, side
