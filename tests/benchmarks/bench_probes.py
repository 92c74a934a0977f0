"""Measures the probes: grids of heads at once against one by one, extraction against its bounds.

Run ``python tests/benchmarks/bench_probes.py [--device cuda] [--clips 256] [--items 4000]``.
Notable:

- a grid of 20 penalties by batched L-BFGS against 20 fits of scikit-learn at the same C, in float32
  and in float64, and against 20 linear heads trained by AdamW one after the other; test accuracies
  stand beside, since equal ones are the condition
- the attentive grid, 8 heads at once against one by one
- extraction of mean tokens against the bare forward pass of the same batches (what is decoded is in
  memory already) and, from video files, against decoding alone and the slower of the two
- on a GPU also the share of the peak (MFU), for the reference models and for an encoder of the size
  of ViT-L/16 on 16×224×224 with random weights
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from timing import seconds
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worldbench.adapter import Latents
from worldbench.batches import clip_batches, to_pixels
from worldbench.conformance.clips import moving_clips
from worldbench.data.source import Clip
from worldbench.probes.attentive_fit import Schedule, Step, fit_attentive
from worldbench.probes.extraction import Extraction
from worldbench.probes.families import grid_of
from worldbench.probes.grid import FeatureCell
from worldbench.probes.logistic import fit_logistic
from worldbench.probes.store import TokenTable
from worldbench.schema import AdapterCard, DataInfo
from worldbench.suite import Setting
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.training.compute import count_flops, peak_tflops

HEADS, CLASSES, WIDTH = 20, 16, 384


def main() -> None:
    """Prints one line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--items", type=int, default=4000)
    parser.add_argument("--only", choices=("linear", "attentive", "extraction", "decoding"))
    asked = parser.parse_args()
    device = torch.device(asked.device)
    print(f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    cases: dict[str, Callable[[], None]] = {
        "linear": lambda: linear(asked.items, device),
        "attentive": lambda: attentive(device),
        "extraction": lambda: extraction(asked.clips, device),
        "decoding": lambda: decoding(device),
    }
    for name, case in cases.items():
        if asked.only in (None, name):
            case()


def features(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws overlapping classes in correlated columns of uneven size."""
    fixed, fresh = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    spread = torch.diag(torch.logspace(0.5, -2, WIDTH))
    turn = spread @ torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=fixed))[0]
    centres, labels = torch.randn(CLASSES, WIDTH, generator=fixed), torch.arange(n) % CLASSES
    return (0.25 * centres[labels] + torch.randn(n, WIDTH, generator=fresh)) @ turn + 3, labels


def linear(n: int, device: torch.device) -> None:
    """Fits a grid of penalties in every way."""
    (x, y), (test, truth) = features(n, 1), features(2000, 2)
    inverse = np.geomspace(1e-3, 1e2, HEADS)  # C
    scaler = StandardScaler().fit(x.numpy())
    print(f"linear grid of {HEADS} heads, {n} items, {WIDTH} columns, {CLASSES} classes")

    def ours(dtype: torch.dtype) -> Tensor:
        given = x.to(device), y.to(device), CLASSES, [1 / (n * c) for c in inverse]
        scores = fit_logistic(*given, dtype=dtype).scores(test.to(device))
        return (scores.argmax(dim=2).cpu() == truth).double().mean(dim=1)

    def theirs(kind: type) -> Tensor:
        given, asked = (scaler.transform(v.numpy()).astype(kind) for v in (x, test))
        heads = [LogisticRegression(C=c, max_iter=1000).fit(given, y.numpy()) for c in inverse]
        return torch.tensor([head.score(asked, truth.numpy()) for head in heads]).double()

    def adamw() -> Tensor:
        return torch.stack([one_by_adamw(x, y, test, truth, c, device) for c in inverse])

    found: dict[str, tuple[float, Tensor]] = {}
    cases: list[tuple[str, Callable[[], Tensor], int]] = [
        ("batched L-BFGS, float32", lambda: ours(torch.float32), 3),
        ("batched L-BFGS, float64", lambda: ours(torch.float64), 3),
        ("scikit-learn one by one, float32", lambda: theirs(np.float32), 1),
        ("scikit-learn one by one, float64", lambda: theirs(np.float64), 1),
        ("AdamW one by one", adamw, 1),
    ]
    for name, case, repeats in cases:
        right: list[Tensor] = []
        spent = seconds(lambda case=case, right=right: right.append(case()), device, repeats)
        found[name] = spent, right[-1]
    base = found["batched L-BFGS, float32"]
    for name, (spent, right) in found.items():
        off = 100 * float((right - base[1]).abs().max())
        print(
            f"  {name:34s} {spent:8.2f} s ×{spent / base[0]:5.1f} best {100 * right.max():.1f} %, "
            f"heads differ by at most {off:.2f} points"
        )


def one_by_adamw(
    x: Tensor, y: Tensor, test: Tensor, truth: Tensor, inverse: float, device: torch.device
) -> Tensor:
    """Trains one linear head on standardised features, 30 passes in batches of 256."""
    centre, spread = x.mean(dim=0), x.std(dim=0)
    given, wanted = ((x - centre) / spread).to(device), y.to(device)
    torch.manual_seed(0)
    head = nn.Linear(WIDTH, CLASSES).to(device)
    optimiser = torch.optim.AdamW(head.parameters(), 1e-2, weight_decay=0)
    passes, decay = 30, 1 / (len(x) * inverse)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, passes)
    for _ in range(passes):
        for index in torch.randperm(len(x), device=device).split(256):
            optimiser.zero_grad()
            loss = cross_entropy(head(given[index]), wanted[index])
            (loss + decay / 2 * head.weight.square().sum()).backward()
            optimiser.step()
        schedule.step()
    found = head(((test - centre) / spread).to(device)).argmax(dim=1).cpu()
    return (found == truth).double().mean()


def attentive(device: torch.device) -> None:
    """Trains the attentive grid at once and head by head."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % CLASSES
    tokens = torch.randn(96, 512, WIDTH, generator=generator).bfloat16()
    table, steps = TokenTable([tokens]), [s for s in grid_of("attentive") if isinstance(s, Step)]
    schedule = Schedule(epochs=1, least=10, batch=32)

    def trained(chosen: Sequence[Step]) -> None:
        fit_attentive(table, labels, CLASSES, chosen, schedule, device=device)

    at_once = seconds(lambda: trained(steps), device, 1)
    alone = seconds(lambda: [trained([step]) for step in steps], device, 1)
    print(
        f"attentive grid of {len(steps)} heads, 10 steps of 32 clips of 512×{WIDTH}: "
        f"at once {at_once:.2f} s, one by one {alone:.2f} s, ×{alone / at_once:.1f}"
    )


class InMemory:
    """Clips of noise that need no decoding."""

    def __init__(self, clips: int, frames: int, side: int) -> None:
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (clips, frames, side, side, 3), np.uint8)
        self.frames, self.fps, self.contents, self.train = frames, 8.0, frozenset(), None
        self.protocol: dict[str, Any] = {}
        self.info = DataInfo(name="noise", digest="0", clips=clips, clusters=clips)

    def clips(self) -> list[Clip]:
        return [Clip(str(i), str(i), str(i), "", 0.0) for i in range(len(self.pixels))]

    def load(self, ids: Sequence[str]) -> np.ndarray:
        return self.pixels[[int(i) for i in ids]]


class LargeViT:
    """An encoder of the size of ViT-L/16 on tubelets of 2×16×16, with random weights."""

    def __init__(self) -> None:
        self.card = AdapterCard(
            name="vit_l", revision="vit_l", family="predictive", capabilities=("encodes",)
        )
        self.network = made_vit()
        self.network.requires_grad_(False).eval()

    def encode(
        self,
        video: Tensor,
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        self.network.to(video.device)
        b, t, _, h, w = video.shape
        tokens = self.network(video.transpose(1, 2))
        return Latents(tokens.reshape(b, t // 2, h // 16, w // 16, -1), 2)


class ViT(nn.Module):
    """Tubelets, 24 blocks of 1024 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv3d(3, 1024, (2, 16, 16), (2, 16, 16))
        block = nn.TransformerEncoderLayer(
            1024, 16, 4096, activation="gelu", batch_first=True, norm_first=True, dropout=0
        )
        self.blocks = nn.TransformerEncoder(block, 24, enable_nested_tensor=False)

    def forward(self, video: Tensor) -> Tensor:
        tokens: Tensor = self.blocks(self.patches(video).flatten(2).transpose(1, 2))
        return tokens


def made_vit() -> ViT:
    torch.manual_seed(0)
    return ViT()


def extraction(count: int, device: torch.device) -> None:
    """Extracts from clips in memory, against the forward pass of the same batches alone."""
    on_gpu = device.type == "cuda"
    precision = "bf16" if on_gpu else "fp32"
    cases: list[tuple[str, Any, str | None, int, int]] = [
        ("dit s", DiTAdapter(weights="random"), "block4", 64, count),
        ("jepa s", JEPAAdapter(weights="random"), "block4", 64, count),
    ]
    if on_gpu:
        cases.append(("ViT-L/16", LargeViT(), None, 224, count // 4))
    for name, adapter, layer, side, clips in cases:
        source = InMemory(clips, 16, side)
        size = 64 if on_gpu else 8
        setting = Setting(device, precision, batch_size=size, num_workers=2)
        cell = FeatureCell(layer, 1.0, 0.0 if name.startswith("dit") else None)
        ids = [clip.id for clip in source.clips()]

        def extracted(
            adapter: Any = adapter, setting: Setting = setting, cell=cell, ids=ids, source=source
        ) -> None:
            Extraction(adapter, setting, kept=False).pooled(source, ids, [cell])

        ready = torch.rand(min(size, clips), 16, 3, side, side, device=device)

        def forward(
            adapter: Any = adapter, setting: Setting = setting, cell=cell, clips=clips, ready=ready
        ) -> None:
            with torch.inference_mode(), setting.autocast():
                for _ in range(clips // len(ready)):
                    adapter.encode(ready, layer=cell.layer, noise=cell.noise)

        bare, whole = seconds(forward, device, 2), seconds(extracted, device, 2)
        flops = flops_of(adapter, ready[:1], cell)
        peak = peak_tflops(device, precision)
        mfu = "" if peak is None else f", MFU {flops * clips / whole / peak / 1e10:.1f} %"
        print(
            f"extraction, {name:9s} {clips / whole:8.1f} clips/s, {flops / 1e9:.1f} GFLOP a clip"
            f"{mfu}; {100 * bare / whole:.0f} % of the bare forward's {clips / bare:.1f}"
        )


def flops_of(adapter: Any, clip: Tensor, cell: FeatureCell) -> int:
    """Counts the operations of a clip."""
    if isinstance(adapter, LargeViT):
        return count_flops(lambda: ViT()(torch.empty(1, 3, *clip.shape[1:2], *clip.shape[3:])))
    from worldbench.suites.probe_fits import counted_gflops

    return int(counted_gflops(adapter, clip, cell) * 1e9)


def decoding(device: torch.device) -> None:
    """Extracts from video files, against decoding and the forward pass alone."""
    from worldbench.data.real import VideoData
    from worldbench.data.video import encode

    with tempfile.TemporaryDirectory() as folder:
        for i, clip in enumerate(moving_clips(24, 16, (128, 128))):
            encode(Path(folder, f"{i:02d}.mp4"), to_pixels(clip), 15)
        source = VideoData("generated", folder, frames=16, size=(64, 64))
        ids = [clip.id for clip in source.clips()]
        groups = [ids[i : i + 8] for i in range(0, len(ids), 8)]
        adapter = JEPAAdapter(weights="random")
        setting = Setting(device, batch_size=8, num_workers=2)
        cell = FeatureCell("block4", 1.0, None)

        def decoded() -> None:
            for _ in clip_batches(source, groups, device=device, num_workers=2):
                pass

        videos = list(clip_batches(source, groups, device=device))

        def forward() -> None:
            with torch.inference_mode():
                for video in videos:
                    adapter.encode(video, layer=cell.layer)

        def extracted() -> None:
            Extraction(adapter, setting, kept=False).pooled(source, ids, [cell])

        alone, bare, whole = (seconds(f, device, 2) for f in (decoded, forward, extracted))
        print(
            f"from files: {len(ids) / whole:.1f} clips/s; decoding alone {len(ids) / alone:.1f}, "
            f"forward alone {len(ids) / bare:.1f}: {100 * max(alone, bare) / whole:.0f} % of the "
            "slower of the two"
        )


if __name__ == "__main__":
    main()
