"""How sets are made: a mixture of scenes, labelled scenes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from worldbench.data.worlds.content import Content, Tell, WorldClip
from worldbench.data.worlds.families import family
from worldbench.data.worlds.families.events import EVENTS
from worldbench.data.worlds.palette import SHAPES
from worldbench.data.worlds.simulation import Done, Job, in_parallel, simulate
from worldbench.data.worlds.spec import VERSION, SceneSpec
from worldbench.schema import Scalar, digest


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
        return Content(self.name, tuple(told(clip, jobs, workers, tell)))


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
                    jobs.append((f"{split}/{slug(label)}/{index:03d}", split, spec, label))
                seed += count
        return Content(self.name, tuple(told(clip, jobs, workers, tell)))


def clip(job: tuple[str, str, SceneSpec] | tuple[str, str, SceneSpec, str]) -> WorldClip:
    """Simulates a clip of an id, a split, a spec and, where it has one, a label."""
    clip_id, split, spec, *label = job
    track = simulate(spec)
    return WorldClip(
        clip_id, track, split, clip_id, label[0] if label else track.label, track.factors
    )


def told(
    function: Callable[[Job], Done], jobs: Sequence[Job], workers: int, tell: Tell
) -> list[Done]:
    """Does jobs in processes, telling of each that is done; results in order."""
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


def slug(text: str) -> str:
    """Makes a part of an id of any text."""
    return re.sub(r"[^\w-]+", "-", text).strip("-")
