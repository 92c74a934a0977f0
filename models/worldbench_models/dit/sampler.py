"""Sampling by Euler's method, over any horizon (design §10).

Written against an estimate of clean patches from noisy ones and their levels, not against a
network. The prefix is pinned: it enters every evaluation clean, at level 1, and never leaves.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench_models.windows import windows

Estimate = Callable[[Tensor, Tensor, int], Tensor]
"""(noisy patches ``b t h w p``, levels ``b t``, latent steps given) → estimates of the clean
patches of the latent steps after those given."""

DrawNoise = Callable[[int, tuple[int, int, int, int]], Tensor]
"""(index of the window, shape ``t h w p``) → standard normal noise ``b t h w p``."""


def sample(
    estimate: Estimate,
    prefix: Float[Tensor, "b c h w p"],
    noise: Float[Tensor, "b f h w p"],
    steps: int,
) -> Float[Tensor, "b f h w p"]:
    """Follows the velocity from noise at level 0 to patches at level 1.

    A step goes z ← z + dt·(x̂ − z)/(1 − t). With dt = 1/steps and t = i/steps that is the fraction
    1/(steps − i) of the way to x̂, so the last step arrives at x̂ itself.

    Args:
        estimate: The model.
        prefix: Clean patches, values in [-1, 1].
        noise: Where the future starts.
        steps: Evaluations of the model.

    Returns:
        The future's patches, in [-1, 1].
    """
    given = prefix.shape[1]
    levels = noise.new_ones(noise.shape[0], given + noise.shape[1])
    z = noise
    for i in range(steps):
        levels[:, given:] = i / steps
        clean = estimate(torch.cat([prefix, z], dim=1), levels, given).clamp(-1, 1)
        z = z.lerp(clean, 1 / (steps - i))
    return z


def rollout(
    estimate: Estimate,
    context: Float[Tensor, "b c h w p"],
    horizon: int,
    *,
    draw: DrawNoise,
    length: int,
    steps: int,
) -> Float[Tensor, "b f h w p"]:
    """Samples ``horizon`` latent steps, window by window.

    Every window is filled to the length that the network was trained on, and what lies beyond the
    horizon is cut, so the network never sees a clip of unseen length. How much of the past a window
    sees may depend on the horizon (:func:`~worldbench_models.windows.windows`): two horizons
    agree on the steps they share if the context is at most half a window and both end in the first
    window; otherwise they may differ.

    Args:
        estimate: The model.
        context: Clean patches; of a long context only the last are seen.
        horizon: Latent steps wanted.
        draw: Draws a window's noise.
        length: Latent steps of a window.
        steps: Evaluations of the model per window.
    """
    given, known = context.shape[1], context
    for index, window in enumerate(windows(given, horizon, length)):
        prefix = known[:, window.start : window.split]
        shape = (length - window.prefix, *context.shape[2:])
        known = torch.cat([known, sample(estimate, prefix, draw(index, shape), steps)], dim=1)
    return known[:, given : given + horizon]
