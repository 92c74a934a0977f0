"""The base of every metric here: state that keeps its precision."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torchmetrics import Metric


class PreciseMetric(Metric):
    """A ``torchmetrics.Metric`` that follows its module between devices, never between dtypes.

    A metric kept inside a model is cast with it by ``model.half()``, ``model.to(torch.bfloat16)``
    or ``metric.set_dtype``. Sums lose their low digits there, and a frozen extractor would
    become another extractor; so only the device of a conversion is honoured.
    """

    is_differentiable = False
    full_state_update = False

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> "PreciseMetric":
        def move(tensor: Tensor) -> Tensor:
            return tensor.to(fn(tensor.new_empty(0)).device)

        moved: PreciseMetric = super()._apply(move, *args, **kwargs)
        return moved
