"""Sets of features that may outgrow memory: rows up to a cap, moments in blocks above it."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.errors import DataError
from worldbench.metrics.block_frechet import TwoBlockSets
from worldbench.metrics.blocks import BlockMoments
from worldbench.metrics.features import Extractor, FeatureMetric, Side, joined, too_small
from worldbench.options import at_least

ROWS = 1 << 16
"""Rows of a set that are kept, by default: 210 MB at D = 400."""

_SIDES: tuple[Side, Side] = ("rollout", "real")


class CappedFeatureMetric(FeatureMetric):
    """Keeps rows until there are too many, and then their moments in blocks.

    Once a process holds more rows of a set than the cap, all of them are summed up by block
    (:mod:`worldbench.metrics.blocks`) and forgotten; what remains of each is 24 bytes that tell its
    id. A clip that comes again is still counted once, but what it then brings is not compared.

    Args:
        extractor: As for :class:`worldbench.metrics.features.FeatureMetric`.
        rows: The cap, of each set and process; 2 or more.
        **kwargs: As for :class:`worldbench.metrics.features.FeatureMetric`.

    Raises:
        UsageError: If the cap is out of range.
    """

    kept = (*FeatureMetric.kept, ("moments", "folded"))
    """Packed moments beside, and the keys of the rows that are in them."""

    def __init__(
        self, extractor: Extractor | None = None, *, rows: int = ROWS, **kwargs: Any
    ) -> None:
        super().__init__(extractor, **kwargs)
        self.rows = at_least("rows", rows, 2)

    def update(
        self,
        video_or_features: Float[Tensor, "b d"] | Float[Tensor, "b t 3 h w"],
        *,
        real: bool,
        ids: Sequence[str] | None = None,
        clusters: Sequence[str] | Sequence[int] | None = None,
    ) -> None:
        """Adds clips, as :meth:`worldbench.metrics.features.FeatureMetric.update` does."""
        super().update(video_or_features, real=real, ids=ids, clusters=clusters)
        self._fold("real" if real else "rollout")

    def merge_state(self, incoming_state: "dict[str, Any] | FeatureMetric") -> None:
        """Takes over the clips of another metric, in any order."""
        super().merge_state(incoming_state)
        for side in _SIDES:
            self._fold(side)

    def blocks(self) -> TwoBlockSets | None:
        """Both sets as moments, or None while all rows are kept.

        Raises:
            DataError: If a set has fewer than two clips, widths differ, or two processes have
                summed up the same clip.
        """
        if not any(len(joined(getattr(self, f"{side}_folded"))) for side in _SIDES):
            return None
        x, y = (self._moments(side) for side in _SIDES)
        for side, found in zip(_SIDES, (x, y), strict=True):
            if (clips := int(found.count.sum())) < 2:
                raise too_small(side, clips)
        if x.mean.shape[1] != y.mean.shape[1]:
            raise DataError(
                "the two sets have features of different width",
                seen=f"{x.mean.shape[1]} and {y.mean.shape[1]}",
                fix="extract both with the same extractor",
            )
        return TwoBlockSets(x, y)

    def _fold(self, side: Side) -> None:
        """Sums rows up if there are too many; joins moments that came from several metrics."""
        held = sum(len(keys) for keys in getattr(self, f"{side}_keys"))
        # A gather wants a tensor from everyone: sync leaves empty ones where nothing is summed up.
        summed = sum(len(moments) > 0 for moments in getattr(self, f"{side}_moments"))
        if held <= self.rows and summed < 2:
            return
        keys = joined(getattr(self, f"{side}_folded"))
        if held > self.rows:
            keys = torch.cat([keys, self._new_keys(side)]) if len(keys) else self._new_keys(side)
            moments = self._moments(side)
            setattr(self, f"{side}_features", [])
            setattr(self, f"{side}_keys", [])
        else:
            moments = self._moments(side, with_rows=False)
        setattr(self, f"{side}_moments", [moments.packed])
        setattr(self, f"{side}_folded", [keys])

    def _new_keys(self, side: Side) -> Tensor:
        """Keys ``n 3`` of the kept rows that are in no moments yet."""
        ids, rows, clusters = self._distinct(side)
        width = torch.full_like(ids, rows.shape[1])
        return torch.stack([ids, clusters, width], dim=1)[self._is_new(side, ids)]

    def _is_new(self, side: Side, ids: Tensor) -> Tensor:
        folded = joined(getattr(self, f"{side}_folded"))
        known = folded[:, 0] if len(folded) else ids.new_empty(0)
        return ~(torch.isin(ids, known) & (ids % 2 == 1))  # odd hashes are of ids, which recur

    def _moments(self, side: Side, *, with_rows: bool = True) -> BlockMoments:
        parts: list[BlockMoments] = []
        folded = joined(getattr(self, f"{side}_folded"))
        widths = set(folded[:, 2].tolist()) if len(folded) else set()
        if len(folded):
            self._require_once(side, folded[:, 0])
            flat = joined(getattr(self, f"{side}_moments"))
            parts.append(BlockMoments.unpacked(flat, int(folded[0, 2])))
        if with_rows and len(joined(getattr(self, f"{side}_keys"))):
            ids, rows, clusters = self._distinct(side)
            new = self._is_new(side, ids)
            labels = torch.where(clusters == 0, ids, clusters)  # 0: every row is its own cluster
            widths.add(rows.shape[1])
            parts.append(BlockMoments.of(rows[new], labels[new]))
        if len(widths) > 1:
            raise DataError(f"the {side} set has features of different widths", seen=sorted(widths))
        if not parts:
            raise too_small(side, 0)
        return BlockMoments.merged(parts)

    def _require_once(self, side: Side, ids: Tensor) -> None:
        named = ids[ids % 2 == 1].sort().values
        twice = sorted(set(named[1:][named[1:] == named[:-1]].tolist()))
        if twice:
            raise DataError(
                f"{side} clips are in the moments of several metrics or processes",
                seen=", ".join(self._names.get(key, f"id hash {key:x}") for key in twice[:5]),
                accepted="each clip once, since sums cannot be taken apart",
                fix=f"raise rows above {self.rows}, or give every process clips of its own",
            )
