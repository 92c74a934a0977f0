"""The working half of ``video_distance``: features of the reference, scores of the rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter, Generates, Replays, checked_rollout
from worldbench.batches import to_pixels
from worldbench.data.source import Clip, ClipSource
from worldbench.errors import ContractError
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.extractor import EffnetLite0Dt, Projection, fit_projection
from worldbench.metrics.frame import frame_psnr, frame_ssim
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.video_distance_features import (
    Training,
    extractor_card,
    real_features,
    training_clips,
    training_source,
)
from worldbench.suites.video_distance_latents import LatentScorer, answers_in_latents
from worldbench.suites.video_distance_latents_summary import summarise_latents
from worldbench.suites.video_distance_summary import summarise

if TYPE_CHECKING:
    from worldbench.suites.video_distance import VideoDistance


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
        latents: What asks adapters that have no pixels.
        setting: Device, precision, seed.
        fps: Frame rate of the clips.
    """

    suite: "VideoDistance"
    card: ExtractorCard
    extractor: EffnetLite0Dt
    projection: Projection
    reference: tuple[Clip, ...]
    reference_features: Float[Tensor, "m k"]
    latents: LatentScorer
    setting: Setting
    fps: float

    @classmethod
    def load(
        cls, suite: "VideoDistance", data: ClipSource, reference: Sequence[Clip], setting: Setting
    ) -> "VideoDistanceScorer":
        """Loads the extractor, fits or reads the projection, extracts or reads the reference."""
        extractor = EffnetLite0Dt(setting.device)
        source = training_source(data, suite.components)
        clips, frames = training_clips(source), (suite.context, suite.horizon)
        fitting = real_features(
            extractor, source, clips, frames, setting, "features of the training clips"
        )
        projection = fit_projection(fitting, suite.components)
        real = real_features(
            extractor, data, reference, frames, setting, "features of the reference"
        )
        return cls(
            suite,
            extractor_card(data, suite.components),
            extractor,
            projection,
            tuple(reference),
            projection(real),
            LatentScorer(
                suite,
                Training(source, tuple(clips), projection(fitting)),
                data,
                {
                    trial.id: clip
                    for trial, clip in zip(suite.trials(data), reference, strict=False)
                },
                setting,
            ),
            setting,
            data.fps,
        )

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Rolls out every context of the batch; one row per trial and sample.

        Latents are foreseen once per trial, whatever the number of samples.
        """
        if answers_in_latents(adapter):
            return self.latents.score(adapter, batch)
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
        if rows and "ceiling" in rows[0]:
            return summarise_latents(rows, self.reference, self.card)
        return summarise(rows, self.reference, self.reference_features, self.card)

    def examples(self, adapter: Adapter, batch: Batch) -> dict[str, UInt8[np.ndarray, "t h w 3"]]:
        """Returns truth and first rollout side by side, context first, one video per trial.

        Latents have no pixels to show: none for an adapter that foresees them.
        """
        if answers_in_latents(adapter):
            return {}
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
                    # A copy: what an adapter does to its context must not reach the truth.
                    batch.clips[:, : suite.context].clone(),
                    suite.horizon,
                    samples=suite.samples,
                    seeds=self.setting.seeds_for(batch.trials),
                )
            else:
                raise ContractError(
                    f"adapter {adapter.card.name!r} neither generates nor replays "
                    "nor predicts what it encodes",
                    seen=", ".join(adapter.card.capabilities),
                    fix="give it one of these methods, or choose another suite",
                )
        rollouts = checked_rollout(
            adapter.card.name,
            call,
            rollouts,
            batch=len(batch.trials),
            samples=suite.samples,
            horizon=suite.horizon,
            size=(future.shape[-2], future.shape[-1]),
        )
        # The contract forgives rounding at the ends of the range; the metrics don't.
        return rollouts.to(self.setting.device).clamp(0, 1)
