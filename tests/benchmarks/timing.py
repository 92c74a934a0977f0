"""The clock of the benchmarks."""

import time
from collections.abc import Callable

import torch


def seconds(action: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """Shortest of several runs after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
