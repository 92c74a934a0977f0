"""What read-outs of rollouts are fitted on: real futures of training scenes (design §8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Adapter
from worldbench.batches import clip_batches
from worldbench.cache import cached_tensors
from worldbench.errors import DataError
from worldbench.schema import Trial
from worldbench.suite import Setting
from worldbench.suites.futures import OWN, encoded
from worldbench.suites.permanence_readout import VERSION, Example
from worldbench.suites.permanence_states import states_of, truth_of
from worldbench.suites.quad_trials import Cut, QuadSource, cut_of, entries_of, trial_of

_PAIRS_AT_ONCE = 8


@dataclass(frozen=True)
class TrainingScenes:
    """Futures with the target and without it.

    Attributes:
        data: The quads that read-outs are asked about; its training split is what they learn from.
        setting: How adapters are asked.
    """

    data: QuadSource
    setting: Setting

    def examples(self, adapter: Adapter, space: str) -> list[Example]:
        """Returns real futures of the training scenes in an adapter's space.

        Args:
            adapter: Who encodes them.
            space: One of :func:`~worldbench.suites.futures.spaces_of`.

        Raises:
            DataError: If the data has no training scenes to fit read-outs on.
        """
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
        setting, card = self.setting, adapter.card
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
        stride, setting = adapter.card.temporal_stride, self.setting
        for cut, group in groupby(asked, key=lambda each: each[1]):
            same = [trial for trial, _ in group]
            for at in range(0, len(same), _PAIRS_AT_ONCE):
                some = same[at : at + _PAIRS_AT_ONCE]
                ids = [clip for trial in some for clip in trial.clips]
                (video,) = clip_batches(train, [ids], device=setting.device)
                pairs = video.reshape(len(some), 2, *video.shape[1:])[:, :, : cut.end]
                future = pairs[:, :, cut.context :]
                still = pairs[:, :, cut.context - 1 : cut.context].expand_as(future)
                tokens = tokens_of(adapter, space, future, setting)[:, :, 0]
                parts["tokens"].append(tokens)
                parts["last"].append(tokens_of(adapter, space, still, setting)[:, :, 0])
                for trial in some:
                    states = [states_of(train.track(clip), cut) for clip in trial.clips]
                    coverage, exits = truth_of(states, stride, tokens.shape[3:5])
                    parts["coverage"].append(coverage[None])
                    parts["exits"].append(exits[None])
        return {name: torch.cat(each) for name, each in parts.items()}


def tokens_of(
    adapter: Adapter, space: str, video: Float[Tensor, "n 2 f 3 h w"], setting: Setting
) -> Float[Tensor, "n 2 1 steps rows columns d"]:
    """Returns latents of pairs of videos, each encoded by itself."""
    return paired(encoded(adapter, space, video.flatten(0, 1), setting))


def paired(
    tokens: Float[Tensor, "n2 steps rows columns d"],
) -> Float[Tensor, "n 2 1 steps rows columns d"]:
    """Lays latents of A and P, one after the other, side by side; there is one sample of each."""
    return tokens.float().cpu().reshape(-1, 2, 1, *tokens.shape[1:])


def looks_of(trial: Trial) -> dict[str, str]:
    """Returns the target's attributes."""
    return {name: str(trial.factors[name]) for name in ("colour", "shape")}


def _unpacked(tensors: dict[str, Tensor], asked: Sequence[tuple[Trial, Cut]]) -> list[Example]:
    examples = []
    for row, (trial, _) in enumerate(asked):
        looks = looks_of(trial)
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
