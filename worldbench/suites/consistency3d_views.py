"""Asks about views: rolls them out, and measures the geometry of pixels and of latents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter, Encodes, Generates, Predicts, checked_latents
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
from worldbench.suites.quad_trials import QuadSource
from worldbench.suites.surprise import Asking
from worldbench.suites.view_geometry import View, patch_of
from worldbench.suites.view_rows import (
    Cut,
    future_frames,
    geometry_rows,
    latent_rows,
    pixel_rows,
    unmeasured,
)

OWN, SHARED = "own", operators.SPACE

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
        context, whole = video[:, : cut.context], video[:, : cut.context + cut.horizon]
        future = whole[:, cut.context :]
        rows: list[list[Row]] = [[] for _ in trials]
        rolled = None
        if isinstance(adapter, Generates):
            rolled = self.asking.rollouts(adapter, context, cut.horizon, [t.id for t in trials])
            for i, view in enumerate(views):
                rows[i] += pixel_rows(view, context[i], future[i], rolled[i], cut)
        foreseen = self._foreseen(adapter, context, cut)
        if foreseen is not None:
            seen, came = self._encoded(adapter, context), self._encoded(adapter, future)
            for i, view in enumerate(views):
                rows[i] += latent_rows(adapter.card, view, seen[i], came[i], foreseen[i])
        for space in spaces_of(adapter.card):
            own = foreseen if rolled is None else self._tokens(adapter, space, rolled[:, 0])
            for i, more in enumerate(self._geometry(adapter, space, views, whole, own, cut)):
                rows[i] += more
        if isinstance(adapter, Encodes):
            tokens = self._encoded(adapter, whole)
            for i, view in enumerate(views):
                rows[i] += recall_by_angle(view, tokens[i], adapter.card.temporal_stride)
        named = zip(trials, rows, strict=True)
        return [[{"trial": t.id, "cluster": t.cluster} | row for row in own] for t, own in named]

    def _geometry(
        self,
        adapter: Adapter,
        space: str,
        views: Sequence[View],
        whole: Float[Tensor, "n t 3 h w"],
        foreseen: Float[Tensor, "n steps rows columns d"] | None,
        cut: Cut,
    ) -> list[list[Row]]:
        """Reads depth and pose off futures; of grids that do not tile the clips, says so."""
        future = whole[:, cut.context :]
        came = self._tokens(adapter, space, future)
        grid, size = came.shape[2:4], views[0].size
        if patch_of(size, *grid) is None:
            return [[unmeasured(space, size, grid)] for _ in views]
        last = whole[:, cut.context - 1 : cut.context].expand_as(future)
        still, readout = self._tokens(adapter, space, last), self.readout(adapter, space, cut)
        found = []
        for i, view in enumerate(views):
            futures = {"floor": still[i], "ceiling": came[i]}
            if foreseen is not None:
                futures = {"model": foreseen[i], **futures}
            found.append(geometry_rows(readout, view, cut, space, futures))
        return found

    def _foreseen(
        self, adapter: Adapter, context: Float[Tensor, "n c 3 h w"], cut: Cut
    ) -> Float[Tensor, "n steps rows columns d"] | None:
        """Returns latents that are foreseen, of adapters that foresee nothing else."""
        if isinstance(adapter, Generates) or not (
            isinstance(adapter, Predicts) and isinstance(adapter, Encodes)
        ):
            return None
        with torch.inference_mode(), self.asking.setting.autocast():
            latents = adapter.predict(context.clone(), cut.horizon)
        name = adapter.card.name
        checked_latents(name, "predict", latents, batch=len(context), frames=cut.horizon)
        return latents.tokens.float()

    def _encoded(
        self, adapter: Adapter, video: Float[Tensor, "n f 3 h w"]
    ) -> Float[Tensor, "n steps rows columns d"]:
        assert isinstance(adapter, Encodes)
        with torch.inference_mode(), self.asking.setting.autocast():
            latents = adapter.encode(video.clone())
        name, frames = adapter.card.name, video.shape[1]
        checked_latents(name, "encode", latents, batch=len(video), frames=frames)
        return latents.tokens.float()

    def _tokens(
        self, adapter: Adapter, space: str, video: Float[Tensor, "n f 3 h w"]
    ) -> Float[Tensor, "n steps rows columns d"]:
        if space == OWN:
            return self._encoded(adapter, video)
        maps = operators.feature_maps(video)
        stride = adapter.card.temporal_stride
        return maps.reshape(len(maps), -1, stride, *maps.shape[2:]).mean(dim=2)

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
                future = video[:, cut.context : cut.context + cut.horizon]
                parts.append(self._tokens(adapter, space, future).cpu())
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


def spaces_of(card: AdapterCard) -> tuple[str, ...]:
    """Returns the spaces in which an adapter's futures are read: its own, and one all share."""
    able = set(card.capabilities)
    own = (OWN,) if "encodes" in able else ()
    return (*own, SHARED) if "generates" in able else own


def looks_at_views(card: AdapterCard, *, real: bool) -> bool:
    """Says whether views can be put to an adapter: it makes pixels, or latents of known views."""
    enough = {"generates"} if real else {"generates", "encodes"}
    return bool(enough & set(card.capabilities))
