"""A network where it is needed, a few clips at a time."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from worldbench_models.origin import Network, Origin

_Shape = TypeVar("_Shape")

_AT_ONCE, _AT_ONCE_CPU = 64, 2
"""Clips of a forward pass. More would cost memory and save no time; on a CPU it would take longer,
since a few clips' activations stay in its cache: 36 ms a clip by twos, 44 by sixteens."""


class OnDevice(Generic[Network]):
    """Makes a network on the first call, on the device of what it is asked about.

    Args:
        origin: Makes the network.
    """

    def __init__(self, origin: Origin[_Shape, Network]) -> None:
        self._make: Callable[[], Network] = origin.network
        self._networks: dict[torch.device, Network] = {}

    def of(self, asked: Tensor) -> Network:
        """Returns the network where the tensor is."""
        device = asked.device
        if device not in self._networks:
            # Suites ask in inference mode, whose tensors would be of no use outside it.
            with torch.inference_mode(False), torch.no_grad():
                self._networks[device] = self._make().to(device)
        return self._networks[device]


def in_parts(call: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """Returns what a call makes of batches of any size, asked a few clips at a time.

    Args:
        call: Maps as many tensors ``b …`` to one.
        *batches: Of equal length, at least one clip.
    """
    at_once = _AT_ONCE_CPU if batches[0].device.type == "cpu" else _AT_ONCE
    split = (torch.split(batch, at_once) for batch in batches)
    return torch.cat([call(*parts) for parts in zip(*split, strict=True)])
