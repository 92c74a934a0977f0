"""Noise, and what is learnt from it (design §10–11).

A level t is 1 for clean and 0 for noise: z = t·x + (1 − t)·ε. Along a trajectory the velocity is
dz/dt = x − ε = (x − z)/(1 − t), so an estimate x̂ of the clean patches is an estimate
v̂ = (x̂ − z)/(1 − t) of the velocity, and their errors differ by the factor 1/(1 − t): the loss is
the velocity's error, with the factor held below 1/.05.
"""

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from worldbench_models.dit.network import DiT
from worldbench_models.patches import in_mirror, patchify_bytes

NEAREST = 0.05
"""The least 1 − t that errors are divided by: near the clean end they would weigh infinitely."""

LEVEL_MEAN, LEVEL_SPREAD = -0.8, 0.8
"""Levels in training are sigmoid(N(mean, spread)): most where the picture takes shape."""

PREFIX, INDEPENDENT = 0.5, 0.4
"""Shares of clips with a clean prefix and with independent levels; the rest has a noised prefix."""


def noised(
    clean: Float[Tensor, "b t h w p"],
    noise: Float[Tensor, "b t h w p"],
    levels: Float[Tensor, "b t"],
) -> Float[Tensor, "b t h w p"]:
    """Returns z = t·x + (1 − t)·ε, with a level per latent step."""
    t = levels[:, :, None, None, None]
    return t * clean + (1 - t) * noise


def velocity(
    estimate: Float[Tensor, "b t h w p"], noisy: Float[Tensor, "b t h w p"], level: float
) -> Float[Tensor, "b t h w p"]:
    """Returns (x̂ − z)/(1 − t), the velocity towards an estimate of the clean patches."""
    return (estimate - noisy) / (1 - level)


def draw_levels(batch: int, steps: int, generator: torch.Generator) -> Float[Tensor, "b t"]:
    """Draws noise levels: half the clips have a clean prefix and one level for the future.

    Two in five have independent levels, one in ten a prefix of pure noise, so that the network also
    knows what is likely without a past. A prefix has at least one latent step, as has the future.
    """
    device = generator.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    normal = torch.randn(batch, steps, generator=generator, device=device)
    independent = torch.sigmoid(LEVEL_MEAN + LEVEL_SPREAD * normal)
    kind = uniform(batch, 1)
    length = 1 + (uniform(batch, 1) * (steps - 1)).floor()
    prefix = torch.arange(steps, device=device) < length
    one_level = independent[:, :1].expand(batch, steps)
    given = (kind < PREFIX).float().expand(batch, steps)  # 1 for a clean prefix, 0 for noise
    split = torch.where(prefix, given, one_level)
    free = (kind >= PREFIX) & (kind < PREFIX + INDEPENDENT)
    return torch.where(free, independent, split)


class FlowLoss(nn.Module):
    """The training loss of a DiT on stored clips.

    Args:
        network: What is trained.
    """

    def __init__(self, network: DiT) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        clips: UInt8[Tensor, "b frames height width 3"],
        levels: Float[Tensor, "b t"],
        noise: Float[Tensor, "b t h w p"],
        mirrored: Bool[Tensor, " b"],
    ) -> Float[Tensor, ""]:
        """Returns the mean squared error of the velocity over all patches that are not clean.

        Args:
            clips: Stored clips.
            levels: Noise level of each latent step; 1 for a clean prefix.
            noise: Standard normal noise in patches.
            mirrored: Which clips are shown in the mirror.
        """
        clean = patchify_bytes(in_mirror(clips, mirrored))
        estimate = self.network(noised(clean, noise, levels), levels)
        error = (estimate - clean).square().mean(dim=(2, 3, 4))
        weight = (levels < 1) / (1 - levels).clamp(min=NEAREST).square()
        loss: Tensor = (weight * error).sum() / (levels < 1).sum()
        return loss
