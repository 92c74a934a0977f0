"""Multinomial logistic regression, all penalties of a grid by one batched L-BFGS."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import one_hot, pad

from worldbench.probes.lbfgs import minimise
from worldbench.probes.spectrum import Spectrum, spectrum_of

_BLOCK_VALUES = 1 << 23  # logits held at once


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


def fit_logistic(
    x: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    classes: int,
    penalties: Sequence[float],
    *,
    tolerance: float = 1e-4,
    dtype: torch.dtype = torch.float64,
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
        penalties: λ, above 0.
        tolerance: Largest entry of a gradient at the end, scaled as the steps are.
        dtype: Of the arithmetic; float32 is twice as fast and stops where it rounds.
    """
    spectrum = spectrum_of(x)
    given = pad(spectrum(x), (0, 1), value=1.0).to(dtype)  # the last column is the offset's
    wanted = one_hot(labels, classes).to(dtype)
    heads, width = len(penalties), given.shape[1]
    weight = torch.tensor(penalties, dtype=dtype, device=x.device)[:, None]
    decay = weight.expand(heads, width).clone()
    decay[:, -1] = 0
    block = max(1, _BLOCK_VALUES // (heads * classes))

    def evaluate(flat: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
        w = flat.reshape(len(who), width, classes)
        ridge = decay[who][..., None] * w
        value, slope = (ridge * w).sum(dim=(1, 2)) / 2, ridge
        for part, target in zip(*(torch.split(v, block) for v in (given, wanted)), strict=True):
            loss, turned = _cross_entropy(part, target, w)
            value, slope = value + loss / len(given), slope + turned / len(given)
        return value, slope.flatten(1)

    variances = pad(spectrum.variances, (0, 1), value=1.0).to(dtype)
    scale = (variances / classes + decay).rsqrt()
    start = given.new_zeros(heads, width * classes)
    found = minimise(
        evaluate, start, scale.repeat_interleave(classes, dim=1), tolerance=tolerance
    ).reshape(heads, width, classes)
    return LogisticHeads(spectrum, found[:, :-1].double(), found[:, -1].double())


def _cross_entropy(
    x: Float[Tensor, "n r"], wanted: Float[Tensor, "n k"], w: Float[Tensor, "p r k"]
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p r k"]]:
    """Returns the summed loss of every head and its gradient, by two matrix products for all."""
    heads, width, classes = w.shape
    logits = (x @ w.permute(1, 0, 2).reshape(width, -1)).reshape(len(x), heads, classes)
    level = logits.logsumexp(dim=2, keepdim=True)
    loss = (level[..., 0] - (logits * wanted[:, None]).sum(dim=2)).sum(dim=0)
    excess = (logits - level).exp_() - wanted[:, None]
    slope = (x.T @ excess.reshape(len(x), -1)).reshape(width, heads, classes)
    return loss, slope.permute(1, 0, 2)
