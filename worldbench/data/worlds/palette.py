"""Colours and textures of the worlds, and which of them are kept out of distribution."""

import numpy as np

from worldbench.data.worlds.scene import Material, Vector, vec

_SRGB = {
    "red": (205, 45, 40),
    "orange": (235, 135, 30),
    "yellow": (240, 210, 60),
    "green": (60, 160, 65),
    "cyan": (60, 185, 195),
    "blue": (45, 85, 195),
    "purple": (130, 65, 170),
    "white": (235, 235, 230),
    "pink": (240, 140, 175),
    "lime": (165, 215, 50),
    "brown": (120, 75, 45),
    "black": (35, 35, 40),
}
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
"""Object colours of every split but ``test_ood``."""

OOD_COLOURS = ("pink", "lime", "brown", "black")
"""Object colours of ``test_ood`` alone."""

SHAPES = ("sphere", "box", "cylinder", "capsule")

_WALLS = ((196, 188, 174), (170, 182, 192), (186, 174, 186), (178, 190, 172), (200, 180, 168))
_FLOORS = ((150, 130, 110), (120, 125, 130), (140, 145, 120), (130, 115, 125))
_SLABS = ((140, 125, 115), (115, 128, 142), (150, 138, 105), (122, 136, 115))


def rgb(colour: str) -> Vector:
    """Returns a named colour in linear light."""
    return _linear(_SRGB[colour])


def _linear(srgb: tuple[int, int, int]) -> Vector:
    # Pictures are encoded with gamma 2, so that is what a named colour must be decoded with.
    return vec(*((level / 255) ** 2 for level in srgb))


def object_material(colour: str, rng: np.random.Generator, *, ood: bool = False) -> Material:
    """Draws a textured surface of a named colour.

    Args:
        colour: A name of :data:`COLOURS` or :data:`OOD_COLOURS`.
        rng: Draws the texture.
        ood: Whether to draw a finer, banded texture, as no split but ``test_ood`` has.
    """
    main = rgb(colour)
    # A dark body is mottled lighter, a light one darker: the pattern must show on either.
    second = main * 0.25 if main.mean() > 0.15 else 0.6 * main + 0.35
    frequency = float(rng.uniform(4.4, 5.4) if ood else rng.uniform(2.2, 3.6))
    stretch = vec(*rng.permutation([1.5, 0.4, 0.4])) if ood else vec(1, 1, 1)
    return Material(
        main, second, float(rng.uniform(0.6, 0.9)), frequency, stretch, rng.uniform(-400, 400, 3)
    )


def room_materials(rng: np.random.Generator, *, ood: bool = False) -> tuple[Material, ...]:
    """Draws the six sides of a room: walls that differ a little, a floor, a plain ceiling."""
    wall = _linear(_WALLS[int(rng.integers(len(_WALLS)))])
    floor = _linear(_FLOORS[int(rng.integers(len(_FLOORS)))])
    sides = [wall * tint for tint in (0.72, 0.78, 1.0, 0.85)] + [floor, wall]
    frequency = float(rng.uniform(1.6, 2.2) if ood else rng.uniform(0.7, 1.3))
    return tuple(
        Material(
            main,
            main * 0.55,
            0.25 if index == 5 else float(rng.uniform(0.5, 0.8)),
            frequency,
            offset=rng.uniform(-400, 400, 3),
        )
        for index, main in enumerate(sides)
    )


def slab_material(rng: np.random.Generator, *, ood: bool = False) -> Material:
    """Draws the surface of an occluder, ramp or other furniture: muted, unlike any object."""
    main = _linear(_SLABS[int(rng.integers(len(_SLABS)))])
    frequency = float(rng.uniform(2.6, 3.4) if ood else rng.uniform(1.0, 1.8))
    offset = rng.uniform(-400, 400, 3)
    return Material(main, main * 0.45, float(rng.uniform(0.5, 0.8)), frequency, offset=offset)
