"""Measures the JEPA: GFLOP/s of each use against the machine's matrix products, and packing.

Run ``python tests/benchmarks/bench_jepa.py [--device cuda] [--size s] [--precision bf16]``. Counted
operations are those of matrix products and attention; the ceiling is one large matrix product of
the same precision on the same device, measured in the same run, and on a GPU whose peak is known
the share of the peak (MFU) stands beside it. Training steps are whole steps: draws, targets,
forward, backward, clipping, both optimisers, averaging. They are taken as they are, the sequences
of all masks packed into one row, and with one pass per mask, which gives the same loss; and Muon's
part of them is measured against AdamW on the same matrices.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import partial

import torch
from timing import ceiling, seconds
from torch import Tensor, nn

from worldbench.noise import TrialNoise
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.loss import PredictionLoss, Teacher, taught, tokens_of
from worldbench_models.jepa.masks import View, dealt, views
from worldbench_models.jepa.network import JEPA, SHAPES
from worldbench_models.jepa.recipe import JEPARecipe
from worldbench_models.patches import FRAMES, GRID, PATCH, RESOLUTION, VALUES
from worldbench_models.training.compute import count_flops, peak_tflops
from worldbench_models.training.learner import Learner
from worldbench_models.training.optimiser import Muon

CONTEXT = 4  # frames

Tell = Callable[[str, float, int, float], None]


class LossByMask(PredictionLoss):
    """The same loss, with a pass through encoder and predictor for each kind of mask."""

    def _foreseen(self, patches: Tensor, asked: list[View]) -> Tensor:
        return torch.cat([PredictionLoss._foreseen(self, patches, [view]) for view in asked])


class TeacherByMask(Teacher):
    """The same targets, with a pass for the whole clips and for each causal context."""

    def forward(self, clips: Tensor, mirrored: Tensor, *drawn: Tensor) -> tuple[Tensor]:
        asked = views(len(clips), self.causal, drawn, self.contexts, self.backward)
        patches, multi = tokens_of(clips, mirrored), dealt(len(clips), self.causal)[0]
        blocks = [view for view in asked if view.first < multi]
        together = (self.network, patches[:multi], blocks, self.targets)
        found = [taught(*together)[0]] if multi else []
        for view in asked[len(blocks) :]:
            part = patches[view.first : view.first + view.clips]
            alone = View(view.kind, 0, view.seen, view.hidden)
            found.append(taught(self.network, part, [alone], self.targets)[0])
        return (torch.cat(found),)


class RecipeByMask(JEPARecipe):
    """The named alternative to packed sequences."""

    def objective(self, size: str, seed: int) -> nn.Module:
        packed = super().objective(size, seed)
        assert isinstance(packed, PredictionLoss)
        return LossByMask(
            packed.network,
            packed.causal,
            packed.regulariser,
            contexts=packed.contexts,
            targets=packed.targets,
            error=packed.error,
            backward=packed.backward,
        )

    def teacher(self, averaged: nn.Module) -> nn.Module | None:
        assert isinstance(averaged, PredictionLoss)
        return None if super().teacher(averaged) is None else TeacherByMask(averaged)


def main() -> None:
    """Prints one line per use and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="s", choices=SHAPES)
    parser.add_argument("--precision", default=None, choices=("fp32", "bf16"))
    asked = parser.parse_args()
    device = torch.device(asked.device)
    precision = asked.precision or ("bf16" if device.type == "cuda" else "fp32")
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best, peak = ceiling(device, kind), peak_tflops(device, precision)
    print(f"{asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix product, {precision}: {best / 1e9:.0f} GFLOP/s")

    def tell(name: str, spent: float, clips: int, flops: float) -> None:
        rate = flops * clips / spent
        mfu = "" if peak is None else f", MFU {rate / peak / 1e10:.1f} %"
        print(
            f"{name:34s} {1000 * spent / clips:9.2f} ms a clip {clips / spent:9.1f} clips/s "
            f"{rate / 1e9:9.0f} GFLOP/s, {100 * rate / best:.0f} % of the product's{mfu}"
        )

    answer(asked.size, device, precision, tell)
    train(asked.size, device, precision, tell)


def answer(size: str, device: torch.device, precision: str, tell: Tell) -> None:
    """Measures what an adapter is asked for."""
    adapter = JEPAAdapter(weights="random", size=size)
    before, after = CONTEXT // PATCH[0], (FRAMES - CONTEXT) // PATCH[0]

    def encoded(steps: int) -> int:
        return count_flops(
            lambda: JEPA(SHAPES[size]).encode(torch.empty(1, steps, *GRID[1:], VALUES))
        )

    def predicted() -> None:
        width = SHAPES[size].encoder.width
        JEPA(SHAPES[size]).predict(torch.empty(1, before, *GRID[1:], width), after)

    foreseen = encoded(before) + count_flops(predicted)
    for batch in (64, 256) if device.type == "cuda" else (1, 4, 16):
        video = torch.rand(batch, FRAMES, 3, *RESOLUTION, device=device)
        noise = TrialNoise([f"clip{i}" for i in range(batch)])
        uses: list[tuple[str, int, Callable[[], object]]] = [
            ("encode", encoded(GRID[0]), partial(adapter.encode, video)),
            (
                f"predict {FRAMES - CONTEXT} frames from {CONTEXT}",
                foreseen,
                partial(adapter.predict, video[:, :CONTEXT], FRAMES - CONTEXT),
            ),
            (
                "surprise, latent_error",
                foreseen + encoded(after),
                partial(adapter.surprise, video, CONTEXT, operator="latent_error", noise=noise),
            ),
        ]
        for name, flops, use in uses:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, precision == "bf16"),
            ):
                tell(f"{name}, batch {batch}", seconds(use, device), batch, flops)


def train(size: str, device: torch.device, precision: str, tell: Tell) -> None:
    """Measures whole training steps, packed and by mask, and Muon against AdamW."""
    on_gpu = device.type == "cuda"
    batch = JEPARecipe().plan(size).batch_size if on_gpu else 10
    repeats = 11 if on_gpu else 3
    clips = torch.randint(0, 256, (batch, FRAMES, *RESOLUTION, 3), dtype=torch.uint8, device=device)
    flops, taken = JEPARecipe().training_flops(size), {}
    for name, recipe in (("packed", JEPARecipe()), ("by mask", RecipeByMask())):
        learner = Learner(recipe, size, 0, steps=1000, device=device, autocast=precision == "bf16")
        loss_of = learner.objective
        if on_gpu:
            loss_of = torch.compile(loss_of)  # type: ignore[assignment]
            learner.compile()
        taken[name] = Stepping(learner, loss_of, clips)
    first = {name: float(step()) for name, step in taken.items()}
    print("first losses:", ", ".join(f"{name} {loss:.6f}" for name, loss in first.items()))
    require_same(first, precision)
    # In turns, so that whatever else the machine does meets both.
    rounds = [[seconds(step, device, 1) for step in taken.values()] for _ in range(repeats)]
    for name, spent in zip(taken, map(min, zip(*rounds, strict=True)), strict=True):
        tell(f"training step, {name}, batch {batch}", spent, batch, flops)

    matrices: list[Tensor] = learner.optimisers[0].param_groups[0]["params"]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    muon = seconds(Muon(matrices, 1e-6).step, device, repeats)
    adamw = seconds(torch.optim.AdamW(matrices, 1e-6, fused=on_gpu).step, device, repeats)
    print(f"Muon on {len(matrices)} matrices: {1000 * muon:.1f} ms, AdamW {1000 * adamw:.1f} ms")


def require_same(losses: Mapping[str, float], precision: str) -> None:
    """Refuses to compare the time of different losses.

    Raises:
        AssertionError: If losses of the same weights and clips differ by more than rounding.
    """
    usual = losses["packed"]
    for name, loss in losses.items():
        # Sums are taken in another order.
        wrong = abs(loss - usual) > (1e-2 if precision == "bf16" else 1e-4) * usual
        if wrong:
            raise AssertionError(f"{name} has another loss: {loss:.6f}, not {usual:.6f}")


class Stepping:
    """Takes training steps on the same clips, with the same chance from the start."""

    def __init__(self, learner: Learner, loss_of: nn.Module, clips: Tensor) -> None:
        self.learner, self.loss_of, self.clips = learner, loss_of, clips
        self.generator = torch.Generator(clips.device).manual_seed(0)

    def __call__(self) -> Tensor:
        """Returns the loss of one more step."""
        return self.learner.step(self.loss_of, self.clips, self.generator, 500)[0]


if __name__ == "__main__":
    main()
