"""Parts of the shipped sets of permanence, and their suite asked trial by trial."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from worldbench import operators
from worldbench.adapter import Adapter
from worldbench.batches import clip_batches
from worldbench.data.worlds import data as data_module
from worldbench.data.worlds.content import QuadEntry
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.storage.build import content_of
from worldbench.schema import DataInfo, MetricResult, Trial
from worldbench.suite import Batch, Row, Setting, Summary
from worldbench.suites.permanence import Permanence

CPU = torch.device("cpu")
SETTING = Setting(CPU)
SUITE = Permanence()
QUIET = Permanence(rollouts=0, secondary=0)
"""Asks for surprise by the headline operator alone."""


@contextmanager
def cheap_tokens() -> Iterator[None]:
    """Sets are unpacked once, and tokens are mean colours in place of the frozen network's."""

    def means(video: Tensor) -> Tensor:
        maps = adaptive_avg_pool2d(video.flatten(0, 1), (8, 8)).permute(0, 2, 3, 1)
        return maps.reshape(video.shape[0], video.shape[1], 8, 8, 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators, "feature_maps", means)
        patch.setattr(data_module, "content_of", functools.cache(content_of))
        yield


class Part(WorldData):
    """Some clips of a shipped set, hashed once: type checks look at every property, often."""

    @functools.cached_property
    def info(self) -> DataInfo:  # type: ignore[override]
        return super().info

    @functools.cached_property
    def contents(self) -> frozenset[str]:  # type: ignore[override]
        return super().contents


def part_of(name: str, keep: Callable[[QuadEntry], bool]) -> WorldData:
    """Returns a shipped set with some of its quads only: no more than these are rendered."""
    data, train = (Part(name, split, workers=1) for split in ("test", "train"))
    quads = tuple(quad for quad in data.content.quads if keep(quad))
    wanted = {clip for quad in quads for clip in quad.clips}
    clips = tuple(clip for clip in data.content.clips if clip.id in wanted)
    content = replace(data.content, clips=clips, quads=quads)
    for part in (data, train):
        part.__dict__["_loaded"] = (content, None)
    splits = {clip.split for clip in clips}
    data.__dict__["train"] = train if "train" in splits else None
    train.__dict__["train"] = None
    return data


def fitted_on(quad: QuadEntry) -> bool:
    """Says whether a quad is of the training split, and one of the first 8 of its kind."""
    return any(f"/train-000{i}/" in quad.id for i in range(8))


@functools.cache
def quick() -> WorldData:
    """All occluded quads of the quick set, controls of the headline's, some training scenes."""

    def keep(quad: QuadEntry) -> bool:
        if "/train-" in quad.id:
            return fitted_on(quad)
        return quad.condition != "visible" or quad.violation == "presence"

    return part_of("permanence_quick", keep)


@functools.cache
def scenes(kind: str) -> tuple[str, ...]:
    """Scenes of a kind in the quick set's test split; a choice from a pool leaves numbers out."""
    quads = WorldData("permanence_quick").content.quads
    return tuple(dict.fromkeys(q.cluster for q in quads if q.cluster.startswith(f"{kind}/test-")))


def first_of_its_kind(name: str, count: int = 1) -> bool:
    """Says whether a quad or trial is of the first scenes of its kind."""
    kind, scene, *_ = name.split("/")
    return f"{kind}/{scene}" in scenes(kind)[:count]


@functools.cache
def few() -> WorldData:
    """The first two presence quads of each motion and the first of every other kind.

    Beside them the control of each motion's first, and the training scenes.
    """

    def keep(quad: QuadEntry) -> bool:
        if "/train-" in quad.id:
            return fitted_on(quad)
        if quad.condition == "visible":
            return quad.violation == "presence" and first_of_its_kind(quad.id)
        presence = quad.violation == "presence" and quad.condition == "occluded"
        return first_of_its_kind(quad.id, 2 if presence else 1)

    data = part_of("permanence_quick", keep)
    assert data.train is not None
    assert quick().train is not None
    # The pictures are those of the larger part: rendered once.
    data.__dict__["built"] = quick().built
    data.train.__dict__["built"] = quick().train.built
    return data


def asked(
    trials: Iterable[Trial], violation: str | None = None, condition: str | None = None
) -> list[Trial]:
    """Returns the trials of one kind."""
    return [
        trial
        for trial in trials
        if violation in (None, trial.factors["violation"])
        and condition in (None, trial.factors["condition"])
    ]


def clips_of(data: WorldData, trials: Sequence[Trial]) -> Tensor:
    (clips,) = clip_batches(data, [[c for t in trials for c in t.clips]], device=CPU)
    return clips


def rows_of(
    adapter: Adapter,
    data: WorldData,
    trials: Sequence[Trial] | None = None,
    suite: Permanence = QUIET,
    size: int = 8,
    change: Callable[[Trial, Tensor], Tensor] | None = None,
) -> list[Row]:
    """Asks about trials, all of the data's if None; ``change`` may change a trial's clips."""
    chosen = suite.trials(data) if trials is None else trials
    scorer, rows = suite.scorer(data, SETTING), []
    for at in range(0, len(chosen), size):
        some = tuple(chosen[at : at + size])
        clips = clips_of(data, some)
        if change is not None:
            pairs = clips.reshape(len(some), 2, *clips.shape[1:])
            clips = torch.cat([change(t, pair) for t, pair in zip(some, pairs, strict=True)])
        rows += scorer.score(adapter, Batch(some, clips, at))
    return rows


def measure(
    adapter: Adapter,
    data: WorldData,
    trials: Sequence[Trial] | None = None,
    suite: Permanence = QUIET,
) -> Summary:
    return suite.scorer(data, SETTING).summarise(rows_of(adapter, data, trials, suite))


def metric(metrics: Iterable[MetricResult], name: str, **factors: object) -> MetricResult:
    """Returns the one metric of a name with exactly these factors."""
    (found,) = [m for m in metrics if m.name == name and m.factors == factors]
    return found


def half_of_the_rows(which: int) -> list[Row]:
    """Asks about every other trial; for a process of its own."""
    from quad_adapters import Surprised, from_last

    torch.set_num_threads(1)
    data = few()
    return rows_of(Surprised(from_last, stride=2), data, QUIET.trials(data)[which::2])
