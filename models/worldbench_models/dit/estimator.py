"""A network where it is needed: made on the first call, on the device of what it is asked about."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench_models.dit.network import DiT
from worldbench_models.dit.origin import Origin

_AT_ONCE, _AT_ONCE_CPU = 64, 2
"""Clips of a forward pass. More would cost memory and save no time; on a CPU it would take longer,
since a few clips' activations stay in its cache: 36 ms a clip by twos, 44 by sixteens."""


class Estimator:
    """Estimates clean patches from noisy ones, in batches of any size.

    Args:
        origin: Makes the network.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._networks: dict[torch.device, DiT] = {}

    def __call__(
        self, patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"]
    ) -> Float[Tensor, "b t h w p"]:
        """Returns estimates of the clean patches, float32."""
        network = self._network(patches.device)
        return torch.cat([network(z, t) for z, t in _parts(patches, levels)])

    def features(
        self, patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"], depth: int
    ) -> Float[Tensor, "b t h w width"]:
        """Returns the tokens after ``depth`` blocks, float32."""
        network = self._network(patches.device)
        return torch.cat([network.features(z, t, depth) for z, t in _parts(patches, levels)])

    def _network(self, device: torch.device) -> DiT:
        if device not in self._networks:
            # Suites ask in inference mode, whose tensors would be of no use outside it.
            with torch.inference_mode(False), torch.no_grad():
                self._networks[device] = self._origin.network().to(device)
        return self._networks[device]


def _parts(
    patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"]
) -> Iterator[tuple[Tensor, Tensor]]:
    at_once = _AT_ONCE_CPU if patches.device.type == "cpu" else _AT_ONCE
    yield from zip(torch.split(patches, at_once), torch.split(levels, at_once), strict=True)
