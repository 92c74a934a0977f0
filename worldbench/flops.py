"""Counting the operations of a call, and telling when something in it could not be counted.

PyTorch's counter knows matrix products, convolutions and attention by the shapes that they are
given; element-wise arithmetic and copies cost nothing. It is silent about what it does not know:
attention on a CPU, products with a vector, recurrent layers, kernels of other packages, whatever
happens once a tensor's content has been handed to other code, and work in another thread. The first
two are counted here as well; the rest is named, since a count that leaves them out is too low by
nobody knows what. What leaves no trace in PyTorch or in Python's threads stays unseen: threads that
ran before the call, other processes, numbers that never were in a tensor.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.dlpack
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

VERSION = 1
"""Raised when the same call gives another count."""

_Shape = tuple[int, ...]

_OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler", "debugprims"})
_ARITHMETIC = re.compile(
    r"mm(?![a-z])|_conv|conv([123]d|_tbc)|convolution|attention|transformer|linear|linalg|solve"
    r"|cholesky|(^|_)(lu|qr|svd|eig|eigh|rnn|lstm|gru|fft|matmul|einsum|[cp]?dist)(_|$)"
    r"|(^|_)(mv|addmv|dot|vdot|geqrf|ormqr|orgqr)(_|$)"
)
"""Names of PyTorch's own operations that cost more than their elements."""
_CHEAP = re.compile(r"upsample|_convert|grid_sampler|norm|check_errors")
_LEAVES = ("numpy", "__array__", "__dlpack__", "data_ptr", "tolist", "untyped_storage", "storage")
"""Methods of a tensor that hand its content to code that PyTorch does not see."""
_LEFT = "work outside of PyTorch, on what {} gave it"
_LISTS = ("numpy", "__array__", "tolist")
_MANY = 4096
"""Numbers in a row from which handing them out may be work: settings and noise levels are fewer."""
_WAITING = frozenset({"tqdm._monitor"})
"""Modules of threads that only wait for a clock."""

_converting: ContextVar[bool] = ContextVar("converting", default=False)


@dataclass(frozen=True)
class Counted:
    """What a call takes.

    Attributes:
        flops: Floating-point operations, a product of numbers and its sum being two.
        uncounted: What it did whose operations are not in ``flops``, in alphabetical order; the
            count is complete if there is nothing.
    """

    flops: int
    uncounted: tuple[str, ...] = ()

    @property
    def why_incomplete(self) -> str | None:
        """Says why the count is no measurement, or None if it is one."""
        if not self.uncounted:
            return None
        return f"it does what cannot be counted: {', '.join(self.uncounted)}"


def count(run: Callable[[], object]) -> Counted:
    """Runs a call and counts its operations.

    The count follows from shapes alone: the same on every device, and at every precision.

    Args:
        run: The call. Whatever it does only once, like loading weights, should be done before.
    """
    counter = FlopCounterMode(display=False, custom_mapping=dict(_MORE))
    watch = _Watch(counter)
    with _elsewhere(watch.unknown), _Leaving(watch.unknown), watch, counter, torch.no_grad():
        run()
    return Counted(int(counter.get_total_flops()), tuple(sorted(watch.unknown)))


@contextmanager
def converting() -> Iterator[None]:
    """Marks code that only brings a tensor's content into another form, such as a picture.

    Inside, handing content to other code is not named as work outside of PyTorch. Operations of
    PyTorch are still counted and named, and so are threads.
    """
    token = _converting.set(True)
    try:
        yield
    finally:
        _converting.reset(token)


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the operations that cost something and that a counter does not know."""

    def __init__(self, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = counter.flop_registry
        self.unknown: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        operation = getattr(func, "_overloadpacket", func)
        if operation not in self._known and _costs(func):
            self.unknown.add(f"operation {operation}")
        return func(*args, **(kwargs or {}))


class _Leaving(TorchFunctionMode):
    """Notes when a tensor's memory is handed to code that no counter sees."""

    def __init__(self, unknown: set[str]) -> None:
        super().__init__()
        self._unknown = unknown

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _LEAVES and not _converting.get() and not _short_list(name, args[0]):
            self._unknown.add(_LEFT.format(f"Tensor.{name}"))
        return func(*args, **(kwargs or {}))


def _short_list(name: str, tensor: torch.Tensor) -> bool:
    return name in _LISTS and tensor.dim() < 2 and tensor.numel() < _MANY


@contextmanager
def _elsewhere(unknown: set[str]) -> Iterator[None]:
    """Notes threads that the calling thread starts, and capsules that no mode is told of."""
    threads: Any = threading.Thread
    dlpack: Any = torch.utils.dlpack
    start, to_dlpack, caller = threads.start, dlpack.to_dlpack, threading.get_ident()

    def noted(thread: threading.Thread) -> None:
        if threading.get_ident() == caller and type(thread).__module__ not in _WAITING:
            unknown.add(f"work in another thread, {_unnumbered(thread.name)}")
        start(thread)

    def handed(*args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == caller and not _converting.get():
            unknown.add(_LEFT.format("to_dlpack"))
        return to_dlpack(*args, **kwargs)

    threads.start, dlpack.to_dlpack = noted, handed
    try:
        yield
    finally:
        threads.start, dlpack.to_dlpack = start, to_dlpack


def _unnumbered(name: str) -> str:
    """Returns the name of a thread without its number, which differs from call to call."""
    return re.sub(r"-\d+(_\d+)?", "", name)


def _costs(func: Any) -> bool:
    if getattr(func, "namespace", "") not in _OWN_NAMESPACES:
        return True
    name = str(getattr(func, "_overloadpacket", func)).rpartition(".")[2]
    return _ARITHMETIC.search(name) is not None and _CHEAP.search(name) is None


def _attention(query: _Shape, key: _Shape, value: _Shape, *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _product_with_vector(matrix: _Shape, vector: _Shape, *_: Any, **__: Any) -> int:
    rows, columns = matrix
    return 2 * rows * columns


def _added_product_with_vector(_: _Shape, matrix: _Shape, vector: _Shape, **__: Any) -> int:
    return _product_with_vector(matrix, vector)


def _product_of_vectors(a: _Shape, b: _Shape, **_: Any) -> int:
    return 2 * a[0]


_MORE: Mapping[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten.mv: _product_with_vector,
    torch.ops.aten.addmv: _added_product_with_vector,
    torch.ops.aten.dot: _product_of_vectors,
    torch.ops.aten.vdot: _product_of_vectors,
}
"""What PyTorch's counter leaves out, by the formulas of the operations that it does count."""
