"""Rollouts made elsewhere: scores any system, closed ones too, from the videos it exported.

Time: if a file starts with P context frames and runs at f frames per second, future frame j
(from 0) of a suite that asks for r frames per second is the file's frame nearest to the time
P/f + j/r, the earlier one on a tie. With P = 0 the file's first frame is the first future frame.
A file must last longer than (horizon - 1)/r beyond its prefix; below the rate r its frames repeat.
Physics-IQ submissions start where the testing videos start, so that they show a trial's C context
frames again: P = C f/r.

Space: frames are scaled to cover the suite's size and cropped at the centre, as source videos are.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldbench.adapters.rollout_manifest import (
    Rollout,
    RolloutIndex,
    key_of,
    read_rollouts,
    refuse_shared,
)
from worldbench.adapters.rollout_names import listing
from worldbench.data.video import VideoInfo, clip_times, decode, probe
from worldbench.errors import DataError
from worldbench.schema import AdapterCard, Trial, digest

_log = logging.getLogger(__name__)


class VideoFolder:
    """Answers trials with exported video files; nothing is read before the first question.

    Args:
        root: The folder; its layouts are those of
            :func:`worldbench.adapters.rollout_manifest.read_rollouts`.
        name: The name shown on the board, e.g. that of the system.
        layout: ``auto``, ``manifest``, ``vbench`` or ``physics_iq``.
        prefix_frames_included: Context frames at the start of each file, where no manifest line
            says it.
        fps: True rate of the files' frames, where no manifest line says it and the containers'
            own is wrong.
        model: The system that made the files, where no manifest line says it.
        licence: Terms of the files.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "video_folder",
        layout: str = "auto",
        prefix_frames_included: int = 0,
        fps: float | int | None = None,
        model: str | None = None,
        licence: str | None = None,
    ) -> None:
        self.root, self.name, self.layout = Path(root), name, layout
        self.prefix_frames_included = prefix_frames_included
        self.fps = None if fps is None else float(fps)
        self.model, self.licence = model, licence

    @cached_property
    def index(self) -> RolloutIndex:
        """The folder's rollouts, read once.

        Raises:
            UsageError: If an option is out of its range.
            DataError: If the folder or its manifest cannot be used.
        """
        return read_rollouts(
            self.root.expanduser(),
            self.layout,
            prefix_frames_included=self.prefix_frames_included,
            fps=self.fps,
            model=self.model,
        )

    @cached_property
    def card(self) -> AdapterCard:
        """Its identity; the revision is a digest of what the files hold and answer, not of paths.

        Raises:
            UsageError: As :attr:`index`.
            DataError: As :attr:`index`.
        """
        rollouts = self.index.rollouts
        entries = [
            (r.key, r.sample, r.seed, r.prefix_frames_included, r.fps, r.model, _sha256(r.path))
            for r in rollouts
        ]
        model = next((r.model for r in rollouts if r.model), None)
        return AdapterCard(
            name=self.name,
            revision=digest(["video_folder", 1, self.index.layout, entries]),
            family="replay",
            summary=f"rollouts exported from {model}" if model else "rollouts made elsewhere",
            capabilities=("replays",),
            stochastic=any(r.sample > 0 for r in rollouts),
            licence=self.licence,
        )

    def require(self, trials: Sequence[Trial], samples: int) -> None:
        """Refuses a folder that does not answer all trials; call it before the first batch.

        Rollouts that no trial asks for are named in a warning.

        Args:
            trials: All trials of the suite.
            samples: Number of rollouts wanted for each.

        Raises:
            UsageError: As :attr:`index`.
            DataError: As :attr:`index`; with all missing and duplicate ids; or if two trials
                share a rollout's name.
        """
        answers = self._answers(trials, samples)
        asked = {rollouts[0].key for rollouts in answers if rollouts}
        extra = sorted({r.key for r in self.index.rollouts} - asked)
        if extra:
            _log.warning(
                "%s: rollouts of %d items match no trial: %s", self.name, len(extra), listing(extra)
            )

    def replay(
        self,
        trials: Sequence[Trial],
        future: Float[Tensor, "b t 3 h w"],
        *,
        fps: float,
        samples: int,
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Decodes the first ``samples`` rollouts of each trial.

        Args:
            trials: Which trials to answer.
            future: Only its shape and device are used.
            fps: Frames per second wanted.
            samples: Number of rollouts wanted for each trial.

        Returns:
            The rollouts in [0, 1], at the future's length and size, on its device.

        Raises:
            UsageError: As :attr:`index`.
            DataError: As :meth:`require`; or, with the trial's id, if a file is unreadable or too
                short.
        """
        horizon, (height, width) = future.shape[1], future.shape[-2:]
        videos = [
            _decode(trial.id, rollout, fps=fps, horizon=horizon, size=(height, width))
            for trial, rollouts in zip(trials, self._answers(trials, samples), strict=True)
            for rollout in rollouts
        ]
        frames = torch.from_numpy(np.stack(videos)).to(future.device).permute(0, 1, 4, 2, 3)
        return frames.reshape(len(trials), samples, horizon, 3, height, width).float() / 255

    def _answers(self, trials: Sequence[Trial], samples: int) -> list[list[Rollout]]:
        """Returns the rollouts of every trial, complete and in the order of samples."""
        layout = self.index.layout
        keys = {trial.id: key_of(layout, trial.id) for trial in trials}
        refuse_shared({trial_id: key for trial_id, key in keys.items() if key is not None})
        have = {(r.key, r.sample): r for r in self.index.rollouts}
        missing: dict[str, list[int]] = {}
        for trial_id, key in keys.items():
            absent = [s for s in range(samples) if key is None or (key, s) not in have]
            if absent:
                missing[trial_id] = absent
        if missing or self.index.duplicates:
            raise self._incomplete(missing, keys, samples)
        return [
            [have[key, s] for s in range(samples)]
            for trial in trials
            if (key := keys[trial.id]) is not None
        ]

    def _incomplete(
        self, missing: dict[str, list[int]], keys: dict[str, str | None], samples: int
    ) -> DataError:
        faults = []
        if missing:
            ids = [f"{trial_id} {_wanted(keys[trial_id], s)}" for trial_id, s in missing.items()]
            faults.append(f"missing for {len(missing)} of {len(keys)} trials: {listing(ids)}")
        if duplicates := self.index.duplicates:
            faults.append(f"{len(duplicates)} duplicate: {listing(duplicates)}")
        return DataError(
            f"adapter {self.name!r}: the rollouts in {self.root} do not answer the trials",
            seen="; ".join(faults),
            accepted=f"each of samples 0 to {samples - 1} once for every trial "
            f"(layout {self.index.layout}, {len(self.index.rollouts)} rollouts found)",
            fix="export what is missing and drop what is double, or ask for fewer samples",
        )


def _wanted(key: str | None, samples: list[int]) -> str:
    if key is None:
        return "(no Physics-IQ name stands for it)"
    return f"(as {key}, sample {', '.join(map(str, samples))})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode(
    trial_id: str, rollout: Rollout, *, fps: float, horizon: int, size: tuple[int, int]
) -> UInt8[np.ndarray, "t h w 3"]:
    """Decodes the future that one file shows, by the convention in the module's text."""
    try:
        info = probe(rollout.path)
        if rollout.fps is not None:
            info = replace(info, fps=rollout.fps, variable=())
        start = _start(info, rollout.prefix_frames_included)
        _refuse_short(info, start, (horizon - 1) / fps, rollout)
        return decode(rollout.path, clip_times(start, horizon, fps), size=size, info=info)
    except DataError as error:
        raise DataError(
            f"rollout of {trial_id}, sample {rollout.sample}: {error.what}",
            seen=error.seen,
            accepted=error.accepted,
            fix=error.fix,
        ) from error


def _start(info: VideoInfo, prefix: int) -> float:
    """Returns the seconds at which the future begins."""
    return float(info.timestamps[prefix]) if prefix < info.frames else info.duration


def _refuse_short(info: VideoInfo, start: float, last: float, rollout: Rollout) -> None:
    if start + last < info.duration - 1e-6:
        return
    raise DataError(
        "too short",
        seen=f"{info.frames} frames at {info.fps:g} fps, of which "
        f"{rollout.prefix_frames_included} are context: {info.duration - start:.3f} s of future "
        f"in {rollout.path}",
        accepted=f"more than {last:.3f} s after the context",
        fix="export longer videos, correct fps or prefix_frames_included, or shorten the horizon",
    )
