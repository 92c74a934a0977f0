"""The working half of ``video_distance``: features of the reference, scores of the rollouts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, Generates, Replays
from worldbench.answers import checked_rollout
from worldbench.batches import to_pixels
from worldbench.data.source import Clip, ClipSource
from worldbench.errors import ContractError
from worldbench.metrics.frame import frame_psnr, frame_ssim
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.video_distance_estimators import Estimator
from worldbench.suites.video_distance_extras import Extras
from worldbench.suites.video_distance_features import real_features
from worldbench.suites.video_distance_latents import LatentScorer, answers_in_latents
from worldbench.suites.video_distance_latents_summary import summarise_latents
from worldbench.suites.video_distance_options import OWN
from worldbench.suites.video_distance_space import Space, load_space
from worldbench.suites.video_distance_summary import summarise

if TYPE_CHECKING:
    from worldbench.suites.video_distance import VideoDistance


@dataclass(frozen=True)
class VideoDistanceScorer:
    """Scores rollouts against their own future and, in sum, against the reference's.

    Attributes:
        suite: Context, horizon, samples and options.
        space: Video to the space of the distances.
        estimator: Which distances.
        reference: The reference clips.
        reference_features: Their features, ``m k`` or ``m windows k``, float64.
        extras: What options ask for beside.
        latents: What asks adapters that have no pixels.
        setting: Device, precision, seed.
        fps: Frame rate of the clips.
    """

    suite: "VideoDistance"
    space: Space
    estimator: Estimator
    reference: tuple[Clip, ...]
    reference_features: Float[Tensor, "m ..."]
    extras: Extras
    latents: LatentScorer
    setting: Setting
    fps: float

    @classmethod
    def load(
        cls, suite: "VideoDistance", data: ClipSource, reference: Sequence[Clip], setting: Setting
    ) -> "VideoDistanceScorer":
        """Loads the extractor, fits or reads the projection, extracts or reads the reference."""
        space, estimator = load_space(suite, data, setting), estimator_of(suite)
        real = space.projected(
            real_features(
                space.extractor, data, reference, space.frames, setting, "features of the reference"
            )
        )
        trials = suite.trials(data)
        extras = Extras(
            suite.options,
            estimator,
            space.card,
            tuple(reference),
            real,
            _real_temporal(suite, data, reference, setting) if suite.options.temporal else None,
            {trial.id: str(trial.factors.get("label", "")) for trial in trials},
        )
        partners = {trial.id: clip for trial, clip in zip(trials, reference, strict=False)}
        latents = LatentScorer(suite, space.training, data, partners, setting)
        return cls(
            suite,
            space,
            estimator,
            tuple(reference),
            real,
            extras,
            latents,
            setting,
            data.fps,
        )

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Rolls out every context of the batch; one row per trial and sample.

        Latents are foreseen once per trial, whatever the number of samples.
        """
        if answers_in_latents(adapter):
            return self.latents.score(adapter, batch)
        context, truth = batch.clips[:, : self.suite.context], self._future(batch)
        rollouts = self._rollouts(adapter, batch)
        rows: list[Row] = []
        for sample, rollout in enumerate(rollouts.unbind(dim=1)):
            psnr = frame_psnr(rollout, truth)
            ssim = frame_ssim(rollout, truth)
            features = self.space.measured(torch.cat([context, rollout], dim=1))
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
        for name, column in self._beside(adapter, batch, rollouts).items():
            for row, value in zip(rows, column, strict=True):
                row[name] = value
        return rows

    def _beside(
        self, adapter: Adapter, batch: Batch, rollouts: Float[Tensor, "b s t 3 h w"]
    ) -> Mapping[str, list[object]]:
        """Returns the columns that options ask for, row by row: trials within samples.

        What does not depend on the sample is measured once and repeated.
        """
        options, columns = self.suite.options, dict[str, list[object]]()
        context, truth = batch.clips[:, : self.suite.context], self._future(batch)
        samples = rollouts.shape[1]
        if options.ceiling:
            still = torch.cat([context, context[:, -1:].expand_as(truth)], dim=1)
            columns["true"] = self.space.measured(batch.clips).tolist() * samples
            columns["still"] = self.space.measured(still).tolist() * samples
        if options.temporal:
            from worldbench.metrics.temporal import temporal_measures

            every = [temporal_measures(part) for part in rollouts.unbind(dim=1)]
            columns["temporal"] = torch.cat(every).tolist()
        if options.readout and isinstance(adapter, Encodes):
            read = self.latents.beside(adapter, batch, rollouts[:, 0])
            columns |= {name: [row[name] for row in read] * samples for name in read[0]}
        return columns

    def summarise(self, rows: Sequence[Row]) -> Summary:
        """Compares all rollouts with the reference and averages the per-frame metrics."""
        card = self.space.card
        if rows and "psnr" not in rows[0]:
            return summarise_latents(rows, self.reference, card, self.estimator)
        plain = summarise(rows, self.reference, self.reference_features, card, self.estimator)
        return Summary((*plain.metrics, *self.extras(rows)), plain.rows)

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


def estimator_of(suite: "VideoDistance") -> Estimator:
    """Returns the distances that a suite measures."""
    recipe = suite.options.recipe
    if suite.options.extractor == OWN:
        return Estimator(suite.kind)
    return Estimator(
        suite.kind,
        ddof=1 if recipe is None else recipe.ddof,
        remedy="more clips would define it",
    )


class _Temporal:
    """Temporal measures as an extractor, so that the reference's are kept like its features."""

    def __init__(self) -> None:
        from worldbench.metrics import temporal

        self.revision = temporal.CARD.digest
        self._measures = temporal.temporal_measures

    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        return self._measures(video)


def _real_temporal(
    suite: "VideoDistance", data: ClipSource, reference: Sequence[Clip], setting: Setting
) -> Float[Tensor, "m d"]:
    frames = (suite.context, suite.horizon)
    title = "temporal measures of the reference"
    return real_features(_Temporal(), data, reference, frames, setting, title)
