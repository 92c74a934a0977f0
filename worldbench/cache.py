"""The per-user cache: derived data that can always be made again.

Its folder is ``$WORLDBENCH_CACHE``, or the platform's cache folder. Everything in it is keyed by
what it was computed from, written atomically under a lock, and recomputed when it does not read
back, so it may be deleted at any time.
"""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from worldbench.errors import EnvironmentFault
from worldbench.record import locked, write_atomic
from worldbench.schema import digest

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


def cache_folder(*parts: str) -> Path:
    """Returns (and creates) a folder of the cache.

    Raises:
        EnvironmentFault: If it cannot be created.
    """
    root = os.environ.get("WORLDBENCH_CACHE") or platformdirs.user_cache_dir("worldbench", False)
    folder = Path(root, *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(f"cannot create the cache folder {folder}", error) from error
    return folder


def cache_lock(path: Path) -> AbstractContextManager[None]:
    """Keeps concurrent processes apart while one makes ``path``; the others wait.

    Raises:
        EnvironmentFault: If the folder cannot be written.
    """
    return locked(path, partial(_unwritable, f"cannot write the cache folder {path.parent}"))


def _unwritable(what: str, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        what,
        seen=error.strerror,
        accepted="a writable folder",
        fix="export WORLDBENCH_CACHE=/some/writable/folder",
    )


def cached_tensors(
    kind: str, key: Mapping[str, object], compute: "Callable[[], dict[str, Tensor]]"
) -> "dict[str, Tensor]":
    """Returns tensors from the cache, computing them on first use.

    Args:
        kind: A folder of the cache, e.g. ``"features"``.
        key: Everything the tensors depend on, JSON-serialisable.
        compute: Makes the tensors; called under a lock, so that of several concurrent processes
            one computes and the others wait for it.

    Returns:
        Tensors by name, exactly as ``compute`` returned them.

    Raises:
        EnvironmentFault: If the cache cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    path = cache_folder(kind) / f"{digest(dict(key))[:32]}.safetensors"
    with cache_lock(path):
        if path.is_file():
            try:
                return dict(load(path.read_bytes()))
            except (SafetensorError, ValueError) as error:
                logger.warning("cache file %s is damaged (%s): computing it again", path, error)
        tensors = compute()
        write_atomic(path, save(tensors))
        return tensors
