"""Frozen features on disk: memory-mapped, keyed by what they were computed from, shared by sweeps.

A set of features is a folder of the cache, in chunks of clips: a chunk is made under a lock, so
that of several processes one computes it and the others read it, and a killed extraction goes on at
the next chunk. Each chunk's digest is checked when it is first read. Nothing is ever evicted but by
``worldbench data features --evict``.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from worldbench.cache import cache_folder, cache_lock
from worldbench.errors import EnvironmentFault
from worldbench.record import write_atomic
from worldbench.schema import digest

logger = logging.getLogger(__name__)

KIND = "features-of-probes"
"""Folder of the cache."""

_SPARE = 1 << 28  # bytes that must stay free on the disk
_ABOUT = "about.json"


@dataclass(frozen=True)
class FeatureSet:
    """One set of features.

    Attributes:
        key: Everything they depend on, JSON-serialisable.
        about: What ``worldbench data features`` shows of it.
        kept: Whether chunks are kept on disk; else they stay in memory.
    """

    key: Mapping[str, object]
    about: Mapping[str, object]
    kept: bool = True
    _memory: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where its chunks are."""
        return cache_folder(KIND, digest(dict(self.key))[:32])

    def announce(self, clips: int, values: int, width: int) -> None:
        """Tells how much is about to be written, and refuses what does not fit.

        Args:
            clips: How many.
            values: Of each.
            width: Bytes of a value.

        Raises:
            EnvironmentFault: If the disk has no room.
        """
        size = clips * values * width
        if not self.kept:
            logger.info("%s: %s in memory", self._called(), told_size(size))
            return
        folder = self.folder
        size = max(0, size - sum(file.stat().st_size for file in folder.glob("*.safetensors")))
        if size == 0:
            return
        logger.info("%s: %s in %s", self._called(), told_size(size), folder)
        free = shutil.disk_usage(folder).free
        if free < size + _SPARE:
            raise EnvironmentFault(
                f"no room for the {self._called()}",
                seen=f"{told_size(free)} free in {folder}",
                accepted=f"{told_size(size)}, and {told_size(_SPARE)} to spare",
                fix="export WORLDBENCH_CACHE=/another/disk, suite.cache=false to keep them in "
                "memory, or worldbench data features --evict all",
            )
        write_atomic(folder / _ABOUT, json.dumps(dict(self.about)).encode())

    def chunk(self, number: int, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Returns a chunk, computing it where nobody has; from disk it is memory-mapped.

        Args:
            number: Which.
            compute: Makes its tensors; called under a lock.

        Raises:
            EnvironmentFault: If the cache cannot be written.
        """
        if number in self._memory:
            return self._memory[number]
        if not self.kept:
            self._memory[number] = compute()
            return self._memory[number]
        path = self.folder / f"{number:06d}.safetensors"
        with cache_lock(path):
            found = _read(path)
            if found is None:
                write_atomic(path, _packed(compute()))
                found = _read(path)
        if found is None:
            raise EnvironmentFault(
                f"what was written to {path} does not read back",
                accepted="a disk that keeps what it is given",
                fix="export WORLDBENCH_CACHE=/another/disk",
            )
        self._memory[number] = found
        return found

    def _called(self) -> str:
        return " ".join(str(value) for value in self.about.values())


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    parts = {name: value.contiguous().cpu() for name, value in tensors.items()}
    return save(parts, {"sha256": _sha256(parts)})


def _read(path: Path) -> dict[str, Tensor] | None:
    """Maps a chunk into memory; None where there is none, or it is not what was written."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            stated = (file.metadata() or {}).get("sha256")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        logger.warning("%s is damaged (%s): computing it again", path, error)
        return None
    if stated != _sha256(tensors):
        logger.warning("%s is not what was written: computing it again", path)
        return None
    return tensors


def _sha256(tensors: Mapping[str, Tensor]) -> str:
    sha = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        sha.update(value.contiguous().view(torch.uint8).numpy().data)
    return sha.hexdigest()


@dataclass(frozen=True)
class TokenTable:
    """Tokens of many clips, chunk after chunk, read where they are.

    Attributes:
        chunks: ``n t d`` each, all but the last of equal length.
    """

    chunks: Sequence[Float[Tensor, "_ t d"]]

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self.chunks)

    def take(self, index: Int64[Tensor, " b"]) -> Float[Tensor, "b t d"]:
        """Returns the tokens of some clips, float32."""
        size = len(self.chunks[0])
        return torch.stack([self.chunks[i // size][i % size] for i in index.tolist()]).float()


def told_size(size: int) -> str:
    """Returns a number of bytes in words."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


@dataclass(frozen=True)
class Stored:
    """A set of features that the cache holds.

    Attributes:
        name: Of its folder.
        about: What it is.
        chunks: How many chunks are there.
        size: Bytes.
    """

    name: str
    about: dict[str, Any]
    chunks: int
    size: int


def inventory() -> list[Stored]:
    """Lists what the cache holds, by name."""
    found = []
    for folder in sorted(path for path in cache_folder(KIND).iterdir() if path.is_dir()):
        files = list(folder.glob("*.safetensors"))
        try:
            about = json.loads((folder / _ABOUT).read_text())
        except (OSError, ValueError):
            about = {}
        size = sum(file.stat().st_size for file in files)
        found.append(Stored(folder.name, about, len(files), size))
    return found


def evict(names: Sequence[str]) -> list[Stored]:
    """Deletes sets of features, chunk by chunk under each one's lock, and returns them.

    Whoever has mapped a chunk keeps what it has mapped.

    Args:
        names: Of folders; beginnings of a name count for all that begin so, ``all`` for all.
    """
    gone = []
    for stored in inventory():
        if "all" in names or any(stored.name.startswith(name) for name in names if name):
            folder = cache_folder(KIND, stored.name)
            for path in sorted(folder.glob("*.safetensors")):
                with cache_lock(path):
                    path.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(stored)
    return gone
