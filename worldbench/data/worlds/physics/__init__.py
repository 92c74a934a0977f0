"""MuJoCo physics without its renderer: a staged scene runs, and its track is what was where."""

from worldbench.data.worlds.physics.stepping import OverlapError, PhysicsError
from worldbench.data.worlds.physics.tracks import simulate_scene

__all__ = ["OverlapError", "PhysicsError", "simulate_scene"]
