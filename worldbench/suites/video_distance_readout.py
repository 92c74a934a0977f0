"""The read-out: a frozen linear map from a predictor's latents to the extractor's features.

A latent predictor has no pixels to extract features from, so the features are read off its latents
by ridge regression, in closed form, fitted on real training clips and never on what is scored. It
reads only what a linear map finds: its ceiling, the same map applied to latents of the true
futures, is part of every score.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.errors import DataError
from worldbench.metrics.card import ExtractorCard

VERSION = 1
"""Raised whenever a read-out of the same latents gives other features; part of its name. The key of
a record does not know it: the suite's version is raised with it."""

PENALTIES = tuple(10.0 ** (half / 2) for half in range(2, -5, -1))
"""Ridge penalties tried, strongest first, in shares of the latents' total variance. None weaker
than 1 %: directions in which real latents hardly differ are where predictions stray, and a map that
makes much of them would blow that up without bound."""

_FOLDS = 4
_ROUNDING = 1e-6  # what varies less than this, relative to its size, is float32 noise


def readout_label(card: ExtractorCard) -> str:
    """Names a distance that is measured through read-outs, e.g. ``…-pca64-readout1``.

    Never the extractor's own label, so read-out and extracted features do not share a column.
    """
    return f"{card.label}-readout{VERSION}"


def pooled(latents: Latents) -> Float[Tensor, "b f"]:
    """Pools latents as the extractor pools the features of frames.

    Mean over space and time, then mean absolute change from one latent step to the next: ``f = 2
    d``. The change is that of each token, where the extractor takes that of a frame's mean: tokens
    stand for places, and most motion cancels in their mean. It is zero if there is but one step.

    Returns:
        Features ``b 2·d``, float64 on the CPU.
    """
    tokens = latents.tokens.float()
    mean = tokens.mean(dim=(1, 2, 3))
    change = torch.zeros_like(mean)
    if tokens.shape[1] > 1:
        change = tokens.diff(dim=1).abs().mean(dim=(1, 2, 3))
    return torch.cat([mean, change], dim=1).cpu().double()


@dataclass(frozen=True)
class Readout:
    """A linear map from pooled latents to features, fitted once and then frozen.

    Attributes:
        weights: ``f k``, float64.
        offset: ``k``.
        penalty: The ridge penalty, one of :data:`PENALTIES`.
        r2: Share of the features' variance, over all components, that maps of this penalty read off
            clips they were not fitted on, each clip held out once; the mean feature of the clips
            they were fitted on scores 0. The same folds chose the penalty.
        clips: Training clips.
        clusters: Their source videos.
    """

    weights: Float[Tensor, "f k"]
    offset: Float[Tensor, " k"]
    penalty: float
    r2: float
    clips: int
    clusters: int

    def __call__(self, latents: Float[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Reads features off pooled latents."""
        return latents.double() @ self.weights + self.offset


def fit_readout(
    latents: Float[Tensor, "n f"], features: Float[Tensor, "n k"], clusters: Sequence[str]
) -> Readout:
    """Fits the read-out: the penalty by cross-validation over source videos, the map on all clips.

    Args:
        latents: Pooled latents of training clips.
        features: The extractor's projected features of the same clips.
        clusters: Source video of each clip; a video's clips are never on both sides.

    Raises:
        DataError: If all clips come from one source video.
    """
    x, y = latents.double(), features.double()
    errors, apart = torch.zeros(len(PENALTIES), dtype=torch.float64), 0.0
    for out in _folds(clusters):
        apart += float((y[out] - y[~out].mean(dim=0)).square().sum())
        for i, (weights, offset) in enumerate(_ridge(x[~out], y[~out], PENALTIES)):
            errors[i] += (x[out] @ weights + offset - y[out]).square().sum()
    best = int(errors.argmin())
    ((weights, offset),) = _ridge(x, y, PENALTIES[best : best + 1])
    return Readout(
        weights,
        offset,
        penalty=PENALTIES[best],
        r2=1 - float(errors[best]) / apart,
        clips=len(x),
        clusters=len(set(clusters)),
    )


def _folds(clusters: Sequence[str]) -> list[Bool[Tensor, " n"]]:
    """Deals source videos out to folds, in the order of a hash of their names."""
    videos = sorted(set(clusters), key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(videos) < 2:
        raise DataError(
            "too few training videos for a read-out, which is fitted on some and judged on others",
            seen=len(videos),
            accepted="clips of at least 2 source videos",
            fix="more training videos, or data.train=null for the embedded training clips",
        )
    dealt = [set(videos[i::_FOLDS]) for i in range(min(_FOLDS, len(videos)))]
    return [torch.tensor([name in fold for name in clusters]) for fold in dealt]


def _ridge(
    x: Float[Tensor, "n f"], y: Float[Tensor, "n k"], penalties: Sequence[float]
) -> list[tuple[Float[Tensor, "f k"], Float[Tensor, " k"]]]:
    """Solves ridge regression on standardised columns, one decomposition for all penalties.

    Minimises ‖(x − x̄)/σ · w − (y − ȳ)‖² + p·T‖w‖², where T = ‖(x − x̄)/σ‖² makes the penalty p
    independent of the number of clips and columns.

    Returns:
        Weights and offset in the units of ``x``, per penalty.
    """
    centre, spread = x.mean(dim=0), x.std(dim=0, correction=0)
    size = x.square().mean(dim=0).sqrt()
    # A constant column carries nothing; divided by infinity it gets no weight.
    spread = torch.where(spread > _ROUNDING * size, spread, torch.inf)
    left, spectrum, right = torch.linalg.svd((x - centre) / spread, full_matrices=False)
    total, target = spectrum.square().sum(), left.T @ (y - y.mean(dim=0))
    solved = []
    for penalty in penalties:
        shrunk = spectrum / (spectrum.square() + penalty * total)
        shrunk = torch.where(spectrum > 0, shrunk, 0.0)
        weights = (right.T @ (shrunk[:, None] * target)) / spread[:, None]
        solved.append((weights, y.mean(dim=0) - centre @ weights))
    return solved
