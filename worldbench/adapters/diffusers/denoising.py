"""How little a denoiser expected what came (design §8): errors of its estimates, per latent step.

All noise is the suite's, so that the clips of a trial share it and differences cancel it; each
draw ε is paired with −ε, which cancels the part of the error that is linear in it. Estimates are
conditional ones, without guidance.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from worldbench.adapter import NoiseBank


@runtime_checkable
class Denoiser(Protocol):
    """A network that is asked about one clip."""

    @property
    def clean(self) -> Float[Tensor, "t c h w"]:
        """The clip's latents as the network knows them, float32."""
        ...

    @property
    def past(self) -> int:
        """How many of the latent steps are of the past."""
        ...

    def estimate(self, fresh: Float[Tensor, "t c h w"], share: float) -> Float[Tensor, "t c h w"]:
        """Returns the estimate of ``clean``, seen under noise.

        Args:
            fresh: Standard normal noise.
            share: How much of the mixture is noise, in (0, 1): the ratio of noise to signal is
                share / (1 − share) in every convention.
        """
        ...


@dataclass(frozen=True)
class FlowDenoiser:
    """A rectified flow: z = (1 − σ)·x + σ·ε, v = dz/dσ = ε − x, so x̂ = z − σ·v; σ is the share.

    Attributes:
        clean: See :class:`Denoiser`.
        past: See :class:`Denoiser`.
        pinned: Whether the past is shown without noise.
        velocity: Returns v, given z and σ.
    """

    clean: Float[Tensor, "t c h w"]
    past: int
    pinned: bool
    velocity: Callable[[Tensor, float], Tensor]

    def estimate(self, fresh: Float[Tensor, "t c h w"], share: float) -> Float[Tensor, "t c h w"]:
        """Returns z − σ·v; a pinned past is its own estimate."""
        noisy = (1 - share) * self.clean + share * fresh
        if self.pinned:
            noisy[: self.past] = self.clean[: self.past]
        return noisy - share * self.velocity(noisy, share)


@dataclass(frozen=True)
class EDMDenoiser:
    """EDM preconditioning with v-prediction (Karras et al. 2022, arXiv 2206.00364, table 1).

    z = x + σ·ε; the network sees z / √(σ² + 1) at c = ¼ ln σ, and x̂ = z / (σ² + 1) − v·σ / √(σ² +
    1), as EulerDiscreteScheduler has it. σ is share / (1 − share).

    Attributes:
        clean: See :class:`Denoiser`.
        past: See :class:`Denoiser`.
        velocity: Returns v, given the scaled z and c.
    """

    clean: Float[Tensor, "t c h w"]
    past: int
    velocity: Callable[[Tensor, float], Tensor]

    def estimate(self, fresh: Float[Tensor, "t c h w"], share: float) -> Float[Tensor, "t c h w"]:
        """Returns x̂."""
        sigma = torch.tensor(share / (1 - share), dtype=torch.float64)
        scale = float((sigma.square() + 1).sqrt())
        noisy = self.clean + float(sigma) * fresh
        said = self.velocity(noisy / scale, float(sigma.log()) / 4)
        return noisy / scale**2 - said * float(sigma) / scale


def denoising_curve(
    denoisers: Sequence[Denoiser], levels: Sequence[float], draws: int, noise: NoiseBank
) -> Float64[Tensor, "b levels steps"]:
    """Returns ‖x̂ − x‖² of the future, averaged over a step's values, signs and draws.

    Args:
        denoisers: One per clip of the batch, in its order, all of one shape.
        levels: Shares of noise.
        draws: Pairs ±ε per level.
        noise: The suite's; asked for the shape ``t c h w`` of whole clips at each level, draw and
            sign.
    """
    clean = denoisers[0].clean
    curve = []
    for level in levels:
        errors = []
        for index, sign in itertools.product(range(draws), (1, -1)):
            fresh = noise.draw(tuple(clean.shape), level=level, index=index, sign=sign).to(clean)
            asked = zip(denoisers, fresh, strict=True)
            errors.append(torch.stack([_error(each, own, level) for each, own in asked]))
        curve.append(torch.stack(errors).mean(dim=0))
    return torch.stack(curve, dim=1)


def _error(
    denoiser: Denoiser, fresh: Float[Tensor, "t c h w"], level: float
) -> Float64[Tensor, " steps"]:
    # Squared in float64, so that the mean adds no rounding to what two clips have in common.
    error = (denoiser.estimate(fresh, level) - denoiser.clean)[denoiser.past :].double()
    return error.square().mean(dim=(1, 2, 3))
