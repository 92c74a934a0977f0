"""How the JEPA is trained: what the loop asks of it (design §11)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from worldbench.errors import UsageError, unknown_name
from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.jepa.heldout import HeldOut
from worldbench_models.jepa.loss import ERRORS, TARGETS, PredictionLoss, Teacher
from worldbench_models.jepa.masks import CONTEXTS, MULTI, dealt, draw_masks
from worldbench_models.jepa.network import JEPA, SHAPES
from worldbench_models.jepa.sigreg import draw_directions
from worldbench_models.options import recipe_numbers
from worldbench_models.patches import FORMAT, FRAMES, GRID, PATCH, RESOLUTION, VALUES
from worldbench_models.training.compute import TRAINING_PASSES, count_flops
from worldbench_models.training.optimiser import adamw, cosine, optimisers, parted
from worldbench_models.training.recipe import Plan, Release

COLLAPSE = ("ema", "sigreg")
OPTIMISERS = ("muon", "adamw")
_SLICES = 256  # directions that SIGReg looks along in a step
# Over very many steps latents drift into a code that tells little of a scene: fewer steps of more
# clips end before that, and a GPU does them faster. Measured: the card of jepa-s.
_LARGER = 3
_COUNTED = 8400  # clips whose passes are counted: in shares of .05, every mask gets whole clips


class JEPARecipe:
    """Prediction of masked latents.

    Args:
        collapse: What keeps latents from collapsing, ``ema`` or ``sigreg``
            (:mod:`worldbench_models.jepa.loss`).
        optimiser: Of the matrices of the blocks, ``muon`` or ``adamw``.
        learning_rate: Of Muon.
        adamw_learning_rate: Of AdamW, which has everything else as well.
        weight_decay: Of the matrices of the blocks, by AdamW; Muon has none.
        warmup: Share of the steps until the learning rates are reached.
        cosine: Share of a cosine that they then fall along.
        causal: Share of clips with causal masks.
        contexts: Latent steps, 1 to 7, that those leave to be seen; equal shares of them.
        targets: What the targets of causal masks are encoded in, ``alone`` or ``clip``
            (:mod:`worldbench_models.jepa.loss`).
        error: How far a prediction is off, ``l1``, ``smooth_l1`` or ``l2``
            (:data:`worldbench_models.jepa.loss.ERRORS`).
        backward: Share of the causal masks that hide what came first, not what comes.
        ema_start: Decay of the averaged weights, which are the teacher, per step at the beginning.
        ema_end: At the end; in between it rises linearly.
        sigreg: Weight of SIGReg in the loss; without effect where ``collapse`` is ``ema``.

    Raises:
        UsageError: If an option is out of range.
    """

    def __init__(
        self,
        collapse: str = "ema",
        optimiser: str = "muon",
        learning_rate: float = 1.2e-3,
        adamw_learning_rate: float = 8e-4,
        weight_decay: float = 0.04,
        warmup: float = 0.1,
        cosine: float = 0.8,
        causal: float = 0.5,
        contexts: Sequence[int] = CONTEXTS,
        targets: str = "alone",
        error: str = "l2",
        backward: float = 0.0,
        ema_start: float = 0.99,
        ema_end: float = 0.9995,
        sigreg: float = 0.05,
    ) -> None:
        if collapse not in COLLAPSE:
            raise unknown_name("model.collapse", collapse, COLLAPSE, fix="model.collapse=ema")
        if optimiser not in OPTIMISERS:
            raise unknown_name(
                "model.optimiser", str(optimiser), OPTIMISERS, fix="model.optimiser=adamw"
            )
        if error not in ERRORS:
            raise unknown_name("model.error", str(error), ERRORS, fix="model.error=l2")
        if targets not in TARGETS:
            raise unknown_name("model.targets", str(targets), TARGETS, fix="model.targets=clip")
        shares = {
            "learning_rate": learning_rate,
            "adamw_learning_rate": adamw_learning_rate,
            "weight_decay": weight_decay,
            "warmup": warmup,
            "cosine": cosine,
            "causal": causal,
            "backward": backward,
            "ema_start": ema_start,
            "ema_end": ema_end,
            "sigreg": sigreg,
        }
        recipe_numbers("jepa", {option: (value, 1.0) for option, value in shares.items()})
        self.collapse, self.regulariser = collapse, sigreg
        self.optimiser, self.weight_decay = optimiser, weight_decay
        self.learning_rate, self.adamw_learning_rate = learning_rate, adamw_learning_rate
        self.warmup, self.cosine, self.causal = warmup, cosine, causal
        self.contexts, self.targets = checked_contexts(contexts), targets
        self.error, self.backward = error, backward
        self.ema_start, self.ema_end = ema_start, ema_end
        self._heldout = HeldOut([PATCH[0] * steps for steps in self.contexts])

    def plan(self, size: str) -> Plan:
        """Returns batches larger than the DiT's, and steps that take its training's operations.

        Raises:
            UsageError: If there is no such size.
        """
        other = DiTRecipe()
        usual = other.plan(size)
        share = other.training_flops(size) / self.training_flops(size)
        return Plan(round(usual.steps * share / _LARGER / 100) * 100, usual.batch_size * _LARGER)

    def objective(self, size: str, seed: int) -> nn.Module:
        """Makes the loss around a network with weights of this seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = JEPA(SHAPES[size])
        return self._loss(network, self.regulariser if self.collapse == "sigreg" else None)

    def _loss(self, network: JEPA, regulariser: float | None = None) -> PredictionLoss:
        return PredictionLoss(
            network,
            self.causal,
            regulariser,
            contexts=self.contexts,
            targets=self.targets,
            error=self.error,
            backward=self.backward,
        )

    def teacher(self, averaged: nn.Module) -> nn.Module | None:
        """Returns the averaged weights as a teacher, where targets are theirs."""
        assert isinstance(averaged, PredictionLoss)
        return Teacher(averaged) if self.collapse == "ema" else None

    def draws(self, size: str, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draws which clips are shown in the mirror, and the multi-block masks."""
        mirrored = torch.rand(batch, generator=generator, device=generator.device) < 0.5
        masks = draw_masks(dealt(batch, self.causal)[0], generator)
        if self.collapse == "ema":
            return mirrored, *masks
        width = SHAPES[size].encoder.width
        return mirrored, *masks, draw_directions(width, _SLICES, generator)

    def optimisers(self, objective: nn.Module) -> list[torch.optim.Optimizer]:
        """Gives the matrices of the blocks to Muon and the rest to AdamW, or all to AdamW."""
        network = _network(objective)
        both = parted(network, [network.encoder.blocks, network.predictor.blocks])
        rate = self.adamw_learning_rate
        if self.optimiser == "adamw":
            return adamw(*both, learning_rate=rate, decay=self.weight_decay)
        return optimisers(*both, learning_rate=self.learning_rate, adamw_learning_rate=rate)

    def learning_rate_factor(self, step: int, steps: int) -> float:
        """Rises over the warm-up and falls along a cosine that is cut off."""
        return cosine(step, steps, self.warmup, self.cosine)

    def ema(self, step: int, steps: int) -> float:
        """Returns the decay, which rises linearly."""
        return self.ema_start + (self.ema_end - self.ema_start) * step / max(steps, 1)

    def clip_flops(self, size: str) -> int:
        """Counts encoding a clip, and foreseeing three quarters of it from the rest."""

        def forward() -> None:
            network = JEPA(SHAPES[size])
            context = 4 // PATCH[0]
            network.encode(torch.empty(1, *GRID, VALUES))
            latents = torch.empty(1, context, *GRID[1:], SHAPES[size].encoder.width)
            network.predict(latents, GRID[0] - context)

        return count_flops(forward)

    def training_flops(self, size: str) -> float:
        """Counts student and predictor with gradient, and the targets: with it, or without."""
        multi, _ = dealt(_COUNTED, self.causal)

        def given() -> tuple[Tensor, ...]:
            clips = torch.zeros(_COUNTED, FRAMES, *RESOLUTION, 3, dtype=torch.uint8)
            kinds = [n for kind in MULTI.values() for n in (kind.seen, kind.hidden)]
            masks = [torch.zeros(multi, n, dtype=torch.long) for n in kinds]
            return clips, torch.zeros(_COUNTED, dtype=torch.bool), *masks

        def targets() -> tuple[Tensor]:
            return Teacher(self._loss(JEPA(SHAPES[size]))).forward(*given())

        def whole() -> None:
            self._loss(JEPA(SHAPES[size]))(*given(), *targets())

        taught = count_flops(targets)
        passes = TRAINING_PASSES if self.collapse == "sigreg" else 1
        counted = TRAINING_PASSES * (count_flops(whole) - taught) + passes * taught
        return counted / _COUNTED

    @torch.no_grad()
    def heldout(self, objective: nn.Module, clips: UInt8[Tensor, "n t h w 3"]) -> dict[str, Any]:
        """Measures how far latents are from collapse, and what they and predictions are worth.

        See :meth:`worldbench_models.jepa.heldout.HeldOut.measure`.
        """
        return self._heldout.measure(_network(objective), clips)

    def release(self, objective: nn.Module, size: str) -> Release:
        """Returns the weights of encoder and predictor, and their shape."""
        network = _network(objective)
        return Release(dict(network.state_dict()), {"shape": asdict(network.shape), **FORMAT})


def checked_contexts(value: object) -> tuple[int, ...]:
    """Returns the value, distinct numbers of latent steps that leave a future; the fewest first.

    Raises:
        UsageError: If they are anything else.
    """
    given = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    steps = [each for each in given if type(each) is int and 0 < each < GRID[0]]
    if not given or len(set(steps)) != len(given):
        raise UsageError(
            "model.contexts is out of range",
            seen=repr(value),
            accepted=f"a list of distinct integers from 1 to {GRID[0] - 1}",
            fix=f"model.contexts=[{','.join(map(str, CONTEXTS))}]",
        )
    return tuple(sorted(steps))


def _network(objective: nn.Module) -> JEPA:
    assert isinstance(objective, PredictionLoss)
    return objective.network
