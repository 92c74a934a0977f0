"""How sets are made: a mixture of scenes, labelled scenes, matched quads with their controls."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from worldbench.data.worlds.content import Content, QuadEntry, Tell, WorldClip
from worldbench.data.worlds.families import family
from worldbench.data.worlds.families.events import EVENTS
from worldbench.data.worlds.palette import SHAPES
from worldbench.data.worlds.simulation import Done, Job, in_parallel, simulate
from worldbench.data.worlds.spec import VERSION, SceneSpec
from worldbench.errors import DataError
from worldbench.schema import Scalar, digest

if TYPE_CHECKING:
    from worldbench.data.worlds.quads import Quad

_REDRAWS = 500  # a kind of scene that never makes a quad is a mistake, not bad luck
_SEEDS_APART = 1_000_000  # between redraws of one scene, so that no two scenes share a seed
_KINDS_APART = 10_000
_FRAMES, _FPS = 16, 8.0
_OUT_EVERY = 4  # every fourth scene of a kind is out of distribution

QUADS = {
    # A steady target comes out on the side that its partner did not go to, a rebounding one on the
    # side that it did, a dropped one on either: sets mix them, or the last motion would tell.
    "presence (steady)": ("occluder_pass", {"motion": "steady"}),
    "presence (braking)": ("occluder_pass", {"motion": "braking"}),
    "presence (rebound)": ("occluder_pass", {"motion": "rebound"}),
    "presence (drop)": ("drop_behind", {}),
    "never_there": ("occluder_pass", {}),
    "shape": ("occluder_pass", {}),
    "colour": ("occluder_pass", {}),
    "speed": ("occluder_pass", {"motion": "steady", "pace": "slow", "hiding": "long"}),
    "count": ("occluder_pass", {"motion": "steady"}),
    "both_possible": ("occluder_pass", {"motion": "steady", "occluders": 1}),
    **{
        f"{piece} ({hide})": ("hidden_piece", {"hide": hide})
        for piece in ("slide", "scale", "swap", "mirror")
        for hide in ("screen", "outside")
    },
}
"""By kind of quad: the family, and the factors that are not balanced but fixed."""


@dataclass(frozen=True)
class MixturePlan:
    """A training and a test split of one family.

    Attributes:
        name: The set's name.
        summary: One line.
        family: Which family.
        counts: Clips by split.
        seed: Of the first clip of each split.
    """

    name: str
    summary: str
    family: str
    counts: Mapping[str, int]
    seed: int = 0

    @property
    def digest(self) -> str:
        """Digest of everything the content depends on."""
        return digest(["mixture", VERSION, asdict(self)])

    def make(self, workers: int, tell: Tell) -> Content:
        """Simulates every clip."""
        jobs = [
            (f"{split}/{index:04d}", split, spec)
            for split, count in self.counts.items()
            for index, spec in enumerate(family(self.family).specs(count, self.seed, split=split))
        ]
        return Content(self.name, tuple(_told(_clip, jobs, workers, tell)))


@dataclass(frozen=True)
class LabelledPlan:
    """Scenes of ``events`` whose label says what happened, what is there, or both.

    Every class is as frequent as any other in each split, and so is every level of the factors
    that the label does not name.

    Attributes:
        name: The set's name.
        summary: One line.
        label: ``motion``, ``appearance`` or ``combined``.
        per_class: Clips of each class by split.
        seed: Of the first clip of each split.
    """

    name: str
    summary: str
    label: str
    per_class: Mapping[str, int]
    seed: int = 0

    @property
    def digest(self) -> str:
        """Digest of everything the content depends on."""
        return digest(["labelled", VERSION, asdict(self), _classes(self.label)])

    def make(self, workers: int, tell: Tell) -> Content:
        """Simulates every clip."""
        events, jobs = family("events"), []
        for split, count in self.per_class.items():
            seed = self.seed
            for label, fixed in _classes(self.label).items():
                for index, spec in enumerate(events.specs(count, seed, split=split, factors=fixed)):
                    jobs.append((f"{split}/{_slug(label)}/{index:03d}", split, spec, label))
                seed += count
        return Content(self.name, tuple(_told(_clip, jobs, workers, tell)))


@dataclass(frozen=True)
class QuadPlan:
    """Matched quads with their controls, and other clips beside them.

    Attributes:
        name: The set's name.
        summary: One line.
        counts: Quads by kind, of ``QUADS``; every fourth is out of distribution, except
            of ``both_possible``.
        views: Further clips in the test split, by family.
        seed: Of the first scene.
        training: Quads of the training split by kind, without controls: what is fitted to states
            of scenes is fitted on them.
        frames: Frames of every clip.
        fps: Frames per second.
    """

    name: str
    summary: str
    counts: Mapping[str, int]
    views: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    training: Mapping[str, int] = field(default_factory=dict)
    frames: int = _FRAMES
    fps: float = _FPS

    @property
    def digest(self) -> str:
        """Digest of everything the content depends on."""
        told = asdict(self)
        # What a set does without leaves its digest as it was before there was such a thing.
        for name, usual in (("training", {}), ("frames", _FRAMES), ("fps", _FPS)):
            if told[name] == usual:
                del told[name]
        return digest(["quads", VERSION, told, QUADS])

    def make(self, workers: int, tell: Tell) -> Content:
        """Draws scenes until every quad has been found, and controls made of them."""
        jobs = self._scenes()
        views = [
            (f"{name}/{index:04d}", "test", spec)
            for name, count in self.views.items()
            for index, spec in enumerate(
                family(name).specs(count, self.seed, split="test", frames=self.frames, fps=self.fps)
            )
        ]
        total = len(jobs) + len(views)
        made = list(_told(_quad, jobs, workers, lambda done, _: tell(done, total)))
        clips = [clip for quad in made for clip in quad.clips]
        clips += _told(_clip, views, workers, lambda done, _: tell(len(jobs) + done, total))
        rejected: Counter[str] = Counter()
        drawn: Counter[str] = Counter()
        for quad in made:
            rejected.update({f"{quad.kind}: {why}": n for why, n in quad.rejected.items()})
            drawn[quad.kind] += 1 + sum(quad.rejected.values())
        entries = tuple(entry for quad in made for entry in quad.entries)
        return Content(self.name, tuple(clips), entries, dict(drawn), dict(rejected))

    def _scenes(self) -> list[tuple[str, str, SceneSpec, int]]:
        jobs = []
        for number_of_kind, (kind, count) in enumerate(self.counts.items()):
            seed = self.seed + number_of_kind * _KINDS_APART  # no two kinds show the same room
            apart = count // _OUT_EVERY if kind != "both_possible" else 0
            for split, number in (("test", count - apart), ("test_ood", apart)):
                jobs += self._of_kind(kind, number, seed, split)
        for number_of_kind, (kind, count) in enumerate(self.training.items()):
            jobs += self._of_kind(kind, count, self.seed + number_of_kind * _KINDS_APART, "train")
        return jobs

    def _of_kind(
        self, kind: str, count: int, seed: int, split: str
    ) -> list[tuple[str, str, SceneSpec, int]]:
        name, fixed = QUADS[kind]
        format = {"split": split, "frames": self.frames, "fps": self.fps}
        specs = family(name).specs(count, seed, factors=fixed, **format)
        return [
            (kind, f"{_slug(kind)}/{split}-{index:04d}", spec, index)
            for index, spec in enumerate(specs)
        ]


@dataclass(frozen=True)
class _Made:
    """What came of one scene: a quad and its control as clips and entries, and what was refused."""

    kind: str
    clips: tuple[WorldClip, ...]
    entries: tuple[QuadEntry, ...]
    rejected: Mapping[str, int]


def _quad(job: tuple[str, str, SceneSpec, int]) -> _Made:
    """Redraws a scene until it makes a quad; its factors stay, its seed does not."""
    # Only here: pictures need torch, physics workers of other sets do not.
    from worldbench.data.worlds import fairness, quads

    kind, name, spec, index = job
    violation = kind.split(" ")[0]
    rejected: Counter[str] = Counter()
    for attempt in range(_REDRAWS):
        drawn = replace(spec, seed=spec.seed + attempt * _SEEDS_APART)
        try:
            if violation == "both_possible":
                found = [quads.both_possible(drawn)]
            else:
                trained = drawn.split == "train"  # what is only fitted on need not be balanced
                more = "AP"[index % 2] if violation == "presence" and not trained else None
                quad = quads.make_quad(drawn, violation, shows_more=more)
                found = [quad] if trained else [quad, quads.visible_control(quad)]
        except fairness.Unqualified as error:
            rejected[error.what] += 1
            continue
        parts = [_parts(name, quad) for quad in found]
        clips = tuple(clip for part in parts for clip in part[0])
        return _Made(kind, clips, tuple(part[1] for part in parts), dict(rejected))
    raise DataError(
        f"no scene of kind {kind!r} makes a quad",
        seen=f"{spec}; {dict(rejected)}",
        accepted=f"one in {_REDRAWS}",
        fix="fix other factors in the plan",
    )


def _parts(name: str, quad: "Quad") -> tuple[list[WorldClip], QuadEntry]:
    out = "out" if quad.spec.split == "test_ood" else "in"
    factors: dict[str, Scalar] = {**quad.factors, "distribution": out}
    ids = (f"{name}/{quad.condition}/A", f"{name}/{quad.condition}/P")
    split = "train" if quad.spec.split == "train" else "test"
    clips = [
        WorldClip(clip_id, track, split, name, factors=factors)
        for clip_id, track in zip(ids, quad.tracks, strict=True)
    ]
    entry = QuadEntry(
        f"{name}/{quad.condition}",
        quad.violation,
        quad.condition,
        ids,
        quad.start,
        quad.stop,
        name,
        {**factors, "hidden": quad.stop - quad.start},
    )
    return clips, entry


def _clip(job: tuple[str, str, SceneSpec] | tuple[str, str, SceneSpec, str]) -> WorldClip:
    clip_id, split, spec, *label = job
    track = simulate(spec)
    return WorldClip(
        clip_id, track, split, clip_id, label[0] if label else track.label, track.factors
    )


def _told(
    function: Callable[[Job], Done], jobs: Sequence[Job], workers: int, tell: Tell
) -> list[Done]:
    done = []
    for result in in_parallel(function, jobs, workers):
        done.append(result)
        tell(len(done), len(jobs))
    return done


def _classes(label: str) -> dict[str, dict[str, Scalar]]:
    """Returns the classes of a kind of label, with the factors that each fixes."""
    if label == "motion":
        return {event: {"event": event} for event in EVENTS}
    if label == "appearance":
        return {
            f"{colour} {shape}": {"colour": colour, "shape": shape}
            for colour in ("red", "green", "blue", "yellow")
            for shape in SHAPES
        }
    return {
        f"{shape} {event}": {"shape": shape, "event": event}
        for shape in SHAPES
        for event in ("sliding left", "sliding right", "spinning clockwise", "circling clockwise")
    }


def _slug(text: str) -> str:
    return re.sub(r"[^\w-]+", "-", text).strip("-")
