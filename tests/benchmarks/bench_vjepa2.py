"""Measures the adapter of V-JEPA 2 on a network of ViT-L's size with random weights.

Run ``python tests/benchmarks/bench_vjepa2.py [--device cuda] [--size tiny]``. Notable:

- the adapter itself is asked, through a folder that transformers saved: what is measured holds for
  published weights of the size
- calls run as suites run them, in inference mode and, with ``--precision bf16``, under the autocast
  of ``worldbench run precision=bf16``, which is the default on a GPU
- operations are counted in one such call on one clip, those of matrix products, convolutions and
  attention; the share of the device's peak (MFU) is of these
- clips are of the network's own size and lie on the device, so that nothing is decoded or resized;
  the last line of each length says what resizing and cropping add
- a prediction is of the second half of a clip from the first
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from timing import ceiling, memory, seconds

from worldbench.adapters.vjepa2 import VJEPA2
from worldbench.flops import count
from worldbench.suite import Setting
from worldbench_models.training.compute import peak_tflops

SIZES = {
    "large": {"crop_size": 256},
    "tiny": {
        "crop_size": 64,
        "hidden_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "pred_hidden_size": 48,
        "pred_num_attention_heads": 4,
        "pred_num_hidden_layers": 2,
    },
}
"""What differs from the defaults of transformers, which are ViT-L's."""


def main() -> None:
    """Prints one line per question, length of clips and size of batches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=tuple(SIZES))
    parser.add_argument("--precision", choices=("fp32", "bf16"))
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--batch", type=int, nargs="+")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    on_gpu = device.type == "cuda"
    precision = asked.precision or ("bf16" if on_gpu else "fp32")
    setting = Setting(device, precision)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    best, peak = ceiling(device, kind), peak_tflops(device, precision)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{asked.device}, {torch.get_num_threads()} threads, {versions}")
    print(f"matrix product, {precision}: {best / 1e9:.0f} GFLOP/s")
    with tempfile.TemporaryDirectory() as folder:
        side = save(Path(folder), asked.size or ("large" if on_gpu else "tiny"))
        for frames in asked.frames:
            for batch in asked.batch or ((8, 32) if on_gpu else (1, 4)):
                measure(folder, setting, (batch, frames, side), best, peak)


def save(folder: Path, size: str) -> int:
    """Writes a network with random weights and returns the side of its clips."""
    torch.manual_seed(0)
    config = transformers.VJEPA2Config(**SIZES[size])
    model = transformers.VJEPA2Model(config)
    with torch.no_grad():
        model.predictor.embeddings.mask_tokens.normal_()  # zero ones are refused as untrained
    model.save_pretrained(folder)
    print(f"{size}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")
    return int(config.crop_size)


def measure(
    folder: str, setting: Setting, shape: tuple[int, int, int], best: float, peak: float | None
) -> None:
    """Asks for latents, predictions and surprise.

    Args:
        folder: The network.
        setting: Device and precision.
        shape: Clips at once, their frames and their side.
        best: FLOP/s of a large matrix product.
        peak: TFLOP/s of the device, if it is known.
    """
    batch, frames, side = shape
    half = frames // 2
    for framing, size in (("native", side), ("published", 2 * side)):
        adapter = VJEPA2(folder, framing=framing)
        video = torch.rand(batch, frames, 3, size, size, device=setting.device)
        uses: dict[str, Callable[..., object]] = {"encode": adapter.encode}
        if framing == "native":
            uses[f"predict {half} frames from {half}"] = partial(foreseen, adapter, half)
        for use, call in uses.items():
            with torch.inference_mode(), setting.autocast():
                flops = count(partial(call, video[:1])).flops
                clear(setting.device)
                spent = seconds(partial(call, video), setting.device, 3)
            rate = flops * batch / spent
            mfu = "" if peak is None else f", MFU {rate / peak / 1e10:.1f} %"
            print(
                f"{frames} frames of {size}², {batch} at once, {use:24s} {batch / spent:8.2f} "
                f"clips/s, {flops / 1e9:.1f} GFLOP a clip, {rate / 1e9:.0f} GFLOP/s, "
                f"{100 * rate / best:.0f} % of the product's{mfu}{memory(setting.device)}"
            )


def foreseen(adapter: VJEPA2, context: int, video: torch.Tensor) -> object:
    """Predicts what comes after the context."""
    return adapter.predict(video[:, :context], video.shape[1] - context)


def clear(device: torch.device) -> None:
    """Begins to watch memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


if __name__ == "__main__":
    main()
