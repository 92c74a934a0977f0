"""What a set of the worlds consists of: clips as tracks, and matched quads over them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from worldbench.data.worlds.track import Track
from worldbench.schema import Scalar, digest

Tell = Callable[[int, int], None]
"""Progress: called with (units done, units in all)."""

AFTER = 6
"""Frames beyond a quad's identical run that are looked at: most of what comes out is in view by
then, and a model of short windows keeps most of one for the past."""


@dataclass(frozen=True)
class WorldClip:
    """One clip of a set.

    Attributes:
        id: Unique in the set: letters, digits, ``/``, ``-``, ``_``.
        track: What happens in it.
        split: Split of the set it belongs to: ``train``, ``calibration`` or ``test``.
        cluster: The scene it was made from; clips spliced from one scene share it.
        label: Its class, or empty.
        factors: What distinguishes it.
    """

    id: str
    track: Track
    split: str
    cluster: str
    label: str = ""
    factors: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class QuadEntry:
    """A matched quad over two clips that may be spliced anywhere in [start, stop].

    Where the condition is not ``visible`` that gives the same two foils everywhere.

    Attributes:
        id: Unique in the set.
        violation: ``presence``, ``shape`` … ``slide``, ``mirror``.
        condition: ``occluded``, ``visible`` or ``both_possible``.
        clips: Ids of A and of its partner P.
        start: First frame of the run in which A and P are pixel-identical; of a ``visible`` control
            the first of these frames from which on every splice stands out.
        stop: Frame after the run's last.
        cluster: The scene.
        factors: What distinguishes it.
    """

    id: str
    violation: str
    condition: str
    clips: tuple[str, str]
    start: int
    stop: int
    cluster: str
    factors: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """Everything of a set but its pixels.

    Attributes:
        name: The set's name.
        clips: Its clips in order.
        quads: Its matched quads, if it has any.
        drawn: Scenes drawn per kind of quad.
        rejected: Scenes that did not qualify, per kind of quad and reason: ``presence: reason``.
    """

    name: str
    clips: tuple[WorldClip, ...]
    quads: tuple[QuadEntry, ...] = ()
    drawn: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the clips' tracks and names and of the quads."""
        clips = [
            [c.id, c.track.digest, c.split, c.cluster, c.label, dict(c.factors)] for c in self.clips
        ]
        quads = [
            [q.id, q.violation, q.condition, list(q.clips), q.start, q.stop, q.cluster]
            for q in self.quads
        ]
        factors = [dict(q.factors) for q in self.quads]
        return digest([clips, quads, factors])


@runtime_checkable
class SetPlan(Protocol):
    """How a set is made from seeds; :data:`worldbench.data.worlds.sets.SETS` names them."""

    @property
    def name(self) -> str:
        """The set's name."""
        ...

    @property
    def summary(self) -> str:
        """One line for listings."""
        ...

    @property
    def digest(self) -> str:
        """Digest of everything the content depends on: worlds' version, counts, seeds, format."""
        ...

    def make(self, workers: int, tell: Tell) -> Content:
        """Simulates the set; the same content whatever the number of workers."""
        ...
