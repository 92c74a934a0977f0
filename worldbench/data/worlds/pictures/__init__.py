"""The ray caster: tracks become pictures and their truth, the same on CPU and CUDA."""

from worldbench.data.worlds.pictures.render import Rendered, render, render_rgb

__all__ = ["Rendered", "render", "render_rgb"]
