"""Throughput of the two halves of a run on a CPU: the extractor's network, and decoding.

Run as a script: ``python tests/benchmarks/bench_extractor.py [repeats]``. Prints the best of the
repeats, taken in turn so that a busy machine slows all of them alike. Notable:

- channels_last against contiguous: the same network, the same frames, another memory format.
- decoding threads: with 0 the batch is decoded when it is due; the stand-in for the model sleeps as
  long as a batch takes to decode, so that what threads hide shows.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from worldbench.batches import clip_batches, to_pixels
from worldbench.conformance.clips import moving_clips
from worldbench.data.real import VideoData
from worldbench.data.video import encode
from worldbench.metrics import effnet

VIDEOS, FRAMES, SIDE, BATCH = 16, 16, 128, 4


def seconds(call: Callable[[], object]) -> float:
    """Returns the wall time of one call."""
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def network(repeats: int) -> None:
    """Prints frames per second for both memory formats."""
    frames = moving_clips(2, FRAMES, (224, 224)).flatten(0, 1)
    cases = {}
    for name, layout in (
        ("channels_last", torch.channels_last),
        ("contiguous", torch.contiguous_format),
    ):
        model = effnet.load().to(memory_format=layout)
        cases[name] = (model, frames.contiguous(memory_format=layout))
    best = dict.fromkeys(cases, float("inf"))
    with torch.inference_mode():
        for round in range(repeats + 1):
            for name, (model, given) in cases.items():
                taken = seconds(lambda model=model, given=given: model(given))
                if round:  # the first warms up
                    best[name] = min(best[name], taken)
    for name, value in best.items():
        share = best["contiguous"] / value
        print(f"network, {name:<16} {len(frames) / value:7.1f} frames/s   x{share:.2f}")


def decoding(repeats: int) -> None:
    """Prints clips per second with 0, 1 and 2 threads that decode ahead of a busy model."""
    with tempfile.TemporaryDirectory() as folder:
        for i, clip in enumerate(moving_clips(VIDEOS, FRAMES, (SIDE, SIDE))):
            encode(Path(folder, f"{i:02d}.mp4"), to_pixels(clip), 15)
        source = VideoData("generated", folder, frames=FRAMES, size=(SIDE, SIDE))
        ids = [clip.id for clip in source.clips()]
        groups = [ids[i : i + BATCH] for i in range(0, len(ids), BATCH)]
        busy = seconds(lambda: source.load(groups[0]))

        def run(workers: int) -> None:
            for _ in clip_batches(source, groups, device=torch.device("cpu"), num_workers=workers):
                time.sleep(busy)

        best = dict.fromkeys((0, 1, 2), float("inf"))
        for _ in range(repeats):
            for workers in best:
                best[workers] = min(best[workers], seconds(lambda workers=workers: run(workers)))
    for workers, value in best.items():
        share = best[0] / value
        print(f"decoding, {workers} threads       {len(ids) / value:7.1f} clips/s    x{share:.2f}")


def main(repeats: int = 5) -> None:
    """Prints both."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    network(repeats)
    decoding(repeats)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
