"""k nearest neighbours by cosine, their votes weighted, every k from one search.

As in DINO and its forerunners (Wu et al. 2018, arXiv 1805.01978): weights exp(cosine / T), T = .07.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import normalize, one_hot

TEMPERATURE = 0.07

_BLOCK_VALUES = 1 << 24  # similarities held at once


@dataclass(frozen=True)
class NeighbourHeads:
    """The items that vote, and one head per k.

    Attributes:
        centre: Mean of the items: cosines are taken from there, since what all features share
            would make them all alike.
        bank: Centred features of unit length, ``n d``.
        labels: Their classes.
        classes: How many there are.
        counts: The k's.
    """

    centre: Float64[Tensor, " d"]
    bank: Float64[Tensor, "n d"]
    labels: Int64[Tensor, " n"]
    classes: int
    counts: tuple[int, ...]

    def scores(self, x: Float[Tensor, "n d"]) -> Float64[Tensor, "p n k"]:
        """Returns each class's share of the votes, for every k; a k beyond the bank is all of it.

        Of equally near items the first of the bank count.
        """
        most = min(max(self.counts), len(self.bank))
        block = max(1, _BLOCK_VALUES // len(self.bank))
        found = [self._block(part, most) for part in torch.split(x.double(), block)]
        return torch.cat(found, dim=1)

    def _block(self, x: Float64[Tensor, "n d"], most: int) -> Float64[Tensor, "p n k"]:
        near = normalize(x - self.centre, dim=1) @ self.bank.T
        # A stable sort, so that equal similarities come out the same on every machine.
        order = near.sort(dim=1, descending=True, stable=True).indices[:, :most]
        weights = (near.gather(1, order) / TEMPERATURE).exp()
        votes = one_hot(self.labels[order], self.classes).double() * weights[..., None]
        sums = votes.cumsum(dim=1)
        chosen = torch.stack([sums[:, min(k, most) - 1] for k in self.counts])
        return chosen / chosen.sum(dim=2, keepdim=True)


def fit_neighbours(
    x: Float[Tensor, "n d"], labels: Int64[Tensor, " n"], classes: int, counts: Sequence[int]
) -> NeighbourHeads:
    """Keeps the items that vote.

    Args:
        x: Features.
        labels: Class of each item, from 0.
        classes: How many there are.
        counts: How many neighbours vote, one head each.
    """
    centre = x.double().mean(dim=0)
    bank = normalize(x.double() - centre, dim=1)
    return NeighbourHeads(centre, bank, labels, classes, tuple(counts))
