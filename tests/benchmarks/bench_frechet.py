"""The Fréchet solver beside those that are in use: time, and how far each is from the truth.

Run as a script: ``python tests/benchmarks/bench_frechet.py [repeats] [largest D]``. One run, on the
same random features, of every D and n. Notable:

- ``scipy``: ``sqrtm`` of the product of covariances, as most FVD code has it.
- ``torchmetrics``: its own ``_compute_fid``, float64 eigenvalues of the product.
- ``numpy eigvals``: the formula of torch-fidelity 0.4, whose package does not import without
  torchvision.
- n < D takes the small side alone: the others never see that there are few clips.
- the error is relative, against an eigendecomposition of one covariance in float64 (n ≥ D), or the
  nuclear norm of the centred features' product (n < D).
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch
from torch import Tensor
from torchmetrics.image.fid import _compute_fid

from worldbench.metrics.frechet import frechet_distance

DIMS = (400, 768, 1408, 2048)
COUNTS = (256, 2048)


def features(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Correlated features with a spectrum that falls as features of networks do."""
    generator = torch.Generator().manual_seed(d)
    spread = torch.arange(1, d + 1, dtype=torch.float64).pow(-0.7)
    x, y = (torch.randn(n, d, generator=generator, dtype=torch.float64) * spread for _ in "xy")
    return x, 1.1 * y + 0.05


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance."""
    return x.mean(dim=0), torch.cov(x.T)


def by_sqrtm(x: Tensor, y: Tensor) -> float:
    """The usual code."""
    (m1, s1), (m2, s2) = ((m.numpy(), s.numpy()) for m, s in (moments(x), moments(y)))
    root = np.real(scipy.linalg.sqrtm(s1 @ s2))
    return float(np.square(m1 - m2).sum() + np.trace(s1 + s2 - 2 * root))


def by_torchmetrics(x: Tensor, y: Tensor) -> float:
    """torchmetrics' arithmetic."""
    (m1, s1), (m2, s2) = moments(x), moments(y)
    return float(_compute_fid(m1, s1, m2, s2))


def by_eigvals(x: Tensor, y: Tensor) -> float:
    """torch-fidelity's formula."""
    (m1, s1), (m2, s2) = ((m.numpy(), s.numpy()) for m, s in (moments(x), moments(y)))
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).astype("complex128")).real
    return float(np.square(m1 - m2).sum() + np.trace(s1) + np.trace(s2) - 2 * roots.sum())


def truth(x: Tensor, y: Tensor) -> float:
    """An exact way that shares no code with any of them."""
    shift = float((x.mean(dim=0) - y.mean(dim=0)).square().sum())
    a, b = ((z - z.mean(dim=0)) / (len(z) - 1) ** 0.5 for z in (x, y))
    spread = float(a.square().sum() + b.square().sum())
    if len(x) < x.shape[1]:
        gram = (a @ b.T).numpy()
        return shift + spread - 2 * float(scipy.linalg.svdvals(gram).sum())
    values, vectors = np.linalg.eigh((a.T @ a).numpy())
    half = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(half @ (b.T @ b).numpy() @ half)
    return shift + spread - 2 * float(np.sqrt(inner.clip(0)).sum())


def best(call: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Shortest wall time, and what came out."""
    times, value = [], 0.0
    for _ in range(repeats):
        before = time.perf_counter()
        value = call()
        times.append(time.perf_counter() - before)
    return min(times), value


def main(repeats: int = 1, largest: int = DIMS[-1]) -> None:
    """Prints one row per D and n."""
    warnings.simplefilter("ignore")
    solvers = {
        "ours": lambda x, y: frechet_distance(x, y),
        "scipy sqrtm": by_sqrtm,
        "torchmetrics": by_torchmetrics,
        "numpy eigvals": by_eigvals,
    }
    print(
        f"torch {torch.__version__}, scipy {scipy.__version__}, {torch.get_num_threads()} threads"
    )
    for d in (d for d in DIMS if d <= largest):
        for n in COUNTS:
            x, y = features(n, d)
            exact, ours = truth(x, y), 0.0
            for name, solve in solvers.items():
                taken, value = best(lambda s=solve, x=x, y=y: s(x, y), repeats)
                ours = taken if name == "ours" else ours
                print(
                    f"D = {d:4d}  n = {n:4d}  {name:<14} {taken * 1e3:10.1f} ms "
                    f"x{taken / ours:7.1f}   off by {abs(value / exact - 1):.0e}",
                    flush=True,
                )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
