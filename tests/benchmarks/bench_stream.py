"""Training clips per second: physics, renderer and both, and what bounds each.

    python tests/benchmarks/bench_stream.py [--clips 60000] [--device cuda] [--workers N]

Needs torch, numpy, mujoco, jaxtyping and pydantic alone. Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import cores, simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.stream import track_blocks, training_clips
from worldbench.data.worlds.track import Track

BATCH = 128


class Traffic(TorchDispatchMode):
    """Counts the bytes that every operation reads and writes; views move none."""

    def __init__(self) -> None:
        super().__init__()
        self.moved = self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        written = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        shared = {leaf.untyped_storage().data_ptr() for leaf in read}
        view = all(leaf.untyped_storage().data_ptr() in shared for leaf in written)
        if func._schema.is_mutable or not view:
            self.moved += sum(leaf.nbytes for leaf in [*read, *written])
            self.operations += 1
        return out


def timed(function: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Median seconds of a call, after one that warms up."""
    function()
    seconds = []
    for _ in range(repeats):
        finish(device)
        began = time.perf_counter()
        function()
        finish(device)
        seconds.append(time.perf_counter() - began)
    return sorted(seconds)[len(seconds) // 2]


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    size = 2**31 if device.type == "cuda" else 2**27
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / timed(lambda: target.copy_(source), device)


def gpu_busy(tracks: list[Track], device: torch.device) -> float | None:
    """Seconds that the device computes for one batch."""
    if device.type != "cuda":
        return None
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as told:
        render_rgb(tracks, device=device)
        finish(device)
    return sum(event.self_device_time_total for event in told.key_averages()) / 1e6


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=cores())
    given = parser.parse_args()
    device = torch.device(given.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, {given.workers} workers, torch {torch.__version__}\n")
    spec = SceneSpec("train_random", 0, split="train")

    tracks = [simulate(s) for s in family("train_random").specs(BATCH, 0, split="train")]
    seconds = timed(lambda: render_rgb(tracks, device=device), device)
    with Traffic() as traffic:
        render_rgb(tracks, device=device)
    bandwidth = copy_bandwidth(device)
    busy = gpu_busy(tracks, device)
    least = tracks[0].frames * 64 * 64 * 3
    count = min(given.clips, 1024 * given.workers)
    blocks = track_blocks(
        SceneSpec("train_random", 10**6, split="train"), count, workers=given.workers
    )
    next(blocks)
    began, made = time.perf_counter(), 0
    for block in blocks:
        made += len(block)
    physics = made / (time.perf_counter() - began)
    _, through = training_clips(spec, given.clips, device=device, workers=given.workers)

    print("| stage | clips/s | bound by |")
    print("| --- | --- | --- |")
    print(f"| physics, {given.workers} processes | {physics:.0f} | the cores |")
    print(f"| renderer, 2×2 samples, batches of {BATCH} | {BATCH / seconds:.0f} | see below |")
    total = given.clips / through.seconds
    bound = "physics" if through.waiting > 0.1 * through.seconds else "the renderer"
    print(f"| together, {given.clips} clips in {through.seconds:.0f} s | {total:.0f} | {bound} |")
    print(
        f"\nOf these {through.seconds:.1f} s, {through.first:.1f} s until the first tracks, "
        f"{through.waiting:.1f} s waiting for tracks, {through.rendering:.1f} s rendering."
    )
    moved = traffic.moved / BATCH
    print(
        f"\nRenderer: {traffic.operations} operations a batch move {moved / 1e6:.0f} MB a clip; at "
        f"the {bandwidth / 1e12:.2f} TB/s of a large copy that is {moved / bandwidth * 1e3:.3f} ms "
        f"of the measured {seconds / BATCH * 1e3:.3f} ms. Writing the clip alone would take "
        f"{least / bandwidth * 1e6:.2f} µs."
    )
    if busy is not None:
        print(f"The device computes for {busy / BATCH * 1e3:.3f} ms a clip; the rest is launches.")


if __name__ == "__main__":
    main()
