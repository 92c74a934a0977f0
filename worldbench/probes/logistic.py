"""Multinomial logistic regression, all penalties of a grid along one path.

Notable: the minimiser moves smoothly with the logarithm of the penalty. From the strongest on, each
head starts where the last three point to, in float32, and needs a third to a tenth of the steps of
one that starts at 0; L-BFGS on all heads at once then ends what is left in float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import pad

from worldbench.probes.lbfgs import minimise
from worldbench.probes.spectrum import Spectrum, spectrum_of

_BLOCK_VALUES = 1 << 23  # logits, or weights, held at once
_REACH = 1e-6  # scaled gradients below this are float32's rounding
_POINTS = 3  # heads that the next one's start is extrapolated from


@dataclass(frozen=True)
class LogisticHeads:
    """One linear map per penalty.

    Attributes:
        spectrum: The axes that weights are on.
        weights: ``p r k``.
        offset: ``p k``.
    """

    spectrum: Spectrum
    weights: Float64[Tensor, "p r k"]
    offset: Float64[Tensor, "p k"]

    def scores(self, x: Float[Tensor, "n d"]) -> Float64[Tensor, "p n k"]:
        """Returns the probability of every class."""
        return (self.spectrum(x) @ self.weights + self.offset[:, None]).softmax(dim=2)


@dataclass(frozen=True)
class _Objective:
    """What every head minimises: ``x`` ends in a column of ones, which ``decay`` spares."""

    x: Float[Tensor, "n r"]
    labels: Int64[Tensor, " n"]
    classes: int
    decay: Float[Tensor, "p r"]

    def __call__(
        self, flat: Float[Tensor, "a m"], who: Int64[Tensor, " a"]
    ) -> tuple[Tensor, Tensor]:
        """Returns values ``a`` and gradients ``a m`` of some heads."""
        w = flat.reshape(len(who), -1, self.classes)
        slope = self.decay[who][..., None] * w
        value = (slope * w).sum(dim=(1, 2)) / 2
        block = max(1, _BLOCK_VALUES // (len(who) * self.classes))
        for x, labels in zip(*(torch.split(v, block) for v in (self.x, self.labels)), strict=True):
            loss, turned = _cross_entropy(x, labels, w)
            value, slope = value + loss / len(self.x), slope + turned / len(self.x)
        return value, slope.flatten(1)


def fit_logistic(
    x: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    classes: int,
    penalties: Sequence[float],
    *,
    tolerance: float = 3e-6,
) -> LogisticHeads:
    """Minimises ``mean cross-entropy + λ/2 |w|²``, features standardised, offsets free.

    The same as scikit-learn's ``LogisticRegression(C=1/(n·λ))`` on features of mean 0 and
    variance 1. On the axes of the features the Hessian at w = 0 is diagonal but for what classes
    share. L-BFGS starts from the root of its inverse: where heads end up sure of everything, most
    of that curvature is gone, and the inverse itself costs ten times the steps.

    Args:
        x: Features.
        labels: Class of each item, from 0.
        classes: How many there are.
        penalties: λ, above 0, in any order.
        tolerance: Largest entry of a gradient at the end, in float64 and scaled as the steps are.
            A goal: heads that do not reach it are still returned, and a warning is logged that
            tells how many and how far they are (:func:`worldbench.probes.lbfgs.minimise`).
            Features of little variance have small gradients long before the minimum: at
            scikit-learn's own 1e-4, unscaled, weak penalties can be points of accuracy away.
    """
    spectrum = spectrum_of(x)
    strongest = sorted(set(penalties), reverse=True)
    weight = torch.tensor(strongest, dtype=torch.float64, device=x.device)[:, None]
    decay = pad(weight.expand(-1, len(spectrum.variances)), (0, 1))
    scale = (pad(spectrum.variances, (0, 1), value=1.0) / classes + decay).rsqrt()
    scale = scale.repeat_interleave(classes, dim=1)
    objective = _Objective(pad(spectrum(x), (0, 1), value=1.0), labels, classes, decay)
    start = _path(objective, scale, [math.log(value) for value in strongest], tolerance)
    found = []
    for some in torch.split(torch.arange(len(decay), device=x.device), _at_once(scale)):
        part = replace(objective, decay=decay[some])
        found.append(minimise(part, start[some], scale[some], tolerance=tolerance))
    place = [strongest.index(value) for value in penalties]
    heads = torch.cat(found)[place].reshape(len(place), -1, classes)
    return LogisticHeads(spectrum, heads[:, :-1], heads[:, -1])


def _at_once(scale: Float[Tensor, "p m"]) -> int:
    return max(1, _BLOCK_VALUES // scale.shape[1])


def _path(
    objective: _Objective, scale: Float64[Tensor, "p m"], at: Sequence[float], tolerance: float
) -> Float64[Tensor, "p m"]:
    """Solves head after head in float32, as far as that reaches.

    Args:
        objective: Of all heads.
        scale: As for :func:`worldbench.probes.lbfgs.minimise`.
        at: Logarithm of each head's penalty, falling.
        tolerance: As for :func:`fit_logistic`.
    """
    rough = replace(objective, x=objective.x.float(), decay=objective.decay.float())
    found = scale.new_zeros(scale.shape, dtype=torch.float32)
    near = max(tolerance, _REACH)
    for i in range(len(at)):
        start = _ahead(found, at, range(max(0, i - _POINTS), i), i)[None]
        one = replace(rough, decay=rough.decay[i : i + 1])
        found[i] = minimise(one, start, scale[i : i + 1].float(), tolerance=near, rough=True)[0]
    return found.double()


def _ahead(
    found: Float[Tensor, "p m"], at: Sequence[float], known: range, i: int
) -> Float[Tensor, " m"]:
    """Returns the value at head ``i`` of the polynomial through the known ones (Lagrange)."""
    shares = [math.prod((at[i] - at[k]) / (at[j] - at[k]) for k in known if k != j) for j in known]
    return found.new_tensor(shares) @ found[known.start : known.stop]


def _cross_entropy(
    x: Float[Tensor, "n r"], labels: Int64[Tensor, " n"], w: Float[Tensor, "a r k"]
) -> tuple[Float[Tensor, " a"], Float[Tensor, "a r k"]]:
    """Returns the summed loss of every head and its gradient, by two matrix products for all."""
    heads, width, classes = w.shape
    logits = (x @ w.permute(1, 0, 2).reshape(width, -1)).reshape(len(x), heads, classes)
    logs = logits.log_softmax(dim=2)
    own = labels[:, None, None].expand(-1, heads, 1)
    loss = -logs.gather(2, own)[..., 0].sum(dim=0)
    excess = logs.exp_().scatter_add_(2, own, logs.new_full((1, 1, 1), -1.0).expand(own.shape))
    slope = (x.T @ excess.reshape(len(x), -1)).reshape(width, heads, classes)
    return loss, slope.permute(1, 0, 2)
