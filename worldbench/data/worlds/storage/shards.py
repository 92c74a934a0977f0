"""Rendered clips on disk: memory-mapped shards that are verified, resumed and repaired.

Shards hold the same bytes however many processes render them. Every finished one is on the list
beside it (with its digest) at once, so a killed build loses at most the shards under way.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from worldbench.data.worlds.pictures.render import render_rgb
from worldbench.data.worlds.simulation import start_worker, worker_pool
from worldbench.data.worlds.track import Track
from worldbench.record import file_digest, write_atomic

logger = logging.getLogger(__name__)

RENDERER = 1
"""Raised whenever the same track gives other pictures; part of the folder's name."""
CLIPS = 32
"""Clips per shard."""
SUPERSAMPLE = 2

_INDEX = "index.json"
_WORTH_PROCESSES = 2**22  # pixels; fewer are rendered before new processes have started


def render_shards(
    tracks: Sequence[Track],
    size: tuple[int, int],
    folder: Path,
    *,
    wanted: Iterable[int],
    workers: int,
    tell: Callable[[int, int], None],
) -> dict[int, np.ndarray]:
    """Renders what is missing or damaged in a folder of shards.

    Args:
        tracks: All clips in order, of one length.
        size: Height and width of the pictures.
        folder: Where shards and index are or come to lie; the caller holds its lock.
        wanted: Positions of the clips that are needed; other shards are left as they are.
        workers: Processes.
        tell: Called with (clips done, clips to do).

    Returns:
        Shards with wanted clips by number, memory-mapped read-only: ``UInt8[≤32, t, h, w, 3]``.

    Raises:
        EnvironmentFault: If the folder cannot be written, the disk is full or a process dies.
    """
    parts = {
        number: tracks[number * CLIPS : (number + 1) * CLIPS]
        for number in sorted({position // CLIPS for position in wanted})
    }
    paths = {number: folder / f"{number:05d}.npy" for number in parts}
    index = _read_index(folder)
    missing = [n for n, path in paths.items() if not _intact(path, index.get(path.name))]
    total = sum(map(len, parts.values()))
    done = total - sum(len(parts[number]) for number in missing)
    tell(done, total)
    for path, count, sha256 in _rendered([(paths[n], parts[n], size) for n in missing], workers):
        index[path.name] = sha256
        _write_index(folder, index)
        done += count
        tell(done, total)
    return {number: np.load(path, mmap_mode="r") for number, path in paths.items()}


def complete(folder: Path, clips: int) -> bool:
    """Says whether a folder lists every shard of so many clips; looks into none."""
    return folder.is_dir() and len(_read_index(folder)) == -(-clips // CLIPS)


def _intact(path: Path, sha256: str | None) -> bool:
    if sha256 is None:
        return False
    if path.is_file() and file_digest(path) == sha256:
        return True
    logger.warning("cached shard %s is missing or damaged: rendering it again", path)
    return False


_Job = tuple[Path, Sequence[Track], tuple[int, int]]


def _rendered(jobs: list[_Job], workers: int) -> Iterator[tuple[Path, int, str]]:
    """Yields path, clips and digest of each shard as it is finished."""
    pixels = sum(track.frames * size[0] * size[1] for _, tracks, size in jobs for track in tracks)
    if workers <= 1 or len(jobs) <= 1 or pixels < _WORTH_PROCESSES:
        with _one_thread():
            for job in jobs:
                yield _render(*job)
        return
    with worker_pool(
        min(workers, len(jobs)),
        _start_renderer,
        died="a process that renders died",
        kept="; finished shards are kept",
    ) as pool:
        running: list[Future[tuple[Path, int, str]]] = [pool.submit(_render, *job) for job in jobs]
        for finished in as_completed(running):
            yield finished.result()


def _start_renderer() -> None:
    start_worker()
    torch.set_num_threads(1)


def _render(path: Path, tracks: Sequence[Track], size: tuple[int, int]) -> tuple[Path, int, str]:
    """Renders one shard and writes it whole or not at all."""
    pixels = render_rgb(tracks, size=size, supersample=SUPERSAMPLE).numpy()
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=False)
    content = buffer.getvalue()
    write_atomic(path, content)
    return path, len(tracks), hashlib.sha256(content).hexdigest()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Where threads divide an array decides which last bits the vector units round."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _read_index(folder: Path) -> dict[str, str]:
    try:
        return {
            str(k): str(v) for k, v in json.loads((folder / _INDEX).read_text())["shards"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_index(folder: Path, shards: dict[str, str]) -> None:
    told = {
        "renderer": RENDERER,
        "torch": torch.__version__,
        "shards": dict(sorted(shards.items())),
    }
    write_atomic(folder / _INDEX, json.dumps(told, indent=0).encode())
