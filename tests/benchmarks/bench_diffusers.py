"""Measures the adapter of diffusers on a Wan of 1.3 B parameters with random weights.

Run ``python tests/benchmarks/bench_diffusers.py [cuda] [--size tiny]``. Notable:

- the adapter itself is asked, through a folder that diffusers saved: what is measured holds for
  published weights of the size. The transformer has the sizes of Wan 2.1 1.3 B and takes a picture
  as Wan 2.2 does, beside the latents; the autoencoder is Wan's
- nothing reads texts: the empty prompt's embeddings are a file of random numbers, 512 tokens as in
  use, and there is no guidance, as without a prompt
- every call of the transformer is timed by itself, the device waited for before and after; a
  clip's other time is that of the autoencoder, which computes in fp32
- operations are counted in one call of the transformer, those of matrix products, convolutions and
  attention; the share of the device's peak (MFU) is of these
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from timing import ceiling, memory

from worldbench import flops
from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.adapters.diffusers.loading import quiet
from worldbench.noise import TrialNoise
from worldbench_models.training.compute import peak_tflops

SIZES: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "1.3b": (
        {"num_attention_heads": 12, "attention_head_dim": 128, "ffn_dim": 8960, "num_layers": 30},
        {},
    ),
    "tiny": (
        {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 2},
        {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1},
    ),
}
"""Of the transformer, and what of the autoencoder differs from Wan's."""

CONTEXT = 4
KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def main() -> None:
    """Prints the time of a denoising step, of a clip and of a denoising error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", nargs="?", default="cpu")
    parser.add_argument("--size", choices=tuple(SIZES))
    parser.add_argument("--dtype", choices=tuple(KINDS))
    parser.add_argument("--frames", type=int, nargs="+", help="4k+1, the frame shown included")
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--steps", type=int, default=4)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    large = (asked.size or ("1.3b" if device.type == "cuda" else "tiny")) == "1.3b"
    dtype = asked.dtype or ("bf16" if device.type == "cuda" else "fp32")
    best, peak = ceiling(device, KINDS[dtype]), peak_tflops(device, dtype)
    versions = f"torch {torch.__version__}, diffusers {diffusers.__version__}"
    print(f"{asked.device}, {torch.get_num_threads()} threads, {versions}")
    print(f"matrix product, {dtype}: {best / 1e9:.0f} GFLOP/s")
    size = (asked.height or (480 if large else 32), asked.width or (832 if large else 32))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save(folder, "1.3b" if large else "tiny", KINDS[dtype])
        for frames in asked.frames or ((17, 81) if large else (5, 9)):
            adapter = Diffusers(
                str(folder),
                steps=asked.steps,
                dtype=dtype,
                frames=frames,
                embeddings=str(folder / "empty.safetensors"),
                levels=[0.5],
            )
            measure(adapter, device, (frames, *size), best, peak)
            del adapter
            if device.type == "cuda":
                torch.cuda.empty_cache()


def save(folder: Path, size: str, kind: torch.dtype) -> None:
    """Writes a pipeline with random weights and the embeddings of a prompt."""
    torch.manual_seed(0)
    sizes, autoencoder = SIZES[size]
    network = diffusers.WanTransformer3DModel(**sizes, in_channels=36, out_channels=16)
    vae = diffusers.AutoencoderKLWan(**autoencoder)
    count = sum(p.numel() for p in network.parameters())
    print(f"{size}: transformer {count / 1e6:.1f} M parameters")
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    with quiet():
        diffusers.WanImageToVideoPipeline(
            tokenizer=None,
            text_encoder=None,
            vae=vae,
            scheduler=scheduler,
            transformer=network.to(kind),
        ).save_pretrained(folder)
    save_file({"prompt_embeds": torch.randn(1, 512, 4096)}, folder / "empty.safetensors")


def measure(
    adapter: Diffusers,
    device: torch.device,
    shape: tuple[int, int, int],
    best: float,
    peak: float | None,
) -> None:
    """Asks for a rollout and for a denoising error, each once to warm up.

    Args:
        adapter: The pipeline.
        device: Where it computes.
        shape: Frames of a clip, the one shown included, height and width.
        best: FLOP/s of a large matrix product.
        peak: TFLOP/s of the device, if it is known.
    """
    frames, height, width = shape
    video = torch.rand(1, CONTEXT + frames - 1, 3, height, width, device=device)
    uses: dict[str, Callable[[], object]] = {
        "rollout": lambda: adapter.generate(video[:, :CONTEXT], frames - 1, samples=1, seeds=[0]),
        "denoising error at one level": lambda: adapter.surprise(
            video, CONTEXT, operator="denoising_error", noise=TrialNoise(["trial"])
        ),
    }
    for use, call in uses.items():
        with torch.inference_mode():
            with counted() as counts:
                call()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            with timed(device) as steps:
                start = now(device)
                call()
                spent = now(device) - start
        step, count = min(steps), counts[0].flops
        rate = count / step
        mfu = "" if peak is None else f", MFU {rate / peak / 1e10:.1f} %"
        incomplete = f" ({counts[0].why_incomplete})" if counts[0].why_incomplete else ""
        print(
            f"{frames} frames of {height}×{width}, {use}: {spent:.2f} s a clip, {len(steps)} "
            f"steps of {step:.3f} s, {spent - sum(steps):.2f} s beside them; {count / 1e9:.1f} "
            f"GFLOP a step{incomplete}, {rate / 1e9:.0f} GFLOP/s, "
            f"{100 * rate / best:.0f} % of the product's{mfu}{memory(device)}"
        )


@contextmanager
def counted() -> Iterator[list[flops.Counted]]:
    """Counts the operations of the first call of the transformer."""
    found: list[flops.Counted] = []

    def count(call: Callable[[], Any]) -> Any:
        if found:
            return call()
        said: list[Any] = []
        found.append(flops.count(lambda: said.append(call())))
        return said[0]

    with around_the_transformer(count):
        yield found


@contextmanager
def timed(device: torch.device) -> Iterator[list[float]]:
    """Times every call of the transformer."""
    found: list[float] = []

    def clock(call: Callable[[], Any]) -> Any:
        start = now(device)
        said = call()
        found.append(now(device) - start)
        return said

    with around_the_transformer(clock):
        yield found


@contextmanager
def around_the_transformer(wrapper: Callable[[Callable[[], Any]], Any]) -> Iterator[None]:
    """Has every call of a transformer go through a function."""
    kind: Any = diffusers.WanTransformer3DModel
    usual = kind.forward

    def forward(self: Any, *args: Any, **options: Any) -> Any:
        return wrapper(lambda: usual(self, *args, **options))

    kind.forward = forward
    try:
        yield
    finally:
        kind.forward = usual


def now(device: torch.device) -> float:
    """Returns the time when the device has done all it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


if __name__ == "__main__":
    main()
