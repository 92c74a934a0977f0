"""One quad put to several adapters, as the suite puts it, with everything that pictures need.

Surprises are those of the scorer's row (same noise, same cut), read-outs are the suite's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from worldbench.adapter import Adapter
from worldbench.batches import clip_batches, to_pixels
from worldbench.data.worlds.content import AFTER
from worldbench.errors import UsageError, unknown_name
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Row, Setting
from worldbench.suites.futures import spaces_of
from worldbench.suites.permanence import Permanence, is_headline
from worldbench.suites.permanence_rollouts import RolloutReader, foresees, is_read
from worldbench.suites.permanence_states import States, states_of
from worldbench.suites.quad_scores import outcomes
from worldbench.suites.quad_trials import Cut, QuadSource, cut_of, no_context, quad_clips
from worldbench.suites.surprise import Asking, operators_of

BRIEF = 8
"""Frames for which the target of the first picture is hidden at most."""


@dataclass(frozen=True)
class Surprise:
    """How surprised an adapter was by A, P, I1 and I2, per future latent step.

    Attributes:
        operator: The headline operator, by which it was measured.
        values: Of the four clips.
        outcome: 1, ½ or 0, as the suite scores it.
    """

    operator: str
    values: Float64[np.ndarray, "4 steps"]
    outcome: float


@dataclass(frozen=True)
class Foresight:
    """What an adapter expects after A's and after P's context.

    Attributes:
        rollouts: Its first sample after either; None for adapters that foresee latents.
        maps: How much more of each token shows the target than in the last context frame, as read
            in the first of its spaces; not clipped.
        readings: The suite's rows, one per space.
    """

    rollouts: UInt8[np.ndarray, "2 f h w 3"] | None
    maps: Float[Tensor, "2 steps rows columns"]
    readings: tuple[Row, ...]


@dataclass(frozen=True)
class Answer:
    """What one adapter made of a quad.

    Attributes:
        label: Its name, with the beginning of the revision where several have that name.
        card: Its card.
        cut: Where the quad was cut for it; None if it could not be asked.
        reason: Why it could not be asked.
        surprise: None if it could not be asked.
        foresight: None if it could not be asked, or nothing is read of such a quad.
        unread: Why there is no foresight.
    """

    label: str
    card: AdapterCard
    cut: Cut | None = None
    reason: str = ""
    surprise: Surprise | None = None
    foresight: Foresight | None = None
    unread: str = ""


@dataclass(frozen=True)
class AskedQuad:
    """A quad, its frames and truth, and every adapter's answer.

    Attributes:
        trial: The quad.
        pair: A and P, whole.
        truth: States of A's and P's frames; none where the scene has no occluder.
        read: Whether the suite reads futures of such a quad.
        answers: In the order of the adapters.
    """

    trial: Trial
    pair: UInt8[np.ndarray, "2 t h w 3"]
    truth: tuple[States, ...]
    read: bool
    answers: tuple[Answer, ...]

    @property
    def run(self) -> tuple[int, int]:
        """First frame of the run in which A and P are identical, and the frame after its last."""
        return int(self.trial.factors["start"]), int(self.trial.factors["stop"])

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """Where adapters are cut; if none could be asked, the latest cut there is."""
        found = {answer.cut for answer in self.answers if answer.cut is not None}
        stop = self.run[1]
        found = found or {Cut(stop, min(self.pair.shape[1], stop + AFTER) - stop)}
        return tuple(sorted(found, key=lambda cut: (cut.context, cut.end)))

    @property
    def side(self) -> int:
        """The side on which A's target comes out: 1 right of the occluder's centre, −1 left."""
        seen, (rows, columns) = self.truth[0], self.pair.shape[2:4]
        there = seen.coverage(1, (rows, columns)) * seen.sides(1, columns)[:, None]
        return 1 if float(there[self.cuts[0].context :].sum()) >= 0 else -1


def maps(
    reader: RolloutReader,
    adapter: Adapter,
    pair: Float[Tensor, "2 t 3 h w"],
    cut: Cut,
    rolled: Float[Tensor, "2 s f 3 h w"] | None,
) -> Float[Tensor, "2 steps rows columns"]:
    """Returns the maps after A's and P's context that are read in the adapter's first space."""
    space = spaces_of(adapter.card)[0]
    readout = reader.readout(adapter, space)
    futures = None if rolled is None else rolled[None]
    paths = reader.paths(adapter, space, pair[None], cut, futures)
    model, last = paths["model"][0, :, 0], paths["copy_last"][0, :, 0]
    return torch.stack([readout.coverage(model[i], last[i]) for i in range(2)]).float()


def chosen(trials: Sequence[Trial], ids: Sequence[str] = ()) -> list[Trial]:
    """Returns the quads that pictures are made of.

    Without ids: the first of the headline that is hidden for at most :data:`BRIEF` frames, and the
    first of the tier ``long``, as far as there are such.

    Raises:
        UsageError: If an id is unknown or the data has neither.
    """
    by_id = {trial.id: trial for trial in trials}
    for quad in ids:
        if quad not in by_id:
            fix = "choose one of these, or leave --quad out"
            raise unknown_name("quad", quad, by_id, fix=fix)
    if ids:
        return [by_id[quad] for quad in dict.fromkeys(ids)]
    counted = [trial for trial in trials if is_headline(trial)]
    brief = [t for t in counted if int(t.factors.get("hidden", 0)) <= BRIEF]
    long = [t for t in counted if t.factors["tier"] == "long"]
    if not brief + long:
        raise UsageError(
            "the data holds no quad that would be shown by itself",
            seen=f"{len(trials)} quads, {len(counted)} of the headline",
            accepted=f"quads hidden for at most {BRIEF} frames, or of tier long",
            fix="name one: --quad ID",
        )
    return [*brief[:1], *long[:1]]


@dataclass(frozen=True)
class Interview:
    """Adapters and what they are asked about.

    Attributes:
        suite: Its options.
        data: The quads and their truth.
        adapters: Who is asked, in the order of the figures.
        asking: How questions are put.
        reader: What reads futures.
    """

    suite: Permanence
    data: QuadSource
    adapters: Sequence[Adapter]
    asking: Asking
    reader: RolloutReader

    @classmethod
    def of(
        cls, suite: Permanence, data: QuadSource, adapters: Sequence[Adapter], setting: Setting
    ) -> "Interview":
        """Makes an interview with the suite's number of samples."""
        asking = Asking(setting, suite.samples)
        return cls(suite, data, adapters, asking, RolloutReader(data, asking))

    def ask(self, trial: Trial) -> AskedQuad:
        """Puts one quad to every adapter.

        Raises:
            ContractError: If an adapter's answers break the contract.
            DataError: If there are no training scenes to fit read-outs on.
        """
        (pair,) = clip_batches(self.data, [trial.clips], device=self.asking.setting.device)
        answers = tuple(self._answer(adapter, trial, pair) for adapter in self.adapters)
        pixels = np.stack([to_pixels(clip) for clip in pair])
        tracks = [self.data.track(clip) for clip in trial.clips]
        known, whole = all(t.slots_of("occluder") for t in tracks), Cut(0, self.data.frames)
        truth = tuple(states_of(track, whole) for track in tracks) if known else ()
        return AskedQuad(trial, pixels, truth, known and is_read(trial), answers)

    def _answer(self, adapter: Adapter, trial: Trial, pair: Float[Tensor, "2 t 3 h w"]) -> Answer:
        card, label = adapter.card, self._label(adapter.card)
        cut = cut_of(card, trial, self.data.frames)
        reason = self.suite.unsupported(card)
        if reason is None and cut is None:
            reason = no_context(card, trial)
        if reason is not None or cut is None:
            return Answer(label, card, reason=reason or "", unread=reason or "")
        # Laid out as the scorer's are, so that the last bit is the same too.
        operator, clips = operators_of(card)[0], quad_clips(pair[:, : cut.end], cut).contiguous()
        values = self.asking.surprise(adapter, operator, clips, cut.context, [trial.id] * 4)
        surprise = Surprise(operator, values, outcomes(values)["outcome"])
        unread = ""
        if not is_read(trial):
            unread = "the suite reads no futures of such a quad"
        elif not foresees(card):
            unread = "it foresees neither pixels nor latents that it encodes"
        foresight = None if unread else self._foresight(adapter, trial, clips[:2], cut)
        return Answer(label, card, cut, "", surprise, foresight, unread)

    def _label(self, card: AdapterCard) -> str:
        alike = [adapter for adapter in self.adapters if adapter.card.name == card.name]
        return card.name if len(alike) == 1 else f"{card.name} {card.revision[:6]}"

    def _foresight(
        self, adapter: Adapter, trial: Trial, pair: Float[Tensor, "2 t 3 h w"], cut: Cut
    ) -> Foresight:
        rolled = None
        if "generates" in adapter.card.capabilities:
            contexts = pair[:, : cut.context]
            rolled = self.asking.rollouts(adapter, contexts, cut.horizon, [trial.id] * 2)
        futures = None if rolled is None else rolled[None]
        (readings,) = self.reader.read(adapter, [trial], pair[None], cut, futures)
        pixels = None if rolled is None else np.stack([to_pixels(each[0]) for each in rolled])
        return Foresight(pixels, maps(self.reader, adapter, pair, cut, rolled), tuple(readings))
