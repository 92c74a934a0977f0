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


def ceiling(device: torch.device, kind: torch.dtype) -> float:
    """FLOP/s of a large matrix product of random values."""
    n = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(n, n, device=device, dtype=kind) for _ in range(2))
    return 2 * n**3 / seconds(lambda: a @ b, device, repeats=7)


def memory(device: torch.device) -> str:
    """Says the most memory that tensors have taken on a GPU, what was there before included."""
    if device.type != "cuda":
        return ""
    return f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
