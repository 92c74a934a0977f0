"""Tensors out of TorchScript archives, without running anything in them.

``torch.jit.load`` compiles and may run code that came with a file, and ``torch.load(weights_only=
True)`` refuses such files altogether. A TorchScript archive is a zip of raw storages and a pickle
of module attributes; an unpickler that knows tensors, plain containers and nothing else reads it.
"""

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


class _Scripted:
    """Stands for any module of the archive: its attributes, none of its code."""


def is_torchscript(path: Path) -> bool:
    """Says whether a file is a TorchScript archive: a zip with code and constants in it."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """Reads parameters and buffers of the archive's module, by their dotted names.

    Raises:
        pickle.UnpicklingError: If the archive names anything but tensors and plain values, or lacks
            a storage.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (root,) = {name.partition("/")[0] for name in names if name.endswith("/data.pkl")}
        module = _Reader(archive, root).load()
    return dict(_walk(module, ""))


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            return _Scripted
        known: dict[tuple[str, str], Callable[..., Any] | torch.dtype] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            **{("torch", storage): dtype for storage, dtype in _STORAGES.items()},
        }
        if module == "torch.jit._pickle" and name.startswith("build_") and name.endswith("list"):
            return list
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is neither a tensor nor a plain value")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isalnum():
            raise pickle.UnpicklingError(f"{pid!r} is no storage")
        try:
            raw = bytearray(self._archive.read(f"{self._root}/data/{key}"))
        except KeyError as error:
            raise pickle.UnpicklingError(f"the archive lacks storage {key}") from error
        return torch.frombuffer(raw, dtype=dtype, count=count) if count else torch.empty(0)


def _rebuild(
    storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> Tensor:
    # as_strided checks that the view lies within the storage.
    return storage.as_strided(size, stride, offset).clone()


def _walk(module: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Scripted):
            yield from _walk(value, f"{prefix}{name}.")
