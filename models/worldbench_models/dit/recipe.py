"""How the DiT is trained: what the loop asks of it (design §11)."""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldbench.errors import unknown_name
from worldbench_models.blocks import SIZES
from worldbench_models.dit.flow import FlowLoss, draw_levels, noised
from worldbench_models.dit.network import DiT
from worldbench_models.dit.sampler import sample
from worldbench_models.options import recipe_numbers
from worldbench_models.patches import (
    FORMAT,
    GRID,
    PATCH,
    VALUES,
    patchify_bytes,
    unpatchify,
)
from worldbench_models.training.compute import TRAINING_PASSES, count_flops
from worldbench_models.training.optimiser import optimisers, parted, trapezoid
from worldbench_models.training.recipe import Plan, Release

_PLANS = {
    "xs": Plan(4_000, 128),
    "s": Plan(11_000, 512),
    "m": Plan(20_000, 512),
    "l": Plan(40_000, 512),
}

_CONTEXT = 4  # frames, of the held-out measures
_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
_ROLLOUTS, _SAMPLES = 64, 4  # clips of the held-out rollouts, samples of each
_SAMPLER_STEPS = 20
_AT_ONCE = 64


class DiTRecipe:
    """Flow matching on whole clips.

    Args:
        learning_rate: Of Muon, for the matrices of the blocks.
        adamw_learning_rate: Of AdamW, for everything else.
        warmup: Steps until the learning rates are reached.
        decay: Share of the steps over which they fall to zero at the end.
        ema: Decay of the averaged weights per step.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        learning_rate: float = 1.2e-3,
        adamw_learning_rate: float = 8e-4,
        warmup: int = 300,
        decay: float = 0.3,
        ema: float = 0.999,
    ) -> None:
        numbers = {
            "learning_rate": (learning_rate, 1.0),
            "adamw_learning_rate": (adamw_learning_rate, 1.0),
            "warmup": (warmup, 1e9),
            "decay": (decay, 1.0),
            "ema": (ema, 1.0),
        }
        recipe_numbers("dit", numbers)
        self.learning_rate, self.adamw_learning_rate = learning_rate, adamw_learning_rate
        self.warmup, self.decay, self.ema_decay = warmup, decay, ema

    def plan(self, size: str) -> Plan:
        """Returns steps and batch size of a size."""
        if size not in _PLANS:
            raise unknown_name("size", size, _PLANS, fix="size=s")
        return _PLANS[size]

    def objective(self, size: str, seed: int) -> nn.Module:
        """Makes the loss around a network with weights of this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return FlowLoss(DiT(SIZES[size]))

    def teacher(self, averaged: nn.Module) -> None:
        """Returns none: clips and noise are all that is learnt from."""

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draws noise levels, noise, and which clips are shown in the mirror."""
        device = generator.device
        levels = draw_levels(batch, GRID[0], generator)
        noise = torch.randn(batch, *GRID, VALUES, generator=generator, device=device)
        mirrored = torch.rand(batch, generator=generator, device=device) < 0.5
        return levels, noise, mirrored

    def optimisers(self, objective: nn.Module) -> list[torch.optim.Optimizer]:
        """Gives the matrices of the blocks to Muon, the rest to AdamW."""
        network = _network(objective)
        return optimisers(
            *parted(network, [network.blocks]),
            learning_rate=self.learning_rate,
            adamw_learning_rate=self.adamw_learning_rate,
        )

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Rises over the warm-up, stays, and falls to zero at the end."""
        return trapezoid(step, steps, self.warmup, self.decay)

    def ema(self, step: int, steps: int) -> float:
        """Returns the decay: constant, but short at first, when there is nothing to average."""
        return min(self.ema_decay, (1 + step) / (10 + step))

    def clip_flops(self, size: str) -> int:
        """Counts a forward pass over one clip."""

        def forward() -> None:
            DiT(SIZES[size])(torch.empty(1, *GRID, VALUES), torch.empty(1, GRID[0]))

        return count_flops(forward)

    def training_flops(self, size: str) -> int:
        """Counts a forward and a backward pass over one clip."""
        return TRAINING_PASSES * self.clip_flops(size)

    @torch.no_grad()
    def heldout(self, objective: nn.Module, clips: UInt8[Tensor, "n t h w 3"]) -> dict[str, Any]:
        """Measures denoising after a context of 4 frames, and rollouts against copying.

        Returns:
            ``denoising``: mean squared error of x̂ per level, values in [-1, 1]; ``rollout`` and
            ``copy_last``: mean squared error per future frame of the mean of 4 samples and of the
            last context frame, values in [0, 1].
        """
        network = _network(objective)
        device = clips.device
        noise = torch.randn(*GRID, VALUES, generator=torch.Generator().manual_seed(0)).to(device)
        few = patchify_bytes(clips[:_ROLLOUTS])
        shown = _pixels(few)
        truth, last = shown[:, _CONTEXT:], shown[:, _CONTEXT - 1 : _CONTEXT]
        return {
            "denoising": {
                str(level): _denoising_error(network, clips, noise, level) for level in _LEVELS
            },
            "rollout": _per_frame(_mean_rollout(network, few), truth),
            "copy_last": _per_frame(last.expand_as(truth), truth),
        }

    def release(self, objective: nn.Module, size: str) -> Release:
        """Returns the network's weights and shape."""
        network = _network(objective)
        return Release(dict(network.state_dict()), {"shape": vars(network.size), **FORMAT})


def _network(objective: nn.Module) -> DiT:
    assert isinstance(objective, FlowLoss)
    return objective.network


def _denoising_error(
    network: DiT,
    clips: UInt8[Tensor, "n frames height width 3"],
    noise: Float[Tensor, "t h w p"],
    level: float,
) -> float:
    context = _CONTEXT // PATCH[0]
    levels = torch.full((1, GRID[0]), level, device=clips.device)
    levels[:, :context] = 1
    total = 0.0
    for part in torch.split(clips, _AT_ONCE):
        clean = patchify_bytes(part)
        told = levels.expand(len(part), -1)
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=clips.is_cuda):
            estimate = network(noised(clean, noise.expand_as(clean), told), told)
        total += float((estimate - clean)[:, context:].square().mean(dim=(1, 2, 3, 4)).sum())
    return total / len(clips)


def _mean_rollout(
    network: DiT, clips: Float[Tensor, "n t h w p"]
) -> Float[Tensor, "n f 3 height width"]:
    """Returns the mean of a few sampled futures of each clip, as pixels."""
    context = _CONTEXT // PATCH[0]

    def estimate(patches: Tensor, levels: Tensor, given: int) -> Tensor:
        with torch.autocast(patches.device.type, torch.bfloat16, enabled=patches.is_cuda):
            told: Tensor = network(patches, levels, given)
        return told

    total = torch.zeros_like(clips[:, context:])
    for index in range(_SAMPLES):
        generator = torch.Generator().manual_seed(index)
        noise = torch.randn(*total.shape[1:], generator=generator).to(clips.device)
        parts = torch.split(clips[:, :context], _AT_ONCE)
        samples = [
            sample(estimate, part, noise.expand(len(part), *noise.shape), _SAMPLER_STEPS)
            for part in parts
        ]
        total += torch.cat(samples)
    return _pixels(total / _SAMPLES)


def _pixels(patches: Float[Tensor, "n t h w p"]) -> Float[Tensor, "n frames 3 height width"]:
    return (unpatchify(patches) + 1) / 2


def _per_frame(video: Float[Tensor, "n t 3 h w"], truth: Float[Tensor, "n t 3 h w"]) -> list[float]:
    errors: list[float] = (video - truth).square().mean(dim=(0, 2, 3, 4)).tolist()
    return errors
