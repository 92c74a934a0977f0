"""An adapter of another package: the last frame, fading into the mean of the context."""

import torch

from worldbench.schema import AdapterCard, digest


class Fading:
    """Goes from the last frame to the mean, with each frame a share of what is left."""

    def __init__(self, name: str = "fading", pace: float = 0.1) -> None:
        self.pace = pace
        self.card = AdapterCard(
            name=name,
            revision=digest(["fading", 1, pace]),
            family="baseline",
            capabilities=("generates",),
        )

    def generate(self, context, horizon, *, samples, seeds, actions=None, prompt=None):
        """Returns the future alone, ``b s t 3 h w`` in [0, 1]; nothing is drawn from the seeds."""
        last, mean = context[:, -1], context.mean(dim=1)
        shares = [(1 - self.pace) ** (t + 1) for t in range(horizon)]
        future = torch.stack([mean + share * (last - mean) for share in shares], dim=1)
        return future[:, None].repeat(1, samples, 1, 1, 1, 1).clamp(0, 1)
