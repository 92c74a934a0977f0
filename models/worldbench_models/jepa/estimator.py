"""Asks the network, in batches of any size and about clips of any length."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench_models.jepa.network import JEPA, Shape, normed
from worldbench_models.on_device import OnDevice, in_parts
from worldbench_models.origin import Origin
from worldbench_models.patches import PATCH
from worldbench_models.windows import windows


class Estimator:
    """Encodes clips and foresees their latents.

    Args:
        origin: Makes the network.
    """

    def __init__(self, origin: Origin[Shape, JEPA]) -> None:
        self.length = origin.facts.frames // PATCH[0]
        """Latent steps of a window, as the network was trained on."""
        self._network = OnDevice(origin)

    def encode(
        self, patches: Float[Tensor, "b t h w p"], depth: int | None = None
    ) -> Float[Tensor, "b t h w width"]:
        """Returns latents, float32, of mean 0 and variance 1.

        Clips longer than a window are cut into as few parts as it takes, as equal as they go, each
        encoded alone: attention over all of them would meet distances in time that training never
        showed it, and the remainder of full windows could be a single step, which says little.

        Args:
            patches: Of clips.
            depth: Blocks to go through; all if None.
        """
        network = self._network.of(patches)
        depth = len(network.encoder.blocks) if depth is None else depth
        return self.encode_at(patches, (depth,))[:, 0]

    def encode_at(
        self, patches: Float[Tensor, "b t h w p"], depths: Sequence[int]
    ) -> Float[Tensor, "b depths t h w width"]:
        """Returns :meth:`encode` after several numbers of blocks, in one pass."""
        network = self._network.of(patches)
        parts = patches.tensor_split(math.ceil(patches.shape[1] / self.length), dim=1)
        latents = [in_parts(lambda part: network.encode_at(part, depths), part) for part in parts]
        return torch.cat(latents, dim=2)

    def foresee(
        self, context: Float[Tensor, "b c h w width"], steps: int
    ) -> Float[Tensor, "b f h w width"]:
        """Foresees latents within one window.

        The predictor is asked for all that is left of the window, and what lies beyond ``steps`` is
        cut: it has been trained on whole windows alone.

        Args:
            context: Latents of the steps before.
            steps: Latent steps wanted; a window holds them and the context.
        """
        network, rest = self._network.of(context), self.length - context.shape[1]
        return in_parts(lambda part: network.predict(part, rest), context)[:, :steps]

    def rollout(
        self, context: Float[Tensor, "b c h w p"], horizon: int
    ) -> Float[Tensor, "b f h w width"]:
        """Foresees the latents of ``horizon`` latent steps, window by window.

        The context is encoded once, as far as the first window sees it; later windows see those
        latents for as long as they reach back to them, and predictions, normed as latents are.
        """
        given = context.shape[1]
        plan = windows(given, horizon, self.length)
        first = plan[0].start
        known, foreseen = self.encode(context[:, first:]), []
        for window in plan:
            past = known[:, window.start - first : window.split - first]
            foreseen.append(self.foresee(past, window.future))
            known = torch.cat([known, normed(foreseen[-1])], dim=1)
        return torch.cat(foreseen, dim=1)
