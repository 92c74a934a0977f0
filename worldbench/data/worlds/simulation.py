"""From specs to tracks, one by one or many in parallel."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TypeVar

from worldbench.data.worlds.families import family, stage
from worldbench.data.worlds.physics.tracks import simulate_scene
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track
from worldbench.errors import EnvironmentFault, UsageError

Job = TypeVar("Job")
Done = TypeVar("Done")

_AHEAD = 3  # blocks per process that wait to be taken
_WORTH_PROCESSES = 64  # fewer jobs are done before new processes have imported their modules


def simulate(spec: SceneSpec) -> Track:
    """Simulates one clip.

    Args:
        spec: What to simulate; equal specs give equal tracks.

    Returns:
        Every pose at every frame.

    Raises:
        UsageError: If the family, a factor or a level does not exist.
        DataError: If the physics diverged.
    """
    return simulate_scene(stage(spec), spec)


def cores() -> int:
    """Returns how many processes can run at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(
    function: Callable[[Job], Done], jobs: Sequence[Job], workers: int | None = None
) -> Iterator[Done]:
    """Yields ``function(job)`` for every job, in the order of the jobs whatever the workers.

    Args:
        function: A function at the top of a module.
        jobs: Its arguments; few are done in this process.
        workers: Processes; as many as there are cores if None.

    Raises:
        EnvironmentFault: If a process dies, as it does when memory runs out.
    """
    refuse_unguarded()
    count = cores() if workers is None else workers
    if count <= 1 or len(jobs) < _WORTH_PROCESSES:
        yield from map(function, jobs)
        return
    with worker_pool(count) as pool:
        yield from pool.map(function, jobs, chunksize=4)


@dataclass(frozen=True)
class Block:
    """Specs that one process draws and simulates by itself.

    Attributes:
        first: The first spec; the others count on from its seed, their factors balanced.
        count: How many.
    """

    first: SceneSpec
    count: int


def _simulate_block(block: Block) -> list[Track]:
    first = block.first
    specs = family(first.family).specs(
        block.count,
        first.seed,
        split=first.split,
        frames=first.frames,
        fps=first.fps,
        size=first.size,
        factors=first.factors,
    )
    return [simulate(spec) for spec in specs]


def blocks_in_parallel(
    blocks: Sequence[Block], workers: int | None = None
) -> Iterator[list[Track]]:
    """Yields every block's tracks in order, a few blocks ahead of whoever takes them.

    Args:
        blocks: What to simulate.
        workers: Processes; as many as there are cores if None, this one if 0 or 1.

    Raises:
        EnvironmentFault: If a process dies.
    """
    refuse_unguarded()
    count = cores() if workers is None else workers
    if count <= 1:
        yield from map(_simulate_block, blocks)
        return
    with worker_pool(count) as pool:
        # Not pool.map: it would hold every track of the run at once.
        pending: deque[Future[list[Track]]] = deque()
        for block in blocks:
            pending.append(pool.submit(_simulate_block, block))
            if len(pending) > _AHEAD * count:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def refuse_unguarded() -> None:
    """Refuses to start processes from a script that a process being started is just importing.

    Raises:
        UsageError: If it is; whoever waits for that process, or for a lock of its parent's, would
            wait for ever.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(
            "this script starts processes while it is imported by one of them",
            accepted="a script that does its work below the guard",
            fix="put the call below `if __name__ == '__main__':`",
        )


def start_worker() -> None:
    """Prepares a worker process: it ends with its parent, and computes on one thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A parent that is killed closes no queue, and its workers would wait for work for ever.
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()
    # Workers that share cores would wait for each other's threads.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


@contextmanager
def worker_pool(
    count: int,
    start: Callable[[], None] = start_worker,
    *,
    died: str = "a worker process died",
    kept: str = "",
) -> Iterator[ProcessPoolExecutor]:
    """Opens a pool of new processes and closes it, whatever happens.

    Args:
        count: How many.
        start: Prepares each of them.
        died: What to say when one dies.
        kept: What to add about work that is not lost.

    Raises:
        EnvironmentFault: If a process dies.
    """
    # Not forked: a fork inherits locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(count, mp_context=context, initializer=start) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(cancel_futures=True)  # who stops early waits for no more blocks
    except BrokenProcessPool as error:
        raise EnvironmentFault(
            died,
            seen=f"{count} workers",
            accepted="enough memory for all of them, about 1 GB each",
            fix=f"run it again with fewer: --workers 1{kept}. In a script of your own, call from "
            "below `if __name__ == '__main__':`",
        ) from error


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
