"""Measures the probes: grids of heads at once against one by one, extraction against its bounds.

Run ``python tests/benchmarks/bench_probes.py [--device cuda] [--clips 256] [--items 4000]``.
Notable:

- a grid of 20 penalties along one path against 20 fits of scikit-learn at the same C and against 20
  linear heads trained by AdamW one after the other, all on the same threads. Beside each time stand
  what it was stopped by and how far it then is from the minimum, the same for all: the largest
  entry of a gradient and the largest excess of the mean loss, in float64 on standardised features,
  and the largest difference in test accuracy. Ratios mean something between rows that are as near
- scikit-learn stands there at its own tolerance of 1e-4, which ill-conditioned features meet long
  before their accuracy is the minimiser's, and at 1e-6, which comes closest to ours; AdamW with
  30 passes and with 120
- the attentive grid, 8 heads at once against one by one
- extraction of mean tokens against the bare forward pass of the same batches (what is decoded is in
  memory already) and, from video files, against decoding alone and the slower of the two
- on a GPU also the share of the peak (MFU), for the reference models and for an encoder of the size
  of ViT-L/16 on 16×224×224 with random weights
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from timing import seconds
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worldbench.adapter import Latents
from worldbench.adapters.pixels import Pixels
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
        "decoding": lambda: decoding(asked.clips, device),
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


Head = tuple[np.ndarray, np.ndarray]
"""Weights ``d k`` on standardised features, offsets ``k``."""


@dataclass(frozen=True)
class Grid:
    """A grid of logistic heads to be fitted: standardised items and penalties, strongest first."""

    x: np.ndarray
    y: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    penalties: tuple[float, ...]

    def judged(self, heads: Sequence[Head]) -> np.ndarray:
        """Returns objective, largest entry of its gradient and test accuracy of each head."""
        rows = []
        for penalty, (weights, offset) in zip(self.penalties, heads, strict=True):
            logs = log_softmax(self.x @ weights + offset, axis=1)
            loss = -logs[np.arange(len(self.y)), self.y].mean()
            excess = (np.exp(logs) - np.eye(CLASSES)[self.y]) / len(self.y)
            slopes = self.x.T @ excess + penalty * weights, excess.sum(axis=0)
            found = (self.test @ weights + offset).argmax(axis=1)
            objective = loss + penalty / 2 * np.square(weights).sum()
            largest = max(float(np.abs(slope).max()) for slope in slopes)
            rows.append((objective, largest, (found == self.truth).mean()))
        return np.array(rows)

    def path(self, device: torch.device, **options: float) -> list[Head]:
        """Fits all heads as the suite does."""
        given = torch.from_numpy(self.x).to(device), torch.from_numpy(self.y).to(device)
        found = fit_logistic(*given, CLASSES, self.penalties, **options)
        weights = (found.spectrum.axes @ found.weights / found.spectrum.spread[:, None]).cpu()
        offset = found.offset.cpu() - (found.spectrum.centre.cpu() @ weights)
        return list(zip(weights.numpy(), offset.numpy(), strict=True))

    def scikit_learn(self, tolerance: float, kind: type = np.float64) -> list[Head]:
        """Fits head after head."""
        x, heads = self.x.astype(kind), []
        for penalty in self.penalties:
            head = LogisticRegression(C=1 / (len(x) * penalty), tol=tolerance, max_iter=5000).fit(
                x, self.y
            )
            heads.append((head.coef_.T.astype(float), head.intercept_.astype(float)))
        return heads

    def adamw(self, passes: int, device: torch.device) -> list[Head]:
        """Trains head after head in batches of 256."""
        return [self._one_by_adamw(penalty, passes, device) for penalty in self.penalties]

    def _one_by_adamw(self, penalty: float, passes: int, device: torch.device) -> Head:
        given, wanted = torch.from_numpy(self.x).float().to(device), torch.from_numpy(self.y)
        torch.manual_seed(0)
        head, wanted = nn.Linear(WIDTH, CLASSES).to(device), wanted.to(device)
        optimiser = torch.optim.AdamW(head.parameters(), 1e-2, weight_decay=0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, passes)
        for _ in range(passes):
            for index in torch.randperm(len(given), device=device).split(256):
                optimiser.zero_grad()
                loss = cross_entropy(head(given[index]), wanted[index])
                (loss + penalty / 2 * head.weight.square().sum()).backward()
                optimiser.step()
            schedule.step()
        weights, offset = head.weight.detach().cpu(), head.bias.detach().cpu()
        return weights.double().numpy().T, offset.double().numpy()


def grid(n: int) -> Grid:
    """Draws one."""
    (x, y), (test, truth) = features(n, 1), features(2000, 2)
    scaler = StandardScaler().fit(x.double().numpy())
    given, asked = (scaler.transform(v.double().numpy()) for v in (x, test))
    inverse = np.geomspace(1e-3, 1e2, HEADS)  # C
    return Grid(given, y.numpy(), asked, truth.numpy(), tuple(1 / (n * inverse)))


def linear(n: int, device: torch.device) -> None:
    """Fits a grid of penalties in every way."""
    made = grid(n)
    print(f"linear grid of {HEADS} heads, {n} items, {WIDTH} columns, {CLASSES} classes")
    cases: dict[str, Callable[[], list[Head]]] = {
        "one path, as it comes": lambda: made.path(device),
        "scikit-learn, tol 1e-4": lambda: made.scikit_learn(1e-4),
        "scikit-learn, tol 1e-6": lambda: made.scikit_learn(1e-6),
        "scikit-learn, tol 1e-6, float32": lambda: made.scikit_learn(1e-6, np.float32),
        "AdamW, 30 passes": lambda: made.adamw(30, device),
        "AdamW, 120 passes": lambda: made.adamw(120, device),
    }
    best = made.judged(made.path(device, tolerance=1e-8))
    base = 0.0
    for name, case in cases.items():
        heads: list[Head] = []
        ours = name.startswith("one path")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # float32 stops where it rounds, and is judged there
            run = lambda case=case, heads=heads: heads.__setitem__(slice(None), case())  # noqa: E731
            spent = seconds(run, device, 3 if ours else 1)
        base = spent if ours else base
        off = made.judged(heads)
        points = 100 * np.abs(off[:, 2] - best[:, 2]).max()
        print(
            f"  {name:32s} {spent:7.2f} s ×{spent / base:5.1f}  gradient {off[:, 1].max():.0e}, "
            f"loss {(off[:, 0] - best[:, 0]).max():.0e} above the minimum, accuracy "
            f"{points:.2f} points off, best {off[:, 2].max():.1%}",
            flush=True,
        )


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
    from worldbench.suites.probe_fits import counted

    return counted(adapter, clip, cell).flops


def decoding(count: int, device: torch.device) -> None:
    """Extracts from video files, against decoding and the forward pass alone.

    Once with an encoder that is slower than decoding and once with one that is not.
    """
    from worldbench.data.real import VideoData
    from worldbench.data.video import encode

    with tempfile.TemporaryDirectory() as folder:
        for i, clip in enumerate(moving_clips(count, 16, (128, 128))):
            encode(Path(folder, f"{i:04d}.mp4"), to_pixels(clip), 15)
        source = VideoData("generated", folder, frames=16, size=(64, 64))
        ids = [clip.id for clip in source.clips()]
        groups = [ids[i : i + 8] for i in range(0, len(ids), 8)]
        setting = Setting(device, batch_size=8, num_workers=2)

        def decoded() -> None:
            for _ in clip_batches(source, groups, device=device, num_workers=2):
                pass

        videos = list(clip_batches(source, groups, device=device))
        alone = seconds(decoded, device, 2)
        cases: list[tuple[str, Any, FeatureCell]] = [
            ("jepa s", JEPAAdapter(weights="random"), FeatureCell("block4", 1.0, None)),
            ("pixels", Pixels(), FeatureCell(None, 1.0, None)),
        ]
        for name, adapter, cell in cases:

            def forward(adapter: Any = adapter, cell: FeatureCell = cell) -> None:
                with torch.inference_mode():
                    for video in videos:
                        adapter.encode(video, layer=cell.layer)

            def extracted(adapter: Any = adapter, cell: FeatureCell = cell) -> None:
                Extraction(adapter, setting, kept=False).pooled(source, ids, [cell])

            bare, whole = (seconds(f, device, 2) for f in (forward, extracted))
            print(
                f"from files, {name}: {len(ids) / whole:.1f} clips/s, "
                f"{100 * alone / whole:.0f} % of decoding alone ({len(ids) / alone:.1f}); forward "
                f"alone {len(ids) / bare:.1f}: {100 * max(alone, bare) / whole:.0f} % of the slower"
            )


if __name__ == "__main__":
    main()
