"""Counting the operations of a call, and telling when something in it could not be counted.

PyTorch's counter knows matrix products, convolutions and attention by the shapes that they are
given; element-wise arithmetic and copies cost nothing. It is silent about what it does not know:
attention on a CPU, products with a vector, recurrent layers, kernels of other packages, and
whatever happens once a tensor's memory has been handed to other code. The first two are counted
here as well; the rest is named, since a count that leaves them out is too low by nobody knows what.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

VERSION = 1
"""Raised when the same call gives another count."""

_Shape = tuple[int, ...]

_OWN_NAMESPACES = frozenset({"aten", "prim", "prims", "profiler", "debugprims"})
_ARITHMETIC = re.compile(
    r"mm(?![a-z])|_conv|conv[123]d|convolution|attention|transformer|linear|linalg|solve|cholesky"
    r"|(^|_)(lu|qr|svd|eig|eigh|rnn|lstm|gru|fft|matmul|einsum|c?dist)(_|$)"
    r"|(^|_)(mv|addmv|dot|vdot|geqrf|ormqr|orgqr)(_|$)"
)
"""Names of PyTorch's own operations that cost more than their elements."""
_CHEAP = re.compile(r"upsample|_convert|grid_sampler|norm|check_errors")
_LEAVES = ("numpy", "__array__", "__dlpack__", "data_ptr")
"""Methods of a tensor that hand its memory to code that PyTorch does not see."""


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
    with _Leaving(watch.unknown), watch, counter, torch.no_grad():
        run()
    return Counted(int(counter.get_total_flops()), tuple(sorted(watch.unknown)))


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
        if getattr(func, "__name__", "") in _LEAVES:
            self._unknown.add(f"work outside of PyTorch, on what Tensor.{func.__name__} gave it")
        return func(*args, **(kwargs or {}))


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
