"""Families of scenes: what can happen, which factors vary, how a spec becomes a staged scene."""

from worldbench.data.worlds.families import contact, events, falling, occlusion, rigid, views
from worldbench.data.worlds.families.family import Draw, Factor, Family
from worldbench.data.worlds.families.mixture import mixture
from worldbench.data.worlds.scene import Scene
from worldbench.data.worlds.spec import SceneSpec
from worldbench.errors import unknown_name

__all__ = ["FAMILIES", "Draw", "Factor", "Family", "family", "stage"]

_SINGLE = {
    named.name: named
    for module in (occlusion, falling, contact, views, rigid, events)
    for named in module.FAMILIES
}

FAMILIES: dict[str, Family] = {"train_random": mixture(_SINGLE), **_SINGLE}
"""Every family by name."""


def family(name: str) -> Family:
    """Returns a family by name.

    Raises:
        UsageError: If there is none, with the alternatives.
    """
    if name not in FAMILIES:
        raise unknown_name("family", name, FAMILIES, fix="worldbench data list")
    return FAMILIES[name]


def stage(spec: SceneSpec) -> Scene:
    """Sets a spec's scene up: bodies, room, light and camera before anything moves.

    Raises:
        UsageError: If the family, a factor or a level does not exist.
    """
    chosen = family(spec.family)
    return chosen.stage(chosen.draw(spec))
