"""Asks about views: rolls them out, and measures the geometry of pixels and of latents."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, Generates, Predicts
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Row
from worldbench.suites.consistency3d_readout import Future, GeometryReadout, fit_geometry
from worldbench.suites.correspondence_recall import recall_by_angle
from worldbench.suites.futures import OWN, encoded, foreseen, spaces_of
from worldbench.suites.quad_trials import Cut, QuadSource
from worldbench.suites.surprise import Asking
from worldbench.suites.training_views import TrainingViews, without
from worldbench.suites.view_geometry import View, patch_of
from worldbench.suites.view_rows import (
    future_frames,
    geometry_rows,
    latent_rows,
    pixel_rows,
    unmeasured,
)


@dataclass(frozen=True)
class ViewReader:
    """Rolls views out and measures them.

    Attributes:
        data: The views.
        asking: How questions are put.
        training: What read-outs are fitted on, and what latents of views share.
    """

    data: QuadSource
    asking: Asking
    training: TrainingViews
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
        expected = None
        if rolled is None and isinstance(adapter, Predicts) and OWN in spaces_of(card):
            # Before anything of the future is encoded: whatever an adapter keeps of what it saw.
            expected = foreseen(adapter, context, cut.horizon, setting)
        came = {space: encoded(adapter, space, future, setting) for space in spaces_of(card)}
        own: dict[str, Float[Tensor, "n s steps rows columns d"]] = {}
        if rolled is not None:
            samples = rolled.unbind(dim=1)
            own = {
                space: torch.stack([encoded(adapter, space, each, setting) for each in samples], 1)
                for space in came
            }
        elif expected is not None:
            own[OWN] = expected[:, None]
            for i, more in enumerate(
                self._latents(adapter, trials, views, context, came[OWN], expected, cut)
            ):
                rows[i] += more
        for space, real in came.items():
            more_rows = self._geometry(adapter, space, views, whole, real, own.get(space), cut)
            for i, more in enumerate(more_rows):
                rows[i] += more
        if isinstance(adapter, Encodes):
            for i, more in enumerate(self._recall(adapter, trials, views, whole)):
                rows[i] += more
        named = zip(trials, rows, strict=True)
        return [[{"trial": t.id, "cluster": t.cluster} | row for row in each] for t, each in named]

    def _latents(
        self,
        adapter: Adapter,
        trials: Sequence[Trial],
        views: Sequence[View],
        context: Float[Tensor, "n c 3 h w"],
        came: Float[Tensor, "n steps rows columns d"],
        expected: Float[Tensor, "n steps rows columns d"],
        cut: Cut,
    ) -> list[list[Row]]:
        """Holds foreseen latents against those that came."""
        last = encoded(adapter, OWN, context, self.asking.setting)[:, -1]
        before = self.training.shared(adapter, (0, cut.context))
        after = self.training.shared(adapter, (cut.context, cut.end))
        said = self.training.foreseen(adapter, cut)
        found = []
        for i, (trial, view) in enumerate(zip(trials, views, strict=True)):
            family = str(trial.factors["view"])
            known = without(last[i], before[family][-1])
            real, model = without(came[i], after[family]), without(expected[i], said[family])
            found.append(latent_rows(view, known, real, model, cut))
        return found

    def _recall(
        self,
        adapter: Adapter,
        trials: Sequence[Trial],
        views: Sequence[View],
        whole: Float[Tensor, "n t 3 h w"],
    ) -> list[list[Row]]:
        """Looks for the tokens of each step in the others."""
        tokens = encoded(adapter, OWN, whole, self.asking.setting)
        shared = self.training.shared(adapter, (0, whole.shape[1]))
        stride = adapter.card.temporal_stride
        found = []
        for trial, view, own in zip(trials, views, tokens, strict=True):
            rest = without(own, shared[str(trial.factors["view"])])
            found.append(recall_by_angle(view, rest, stride))
        return found

    def _geometry(
        self,
        adapter: Adapter,
        space: str,
        views: Sequence[View],
        whole: Float[Tensor, "n t 3 h w"],
        came: Float[Tensor, "n steps rows columns d"],
        expected: Float[Tensor, "n s steps rows columns d"] | None,
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
            futures = {"floor": still[i, None], "ceiling": came[i, None]}
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
        tokens = self.training.latents(adapter, space, (cut.context, cut.end))
        train, clips = self.training.source, self.training.clips
        frames = future_frames(cut, adapter.card.temporal_stride)
        height, width = train.protocol["size"]
        futures = [
            Future(View(train.track(clip.id), (height, width), torch.device("cpu")), each, frames)
            for clip, each in zip(clips, tokens, strict=True)
        ]
        return fit_geometry(futures, [clip.cluster for clip in clips])


def looks_at_views(card: AdapterCard, *, real: bool) -> bool:
    """Says whether views can be put to an adapter: it makes pixels, or latents of known views."""
    enough = {"generates"} if real else {"generates", "encodes"}
    return bool(enough & set(card.capabilities))
