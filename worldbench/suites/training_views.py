"""Views of the training split: what read-outs are fitted on, and what latents of all scenes share.

Latents tell where in the picture a token is, how late it is, and how the camera moves, whatever
stands there: two scenes that the camera circles can be nearly alike in them. That part is easily
foreseen and says nothing of a scene. So it is estimated here, where nothing is scored, and
subtracted before latents are compared: from real latents their own mean over these views, from
foreseen ones the mean of what is foreseen of these views. With one mean for both, whoever always
says the same would seem to know a scene: a mean of n views strays from the true one, and by that
much real latents and a constant stray from it together (their cosine is 1/√(n + 1)).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter
from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.data.source import Clip
from worldbench.data.worlds.data import WorldData
from worldbench.errors import DataError
from worldbench.suite import Setting
from worldbench.suites.consistency3d import VIEWS
from worldbench.suites.futures import OWN, encoded, foreseen
from worldbench.suites.quad_trials import Cut, QuadSource

VERSION = 1
"""Raised whenever what is shared is estimated otherwise; part of the protocol."""

Part = tuple[int, int]
"""A stretch of a clip that is encoded alone: its first frame, and the one after its last."""

_AT_ONCE = 16

_FLAT = 1e-6  # of a token's norm, below which what is left of float32 values is rounding


@dataclass(frozen=True, eq=False)
class TrainingViews:
    """Training views of a set, and their latents.

    Attributes:
        data: The set.
        setting: Device and precision.
    """

    data: QuadSource
    setting: Setting
    _shared: dict[tuple[str, str, Part], Mapping[str, Tensor]] = field(default_factory=dict)

    @cached_property
    def source(self) -> WorldData:
        """The training split.

        Raises:
            DataError: If it has no two views.
        """
        train = self.data.train
        clips = [clip for clip in (train.clips() if train else []) if family_of(clip) in VIEWS]
        if not isinstance(train, WorldData) or len({clip.cluster for clip in clips}) < 2:
            raise DataError(
                "there are no training views to fit read-outs of geometry on",
                seen=f"{len(clips)} in the training split of {self.data.info.name}",
                accepted="two or more",
                fix="data=consistency3d_quick, or suite.views=0",
            )
        return train

    @cached_property
    def clips(self) -> list[Clip]:
        """The views, of all families."""
        return [clip for clip in self.source.clips() if family_of(clip) in VIEWS]

    def latents(
        self, adapter: Adapter, space: str, part: Part
    ) -> Float[Tensor, "n steps rows columns d"]:
        """Returns latents of a stretch of every view, on the CPU; computed once.

        Raises:
            ContractError: If they are not as asked for.
            DataError: If there are no training views.
        """

        def encode(video: Float[Tensor, "n t 3 h w"]) -> Tensor:
            return encoded(adapter, space, video[:, part[0] : part[1]], self.setting)

        who = adapter.card.revision if space == OWN else ["shared", operators.VERSION]
        return self._of_all(encode, {"who": who, "part": list(part)}, adapter)

    def _of_all(
        self, compute: Callable[[Tensor], Tensor], what: dict[str, Any], adapter: Adapter
    ) -> Float[Tensor, "n steps rows columns d"]:
        source, device = self.source, self.setting.device
        ids = [clip.id for clip in self.clips]

        def computed() -> dict[str, Tensor]:
            batches = [ids[i : i + _AT_ONCE] for i in range(0, len(ids), _AT_ONCE)]
            videos = clip_batches(source, batches, device=device)
            return {"tokens": torch.cat([compute(video).cpu() for video in videos])}

        key = {
            **what,
            "stride": adapter.card.temporal_stride,
            "data": [source.info.digest, source.protocol],
            "arithmetic": [torch.__version__, device.type, self.setting.precision],
        }
        return cached_tensors("geometry", key, computed)["tokens"]

    def shared(
        self, adapter: Adapter, part: Part
    ) -> Mapping[str, Float[Tensor, "steps rows columns d"]]:
        """Returns the mean latents of a stretch by family, step and place, in an adapter's space.

        Args:
            adapter: Who encodes.
            part: The stretch.

        Raises:
            ContractError: If latents are not as asked for.
            DataError: If a family has fewer than two training views: a mean of one is a scene.
        """
        return self._mean(
            ("encoded", adapter.card.revision, part), lambda: self.latents(adapter, OWN, part)
        )

    def foreseen(
        self, adapter: Adapter, cut: Cut
    ) -> Mapping[str, Float[Tensor, "steps rows columns d"]]:
        """Returns the mean of what an adapter foresees of these views, likewise.

        Args:
            adapter: Who foresees.
            cut: Where views are cut.

        Raises:
            ContractError: If latents are not as asked for.
            DataError: If a family has fewer than two training views.
        """

        def predict(video: Float[Tensor, "n t 3 h w"]) -> Tensor:
            return foreseen(adapter, video[:, : cut.context], cut.horizon, self.setting)

        revision = adapter.card.revision
        what = {"who": revision, "foreseen": [cut.context, cut.horizon]}
        key = ("foreseen", revision, (cut.context, cut.end))
        return self._mean(key, lambda: self._of_all(predict, what, adapter))

    def _mean(
        self, key: tuple[str, str, Part], tokens: Callable[[], Tensor]
    ) -> Mapping[str, Tensor]:
        if key not in self._shared:
            self._shared[key] = self._means(tokens())
        return self._shared[key]

    def _means(self, tokens: Float[Tensor, "n steps rows columns d"]) -> Mapping[str, Tensor]:
        families = [family_of(clip) for clip in self.clips]
        counts = {family: families.count(family) for family in VIEWS}
        if min(counts.values()) < 2:
            raise DataError(
                "what latents of a kind of view share cannot be told from so few",
                seen=", ".join(f"{n} of {family}" for family, n in counts.items()),
                accepted="two training views or more of each",
                fix="data=consistency3d_quick, or suite.views=0",
            )
        return {
            family: tokens[torch.tensor([other == family for other in families])].mean(dim=0)
            for family in VIEWS
        }


def family_of(clip: Clip) -> str:
    """Returns the family that a clip is of."""
    return clip.id.split("/")[0]


def without(
    tokens: Float[Tensor, "*b rows columns d"], shared: Float[Tensor, "*c rows columns d"]
) -> Float[Tensor, "*b rows columns d"]:
    """Returns latents less what is shared; exactly 0 where nothing but rounding is left.

    Args:
        tokens: Latents.
        shared: Of :meth:`TrainingViews.shared`, broadcast over leading axes.
    """
    whole, mean = tokens.double(), shared.double().to(tokens.device)
    rest = whole - mean
    size = torch.maximum(whole.norm(dim=-1), mean.norm(dim=-1))
    return torch.where((rest.norm(dim=-1) > _FLAT * size)[..., None], rest, 0.0)
