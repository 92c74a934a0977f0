"""Ridge regression on one-hot classes, in closed form for all penalties at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import one_hot

from worldbench.probes.spectrum import Spectrum, spectrum_of


@dataclass(frozen=True)
class RidgeHeads:
    """One linear map per penalty.

    Attributes:
        spectrum: The axes that weights are on.
        weights: ``p r k``.
        offset: ``k``, the same for all.
    """

    spectrum: Spectrum
    weights: Float64[Tensor, "p r k"]
    offset: Float64[Tensor, " k"]

    def scores(self, x: Float[Tensor, "n d"]) -> Float64[Tensor, "p n k"]:
        """Returns the regressed value of every class, 1 where it is sure and −1 where it is not."""
        return self.spectrum(x) @ self.weights + self.offset


def fit_ridge(
    x: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    classes: int,
    penalties: Sequence[float],
) -> RidgeHeads:
    """Minimises ``mean |x w + b − y|² + λ |w|²`` with targets ±1, features standardised.

    The same as scikit-learn's ``RidgeClassifier(alpha=n·λ)`` on features of mean 0 and variance 1.

    Args:
        x: Features.
        labels: Class of each item, from 0.
        classes: How many there are.
        penalties: λ, above 0.
    """
    spectrum = spectrum_of(x)
    along = spectrum(x)
    targets = one_hot(labels, classes).double() * 2 - 1
    offset = targets.mean(dim=0)
    right = along.T @ (targets - offset) / len(x)
    shrink = (
        spectrum.variances + torch.tensor(penalties, dtype=torch.float64, device=x.device)[:, None]
    )
    return RidgeHeads(spectrum, right / shrink[:, :, None], offset)
