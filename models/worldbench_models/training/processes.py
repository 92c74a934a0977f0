"""One process or several: what torchrun started, and what only the first of them does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE = timedelta(hours=3)  # one process may find its clips kept while another renders them


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[int, int]]:
    """Joins the processes that torchrun started and yields (rank, processes)."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    kind = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(kind, timeout=_PATIENCE)
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


def shared(objective: nn.Module, processes: int) -> nn.Module:
    """Wraps a module so that gradients are averaged over the processes."""
    return objective if processes == 1 else DistributedDataParallel(objective)


def wait() -> None:
    """Waits until every process is here."""
    if distributed.is_initialized():
        distributed.barrier()


def here() -> int:
    """Returns how many of the processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
