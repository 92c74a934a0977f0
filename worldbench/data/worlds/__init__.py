"""The procedural worlds: simulated, rendered clips whose truth is known exactly.

::

    spec = SceneSpec("occluder_pass", seed=7)   # what
    track = simulate(spec)                      # where everything is, at every frame
    clip = render(track)                        # rgb, depth, segmentation, normals, pixel counts
    quad = make_quad(spec, "presence")          # two matched clips that may be spliced

Names are imported when they are first used: physics needs no torch, pictures no MuJoCo.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worldbench.data.worlds.pictures import render, render_rgb
    from worldbench.data.worlds.quads import make_quad
    from worldbench.data.worlds.simulation import simulate
    from worldbench.data.worlds.spec import SceneSpec
    from worldbench.data.worlds.stream import training_clips
    from worldbench.data.worlds.track import Track

__all__ = [
    "SceneSpec",
    "Track",
    "make_quad",
    "render",
    "render_rgb",
    "simulate",
    "training_clips",
]

_HOMES = {
    "SceneSpec": "spec",
    "Track": "track",
    "make_quad": "quads",
    "render": "pictures",
    "render_rgb": "pictures",
    "simulate": "simulation",
    "training_clips": "stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
