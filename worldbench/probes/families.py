"""Every probe under one roof: its grid, its fit on mean tokens or on all tokens, its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from worldbench.probes.attentive_fit import Schedule, Step, Tokens, fit_attentive
from worldbench.probes.extraction import mean_token, rounded
from worldbench.probes.grid import STRONGEST, WEAKEST, penalties
from worldbench.probes.logistic import LogisticHeads, fit_logistic
from worldbench.probes.neighbours import NeighbourHeads, fit_neighbours
from worldbench.probes.ridge import RidgeHeads, fit_ridge

ATTENTIVE, LOGISTIC, RIDGE, KNN = PROBES = ("attentive", "logistic", "ridge", "knn")

NEIGHBOURS = (10, 20, 100, 200)
RATES, DECAYS = (1e-4, 3e-4, 1e-3, 3e-3), (0.01, 0.1)
RIDGE_PENALTIES = 25

_FEW_LOGITS = 1 << 22
"""Below so many, an accelerator would spend its time on being told what to do."""

Heads = Callable[[Float[Tensor, "n ..."]], Float[Tensor, "p n k"]]
"""Maps mean tokens ``n d``, or tokens ``n t d`` for the attentive probe, to every head's scores."""


@dataclass(frozen=True)
class Settings:
    """What the attentive probe is, and how it is trained.

    Attributes:
        depth: Of the pooler.
        schedule: Passes, batches and seed.
        device: Where all probes are fitted.
    """

    depth: int
    schedule: Schedule
    device: torch.device


def grid_of(probe: str, cells: int = 1) -> tuple[float | Step, ...]:
    """Returns the settings of a probe's heads, the middle of which is the usual one.

    Args:
        probe: One of :data:`PROBES`.
        cells: Feature cells that share the budget of the logistic probe's selection.
    """
    if probe == LOGISTIC:
        return penalties(cells)
    if probe == RIDGE:
        return penalties(1, RIDGE_PENALTIES)
    if probe == KNN:
        return tuple(map(float, NEIGHBOURS))
    return tuple(Step(rate, decay) for rate in RATES for decay in DECAYS)


def told(setting: float | Step) -> str:
    """Returns a setting as records keep it."""
    if isinstance(setting, Step):
        return f"rate {setting.rate:g}, decay {setting.decay:g}"
    return f"{setting:.3g}"


def described() -> dict[str, object]:
    """Returns all grids, JSON-serialisable."""
    return {
        LOGISTIC: {"penalties": [WEAKEST, STRONGEST]},
        RIDGE: {"penalties": [WEAKEST, STRONGEST, RIDGE_PENALTIES]},
        KNN: {"neighbours": list(NEIGHBOURS)},
        ATTENTIVE: {"rates": list(RATES), "decays": list(DECAYS)},
    }


def fit_mean(
    probe: str,
    x: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    classes: int,
    grid: Sequence[float | Step],
    device: torch.device,
) -> Heads:
    """Fits the heads of a probe that sees mean tokens.

    Args:
        probe: ``logistic``, ``ridge`` or ``knn``.
        x: Mean tokens.
        labels: Class of each item, from 0.
        classes: How many there are.
        grid: One head each.
        device: Where, if there is enough to do.
    """
    values = [value for value in grid if not isinstance(value, Step)]
    shares = [value / len(x) for value in values]
    if len(x) * classes * len(grid) < _FEW_LOGITS:
        device = torch.device("cpu")
    x, labels = x.to(device), labels.to(device)
    heads: LogisticHeads | RidgeHeads | NeighbourHeads
    if probe == LOGISTIC:
        heads = fit_logistic(x, labels, classes, shares)
    elif probe == RIDGE:
        heads = fit_ridge(x, labels, classes, shares)
    else:
        heads = fit_neighbours(x, labels, classes, [int(value) for value in values])
    return lambda given: heads.scores(given.to(device)).cpu()


def fit_tokens(
    tokens: Tokens,
    labels: Int64[Tensor, " n"],
    classes: int,
    grid: Sequence[float | Step],
    settings: Settings,
) -> Heads:
    """Trains the heads of the attentive probe."""
    steps = [value for value in grid if isinstance(value, Step)]
    heads = fit_attentive(
        tokens,
        labels,
        classes,
        steps,
        settings.schedule,
        depth=settings.depth,
        device=settings.device,
    )
    return lambda given: heads.scores(given.to(settings.device)).cpu()


def seen_by(probe: str, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n ..."]:
    """Returns what a probe sees of a clip's tokens, rounded as training features are."""
    return rounded(tokens).float() if probe == ATTENTIVE else mean_token(tokens)


@dataclass(frozen=True)
class Subset:
    """Some of the clips of a table."""

    tokens: Tokens
    index: Int64[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: Int64[Tensor, " b"]) -> Float[Tensor, "b n d"]:
        """Returns the tokens of some of them."""
        return self.tokens.take(self.index[index])
