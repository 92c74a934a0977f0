"""Where the object is in a model's own future, read off latents (design §8, rollout part).

A rollout from A's context must show the target on the side where it comes out; one from D's (it
left in plain sight) or B's (it was never there) must not. What a read-out says of the real future
is the ceiling; of a still of the last frame, of the mean of the context, and of what the last frame
alone foretells (``memoryless``), the floors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Row
from worldbench.suites.futures import foreseen, spaces_of
from worldbench.suites.permanence_examples import TrainingScenes, looks_of, paired, tokens_of
from worldbench.suites.permanence_measures import Reading, measures
from worldbench.suites.permanence_readout import Readout, fit_readout
from worldbench.suites.permanence_states import States, states_of, truth_of
from worldbench.suites.quad_trials import Cut, QuadSource
from worldbench.suites.surprise import Asking

PATHS = ("model", "copy_last", "context_mean", "memoryless", "ceiling")
"""Whose futures are read: the adapter's, three floors' and the real one."""

CONTRASTS = {"presence": "D", "never_there": "B"}
"""What the target's scene is held against, by violation: it left in plain sight, or never was."""


def foresees(card: AdapterCard) -> bool:
    """Says whether an adapter has futures of its own that can be read."""
    able = set(card.capabilities)
    return "generates" in able or {"predicts", "encodes"} <= able


def is_read(trial: Trial) -> bool:
    """Says whether a trial is rolled out: hidden targets that leave, or never were, in the foil."""
    return trial.factors["condition"] == "occluded" and trial.factors["violation"] in CONTRASTS


@dataclass(frozen=True)
class RolloutReader:
    """Rolls contexts out and reads them.

    Attributes:
        data: The quads; its training split is what read-outs are fitted on.
        asking: How questions are put.
    """

    data: QuadSource
    asking: Asking
    _readouts: dict[tuple[str, str], Readout] = field(default_factory=dict)

    def read(
        self,
        adapter: Adapter,
        trials: Sequence[Trial],
        pairs: Float[Tensor, "n 2 t 3 h w"],
        cut: Cut,
        rolled: Float[Tensor, "n 2 s f 3 h w"] | None,
    ) -> list[list[Row]]:
        """Reads the futures of A's and P's contexts; one row per trial and space.

        Args:
            adapter: Whose futures.
            trials: Trials with :func:`is_read`.
            pairs: Clips A and P.
            cut: Where all of them are cut.
            rolled: Rollouts of both contexts; None for adapters that foresee latents.

        Raises:
            DataError: If the data has no training scenes to fit read-outs on.
        """
        states = [[states_of(self.data.track(c), cut) for c in trial.clips] for trial in trials]
        rows: list[list[Row]] = [[] for _ in trials]
        for space in spaces_of(adapter.card):
            readout = self.readout(adapter, space)
            paths = self.paths(adapter, space, pairs, cut, rolled)
            for i, trial in enumerate(trials):
                rows[i].append(
                    {
                        "trial": trial.id,
                        "cluster": trial.cluster,
                        "role": "readout",
                        "space": space,
                        "contrast": CONTRASTS[str(trial.factors["violation"])],
                        "readout_r2": readout.r2,
                        **_measured(
                            readout,
                            {name: each[i] for name, each in paths.items()},
                            states[i],
                            adapter.card.temporal_stride,
                            # Read-outs have been taught no look of scenes out of distribution.
                            None if trial.factors.get("distribution") == "out" else looks_of(trial),
                        ),
                    }
                )
        return rows

    def paths(
        self,
        adapter: Adapter,
        space: str,
        pairs: Float[Tensor, "n 2 t 3 h w"],
        cut: Cut,
        rolled: Float[Tensor, "n 2 s f 3 h w"] | None,
    ) -> dict[str, Float[Tensor, "n 2 _ steps rows columns d"]]:
        """Returns the latents of every path, of A and P; the model's may be several samples."""
        context, future = pairs[:, :, : cut.context], pairs[:, :, cut.context :]
        # Before anything of the future is encoded: whatever an adapter keeps of what it has seen.
        if rolled is None:
            model = self._foreseen(adapter, context, cut.horizon)
        else:
            samples = [
                self._tokens(adapter, space, rolled[:, :, k]) for k in range(rolled.shape[2])
            ]
            model = torch.cat(samples, dim=2)
        found = {"model": model}
        stills = {
            "copy_last": context[:, :, -1:],
            "context_mean": context.mean(dim=2, keepdim=True),
        }
        for name, still in stills.items():
            found[name] = self._tokens(adapter, space, still.expand_as(future))
        found["ceiling"] = self._tokens(adapter, space, future)
        return found

    def _foreseen(
        self, adapter: Adapter, context: Float[Tensor, "n 2 c 3 h w"], horizon: int
    ) -> Float[Tensor, "n 2 1 steps rows columns d"]:
        return paired(foreseen(adapter, context.flatten(0, 1), horizon, self.asking.setting))

    def _tokens(
        self, adapter: Adapter, space: str, video: Float[Tensor, "n 2 f 3 h w"]
    ) -> Float[Tensor, "n 2 1 steps rows columns d"]:
        return tokens_of(adapter, space, video, self.asking.setting)

    def readout(self, adapter: Adapter, space: str) -> Readout:
        """Returns the read-out of an adapter's space, fitted on first use.

        Raises:
            DataError: If the data has no training scenes to fit it on.
        """
        key = (adapter.card.revision, space)
        if key not in self._readouts:
            scenes = TrainingScenes(self.data, self.asking.setting)
            self._readouts[key] = fit_readout(scenes.examples(adapter, space))
        return self._readouts[key]


def _measured(
    readout: Readout,
    paths: dict[str, Float[Tensor, "2 _ steps rows columns d"]],
    states: Sequence[States],
    stride: int,
    looks: dict[str, str] | None,
) -> Row:
    """Returns every measure of every path, as ``<path>.<measure>``."""
    grid = paths["ceiling"].shape[3:5]
    coverage, exits = truth_of(states, stride, grid)
    truth, last = Reading(coverage[0], coverage[1], None), paths["copy_last"][:, 0]
    found: Row = {}
    for name in PATHS:
        if name == "memoryless":
            readings = [Reading(readout.foretold(last[0]), readout.foretold(last[1]), None)]
        else:
            readings = [
                Reading(readout.coverage(a, last[0]), readout.coverage(p, last[1]), a)
                for a, p in zip(*paths[name], strict=True)
            ]
        each = [
            measures(reading, truth, exits, readout, states[0].diameter, stride, looks)
            for reading in readings
        ]
        for measure in each[0]:
            values = [value for m in each if (value := m[measure]) is not None]
            found[f"{name}.{measure}"] = sum(values) / len(values) if values else None
    return found
