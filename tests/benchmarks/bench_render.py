"""Measures the worlds' ray caster on one core: clips per second, stages, and what culling saves.

Run ``python tests/benchmarks/bench_render.py [DEVICE]``. Scenes are those of the tests: six solids
of all kinds and their shadows, 16 frames of 64 × 64, 2 × 2 sub-samples.
"""

import sys
from functools import partial
from pathlib import Path

import torch
from timing import seconds

from worldbench.data.worlds.pictures.admission import intrinsics
from worldbench.data.worlds.pictures.rays import Grid
from worldbench.data.worlds.pictures.render import render, render_rgb
from worldbench.data.worlds.pictures.shading import colours, visibility
from worldbench.data.worlds.pictures.tables import cut, tabulate
from worldbench.data.worlds.pictures.trace import trace

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "worlds"))
from random_tracks import random_track

FRAMES, SIZE, SUPERSAMPLE, CLIPS = 16, 64, 2, 8


def main() -> None:
    """Prints one line per measurement, per clip."""
    torch.set_num_threads(1)
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    clips, step = (CLIPS, 8) if device.type == "cpu" else (256, 4096)
    tracks = [random_track(seed, frames=FRAMES, size=SIZE) for seed in range(clips)]
    grid, frames = Grid(SIZE, SIZE, SUPERSAMPLE), clips * FRAMES
    matrices = [intrinsics(track, SIZE, SIZE) for track in tracks]
    tables = tabulate(tracks, matrices)

    def cuts(cull: bool) -> list:
        return [
            cut(tables, grid, start, start + step, cull=cull, device=device)
            for start in range(0, frames, step)
        ]

    def tell(name: str, spent: float, per: int = clips) -> None:
        print(f"{name:38s} {1000 * spent / per:8.2f} ms a clip {per / spent:10.1f} clips/s")

    # Without culling a batch on an accelerator would not fit: its ratio is measured on fewer.
    culled, full = cuts(True), cuts(False)[: 1 if device.type == "cpu" else 0]
    spent = seconds(lambda: render_rgb(tracks, device=device), device)
    tell("render_rgb, a batch", spent)
    tell(
        "render_rgb, a clip alone",
        seconds(lambda: render_rgb(tracks[:1], device=device), device),
        1,
    )
    tell(
        "render with truth, a clip alone",
        seconds(lambda: render(tracks[0], device=device), device),
        1,
    )
    tell("  stage: tables", seconds(lambda: tabulate(tracks, matrices), device))
    tell("  stage: candidates", seconds(lambda: cuts(True), device))
    tell("  stage: trace", seconds(lambda: [trace(part) for part in culled], device))
    hits = [trace(part) for part in culled]
    pairs = list(zip(culled, hits, strict=True))
    tell("  stage: shadows", seconds(lambda: [visibility(*pair) for pair in pairs], device))
    tell(
        "  stage: shadows and colours", seconds(lambda: [colours(*pair) for pair in pairs], device)
    )
    for part in full:
        few, every = (
            seconds(partial(lambda one: colours(one, trace(one)), one), device, 3)
            for one in (culled[0], part)
        )
        print(f"without culling, trace and colours take {every / few:.1f} times as long")


if __name__ == "__main__":
    main()
