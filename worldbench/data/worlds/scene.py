"""A staged scene: what stands where before physics runs.

Metres, seconds, kilograms, radians; z is up. Quaternions are (w, x, y, z). Colours are linear RGB
in [0, 1]. Vectors are float64 NumPy arrays, so that this package's physics needs no torch.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

KINDS = ("sphere", "box", "cylinder", "capsule")
"""Index = the integer code in :class:`worldbench.data.worlds.track.Track`."""

JOINTS = ("fixed", "free", "hinge")

Vector = Float64[np.ndarray, "3"]
Quaternion = Float64[np.ndarray, "4"]


def vec(*values: float | int) -> np.ndarray:
    """Makes a float64 vector."""
    return np.array(values, dtype=np.float64)


UPRIGHT = vec(1, 0, 0, 0)
"""The quaternion of no rotation."""


@dataclass(frozen=True)
class Material:
    """A matt surface of two colours, mixed by smooth noise.

    Attributes:
        albedo: The main colour.
        second: The colour mixed in where the noise is high.
        contrast: Largest share of ``second``, in [0, 1]; 0 is plain.
        frequency: Noise cycles per metre.
        stretch: Factors on the frequency along the geom's own axes; unequal ones give bands.
        offset: Where in the noise the geom lies: the texture's seed.
    """

    albedo: Vector
    second: Vector
    contrast: float
    frequency: float
    stretch: Vector = field(default_factory=lambda: vec(1, 1, 1))
    offset: Vector = field(default_factory=lambda: vec(0, 0, 0))


@dataclass(frozen=True)
class Geom:
    """One primitive of a body.

    Attributes:
        kind: One of :data:`KINDS`.
        size: As MuJoCo has it: sphere (radius, ·, ·); box half extents; cylinder and capsule
            (radius, half length along z, ·), a capsule's half length without its caps.
        material: Its surface.
        pos: Its centre in the body.
        quat: Its rotation in the body.
    """

    kind: str
    size: Vector
    material: Material
    pos: Vector = field(default_factory=lambda: vec(0, 0, 0))
    quat: Quaternion = field(default_factory=lambda: UPRIGHT.copy())


@dataclass(frozen=True)
class Drive:
    """An acceleration that acts on a free body's centre of mass for a while.

    Attributes:
        start: Second from which it acts.
        stop: Second until which it acts.
        acceleration: m/s², in the world.
        turn: rad/s about +z at which the acceleration's direction turns from ``start`` on; with
            the speed v and |acceleration| = v·|turn| the body goes round in a circle.
    """

    start: float | int
    stop: float | int
    acceleration: Vector
    turn: float | int = 0


@dataclass(frozen=True)
class Body:
    """A rigid body.

    Attributes:
        role: What it is in the scene: ``target``, ``occluder``, ``distractor``, ``prop`` …
        geoms: Its primitives.
        pos: Its origin (for a hinge: the pivot).
        quat: Its rotation.
        joint: ``fixed``, ``free`` or ``hinge``.
        axis: A hinge's axis in the world.
        velocity: Of a free body's origin, m/s.
        spin: Angular velocity in the world, rad/s; of a hinge, the part along its axis.
        density: kg/m³.
        restitution: Speed after over speed before an impact, 0 to 1; of two bodies the smaller
            counts, and the room has 1.
        friction: Coulomb coefficient; of two bodies the smaller counts, and the room has 1.
        drives: Accelerations that act on it.
        group: Bodies of different groups never touch: each group's physics is run alone (with all
            fixed bodies of group 0), so that what one does cannot move another by a last bit.
    """

    role: str
    geoms: tuple[Geom, ...]
    pos: Vector
    quat: Quaternion = field(default_factory=lambda: UPRIGHT.copy())
    joint: str = "fixed"
    axis: Vector = field(default_factory=lambda: vec(0, 1, 0))
    velocity: Vector = field(default_factory=lambda: vec(0, 0, 0))
    spin: Vector = field(default_factory=lambda: vec(0, 0, 0))
    density: float | int = 500.0
    restitution: float | int = 0.2
    friction: float | int = 0.6
    drives: tuple[Drive, ...] = ()
    group: int = 0


@dataclass(frozen=True)
class Room:
    """An axis-aligned room that holds camera and bodies, so that every ray ends on a wall.

    Attributes:
        low: Smallest corner; its z is the floor.
        high: Largest corner.
        materials: Of the sides −x, +x, −y, +y, −z (floor), +z (ceiling).
    """

    low: Vector
    high: Vector
    materials: tuple[Material, ...]


@dataclass(frozen=True)
class Light:
    """One distant light that casts hard shadows, and ambient light; walls cast none.

    Attributes:
        towards: Unit vector from the scene to the light.
        ambient: Share of light that comes from everywhere, in [0, 1].
    """

    towards: Vector
    ambient: float


@dataclass(frozen=True)
class Scene:
    """Everything that physics and pictures need.

    Attributes:
        room: The room.
        light: The light.
        bodies: In a fixed order; their geoms in order are the track's slots.
        camera: Camera-to-world matrices, one per frame: x right, y down, z forward (OpenCV).
        fov: Vertical field of view, radians.
        gravity: m/s².
        factors: Level of every factor, given or drawn.
        label: What happens in the scene, for families that have labels.
    """

    room: Room
    light: Light
    bodies: tuple[Body, ...]
    camera: Float64[np.ndarray, "t 4 4"]
    fov: float
    gravity: Vector = field(default_factory=lambda: vec(0, 0, -9.81))
    factors: dict[str, str | int | float | bool] = field(default_factory=dict)
    label: str = ""
