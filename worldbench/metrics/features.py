"""State of the metrics that compare two sets of features: rows, ids and clusters.

A distance between sets must not depend on the order of updates, on batch sizes or on the number of
processes. Rows are therefore kept with a stable hash of their id and sorted by it before anything
is computed, and one that arrives twice (samplers pad the last batch of a process) counts once.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worldbench.errors import DataError, UsageError
from worldbench.metrics.card import ExtractorCard, require_same_card
from worldbench.metrics.state import PreciseMetric

Extractor = Callable[[Float[Tensor, "b t 3 h w"]], Float[Tensor, "b d"]]
Side = Literal["rollout", "real"]

DUPLICATE_TOLERANCE = 1e-3
"""Features of one clip may differ this much, relative to the largest, between batches."""

_OWN_CLUSTER = 0


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """One set, sorted by id.

    Attributes:
        features: One row per distinct clip, float64.
        clusters: A label per row; equal labels, also across sets, are one cluster.
    """

    features: Float[Tensor, "n d"]
    clusters: Int[Tensor, " n"]


class FeatureMetric(PreciseMetric):
    """Collects features of rollouts and of real clips; subclasses compute a distance from them.

    Args:
        extractor: Maps a video to features. Without it ``update`` takes features.
        card: Identity of the features; metrics with different cards do not merge.
        seed: Seed of whatever the report draws at random.
        **kwargs: As for ``torchmetrics.Metric`` (process group, sync options).
    """

    higher_is_better: bool | None = False
    kept: ClassVar[tuple[tuple[str, str], ...]] = (("features", "keys"),)
    """What is kept of each set: content ``n·d``, flat so that a process without rows can take part
    in a gather, and keys ``n 3``: id hash, cluster hash, d."""

    def __init__(
        self,
        extractor: Extractor | None = None,
        *,
        card: ExtractorCard | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.extractor, self.card, self.seed = extractor, card, seed
        self._names: dict[int, str] = {}
        for content, keys in self._pairs():
            self.add_state(content, [], dist_reduce_fx="cat")
            self.add_state(keys, [], dist_reduce_fx="cat")

    def update(
        self,
        video_or_features: Float[Tensor, "b d"] | Float[Tensor, "b t 3 h w"],
        *,
        real: bool,
        ids: Sequence[str] | None = None,
        clusters: Sequence[str] | Sequence[int] | None = None,
    ) -> None:
        """Adds clips to one of the two sets.

        Args:
            video_or_features: Clips in [0, 1] for the extractor, or features.
            real: Whether these are real clips (the reference) or rollouts.
            ids: Name of each clip, unique within its set. A clip given twice counts once. Without
                ids rows are told apart by content and equal rows all count.
            clusters: Scene or source video of each clip. By default the id, so that a rollout and
                the real clip of the same id form one cluster; without ids every row is its own.

        Raises:
            UsageError: A video without an extractor, or ids or clusters of the wrong length.
            DataError: Features that are not finite or not of the card's width.
        """
        features = self._features(video_or_features)
        names = list(ids) if ids is not None else None
        for what, labels in (("ids", names), ("clusters", clusters)):
            if labels is not None and len(labels) != len(features):
                raise UsageError(
                    f"{what} must have one entry per clip",
                    seen=f"{len(labels)} for {len(features)} clips",
                )
        side: Side = "real" if real else "rollout"
        _require_finite(features, side, names)
        # Hashes of ids are odd, of contents even: only the former mark a clip that may not recur.
        if names is not None:
            own = [_hash(name.encode()) | 1 for name in names]
            self._names.update(zip(own, names, strict=True))
            groups = own
        else:
            own = [_hash(row.numpy().tobytes()) & ~1 for row in features.cpu()]
            groups = [_OWN_CLUSTER] * len(own)
        if clusters is not None:
            groups = [_hash(str(cluster).encode()) | 1 for cluster in clusters]
        width = [features.shape[1]] * len(own)
        keys = torch.tensor([own, groups, width], dtype=torch.int64, device=self.device).T
        getattr(self, f"{side}_features").append(features.flatten())
        getattr(self, f"{side}_keys").append(keys.contiguous())

    def _features(self, given: Tensor) -> Float[Tensor, "b d"]:
        features = given
        if given.ndim != 2:
            if self.extractor is None:
                raise UsageError(
                    f"{type(self).__name__} got a video but has no extractor",
                    seen=f"shape {tuple(given.shape)}",
                    accepted="features [b, d]",
                    fix="pass extractor=… to the metric, or extract features first",
                )
            features = self.extractor(given)
        if features.ndim != 2 or (self.card is not None and features.shape[1] != self.card.dim):
            width = "d" if self.card is None else self.card.dim
            raise DataError(
                "features do not have the shape that their card states",
                seen=f"shape {tuple(features.shape)}",
                accepted=f"[b, {width}]",
            )
        return features.detach().to(self.device, torch.float64)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Adds clips like :meth:`update`; one batch of one set has no distance to return."""
        self.update(*args, **kwargs)

    def collect(self) -> tuple[FeatureSet, FeatureSet]:
        """The two sets, rollouts first, sorted by id and without repeats.

        Raises:
            DataError: If a set has fewer than two clips, widths differ, or an id came back with
                other features or another cluster.
        """
        return self._set("rollout"), self._set("real")

    def _set(self, side: Side) -> FeatureSet:
        keys = joined(getattr(self, f"{side}_keys"))
        if len(keys) < 2:
            raise too_small(side, len(keys))
        _, rows, clusters = self._distinct(side)
        # Rows without a cluster become clusters of one: labels no hash can have, unlike per side.
        alone = (clusters == _OWN_CLUSTER).nonzero().flatten()
        clusters[alone] = 2 * (alone + 1) * (1 if side == "real" else -1)
        return FeatureSet(rows, clusters)

    def _distinct(
        self, side: Side
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, "n d"], Int[Tensor, " n"]]:
        """Hashes of ids, features and clusters of the rows of a set, sorted, without repeats."""
        flat, keys = (joined(getattr(self, f"{side}_{part}")) for part in ("features", "keys"))
        widths = sorted(set(keys[:, 2].tolist()))
        if len(widths) > 1:
            raise DataError(f"the {side} set has features of different widths", seen=widths)
        ids, order = keys[:, 0].sort(stable=True)
        rows, clusters = flat.view(len(keys), -1)[order], keys[order, 1]
        first = torch.ones_like(ids, dtype=torch.bool)
        first[1:] = ids[1:] != ids[:-1]
        repeat = ~first & (ids % 2 == 1)
        for key in sorted(set(ids[repeat].tolist())):
            same = ids == key
            rows[same & first] = self._merged(rows[same], clusters[same], side, key)
        return ids[~repeat], rows[~repeat], clusters[~repeat]

    def _merged(self, rows: Tensor, clusters: Tensor, side: Side, key: int) -> Float[Tensor, " d"]:
        low, high = rows.amin(dim=0), rows.amax(dim=0)
        apart = float((high - low).max()) > DUPLICATE_TOLERANCE * float(rows.abs().max())
        if apart or bool((clusters != clusters[0]).any()):
            what = "features" if apart else "clusters"
            raise DataError(
                f"a {side} clip came twice with different {what}",
                seen=self._names.get(key, f"id hash {key:x}"),
                accepted="one clip per id and set",
                fix="give every clip its own id; number samples of one clip, e.g. 'clip/0'",
            )
        return low  # any choice that ignores the order of arrival will do

    @contextmanager
    def synced(self) -> Iterator[None]:
        """Rows of all processes inside the block, this process's own afterwards."""
        with self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self.sync_on_compute):
            yield

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gathers over processes, also from one that has seen no clip."""
        for content, keys in self._pairs():
            if not getattr(self, keys):
                empty = torch.empty(0, dtype=torch.float64, device=self.device)
                getattr(self, content).append(empty)
                getattr(self, keys).append(empty.view(0, 1).expand(0, 3).long())
        super().sync(*args, **kwargs)

    def _pairs(self) -> list[tuple[str, str]]:
        """The names of all states, content and keys."""
        return [
            (f"{side}_{content}", f"{side}_{keys}")
            for side in ("rollout", "real")
            for content, keys in self.kept
        ]

    def merge_state(self, incoming_state: "dict[str, Any] | FeatureMetric") -> None:
        """Takes over the clips of another metric, in any order.

        Raises:
            UsageError: If the two metrics have different cards.
        """
        if isinstance(incoming_state, FeatureMetric):
            require_same_card(self.card, incoming_state.card)
            self._names.update(incoming_state._names)
        super().merge_state(incoming_state)
        self._computed = None
        self._update_count: int = max(self.update_count, 1)

    def reset(self) -> None:
        """Forgets all clips."""
        super().reset()
        self._names.clear()


def too_small(side: Side, clips: int) -> DataError:
    """The error for a set without a distance."""
    return DataError(
        f"the {side} set is too small for a distance",
        seen=f"{clips} clip(s)",
        accepted="at least 2 clips in each set",
        fix=f"call update(..., real={side == 'real'}) before compute()",
    )


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big", signed=True)


def joined(state: Tensor | list[Tensor]) -> Tensor:
    """Returns a state as one tensor, before or after it was gathered."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.empty(0)


def _require_finite(features: Float[Tensor, "b d"], side: Side, ids: list[str] | None) -> None:
    bad = (~features.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        named = [ids[row] for row in bad[:5]] if ids is not None else [f"row {r}" for r in bad[:5]]
        raise DataError(
            f"the {side} set got features that are NaN or infinite",
            seen=f"{len(bad)} of {len(features)} clips: {', '.join(named)}",
            fix="look at these clips and at the extractor's precision",
        )
