"""A group of bodies as a MuJoCo model (MJCF text).

Notable:

- Impacts by a velocity law. MuJoCo turns a contact's relative velocity v and distance r into the
  acceleration −b·v − k·r (direct ``solref``). With b = (1 + e)/h the step h that finds a contact
  leaves with −e·v: Newton's law of restitution, exact for every speed and phase, in one step. The
  usual spring needs ten steps and then depends on both. Forces never pull, so that a pair on its
  way out is let go.
- k only lifts what sank in during that step (at most v·h) and what gravity presses in. It fades
  with e, since it adds up to ``LIFT``·(1 − e)·v to the speed after an impact.
- Friction has its own b = 1/h: a contact sticks within one step unless the cone, which must be
  elliptic for that, lets it slip; :mod:`worldbench.data.worlds.physics.coulomb` does the rest.
- Boxes among themselves and on the room's sides have no friction against spinning and rolling
  (``condim`` 3 in place of 6): their many contact points give it, and where boxes lie a step
  takes a third less time.
- Nothing touches but the pairs listed, so that a body's contact law is that of the pair.
"""

from collections.abc import Iterable, Sequence
from itertools import combinations, product

import numpy as np

from worldbench.data.worlds.physics import quaternion
from worldbench.data.worlds.scene import Body, Scene

SIDES = ("1 0 0", "-1 0 0", "0 1 0", "0 -1 0", "0 0 1", "0 0 -1")
"""Inward normals of the room's sides in their order."""

ROOM_GEOMS = 2 * len(SIDES)
"""The model's first geoms: a plane for each side, then a block behind it for cylinders. A cylinder
that stands upright on a plane up to rounding loses contact from step to step and sinks."""

THICK, BROAD = 1.0, 50.0
"""Half extents of the blocks across and along their side, metres."""

TORSION, ROLL = 2e-3, 2e-4
"""Friction against spinning on the spot and against rolling, in metres, at a Coulomb friction of 1;
a ball of radius .2 m rolls on with a loss of .01 m/s²."""

LIFT = 0.02
"""Share of the penetration that a contact with e = 0 makes up for in one step."""

IMPEDANCE = 0.999
"""How nearly the contact law is obeyed against all other forces; MuJoCo allows at most .9999."""

NUMBERS = {"sphere": 1, "box": 3, "cylinder": 2, "capsule": 2}


def group_xml(scene: Scene, members: Sequence[int], timestep: float) -> str:
    """Writes the model of some of a scene's bodies and the room.

    Args:
        scene: The scene.
        members: Indices of the bodies, ascending. MuJoCo numbers them from 1 in this order, their
            joints and geoms likewise, the geoms after :data:`ROOM_GEOMS` of the room.
        timestep: Seconds per step.

    Returns:
        MJCF text.
    """
    bodies = [(index, scene.bodies[index]) for index in members]
    return (
        f'<mujoco><option timestep="{timestep!r}" integrator="Euler" cone="elliptic"'
        f' gravity="{_text(scene.gravity)}">'
        '<flag island="disable" autoreset="disable"/></option>'
        '<default><geom contype="0" conaffinity="0"/></default>'
        f"<worldbody>{''.join(_planes(scene))}{''.join(_blocks(scene))}"
        f"{''.join(_body(*one) for one in bodies)}</worldbody>"
        f"<contact>{''.join(_pairs(bodies, timestep))}</contact></mujoco>"
    )


def _text(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _planes(scene: Scene) -> Iterable[str]:
    for side, normal in enumerate(SIDES):
        corner = scene.room.high if side % 2 else scene.room.low
        yield (
            f'<geom name="room{side}" type="plane" size="0 0 1"'
            f' pos="{_text(corner)}" zaxis="{normal}"/>'
        )


def _blocks(scene: Scene) -> Iterable[str]:
    low, high = np.asarray(scene.room.low), np.asarray(scene.room.high)
    for side in range(len(SIDES)):
        axis, outward = side // 2, 1 if side % 2 else -1
        centre, size = (low + high) / 2, np.full(3, BROAD)
        centre[axis] = (high if side % 2 else low)[axis] + outward * THICK
        size[axis] = THICK
        yield f'<geom name="block{side}" type="box" size="{_text(size)}" pos="{_text(centre)}"/>'


def _body(index: int, body: Body) -> str:
    joint = {
        "fixed": "",
        "free": "<freejoint/>",
        "hinge": f'<joint type="hinge" axis="{_text(hinge_axis(body))}"/>',
    }[body.joint]
    geoms = "".join(
        f'<geom name="{_name(index, part)}" type="{geom.kind}" density="{float(body.density)!r}"'
        f' size="{_text(geom.size[: NUMBERS[geom.kind]])}"'
        f' pos="{_text(geom.pos)}" quat="{_text(geom.quat)}"/>'
        for part, geom in enumerate(body.geoms)
    )
    return f'<body pos="{_text(body.pos)}" quat="{_text(body.quat)}">{joint}{geoms}</body>'


def hinge_axis(body: Body) -> np.ndarray:
    """Returns the axis of a hinge in the body's own frame."""
    return quaternion.rotate(quaternion.conjugate(quaternion.unit(body.quat)), body.axis)


def _name(index: int, part: int) -> str:
    return f"{index}.{part}"


def _pairs(bodies: Sequence[tuple[int, Body]], timestep: float) -> Iterable[str]:
    planes = [(f"room{side}", "plane") for side in range(len(SIDES))]
    blocks = [(f"block{side}", "box") for side in range(len(SIDES))]
    for (i, one), (j, other) in combinations(bodies, 2):
        if one.joint != "fixed" or other.joint != "fixed":
            restitution = min(one.restitution, other.restitution)
            friction = min(one.friction, other.friction)
            yield from _laws(_named(i, one), _named(j, other), restitution, friction, timestep)
    for i, one in bodies:
        if one.joint != "fixed":
            restitution, friction = min(one.restitution, 1.0), min(one.friction, 1.0)
            for named in _named(i, one):
                room = blocks if named[1] == "cylinder" else planes
                yield from _laws([named], room, restitution, friction, timestep)


def _named(index: int, body: Body) -> list[tuple[str, str]]:
    return [(_name(index, part), geom.kind) for part, geom in enumerate(body.geoms)]


def _laws(
    some: list[tuple[str, str]],
    others: list[tuple[str, str]],
    restitution: float,
    friction: float,
    timestep: float,
) -> Iterable[str]:
    stiffness = LIFT * (1 - restitution) / timestep**2
    law = (
        f'solref="{_text((-stiffness, -(1 + restitution) / timestep))}"'
        f' solimp="{IMPEDANCE} {IMPEDANCE} 0.001"'
    )
    if friction > 0:
        cone = (friction, friction, friction * TORSION, friction * ROLL, friction * ROLL)
        law += f' friction="{_text(cone)}" solreffriction="{_text((0.0, -1 / timestep))}"'
    for (one, kind), (other, kind_of_other) in product(some, others):
        flat = {kind, kind_of_other} <= {"box", "plane"}
        condim = 1 if friction <= 0 else 3 if flat else 6
        yield f'<pair geom1="{one}" geom2="{other}" condim="{condim}" {law}/>'
