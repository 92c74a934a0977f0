"""A network in training before the gates' quads: does it keep in mind what is hidden?"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.adapter import NoiseBank
from worldbench.schema import AdapterCard
from worldbench_models.gates.presence import measure_presence
from worldbench_models.gates.quads import MatchedQuad
from worldbench_models.jepa.estimator import Estimator
from worldbench_models.jepa.network import JEPA
from worldbench_models.jepa.surprise import latent_error
from worldbench_models.on_device import OnDevice
from worldbench_models.patches import FRAMES, PATCH, RESOLUTION
from worldbench_models.pixels import to_patches

CONDITIONS = ("occluded", "visible")


def presence(
    network: JEPA, quads: Sequence[MatchedQuad], device: torch.device
) -> dict[str, dict[str, float]]:
    """Puts quads to a network, as the gates put them to its adapter.

    Args:
        network: The network.
        quads: What to ask.
        device: Where the network is.

    Returns:
        By condition, ``accuracy`` and the share of ``ties``; none without a quad that is scored.
    """
    asked, found = Asked(network), {}
    for condition in CONDITIONS:
        one = measure_presence(asked, quads, condition, device=device)
        if one.value is not None and one.ties is not None:
            found[condition] = {"accuracy": one.value, "ties": one.ties / one.n}
    return found


class Asked:
    """A network in training as an adapter, as far as quads ask it; in float32, as that answers.

    Args:
        network: The network.
    """

    def __init__(self, network: JEPA) -> None:
        self.card = AdapterCard(
            name="jepa",
            revision="in training",
            family="predictive",
            capabilities=("surprises",),
            operators=("latent_error",),
            temporal_stride=PATCH[0],
            min_context=PATCH[0],
        )
        self._network = _InTraining(network)

    def surprise(
        self, video: Float[Tensor, "b t 3 h w"], context: int, *, operator: str, noise: NoiseBank
    ) -> Float64[Tensor, "b steps"]:
        """Returns the error of what is foreseen to the future encoded alone, per latent step.

        Args:
            video: Clips of 16 frames, values in [0, 1].
            context: Frames of context.
            operator: ``latent_error``.
            noise: Is not asked for any.
        """
        return latent_error(self._network, to_patches(video, RESOLUTION[0]), context // PATCH[0])


class _InTraining(Estimator):
    """Asks a network that is there already, for clips of the length it learns from."""

    def __init__(self, network: JEPA) -> None:
        self.length, self._network = FRAMES // PATCH[0], _Here(network)


class _Here(OnDevice[JEPA]):
    """A network that is where its clips are, and need not be made."""

    def __init__(self, network: JEPA) -> None:
        self._here = network

    def of(self, asked: Tensor) -> JEPA:
        """Returns the network."""
        return self._here
