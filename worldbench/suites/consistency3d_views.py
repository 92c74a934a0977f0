"""Asks about views: rolls them out, and measures the geometry of pixels and of latents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter, Encodes, Generates, Predicts
from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.data.worlds.data import WorldData
from worldbench.errors import DataError
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Row
from worldbench.suites.consistency3d import VIEWS
from worldbench.suites.consistency3d_readout import (
    VERSION,
    Future,
    GeometryReadout,
    fit_geometry,
)
from worldbench.suites.correspondence_recall import recall_by_angle
from worldbench.suites.futures import OWN, encoded, foreseen, spaces_of
from worldbench.suites.quad_trials import Cut, QuadSource
from worldbench.suites.surprise import Asking
from worldbench.suites.view_geometry import View, patch_of
from worldbench.suites.view_rows import (
    future_frames,
    geometry_rows,
    latent_rows,
    pixel_rows,
    unmeasured,
)

_AT_ONCE = 16


@dataclass(frozen=True)
class ViewReader:
    """Rolls views out and measures them.

    Attributes:
        data: The views; its training split is what read-outs are fitted on.
        asking: How questions are put.
    """

    data: QuadSource
    asking: Asking
    _readouts: dict[tuple[str, str], GeometryReadout] = field(default_factory=dict)

    def rows(
        self, adapter: Adapter, trials: Sequence[Trial], video: Float[Tensor, "n t 3 h w"], cut: Cut
    ) -> list[list[Row]]:
        """Returns the rows of each view.

        Roles: ``anchored`` (one per school and gap), ``path``, ``tsed``, ``geometry`` (one per
        space and future), ``correspondence`` (one per angle).

        Args:
            adapter: Who is asked.
            trials: The views.
            video: Their clips.
            cut: Where all of them are cut.

        Raises:
            ContractError: If the adapter's answers break the contract.
            DataError: If there are no training views to fit read-outs on.
        """
        size = (video.shape[3], video.shape[4])
        views = [View(self.data.track(t.clips[0]), size, video.device) for t in trials]
        context, whole = video[:, : cut.context], video[:, : cut.end]
        future = whole[:, cut.context :]
        rows: list[list[Row]] = [[] for _ in trials]
        rolled = None
        if isinstance(adapter, Generates):
            rolled = self.asking.rollouts(adapter, context, cut.horizon, [t.id for t in trials])
            for i, view in enumerate(views):
                rows[i] += pixel_rows(view, context[i], future[i], rolled[i], cut)
        setting, card = self.asking.setting, adapter.card
        came = {space: encoded(adapter, space, future, setting) for space in spaces_of(card)}
        expected = None
        if rolled is None and isinstance(adapter, Predicts) and OWN in came:
            expected = foreseen(adapter, context, cut.horizon, setting)
            seen = encoded(adapter, OWN, context, setting)
            for i, view in enumerate(views):
                rows[i] += latent_rows(card, view, seen[i], came[OWN][i], expected[i])
        for space, real in came.items():
            own = expected if rolled is None else encoded(adapter, space, rolled[:, 0], setting)
            for i, more in enumerate(self._geometry(adapter, space, views, whole, real, own, cut)):
                rows[i] += more
        if isinstance(adapter, Encodes):
            tokens = encoded(adapter, OWN, whole, setting)
            for i, view in enumerate(views):
                rows[i] += recall_by_angle(view, tokens[i], card.temporal_stride)
        named = zip(trials, rows, strict=True)
        return [[{"trial": t.id, "cluster": t.cluster} | row for row in own] for t, own in named]

    def _geometry(
        self,
        adapter: Adapter,
        space: str,
        views: Sequence[View],
        whole: Float[Tensor, "n t 3 h w"],
        came: Float[Tensor, "n steps rows columns d"],
        expected: Float[Tensor, "n steps rows columns d"] | None,
        cut: Cut,
    ) -> list[list[Row]]:
        """Reads depth and pose off futures; of grids that do not tile the clips, says so."""
        future = whole[:, cut.context :]
        grid, size = came.shape[2:4], views[0].size
        if patch_of(size, *grid) is None:
            return [[unmeasured(space, size, grid)] for _ in views]
        last = whole[:, cut.context - 1 : cut.context].expand_as(future)
        still = encoded(adapter, space, last, self.asking.setting)
        readout = self.readout(adapter, space, cut)
        found = []
        for i, view in enumerate(views):
            futures = {"floor": still[i], "ceiling": came[i]}
            if expected is not None:
                futures = {"model": expected[i], **futures}
            found.append(geometry_rows(readout, view, cut, space, futures))
        return found

    def readout(self, adapter: Adapter, space: str, cut: Cut) -> GeometryReadout:
        """Returns the read-out of an adapter's space, fitted on first use.

        Raises:
            DataError: If the data has no training views.
        """
        key = (adapter.card.revision, space)
        if key not in self._readouts:
            self._readouts[key] = self._fitted(adapter, space, cut)
        return self._readouts[key]

    def _fitted(self, adapter: Adapter, space: str, cut: Cut) -> GeometryReadout:
        train = self.data.train
        clips = [c for c in (train.clips() if train else []) if c.id.split("/")[0] in VIEWS]
        if not isinstance(train, WorldData) or len({clip.cluster for clip in clips}) < 2:
            raise DataError(
                "there are no training views to fit read-outs of geometry on",
                seen=f"{len(clips)} in the training split of {self.data.info.name}",
                accepted="two or more",
                fix="data=consistency3d_quick, or suite.views=0",
            )
        ids = [clip.id for clip in clips]
        device = self.asking.setting.device

        def compute() -> dict[str, Tensor]:
            parts = []
            batches = [ids[i : i + _AT_ONCE] for i in range(0, len(ids), _AT_ONCE)]
            for video in clip_batches(train, batches, device=device):
                future = video[:, cut.context : cut.end]
                parts.append(encoded(adapter, space, future, self.asking.setting).cpu())
            return {"tokens": torch.cat(parts)}

        who = adapter.card.revision if space == OWN else ["shared", operators.VERSION]
        key = {
            "who": who,
            "stride": adapter.card.temporal_stride,
            "data": [train.info.digest, train.protocol],
            "cut": [cut.context, cut.horizon],
            "readout": VERSION,
            "arithmetic": [torch.__version__, device.type, self.asking.setting.precision],
        }
        tokens = cached_tensors("geometry", key, compute)["tokens"]
        frames = future_frames(cut, adapter.card.temporal_stride)
        height, width = train.protocol["size"]
        futures = [
            Future(View(train.track(clip), (height, width), torch.device("cpu")), each, frames)
            for clip, each in zip(ids, tokens, strict=True)
        ]
        return fit_geometry(futures, [clip.cluster for clip in clips])


def looks_at_views(card: AdapterCard, *, real: bool) -> bool:
    """Says whether views can be put to an adapter: it makes pixels, or latents of known views."""
    enough = {"generates"} if real else {"generates", "encodes"}
    return bool(enough & set(card.capabilities))
