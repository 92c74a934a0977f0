"""How ``video_distance`` asks an adapter that foresees latents and no pixels."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter, Encodes, Generates, Latents, Predicts, Replays
from worldbench.answers import checked_latents
from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.data.source import Clip, ClipSource
from worldbench.errors import ContractError
from worldbench.progress import Progress
from worldbench.suite import Batch, Row, Setting
from worldbench.suites.video_distance_features import Training, future_of
from worldbench.suites.video_distance_readout import VERSION, Readout, fit_readout, pooled

if TYPE_CHECKING:
    from worldbench.suites.video_distance import VideoDistance

logger = logging.getLogger(__name__)

_CLIPS_AT_ONCE = 16


@runtime_checkable
class LatentPredictor(Adapter, Predicts, Encodes, Protocol):
    """Foresees latents, in the space that it encodes clips into."""


def answers_in_latents(adapter: Adapter) -> bool:
    """Says whether an adapter foresees latents that can be read, and no pixels."""
    return isinstance(adapter, LatentPredictor) and not isinstance(adapter, Generates | Replays)


@dataclass(frozen=True)
class LatentScorer:
    """Reads features off predicted latents.

    Attributes:
        suite: Context and horizon.
        training: Makes the clips that read-outs are fitted on; called when one is needed.
        data: Where the reference clips come from.
        partners: The reference clip that is read together with a trial, by the trial's id.
        setting: Device, precision, decoding.
    """

    suite: "VideoDistance"
    training: Callable[[], Training]
    data: ClipSource
    partners: Mapping[str, Clip]
    setting: Setting
    _readouts: dict[str, Readout] = field(default_factory=dict)

    def score(self, adapter: Adapter, batch: Batch) -> list[Row]:
        """Asks for the futures of a batch; one row per trial.

        A row holds the features read off the prediction and, for a scale, those read off latents of
        the true future (``ceiling``) and of the context's last frame standing still (``floor``);
        and those read off the real future of a ``reference`` clip, so that both sides of a distance
        are seen through the same read-out: what it cannot read, it can read of neither.
        ``readout_error`` is the root mean squared difference of prediction and ceiling.

        Raises:
            ContractError: If latents have the wrong shape, or prediction and clips differ in it.
            DataError: If no read-out can be fitted on the training clips.
        """
        assert isinstance(adapter, LatentPredictor)
        context, horizon = batch.clips[:, : self.suite.context], self.suite.horizon
        with torch.inference_mode(), self.setting.autocast():
            # A copy: what an adapter does to its context must not reach the truth.
            predicted = adapter.predict(context.clone(), horizon)
        checked_latents(adapter.card.name, "predict", predicted, batch=len(context), frames=horizon)
        return [
            {
                "trial": trial.id,
                "cluster": trial.cluster,
                "role": "rollout",
                "sample": 0,
                **columns,
            }
            for trial, columns in zip(
                batch.trials, self._columns(adapter, batch, predicted, "features"), strict=True
            )
        ]

    def beside(
        self, adapter: Adapter, batch: Batch, rollouts: Float[Tensor, "b t 3 h w"]
    ) -> list[Row]:
        """Reads a generator's rollouts, encoded, as latents that were foreseen: ``read`` per trial.

        Raises:
            ContractError: If latents have the wrong shape.
            DataError: If no read-out can be fitted on the training clips.
        """
        assert isinstance(adapter, Encodes)
        return self._columns(adapter, batch, self._encoded(adapter, rollouts), "read")

    def _columns(self, adapter: Adapter, batch: Batch, latents: Latents, name: str) -> list[Row]:
        """What is read off the model's latents, and beside it the scale, for every trial."""
        context = batch.clips[:, : self.suite.context]
        future = batch.clips[:, self.suite.context : self.suite.context + self.suite.horizon]
        true = self._encoded(adapter, future)
        require_same_grid(adapter.card.name, latents, true)
        still = self._encoded(adapter, context[:, -1:].expand_as(future))
        readout = self._readout(adapter, at_once=len(context))
        reference = self._encoded(adapter, self._reference(batch))
        features, ceiling, floor, real = (
            readout(pooled(part)) for part in (latents, true, still, reference)
        )
        errors = (features - ceiling).square().mean(dim=1).sqrt()
        return [
            {
                "readout_error": errors[i].item(),
                name: features[i].tolist(),
                "ceiling": ceiling[i].tolist(),
                "floor": floor[i].tolist(),
                "reference": real[i].tolist(),
                "reference_clip": self.partners[trial.id].id,
                # On every row, so that a run that resumes after its last batch can still tell.
                "readout_r2": readout.r2,
                "readout_clips": readout.clips,
                "readout_clusters": readout.clusters,
            }
            for i, trial in enumerate(batch.trials)
        ]

    def _reference(self, batch: Batch) -> Float[Tensor, "b t 3 h w"]:
        """Returns the real futures of the reference clips that go with a batch."""
        ids = [self.partners[trial.id].id for trial in batch.trials]
        (clips,) = clip_batches(self.data, [ids], device=self.setting.device)
        return clips[:, self.suite.context : self.suite.context + self.suite.horizon]

    def _encoded(self, adapter: Adapter, video: Float[Tensor, "b t 3 h w"]) -> Latents:
        assert isinstance(adapter, Encodes)
        with torch.inference_mode(), self.setting.autocast():
            latents = adapter.encode(video.clone())
        frames = video.shape[1]
        return checked_latents(
            adapter.card.name, "encode", latents, batch=len(video), frames=frames
        )

    def _readout(self, adapter: Adapter, at_once: int) -> Readout:
        revision = adapter.card.revision
        if revision not in self._readouts:
            training = self.training()
            # No more clips than trials at once: a batch that is halved for memory halves this too.
            latents = self._training_latents(adapter, min(at_once, _CLIPS_AT_ONCE))
            clusters = [clip.cluster for clip in training.clips]
            readout = fit_readout(latents, training.features, clusters)
            logger.info(
                "read-out of %s: R² %.3f on %d training clips, held out in turn, penalty %.3g",
                adapter.card.name,
                readout.r2,
                readout.clips,
                readout.penalty,
            )
            self._readouts[revision] = readout
        return self._readouts[revision]

    def _training_latents(self, adapter: Adapter, at_once: int) -> Float[Tensor, "n f"]:
        """Returns pooled latents of the training clips' futures, each encoded alone."""
        training, setting = self.training(), self.setting
        source, ids = training.source, [clip.id for clip in training.clips]
        future = future_of(source, (self.suite.context, self.suite.horizon))

        def encode() -> dict[str, Tensor]:
            groups = [ids[i : i + at_once] for i in range(0, len(ids), at_once)]
            chunks = []
            # In lines: the bar of the trials, within which this happens, keeps the terminal.
            with Progress(terminal=False).task("latents of the training clips", len(ids)) as step:
                for video in clip_batches(
                    source, groups, device=setting.device, num_workers=setting.num_workers
                ):
                    chunks.append(pooled(self._encoded(adapter, video[:, future])))
                    step.add(len(video))
            return {"latents": torch.cat(chunks)}

        key = {
            "adapter": adapter.card.revision,
            "data": [source.info.digest, source.protocol, ids],
            "frames": [future.start, self.suite.horizon],
            "readout": VERSION,
            "arithmetic": [torch.__version__, setting.device.type, setting.precision],
        }
        return cached_tensors("latents", key, encode)["latents"]


def require_same_grid(adapter: str, predicted: Latents, encoded: Latents) -> None:
    """Refuses predictions that do not lie in the space of the adapter's own latents.

    Raises:
        ContractError: If rows, columns, width or temporal stride differ.
    """
    one, two = ((*each.tokens.shape[2:], each.temporal_stride) for each in (predicted, encoded))
    if one != two:
        raise ContractError(
            f"adapter {adapter!r}: predict and encode answer on different grids",
            seen=f"predict gives h', w', d, temporal stride = {one}, encode {two}",
            accepted="the same: predict answers in the space of encode's default layer",
            fix="let predict return what encode(future) would, given the future alone",
        )
