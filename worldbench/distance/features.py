"""Features of folders, extracted once: kept by the extractor's card and the files' contents."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.distance.folders import FolderClips
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.extractor import (
    EffnetLite0Dt,
    Projection,
    fit_projection,
    projected_card,
)
from worldbench.metrics.extractors import weighted_card, weighted_extractor
from worldbench.metrics.frame_rule import FrameRule
from worldbench.schema import digest
from worldbench.suite import Setting

logger = logging.getLogger(__name__)

Network = Callable[[Float[Tensor, "b t 3 h w"]], Float[Tensor, "b d"]]


@dataclass(frozen=True)
class Space:
    """A space that features lie in, loaded when something must be extracted.

    Attributes:
        card: Which space it is.
        rule: How many frames it takes.
        key: What the unprojected features depend on.
        load: Builds the network.
        projection: Fits or reads the projection that comes last, if there is one.
    """

    card: ExtractorCard
    rule: FrameRule
    key: str
    load: Callable[[], Network]
    projection: Callable[[], Projection] | None = None

    def features(self, clips: FolderClips, setting: Setting) -> Float[Tensor, "n d"]:
        """Returns features of every clip, in their order, float64.

        Raises:
            DataError: If a clip does not decode.
        """
        ids = [clip.id for clip in clips.clips]

        def extract() -> dict[str, Tensor]:
            network, size = self.load(), setting.batch_size
            groups = [ids[i : i + size] for i in range(0, len(ids), size)]
            chunks = []
            with setting.progress.task(f"{self.card.label} of {clips.root}", len(ids)) as step:
                for video in clip_batches(
                    clips, groups, device=setting.device, num_workers=setting.num_workers
                ):
                    chunks.append(network(video))
                    step.add(len(video))
            return {"features": torch.cat(chunks)}

        key = {
            "extractor": self.key,
            "data": clips.identity,
            "arithmetic": [torch.__version__, setting.device.type],
        }
        features = cached_tensors("features", key, extract)["features"]
        return self.projection()(features) if self.projection is not None else features


def weighted_space(name: str, weights: str | None, preset: str | None, setting: Setting) -> Space:
    """Returns the space of an extractor with weights of its own.

    Raises:
        UsageError: If a name is unknown or the weights are not there.
    """
    card, rule = weighted_card(name, weights, preset)
    return Space(
        card, rule, card.digest, lambda: weighted_extractor(name, weights, preset, setting.device)
    )


def projected_space(components: int, frames: int, setting: Setting) -> Space:
    """Returns the offline default: EfficientNet-Lite0 features, projected.

    The projection is fitted on the training clips of the embedded worlds, never on the folders that
    are compared.
    """
    from worldbench.data.worlds.data import WorldData
    from worldbench.suites.video_distance_features import real_features, training_clips

    source = WorldData("worlds", split="train")
    content = digest([source.info.digest, source.protocol, frames])

    def fit() -> Projection:
        extractor = EffnetLite0Dt(setting.device)
        fitting = real_features(
            extractor,
            source,
            training_clips(source),
            (0, frames),
            setting,
            "features of the training clips",
        )
        return fit_projection(fitting, components)

    return Space(
        projected_card(components, f"{source.info.name} {content[:12]}"),
        FrameRule(least=2),
        EffnetLite0Dt.revision,
        lambda: EffnetLite0Dt(setting.device),
        fit,
    )
