"""Moments of features in blocks: what is left of a set that is too large to be kept row by row.

Rows fall into blocks by the stable hash of their cluster, so that clusters stay whole and a rollout
and the real clip of one scene fall into the same. Halves of the blocks are halves of the set, and
blocks are clusters of clusters: extrapolation, standard error and noise floor of the Fréchet
distance need no row. Each block is shifted to its own mean (Chan, Golub and LeVeque 1983), which a
mean far from 0 does not hurt; merging blocks is exact up to float64's rounding, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

BLOCKS = 32
"""Blocks of a set. Their memory is 8·32·D² bytes: 41 MB at D = 400, 1.1 GB at D = 2048."""


@dataclass(frozen=True)
class BlockMoments:
    """Number, mean and scatter of the rows of each block.

    Attributes:
        count: Rows, ``k``.
        mean: Their mean; 0 where there are none, ``k d``.
        scatter: Sum of the outer products of what is left after the mean, ``k d d``.
    """

    count: Float64[Tensor, " k"]
    mean: Float64[Tensor, "k d"]
    scatter: Float64[Tensor, "k d d"]

    @classmethod
    def of(
        cls, rows: Float64[Tensor, "n d"], labels: Int64[Tensor, " n"], blocks: int = BLOCKS
    ) -> "BlockMoments":
        """Sums rows up.

        Args:
            rows: Features.
            labels: A stable hash of each row's cluster.
            blocks: How many blocks there are.
        """
        # Hashes are marked in their lowest bit, so that the next ones choose.
        place = (labels >> 1).remainder(blocks)
        found = [_moments(rows[place == block]) for block in range(blocks)]
        return cls(*(torch.stack(part) for part in zip(*found, strict=True)))

    @classmethod
    def unpacked(
        cls, flat: Float64[Tensor, " _"], width: int, blocks: int = BLOCKS
    ) -> "BlockMoments":
        """Reads what :meth:`packed` wrote, of one set or of several behind each other."""
        found = []
        for part in flat.view(-1, blocks, 1 + width + width**2):
            mean, scatter = part[:, 1 : 1 + width], part[:, 1 + width :]
            found.append(cls(part[:, 0], mean, scatter.reshape(blocks, width, width)))
        return cls.merged(found)

    @property
    def packed(self) -> Float64[Tensor, " _"]:
        """All numbers in one row."""
        columns = [self.count[:, None], self.mean, self.scatter.flatten(1)]
        return torch.cat(columns, dim=1).flatten()

    @classmethod
    def merged(cls, parts: Sequence["BlockMoments"]) -> "BlockMoments":
        """Joins the rows of several, block by block."""
        counts, means, scatters = (
            torch.stack([getattr(part, name) for part in parts])
            for name in ("count", "mean", "scatter")
        )
        count = counts.sum(dim=0)
        share = counts / count.clamp(min=1)
        mean = (share[..., None] * means).sum(dim=0)
        off = means - mean
        between = torch.einsum("pk,pki,pkj->kij", counts, off, off)
        return cls(count, mean, scatters.sum(dim=0) + between)

    def pooled(
        self, kept: Bool[Tensor, " k"]
    ) -> tuple[float, Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
        """Returns number, mean and scatter of all rows of some blocks."""
        weight = kept * self.count
        count = weight.sum()
        mean = weight @ self.mean / count.clamp(min=1)
        off = self.mean - mean
        scatter = torch.tensordot(kept.to(self.scatter), self.scatter, dims=1)
        return float(count), mean, scatter + (weight[:, None] * off).T @ off

    def around(self, centre: Float64[Tensor, " d"]) -> Float64[Tensor, "k d d"]:
        """Returns each block's sum of outer products around a point."""
        off = self.mean - centre
        return self.scatter + self.count[:, None, None] * off[:, :, None] * off[:, None, :]


def _moments(rows: Float64[Tensor, "n d"]) -> tuple[Tensor, Tensor, Tensor]:
    count = rows.new_tensor(float(len(rows)))
    mean = rows.sum(dim=0) / count.clamp(min=1)
    off = rows - mean
    return count, mean, off.T @ off
