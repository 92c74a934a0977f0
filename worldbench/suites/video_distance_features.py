"""Which real clips ``video_distance`` looks at, and their features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.data.source import Clip, ClipSource, require_disjoint
from worldbench.errors import DataError
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.extractor import projected_card
from worldbench.schema import digest
from worldbench.suite import Setting

_CLIPS_AT_ONCE = 16
_CLIPS_PER_COMPONENT = 4  # training clips that a principal component needs to be more than noise
_MOST_TRAINING_CLIPS = 2048  # beyond it a projection of tens of components no longer moves


@runtime_checkable
class Extracts(Protocol):
    """Video to features."""

    @property
    def revision(self) -> str:
        """Digest of all that the features depend on but the video."""
        ...

    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns features of clips in [0, 1], float64 on the CPU."""
        ...


@dataclass(frozen=True)
class Training:
    """Real clips that nothing is scored on: what is fitted is fitted on them.

    Attributes:
        source: Where they come from.
        clips: The clips.
        features: Their projected features, ``n k``, float64.
    """

    source: ClipSource
    clips: tuple[Clip, ...]
    features: Float[Tensor, "n k"]


def training_source(data: ClipSource, components: int) -> ClipSource:
    """Chooses the data that the projection is fitted on, never what is scored.

    The data's own training split if it names one, otherwise that of the embedded ``worlds``.
    The card says which it was.

    Raises:
        DataError: If there are fewer than four clips per component, or a file is in both splits.
    """
    own, least = data.train, _CLIPS_PER_COMPONENT * components
    if own is None:
        from worldbench.data.worlds.data import WorldData

        own = WorldData("worlds", split="train")
    count = own.info.clips
    if count < least:
        raise DataError(
            "too few training clips for the extractor's projection",
            seen=f"{count} clips in {own.info.name}",
            accepted=f"{least}: {_CLIPS_PER_COMPONENT} for each of {components} components",
            fix=f"suite.components={max(count // _CLIPS_PER_COMPONENT, 1)}, or data.train=null for "
            "the embedded training clips",
        )
    require_disjoint(own, data)
    return own


def extractor_card(data: ClipSource, components: int) -> ExtractorCard:
    """Returns the card of the extractor that the suite uses on this data."""
    source = training_source(data, components)
    content = digest([source.info.digest, source.protocol, _MOST_TRAINING_CLIPS])
    return projected_card(components, f"{source.info.name} {content[:12]}")


def training_clips(source: ClipSource) -> list[Clip]:
    """Returns the clips that the projection is fitted on: all, or 2048 by the hash of their ids."""
    clips = source.clips()
    if len(clips) <= _MOST_TRAINING_CLIPS:
        return clips
    by_hash = sorted(clips, key=lambda clip: hashlib.sha256(clip.id.encode()).digest())
    return by_hash[:_MOST_TRAINING_CLIPS]


def future_of(source: ClipSource, frames: tuple[int, int]) -> slice:
    """Returns which frames of a source's clips are the future, given context and horizon.

    Clips that are shorter give as much future as they have.
    """
    context, horizon = frames
    start = min(context, source.frames - 2)
    return slice(start, start + horizon)


def real_features(
    extractor: Extracts,
    source: ClipSource,
    clips: Sequence[Clip],
    frames: tuple[int, int],
    setting: Setting,
    title: str,
) -> Float[Tensor, "n d"]:
    """Returns features of the clips' futures, from the cache if they have been seen before.

    Args:
        extractor: The feature extractor, before any projection.
        source: Where the clips come from.
        clips: Which clips.
        frames: Context and horizon.
        setting: Device and decoding.
        title: What progress is called.
    """
    future = future_of(source, frames)
    ids = [clip.id for clip in clips]

    def extract() -> dict[str, Tensor]:
        groups = [ids[i : i + _CLIPS_AT_ONCE] for i in range(0, len(ids), _CLIPS_AT_ONCE)]
        chunks = []
        with setting.progress.task(title, len(ids)) as step:
            for video in clip_batches(
                source, groups, device=setting.device, num_workers=setting.num_workers
            ):
                chunks.append(extractor(video[:, future]))
                step.add(len(video))
        return {"features": torch.cat(chunks)}

    key = {
        "extractor": extractor.revision,
        "data": [source.info.digest, source.protocol, ids],
        "frames": [future.start, frames[1]],
        "arithmetic": [torch.__version__, setting.device.type],
    }
    return cached_tensors("features", key, extract)["features"]
