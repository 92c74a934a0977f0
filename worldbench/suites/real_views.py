"""Views of real videos: no depth and no read-outs, but epipolar geometry.

Where cameras are known (RealEstate10K), it is theirs. Where nobody knows them it is fitted to one
half of the matches and judges the other. That still rewards whatever agrees with itself: gated by
parallax, and marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.data.source import ClipSource
from worldbench.schema import Trial
from worldbench.suite import Row
from worldbench.suites.epipolar_rows import Geometry, fitted_geometry, true_geometry, tsed_row
from worldbench.suites.quad_trials import Cut
from worldbench.suites.surprise import Asking
from worldbench.suites.view_families import PosedSource


@dataclass(frozen=True)
class RealViewReader:
    """Rolls real views out and measures them.

    Attributes:
        data: The clips.
        asking: How questions are put.
    """

    data: ClipSource
    asking: Asking

    def rows(
        self, adapter: Adapter, trials: Sequence[Trial], video: Float[Tensor, "n t 3 h w"], cut: Cut
    ) -> list[list[Row]]:
        """Returns one row of role ``tsed`` per view.

        Args:
            adapter: Who is asked; it generates.
            trials: The views.
            video: Their clips.
            cut: Where all of them are cut.
        """
        context = video[:, : cut.context]
        rolled = self.asking.rollouts(adapter, context, cut.horizon, [t.id for t in trials])
        found: list[list[Row]] = []
        for i, trial in enumerate(trials):
            future = video[i, cut.context : cut.end]
            row = tsed_row(
                self._geometry(trial), context[i, -1], rolled[i], future, cut.context - 1
            )
            found.append([{"trial": trial.id, "cluster": trial.cluster, **row}])
        return found

    def _geometry(self, trial: Trial) -> Geometry:
        if isinstance(self.data, PosedSource):
            cameras = self.data.cameras(trial.clips[0])
            return true_geometry(cameras.K, cameras.c2w)
        return fitted_geometry(trial.id)
