"""The working half of ``video_distance``: features of the reference, scores of the rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter, Generates, Replays, checked_rollout
from worldbench.batches import clip_batches, to_pixels
from worldbench.cache import cached_tensors
from worldbench.data.source import Clip, ClipSource
from worldbench.errors import ContractError
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.extractor import EffnetLite0Dt, Projection, fit_projection, projected_card
from worldbench.metrics.frame import frame_psnr, frame_ssim
from worldbench.schema import digest
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.video_distance_summary import summarise

if TYPE_CHECKING:
    from worldbench.suites.video_distance import VideoDistance

_CLIPS_AT_ONCE = 16
_CLIPS_PER_COMPONENT = 4  # training clips that a principal component needs to be more than noise


def training_clips(data: ClipSource, components: int) -> tuple[ClipSource, str]:
    """Chooses the clips that the projection is fitted on, never the ones that are scored.

    The data's own training split serves if it holds at least four clips per component; otherwise
    the embedded ``moving_shapes`` do, whatever the data. The card says which it was.

    Returns:
        The source and how the card names it.
    """
    source = data.train
    if source is None or source.info.clips < _CLIPS_PER_COMPONENT * components:
        from worldbench.data.real import MovingShapes

        source = MovingShapes(split="train")
    return source, f"{source.info.name} {digest([source.info.digest, source.protocol])[:12]}"


def extractor_card(data: ClipSource, components: int) -> ExtractorCard:
    """Returns the card of the extractor that the suite uses on this data."""
    return projected_card(components, training_clips(data, components)[1])


@dataclass(frozen=True)
class VideoDistanceScorer:
    """Scores rollouts against their own future and, in sum, against the reference's.

    Attributes:
        suite: Context, horizon and samples.
        card: The extractor's card.
        extractor: Video to features.
        projection: Features to the space of the distances.
        reference: The reference clips.
        reference_features: Their projected features, ``m k``, float64.
        setting: Device, precision, seed.
        fps: Frame rate of the clips.
    """

    suite: "VideoDistance"
    card: ExtractorCard
    extractor: EffnetLite0Dt
    projection: Projection
    reference: tuple[Clip, ...]
    reference_features: Float[Tensor, "m k"]
    setting: Setting
    fps: float

    @classmethod
    def load(
        cls, suite: "VideoDistance", data: ClipSource, reference: Sequence[Clip], setting: Setting
    ) -> "VideoDistanceScorer":
        """Loads the extractor, fits or reads the projection, extracts or reads the reference."""
        training, _ = training_clips(data, suite.components)
        card = extractor_card(data, suite.components)
        extractor = EffnetLite0Dt(setting.device)

        def features_of(source: ClipSource, clips: Sequence[Clip], title: str) -> Tensor:
            key = {
                "extractor": [card.revision, card.preprocessing],
                "data": [source.info.digest, source.protocol, [clip.id for clip in clips]],
                "frames": [suite.context, suite.horizon],
                "arithmetic": [torch.__version__, setting.device.type],
            }
            extract = partial(_extract, extractor, source, clips, suite, setting, title)
            return cached_tensors("features", key, lambda: {"features": extract()})["features"]

        fitting = features_of(training, training.clips(), "features of the training clips")
        projection = fit_projection(fitting, suite.components)
        real = features_of(data, reference, "features of the reference")
        return cls(
            suite,
            card,
            extractor,
            projection,
            tuple(reference),
            projection(real),
            setting,
            data.fps,
        )

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Rolls out every context of the batch; one row per trial and sample."""
        truth = self._future(batch)
        rollouts = self._rollouts(adapter, batch)
        rows: list[Row] = []
        for sample, rollout in enumerate(rollouts.unbind(dim=1)):
            psnr = frame_psnr(rollout, truth)
            ssim = frame_ssim(rollout, truth)
            features = self.projection(self.extractor(rollout))
            for i, trial in enumerate(batch.trials):
                rows.append(
                    {
                        "trial": trial.id,
                        "cluster": trial.cluster,
                        "role": "rollout",
                        "sample": sample,
                        "psnr": psnr[i].double().mean().item(),
                        "ssim": ssim[i].double().mean().item(),
                        "psnr_first": psnr[i, 0].item(),
                        "psnr_last": psnr[i, -1].item(),
                        "ssim_first": ssim[i, 0].item(),
                        "ssim_last": ssim[i, -1].item(),
                        "features": features[i].tolist(),
                    }
                )
        return rows

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Compares all rollouts with the reference and averages the per-frame metrics."""
        return summarise(rows, self.reference, self.reference_features, self.card)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns truth and first rollout side by side, context first, one video per trial."""
        rollouts = self._rollouts(adapter, batch)[:, 0]
        context = batch.clips[:, : self.suite.context]
        truth = torch.cat([context, self._future(batch)], dim=1)
        model = torch.cat([context, rollouts], dim=1)
        both = torch.cat([truth, model], dim=-1)
        return {trial.id: to_pixels(video) for trial, video in zip(batch.trials, both, strict=True)}

    def _future(self, batch: Batch) -> Float[Tensor, "b t 3 h w"]:
        return batch.clips[:, self.suite.context : self.suite.context + self.suite.horizon]

    def _rollouts(self, adapter: Adapter, batch: Batch) -> Float[Tensor, "b s t 3 h w"]:
        suite, future = self.suite, self._future(batch)
        with torch.inference_mode(), self.setting.autocast():
            if isinstance(adapter, Replays):
                call = "replay"
                rollouts = adapter.replay(batch.trials, future, fps=self.fps, samples=suite.samples)
            elif isinstance(adapter, Generates):
                call = "generate"
                rollouts = adapter.generate(
                    batch.clips[:, : suite.context],
                    suite.horizon,
                    samples=suite.samples,
                    seed=self.setting.seed + batch.ordinal,
                )
            else:
                raise ContractError(
                    f"adapter {adapter.card.name!r} neither generates nor replays",
                    seen=", ".join(adapter.card.capabilities),
                    fix="give it one of the two methods, or choose another suite",
                )
        rollouts = checked_rollout(
            adapter.card.name,
            call,
            rollouts.to(self.setting.device),
            batch=len(batch.trials),
            samples=suite.samples,
            horizon=suite.horizon,
            size=(future.shape[-2], future.shape[-1]),
        )
        # The contract forgives rounding at the ends of the range; the metrics don't.
        return rollouts.clamp(0, 1)


def _extract(
    extractor: EffnetLite0Dt,
    source: ClipSource,
    clips: Sequence[Clip],
    suite: "VideoDistance",
    setting: Setting,
    title: str,
) -> Float[Tensor, "n d"]:
    """Extracts features of the clips' future frames."""
    ids = [clip.id for clip in clips]
    groups = [ids[i : i + _CLIPS_AT_ONCE] for i in range(0, len(ids), _CLIPS_AT_ONCE)]
    # Training clips may be shorter than the suite's: they give as much future as they have.
    start = min(suite.context, source.frames - 2)
    chunks = []
    with setting.progress.task(title, len(ids)) as step:
        for video in clip_batches(
            source, groups, device=setting.device, num_workers=setting.num_workers
        ):
            chunks.append(extractor(video[:, start : start + suite.horizon]))
            step.add(len(video))
    return torch.cat(chunks)
