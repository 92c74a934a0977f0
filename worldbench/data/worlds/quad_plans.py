"""How sets of matched quads are made: with their controls, and other clips beside them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from worldbench.data.worlds.content import Content, QuadEntry, Tell, WorldClip
from worldbench.data.worlds.families import family
from worldbench.data.worlds.plans import clip, slug, told
from worldbench.data.worlds.spec import VERSION, SceneSpec
from worldbench.errors import DataError
from worldbench.schema import Scalar, digest

if TYPE_CHECKING:
    from worldbench.data.worlds.quads import Quad

_REDRAWS = 500  # a kind of scene that never makes a quad is a mistake, not bad luck
SEEDS_APART = 1_000_000
"""Between redraws of one scene, so that no two scenes share a seed."""
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

HEADLINE_PIECES = ("slide (screen)", "swap (screen)", "mirror (screen)")
"""Not ``scale``: a larger piece has more pixels of its colour, so that a bag of colours knows."""


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
        training_views: Further clips in the training split, by family.
        frames: Frames of every clip.
        fps: Frames per second.
        pool: By kind of a headline, ``presence`` and ``HEADLINE_PIECES``, out of how many quads
            those of the test split are chosen, so that no trivial scorer wins
            (:mod:`~worldbench.data.worlds.balance`); each of them shows what comes out within
            ``AFTER`` frames.
        tolerance: By how many quads a scorer may be off a half in that choice, in each violation
            and over all.
    """

    name: str
    summary: str
    counts: Mapping[str, int]
    views: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    training: Mapping[str, int] = field(default_factory=dict)
    training_views: Mapping[str, int] = field(default_factory=dict)
    frames: int = _FRAMES
    fps: float = _FPS
    pool: Mapping[str, int] = field(default_factory=dict)
    tolerance: float = 0.0

    @property
    def digest(self) -> str:
        """Digest of everything the content depends on."""
        told = asdict(self)
        # What a set does without leaves its digest as it was before there was such a thing.
        left_out = {"training": {}, "training_views": {}, "pool": {}, "tolerance": 0.0}
        for name, usual in {**left_out, "frames": _FRAMES, "fps": _FPS}.items():
            if told[name] == usual:
                del told[name]
        return digest(["quads", VERSION, told, QUADS])

    def make(self, workers: int, tell: Tell) -> Content:
        """Draws scenes until every quad has been found, and controls made of them."""
        scenes = self.scenes()
        views = [*self._views("test", self.views), *self._views("train", self.training_views)]
        total = len(scenes) + len(views)
        found = told(_quad, scenes, workers, lambda done, _: tell(done, total))
        made = self._chosen(found)
        clips = [clip for quad in made for clip in quad.clips]
        clips += told(clip, views, workers, lambda done, _: tell(len(scenes) + done, total))
        rejected: Counter[str] = Counter()
        drawn: Counter[str] = Counter()
        for quad in found:
            kind = quad.scene.kind
            rejected.update({f"{kind}: {why}": n for why, n in quad.rejected.items()})
            drawn[kind] += 1 + sum(quad.rejected.values())
        kept = Counter(quad.scene.kind for quad in made)
        for kind, number in Counter(quad.scene.kind for quad in found).items():
            if number > kept[kind]:
                rejected[f"{kind}: not chosen from the pool"] = number - kept[kind]
        entries = tuple(entry for quad in made for entry in quad.entries)
        return Content(self.name, tuple(clips), entries, dict(drawn), dict(rejected))

    def _views(self, split: str, counts: Mapping[str, int]) -> list[tuple[str, str, SceneSpec]]:
        format = {"split": split, "frames": self.frames, "fps": self.fps}
        before = "" if split == "test" else f"{split}/"
        return [
            (f"{name}/{before}{index:04d}", split, spec)
            for name, count in counts.items()
            for index, spec in enumerate(family(name).specs(count, self.seed, **format))
        ]

    def scenes(self) -> "list[Scene]":
        """Lists the scenes that quads are made of, those of pools in full."""
        scenes = []
        for number_of_kind, (kind, count) in enumerate(self.counts.items()):
            seed = self.seed + number_of_kind * _KINDS_APART  # no two kinds show the same room
            for split, number in _splits(kind, self.pool.get(kind, count)).items():
                scenes += self._of_kind(kind, number, seed, split)
        for number_of_kind, (kind, count) in enumerate(self.training.items()):
            seed = self.seed + number_of_kind * _KINDS_APART
            scenes += self._of_kind(kind, count, seed, "train")
        return scenes

    def _of_kind(self, kind: str, count: int, seed: int, split: str) -> "list[Scene]":
        name, fixed = QUADS[kind]
        # What is only fitted on need not be balanced.
        balanced = kind.startswith("presence") and split != "train"
        format = {"split": split, "frames": self.frames, "fps": self.fps}
        return [
            Scene(
                kind,
                f"{slug(kind)}/{split}-{index:04d}",
                spec,
                "AP"[index % 2] if balanced else None,
                kind in self.pool and split != "train",
            )
            for index, spec in enumerate(family(name).specs(count, seed, factors=fixed, **format))
        ]

    def _chosen(self, found: "Sequence[_Made]") -> "list[_Made]":
        """Leaves out what the pools have too much."""
        # Only here: it needs torch, and plans without a pool do not.
        from worldbench.data.worlds import balance

        pooled = [quad for quad in found if quad.scene.pooled]
        if not pooled:
            return list(found)
        groups = [(q.scene.kind, q.scene.spec.split, q.scene.shows_more) for q in pooled]
        counts = {}
        for kind in self.pool:
            for split, number in _splits(kind, self.counts[kind]).items():
                sides = ("A", "P") if kind.startswith("presence") else (None,)
                for at, side in enumerate(sides):
                    counts[kind, split, side] = (number + len(sides) - 1 - at) // len(sides)
        came = np.array([quad.outcomes for quad in pooled])
        within = [quad.scene.violation for quad in pooled]
        places = balance.choose(groups, came, counts, within=within, tolerance=self.tolerance)
        taken = {pooled[at].scene.name for at in places}
        return [quad for quad in found if not quad.scene.pooled or quad.scene.name in taken]


def _splits(kind: str, count: int) -> dict[str, int]:
    """Says how many scenes of a kind lie in the test split, how many out of distribution."""
    apart = count // _OUT_EVERY if kind != "both_possible" else 0
    return {"test": count - apart, "test_ood": apart}


class Scene(NamedTuple):
    """What a quad is to be made of: its kind and name, which clip must show more, from a pool?"""

    kind: str
    name: str
    spec: SceneSpec
    shows_more: str | None
    pooled: bool

    @property
    def violation(self) -> str:
        """Which violation the kind is of."""
        return self.kind.split(" ")[0]


@dataclass(frozen=True)
class _Made:
    """What came of one scene: a quad and its control as clips and entries, and what was refused.

    Of a pooled scene also how trivial scorers do on the quad.
    """

    scene: Scene
    clips: tuple[WorldClip, ...]
    entries: tuple[QuadEntry, ...]
    rejected: Mapping[str, int]
    outcomes: tuple[float, ...] = ()


def _quad(scene: Scene) -> _Made:
    """Redraws a scene until it makes a quad; its factors stay, its seed does not."""
    # Only here: pictures need torch, physics workers of other sets do not.
    from worldbench.data.worlds import balance, fairness, quads
    from worldbench.data.worlds.physics import OverlapError

    violation, spec = scene.violation, scene.spec
    rejected: Counter[str] = Counter()
    for attempt in range(_REDRAWS):
        drawn = replace(spec, seed=spec.seed + attempt * SEEDS_APART)
        try:
            if violation == "both_possible":
                found = [quads.both_possible(drawn)]
            else:
                quad = quads.make_quad(
                    drawn, violation, shows_more=scene.shows_more, soon=scene.pooled
                )
                found = [quad] if spec.split == "train" else [quad, quads.visible_control(quad)]
        except fairness.Unqualified as error:
            rejected[error.what] += 1
            continue
        except OverlapError:
            rejected["bodies overlap at the start"] += 1
            continue
        parts = [_parts(scene.name, quad) for quad in found]
        clips = tuple(clip for part in parts for clip in part[0])
        came = tuple(balance.outcomes(found[0])) if scene.pooled else ()
        return _Made(scene, clips, tuple(part[1] for part in parts), dict(rejected), came)
    raise DataError(
        f"no scene of kind {scene.kind!r} makes a quad",
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
