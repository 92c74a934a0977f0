"""Measures the DiT: GFLOP/s of each use against the machine's matrix products, and batching.

Run ``python tests/benchmarks/bench_dit.py [--device cuda] [--size s] [--precision bf16]``. Counted
operations are those of matrix products, attention and convolutions; the ceiling is one large matrix
product of the same precision on the same device, measured in the same run, and on a GPU whose peak
is known the share of the peak (MFU) stands beside it. Training steps are whole steps: draws,
forward, backward, clipping, both optimisers, averaging.
"""

import argparse
from collections.abc import Callable

import torch
from timing import ceiling, seconds
from torch import Tensor

from worldbench.flops import count
from worldbench_models.blocks import SIZES
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.dit.network import DiT
from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.patches import FRAMES, RESOLUTION
from worldbench_models.pixels import to_patches
from worldbench_models.training.compute import TRAINING_PASSES, peak_tflops
from worldbench_models.training.learner import Learner
from worldbench_models.training.optimiser import Muon

CONTEXT, STEPS = 4, 20


def main() -> None:
    """Prints one line per use and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="s")
    parser.add_argument("--precision", default=None, choices=("fp32", "bf16"))
    asked = parser.parse_args()
    device = torch.device(asked.device)
    on_gpu = device.type == "cuda"
    precision = asked.precision or ("bf16" if on_gpu else "fp32")
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best, peak = ceiling(device, kind), peak_tflops(device, precision)
    print(f"{asked.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"matrix product, {precision}: {best / 1e9:.0f} GFLOP/s")

    recipe = DiTRecipe()
    forward = recipe.clip_flops(asked.size)
    adapter = DiTAdapter(weights="random", size=asked.size, sampler_steps=STEPS)

    def tell(name: str, spent: float, clips: int, flops: float) -> None:
        rate = flops * clips / spent
        mfu = "" if peak is None else f", MFU {rate / peak / 1e10:.1f} %"
        print(
            f"{name:28s} {1000 * spent / clips:9.2f} ms a clip {clips / spent:9.1f} clips/s "
            f"{rate / 1e9:9.0f} GFLOP/s, {100 * rate / best:.0f} % of the product's{mfu}"
        )

    def cast(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, precision == "bf16"),
            ):
                return action()

        return run

    for batch in (64, 256) if on_gpu else (1, 4, 16):
        video = torch.rand(batch, FRAMES, 3, *RESOLUTION, device=device)
        action = cast(lambda v=video: adapter.encode(v))
        tell(f"encode, batch {batch}", seconds(action, device), batch, count(action).flops / batch)
    for batch in (64,) if on_gpu else (1, 4):
        video = torch.rand(batch, CONTEXT, 3, *RESOLUTION, device=device)
        seeds = list(range(batch))
        action = cast(lambda v=video, s=seeds: adapter.generate(v, 12, samples=1, seeds=s))
        spent, flops = seconds(action, device, repeats=1), count(action).flops / batch
        tell(f"rollout, {STEPS} steps, batch {batch}", spent, batch, flops)
    tell_what_given_steps_save(asked.size, device, cast)
    train(recipe, asked.size, device, precision, lambda *given: tell(*given, 3 * forward))


def tell_what_given_steps_save(
    size: str,
    device: torch.device,
    cast: Callable[[Callable[[], object]], Callable[[], object]],
) -> None:
    """Compares estimates of the last 3 of 8 latent steps with estimates of all."""
    batch = 64 if device.type == "cuda" else 2
    clips = torch.rand(batch, FRAMES, 3, *RESOLUTION, device=device)
    patches = to_patches(clips, min(RESOLUTION))
    given = patches.shape[1] - 3
    levels = torch.full(patches.shape[:2], 0.5, device=device)
    levels[:, :given] = 1
    network = DiT(SIZES[size]).to(device)
    after, whole = (
        seconds(cast(lambda n=n: network(patches, levels, n)), device) for n in (given, 0)
    )
    print(
        f"estimates after {given} given steps {1000 * after / batch:.2f} ms a clip, of all "
        f"{1000 * whole / batch:.2f} ms: {whole / after:.2f} times as long"
    )


def train(
    recipe: DiTRecipe,
    size: str,
    device: torch.device,
    precision: str,
    tell: Callable[[str, float, int], None],
) -> None:
    """Measures whole training steps, and Muon's part of them against torch's own Muon."""
    assert TRAINING_PASSES == 3
    batch = recipe.plan(size).batch_size if device.type == "cuda" else 8
    learner = Learner(recipe, size, 0, steps=1000, device=device, autocast=precision == "bf16")
    loss_of = learner.objective
    if device.type == "cuda":
        loss_of = torch.compile(loss_of)  # type: ignore[assignment]
    clips = torch.randint(0, 256, (batch, FRAMES, *RESOLUTION, 3), dtype=torch.uint8, device=device)
    generator = torch.Generator(device).manual_seed(0)
    repeats = 11 if device.type == "cuda" else 1
    spent = seconds(lambda: learner.step(loss_of, clips, generator, 500), device, repeats)
    tell(f"training step, batch {batch}", spent, batch)

    matrices: list[Tensor] = learner.optimisers[0].param_groups[0]["params"]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    ours = seconds(Muon(matrices, 1e-6).step, device, repeats)
    theirs = seconds(torch.optim.Muon(matrices, 1e-6).step, device, repeats)  # type: ignore[arg-type]
    print(f"Muon on {len(matrices)} matrices: {1000 * ours:.1f} ms, torch's {1000 * theirs:.1f} ms")


if __name__ == "__main__":
    main()
