"""Asks the network, in batches of any size."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench_models.blocks import Size
from worldbench_models.dit.network import DiT
from worldbench_models.on_device import OnDevice, in_parts
from worldbench_models.origin import Origin


class Estimator:
    """Estimates clean patches from noisy ones.

    Args:
        origin: Makes the network.
    """

    def __init__(self, origin: Origin[Size, DiT]) -> None:
        self._network = OnDevice(origin)

    def __call__(
        self, patches: Float[Tensor, "b t h w p"], levels: Float[Tensor, "b t"], given: int = 0
    ) -> Float[Tensor, "b f h w p"]:
        """Returns estimates of the clean patches after the latent steps given, float32."""
        network = self._network.of(patches)
        return in_parts(lambda z, t: network(z, t, given), patches, levels)

    def features(
        self,
        patches: Float[Tensor, "b t h w p"],
        levels: Float[Tensor, "b t"],
        depths: Sequence[int],
    ) -> Float[Tensor, "b depths t h w width"]:
        """Returns the tokens after each number of blocks, float32."""
        network = self._network.of(patches)
        return in_parts(lambda z, t: network.features_at(z, t, depths), patches, levels)
