"""Where the object is in a model's own future, read off latents (design §8, rollout part).

A rollout from A's context must show the target on the side where it comes out; one from D's (it
left in plain sight) or B's (it was never there) must not. What a read-out says of the real future
is the ceiling; of a still of the last frame, of the mean of the context, and of what the last frame
alone foretells (``memoryless``), the floors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter
from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.errors import DataError
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Row
from worldbench.suites.futures import OWN, encoded, foreseen, spaces_of
from worldbench.suites.permanence_measures import Reading, measures
from worldbench.suites.permanence_readout import VERSION, Example, Readout, fit_readout
from worldbench.suites.permanence_states import States, states_of
from worldbench.suites.quad_trials import Cut, QuadSource, cut_of, entries_of, trial_of
from worldbench.suites.surprise import Asking

PATHS = ("model", "copy_last", "context_mean", "memoryless", "ceiling")
"""Whose futures are read: the adapter's, three floors' and the real one."""

CONTRASTS = {"presence": "D", "never_there": "B"}
"""What the target's scene is held against, by violation: it left in plain sight, or never was."""

_PAIRS_AT_ONCE = 8

Tokens = Float[Tensor, "n steps rows columns d"]


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
                            None if trial.factors.get("distribution") == "out" else _looks(trial),
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
        stills = {
            "copy_last": context[:, :, -1:],
            "context_mean": context.mean(dim=2, keepdim=True),
        }
        found = {
            name: self._tokens(adapter, space, still.expand_as(future))
            for name, still in stills.items()
        }
        found["ceiling"] = self._tokens(adapter, space, future)
        if rolled is None:
            found["model"] = self._foreseen(adapter, context, cut.horizon)
        else:
            samples = [
                self._tokens(adapter, space, rolled[:, :, k]) for k in range(rolled.shape[2])
            ]
            found["model"] = torch.cat(samples, dim=2)
        return found

    def _foreseen(
        self, adapter: Adapter, context: Float[Tensor, "n 2 c 3 h w"], horizon: int
    ) -> Float[Tensor, "n 2 1 steps rows columns d"]:
        return _paired(foreseen(adapter, context.flatten(0, 1), horizon, self.asking.setting))

    def _tokens(
        self, adapter: Adapter, space: str, video: Float[Tensor, "n 2 f 3 h w"]
    ) -> Float[Tensor, "n 2 1 steps rows columns d"]:
        """Returns latents of videos, each encoded by itself."""
        return _paired(encoded(adapter, space, video.flatten(0, 1), self.asking.setting))

    def readout(self, adapter: Adapter, space: str) -> Readout:
        """Returns the read-out of an adapter's space, fitted on first use.

        Raises:
            DataError: If the data has no training scenes to fit it on.
        """
        key = (adapter.card.revision, space)
        if key not in self._readouts:
            self._readouts[key] = fit_readout(self._examples(adapter, space))
        return self._readouts[key]

    def _examples(self, adapter: Adapter, space: str) -> list[Example]:
        """Returns real futures of the training scenes, with and without the target."""
        card, train = adapter.card, self.data.train
        assert train is None or isinstance(train, QuadSource)
        trials = [] if train is None else [trial_of(entry) for entry in entries_of(train)]
        cuts = [cut_of(card, trial, self.data.frames) for trial in trials]
        # One length of futures for all: the one that is commonest.
        lengths = [cut.horizon for cut in cuts if cut is not None]
        usual = max(set(lengths), key=lambda n: (lengths.count(n), n), default=0)
        asked = [
            (trial, cut)
            for trial, cut in zip(trials, cuts, strict=True)
            if cut is not None and cut.horizon == usual
        ]
        asked.sort(key=lambda each: each[1].context)  # equal cuts are encoded together
        if train is None or len({trial.cluster for trial, _ in asked}) < 2:
            raise DataError(
                "there are no training scenes to fit read-outs of rollouts on",
                seen=f"{len(asked)} quads in the training split of {self.data.info.name}",
                accepted="two or more, with a legal context",
                fix="data=permanence_quick, or suite.rollouts=0",
            )

        def compute() -> dict[str, Tensor]:
            return self._training_tensors(adapter, space, train, asked)

        tensors = cached_tensors("readouts", self._key(adapter, space, train, asked), compute)
        return _unpacked(tensors, asked)

    def _key(
        self, adapter: Adapter, space: str, train: QuadSource, asked: Sequence[tuple[Trial, Cut]]
    ) -> dict[str, object]:
        setting, card = self.asking.setting, adapter.card
        who = card.revision if space == OWN else ["shared", operators.VERSION, card.temporal_stride]
        return {
            "who": who,
            "data": [train.info.digest, train.protocol],
            "cuts": [[trial.id, cut.context, cut.horizon] for trial, cut in asked],
            "readout": VERSION,
            "arithmetic": [torch.__version__, setting.device.type, setting.precision],
        }

    def _training_tensors(
        self,
        adapter: Adapter,
        space: str,
        train: QuadSource,
        asked: Sequence[tuple[Trial, Cut]],
    ) -> dict[str, Tensor]:
        parts: dict[str, list[Tensor]] = {"tokens": [], "last": [], "coverage": [], "exits": []}
        stride, setting = adapter.card.temporal_stride, self.asking.setting
        for cut, group in groupby(asked, key=lambda each: each[1]):
            same = [trial for trial, _ in group]
            for at in range(0, len(same), _PAIRS_AT_ONCE):
                some = same[at : at + _PAIRS_AT_ONCE]
                ids = [clip for trial in some for clip in trial.clips]
                (video,) = clip_batches(train, [ids], device=setting.device)
                pairs = video.reshape(len(some), 2, *video.shape[1:])[:, :, : cut.end]
                future = pairs[:, :, cut.context :]
                still = pairs[:, :, cut.context - 1 : cut.context].expand_as(future)
                tokens = self._tokens(adapter, space, future)[:, :, 0]
                parts["tokens"].append(tokens)
                parts["last"].append(self._tokens(adapter, space, still)[:, :, 0])
                for trial in some:
                    states = [states_of(train.track(clip), cut) for clip in trial.clips]
                    coverage, exits = _truth(states, stride, tokens.shape[3:5])
                    parts["coverage"].append(coverage[None])
                    parts["exits"].append(exits[None])
        return {name: torch.cat(each) for name, each in parts.items()}


def _looks(trial: Trial) -> dict[str, str]:
    """Returns the target's attributes."""
    return {name: str(trial.factors[name]) for name in ("colour", "shape")}


def _paired(
    tokens: Float[Tensor, "n2 steps rows columns d"],
) -> Float[Tensor, "n 2 1 steps rows columns d"]:
    """Lays latents of A and P, one after the other, side by side; there is one sample of each."""
    return tokens.float().cpu().reshape(-1, 2, 1, *tokens.shape[1:])


def _truth(
    states: Sequence[States], stride: int, grid: Sequence[int]
) -> tuple[Float[Tensor, "2 steps h w"], Float[Tensor, "steps 1 w"]]:
    """Returns how much of each token shows A's and P's target, and which side A's comes out on."""
    coverage = torch.stack([each.coverage(stride, (grid[0], grid[1])) for each in states])
    sides = states[0].sides(stride, grid[1])[:, None]
    balance = float((coverage[0] * sides).sum())
    return coverage, sides if balance >= 0 else -sides


def _unpacked(tensors: dict[str, Tensor], asked: Sequence[tuple[Trial, Cut]]) -> list[Example]:
    examples = []
    for row, (trial, _) in enumerate(asked):
        looks = _looks(trial)
        for clip in range(2):
            examples.append(
                Example(
                    trial.cluster,
                    tensors["tokens"][row, clip],
                    tensors["last"][row, clip],
                    tensors["coverage"][row, clip],
                    tensors["exits"][row],
                    looks if clip == 0 else None,
                )
            )
    return examples


def _measured(
    readout: Readout,
    paths: dict[str, Float[Tensor, "2 _ steps rows columns d"]],
    states: Sequence[States],
    stride: int,
    looks: dict[str, str] | None,
) -> Row:
    """Returns every measure of every path, as ``<path>.<measure>``."""
    grid = paths["ceiling"].shape[3:5]
    coverage, exits = _truth(states, stride, grid)
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
