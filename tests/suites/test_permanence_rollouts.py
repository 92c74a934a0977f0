"""The rollout half of ``permanence``: what is read of futures that are known to the pixel."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quad_adapters import Future, Generator, Patches, Seer, card, contexts, truth
from quad_bench import (
    SETTING,
    clips_of,
    few,
    first_of_its_kind,
    measure,
    metric,
    part_of,
    rows_of,
    scenes,
)
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.adapters.still import CopyLast
from worldbench.batches import to_pixels
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.pictures.render import render
from worldbench.errors import ContractError, DataError
from worldbench.operators import SPACE
from worldbench.schema import MetricResult, Trial
from worldbench.suite import Batch, Row, Summary
from worldbench.suites.futures import spaces_of
from worldbench.suites.permanence import Permanence
from worldbench.suites.permanence_measures import MEASURES, Reading, measures
from worldbench.suites.permanence_readout import Example, Readout, fit_readout, side
from worldbench.suites.permanence_rollouts import PATHS, foresees, is_read
from worldbench.suites.permanence_states import States, states_of
from worldbench.suites.quad_trials import Cut, cut_of

ROLLED = Permanence(secondary=0)
FLOORS = ("copy_last", "context_mean", "memoryless")

Foreseen = tuple[Tensor, tuple[str, str]]


def read_trials() -> list[Trial]:
    """Four presence quads, one of each motion, and one whose partner never had a target."""
    return [t for t in ROLLED.trials(few()) if is_read(t) and first_of_its_kind(t.id)]


@functools.cache
def summary_of(foresees: Callable[[Future], Foreseen], stride: int = 1) -> Summary:
    return measure(Seer(few(), foresees, stride=stride), few(), read_trials(), ROLLED)


def readouts(summary: Summary) -> list[Row]:
    return [row for row in summary.rows if row["role"] == "readout"]


def found(summary: Summary, name: str, space: str = "own", **factors: Any) -> MetricResult:
    return metric(summary.metrics, name, **{"extractor": space, "future": "model", **factors})


def skill(summary: Summary, space: str = "own") -> MetricResult:
    return metric(summary.metrics, "rollout_skill", extractor=space)


def value(summary: Summary, name: str, **factors: Any) -> float:
    result = found(summary, name, **factors).value
    assert result is not None
    return result


# What is foreseen, in pixels of the target


def nothing(future: Future) -> Foreseen:
    """What follows when the target has left, whatever the context."""
    return future.p, future.looks


def always(future: Future) -> Foreseen:
    """What follows when the target is hidden, whatever the context."""
    return future.a, future.looks


def opposite(future: Future) -> Foreseen:
    return (future.p if future.own is future.a else future.a), future.looks


def late(frames: int) -> Callable[[Future], Foreseen]:
    def foresees(future: Future) -> Foreseen:
        own = future.own
        return torch.cat([torch.zeros_like(own[:frames]), own[: len(own) - frames]]), future.looks

    return foresees


def outward(future: Future) -> int:
    """Returns 1 if the target comes out right of the occluder, −1 if left."""
    columns = future.a.sum(dim=(0, 1))
    mean = float((columns * (torch.arange(64) + 0.5)).sum() / columns.sum()) / 64
    return 1 if mean > future.middle else -1


def aside(pixels: int) -> Callable[[Future], Foreseen]:
    """Foresees the target so much further away from the occluder."""

    def foresees(future: Future) -> Foreseen:
        own, moved = future.own, torch.zeros_like(future.own)
        if outward(future) > 0:
            moved[..., pixels:] = own[..., : 64 - pixels]
        else:
            moved[..., : 64 - pixels] = own[..., pixels:]
        return moved, future.looks

    return foresees


def mirrored(future: Future) -> Foreseen:
    """Foresees the target on the occluder's other side."""
    column = (2 * future.middle * 64 - 1 - torch.arange(64)).round().long()
    inside = (column >= 0) & (column < 64)
    return future.own[..., column.clamp(0, 63)] * inside, future.looks


def disguised(future: Future) -> Foreseen:
    """Foresees another target: of the next colour and shape in the alphabet."""
    colours = ["blue", "cyan", "green", "orange", "purple", "red", "white", "yellow"]
    shapes = ["box", "capsule", "cylinder", "sphere"]
    colour, shape = future.looks
    if colour not in colours:
        return truth(future)
    others = [
        levels[(levels.index(own) + 1) % len(levels)]
        for own, levels in ((colour, colours), (shape, shapes))
    ]
    return future.own, (others[0], others[1])


@pytest.mark.parametrize("stride", [1, 2])
def test_who_foresees_the_truth_sits_at_the_ceiling(stride: int):
    summary = summary_of(truth, stride)
    for row in readouts(summary):
        for name in MEASURES:
            assert row[f"model.{name}"] == row[f"ceiling.{name}"]
        assert row["model.zone"] == 1.0
        assert row["model.phantom"] == 0.0
    assert (skill(summary).value, skill(summary).low, skill(summary).high) == (1.0, 1.0, 1.0)
    for against in ("D", "B"):
        own = found(summary, "rollout_accuracy", against=against)
        assert own.value == value(summary, "rollout_accuracy", against=against, future="ceiling")
        assert own.value == 1.0
    assert value(summary, "position_error") == pytest.approx(0, abs=1e-9)
    for attribute in ("colour", "shape"):
        assert value(summary, "identity_accuracy", attribute=attribute) == 1.0
    r2 = metric(summary.metrics, "readout_r2", extractor="own", clips="training, held out in turn")
    assert r2.value == pytest.approx(1, abs=2e-3)


def test_who_foresees_the_empty_scene_ties_and_shows_no_phantom():
    summary = summary_of(nothing)
    assert {row["model.zone"] for row in readouts(summary)} == {0.5}
    assert value(summary, "rollout_accuracy", against="D") == 0.5
    assert skill(summary).value == 0.0
    assert value(summary, "emergence_rate") == 0.0
    for against in ("D", "B"):
        assert value(summary, "phantom_rate", against=against) == 0.0
    for name, factors in (
        ("emergence_error", {}),
        ("identity_accuracy", {"attribute": "colour"}),
    ):
        missing = found(summary, name, **factors)
        assert (missing.status, missing.value) == ("skipped", None)


def test_who_always_lets_it_come_out_ties_and_shows_phantoms():
    summary, sound = summary_of(always), summary_of(truth)
    assert {row["model.zone"] for row in readouts(summary)} == {0.5}
    assert skill(summary).value == 0.0
    assert value(summary, "emergence_rate") == value(sound, "emergence_rate")
    for own in readouts(summary):
        assert own["model.phantom"] == own["model.emerged"]


def test_who_takes_one_context_for_the_other_is_always_wrong():
    summary = summary_of(opposite)
    assert {row["model.zone"] for row in readouts(summary)} == {0.0}
    assert skill(summary).value == -1.0


def test_the_mirror_image_comes_out_on_the_wrong_side():
    summary = summary_of(mirrored)
    assert value(summary, "rollout_accuracy", against="D") == 0.0
    assert value(summary, "emergence_rate") == 0.0
    assert skill(summary).value == -1.0


def test_whoever_is_late_is_late_by_so_many_frames():
    # A map may see a target a frame early: who is late by one may be nearer to the truth.
    delays = (0, 2, 4)
    ladder = [summary_of(late(frames) if frames else truth) for frames in delays]
    errors = [value(summary, "emergence_error") for summary in ladder]
    assert errors == sorted(errors)
    for summary, frames in zip(ladder, delays, strict=True):
        for late_row, row in zip(readouts(summary), readouts(ladder[0]), strict=True):
            if row["model.emergence_error"] == 0 and late_row["model.emergence_error"] is not None:
                assert late_row["model.emergence_error"] == frames
    places = [value(summary, "position_error") for summary in ladder]
    assert places == sorted(places)
    assert places[1] > 0.05


def test_the_further_off_the_larger_the_error_of_place():
    ladder = [summary_of(aside(pixels) if pixels else truth) for pixels in (0, 4, 8, 12)]
    errors = [value(summary, "position_error") for summary in ladder]
    assert errors == sorted(errors)
    assert all(later > earlier + 0.1 for earlier, later in pairwise(errors))
    assert {value(summary, "rollout_accuracy", against="D") for summary in ladder} == {1.0}


def test_another_object_is_known_for_another():
    taught = {(t.factors["colour"], t.factors["shape"]) for t in read_trials()}
    assert len(taught) > 3
    sound, wrong = summary_of(truth), summary_of(disguised)
    for attribute in ("colour", "shape"):
        assert value(wrong, "identity_accuracy", attribute=attribute) == 0.0
        same = [found(s, "identity_accuracy", attribute=attribute) for s in (sound, wrong)]
        assert same[0].n == same[1].n > 0
    for name in ("emergence_rate", "position_error"):
        assert value(wrong, name) == pytest.approx(value(sound, name), abs=1e-9)


def test_what_was_never_taught_is_not_asked():
    hidden = [t for t in read_trials() if t.factors["violation"] == "presence"][:1]
    strange = replace(hidden[0], factors={**hidden[0].factors, "distribution": "out"})
    rows = [
        row for row in rows_of(Seer(few()), few(), [strange], ROLLED) if row["role"] == "readout"
    ]
    assert rows[0]["model.zone"] == 1.0
    assert rows[0]["model.colour"] is None
    assert rows[0]["ceiling.shape"] is None


@pytest.mark.parametrize("stride", [1, 2])
def test_the_last_frame_alone_tells_a_from_its_partner_nowhere(stride: int):
    """Both contexts end on the same frame: what it foretells, and what stays as it, must tie."""
    rows = readouts(summary_of(truth, stride))
    for row in rows:
        for floor in ("copy_last", "memoryless"):
            assert row[f"{floor}.zone"] == 0.5
        assert row["copy_last.emerged"] == row["copy_last.phantom"] == 0.0
    foretold = [row["memoryless.position_error"] for row in rows]
    assert any(error is not None for error in foretold)


def test_every_path_and_measure_has_its_line():
    summary = summary_of(truth)
    for row in readouts(summary):
        assert {f"{path}.{measure}" for path in PATHS for measure in MEASURES} < row.keys()
        assert row["contrast"] == ("D" if "presence" in row["trial"] else "B")
        assert row["role"] == "readout"
    for future in PATHS:
        assert found(summary, "rollout_accuracy", against="D", future=future).n == 4
        assert found(summary, "rollout_accuracy", against="B", future=future).n == 1
        assert found(summary, "emergence_rate", future=future).n == 5
    assert not any(m.headline for m in summary.metrics if m.name != "pair_accuracy")
    for name in ("emergence_error", "position_error", "phantom_rate"):
        assert not [m for m in summary.metrics if m.name == name and m.higher_is_better]
    assert found(summary, "emergence_error").unit == "frames"


def test_rows_depend_on_neither_batch_size_nor_order():
    trials = read_trials()[::2]
    expected = rows_of(Seer(few(), aside(4)), few(), trials, ROLLED, size=len(trials))
    alone = rows_of(Seer(few(), aside(4)), few(), trials, ROLLED, size=1)
    assert alone == expected
    backwards = rows_of(Seer(few(), aside(4)), few(), trials[::-1], ROLLED, size=2)
    known = {(row["trial"], row["role"]): row for row in backwards}
    assert [known[row["trial"], row["role"]] for row in expected] == expected


# Which quads, which spaces


def test_hidden_targets_that_leave_or_never_were_are_rolled_out():
    for trial in ROLLED.trials(few()):
        kind = trial.factors["violation"], trial.factors["condition"]
        assert is_read(trial) == (kind in {("presence", "occluded"), ("never_there", "occluded")})


def test_so_many_of_each_kind_are_rolled_out():
    every = [trial for trial in ROLLED.trials(few()) if is_read(trial)]
    rows = {
        count: rows_of(Seer(few()), few(), every, Permanence(secondary=0, rollouts=count))
        for count in (2, 3)
    }
    chosen = {
        count: [row["trial"] for row in found if row["role"] == "readout"]
        for count, found in rows.items()
    }
    assert [len(ids) for ids in chosen.values()] == [2 + 1, 3 + 1]
    assert set(chosen[2]) < set(chosen[3])
    assert all(sum("never_there" in trial for trial in ids) == 1 for ids in chosen.values())


def test_whoever_is_not_to_be_rolled_out_has_no_skill():
    suite = Permanence(secondary=0, rollouts=0)
    summary = measure(Seer(few()), few(), read_trials()[:2], suite)
    assert not readouts(summary)
    assert skill(summary).status == "skipped"
    assert "suite.rollouts=0" in str(skill(summary).reason)


@pytest.mark.parametrize(
    ("capabilities", "spaces"),
    [
        ("generates", (SPACE,)),
        ("generates encodes", ("own", SPACE)),
        ("generates encodes predicts", ("own", SPACE)),
        ("generates predicts", (SPACE,)),
        ("predicts encodes", ("own",)),
    ],
)
def test_pixels_are_read_in_a_shared_space_and_latents_in_their_own(capabilities, spaces):
    own = card("a", *capabilities.split())
    assert foresees(own)
    assert spaces_of(own) == spaces


@pytest.mark.parametrize("capabilities", ["surprises", "encodes", "predicts", "surprises encodes"])
def test_who_foresees_nothing_that_can_be_read_is_not_rolled_out(capabilities: str):
    assert not foresees(card("a", *capabilities.split()))


@functools.cache
def fewer() -> WorldData:
    """A hidden quad, one against no target at all, and eight scenes to fit on."""

    def keep(quad: Any) -> bool:
        if "/train-" in quad.id:
            return any(f"/train-000{i}/" in quad.id for i in range(2))
        return quad.id in (
            f"{scenes('presence-steady')[0]}/occluded",
            "never_there/test-0000/occluded",
        )

    data = part_of("permanence_quick", keep)
    data.__dict__["built"] = few().built
    assert data.train is not None
    assert few().train is not None
    data.train.__dict__["built"] = few().train.built
    return data


class Told(Generator):
    """Generates the true future of every context, and encodes patches of pixels."""

    def __init__(self, data: WorldData) -> None:
        super().__init__(lambda context, horizon: self.futures[to_pixels(context).tobytes()])
        self.card = card("told", "generates", "encodes", family="generative")
        self.futures: dict[bytes, Tensor] = {}
        for trial in ROLLED.trials(data):
            cut = cut_of(self.card, trial, data.frames)
            assert cut is not None
            pixels = torch.from_numpy(data.load(trial.clips)).permute(0, 1, 4, 2, 3)
            for seen, clip in zip(contexts(self.card, data, trial), pixels, strict=True):
                self.futures[seen] = clip[cut.context : cut.end].float() / 255

    def encode(self, video: Tensor, **options: Any) -> Latents:
        return Patches("patches", stride=1).encode(video)


def test_true_pixels_are_at_the_ceiling_of_every_space():
    summary = measure(Told(fewer()), fewer(), suite=Permanence(secondary=0, samples=2))
    rows = readouts(summary)
    assert [row["space"] for row in rows] == ["own", SPACE] * 2
    for row in rows:
        for name in MEASURES:
            assert row[f"model.{name}"] == row[f"ceiling.{name}"]
    for space in ("own", SPACE):
        if skill(summary, space).status == "ok":
            assert skill(summary, space).value == 1.0
        else:
            assert "undefined between" in str(skill(summary, space).reason)
    accuracy = [m for m in summary.metrics if m.name == "pair_accuracy" and m.headline]
    assert accuracy[0].value == 1.0
    assert accuracy[0].factors["operator"] == "sample_distance"


def test_a_still_is_the_floor_that_it_is_held_against():
    summary = measure(CopyLast(), fewer(), suite=ROLLED)
    rows = readouts(summary)
    assert [row["space"] for row in rows] == [SPACE] * 2
    for row in rows:
        for name in MEASURES:
            assert row[f"model.{name}"] == row[f"copy_last.{name}"]
        assert row["model.zone"] == row["memoryless.zone"] == 0.5
    own = skill(summary, SPACE)
    assert own.value is None or own.value <= 0
    assert own.value is not None or "undefined between" in str(own.reason)


# What read-outs are fitted on


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No read-out has been prepared before; pictures are there."""
    assert few().train is not None
    assert few().built.folder.is_dir()
    assert few().train.built.folder.is_dir()
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path))


def scored(adapter: Seer, trials: Sequence[Trial], clips: Tensor | None = None) -> list[Row]:
    """Reads trials one by one; of the first, other clips may be shown."""

    def change(trial: Trial, pair: Tensor) -> Tensor:
        return clips if clips is not None and trial == trials[0] else pair

    rows = rows_of(adapter, fewer(), trials, ROLLED, size=1, change=change)
    return [row for row in rows if row["role"] == "readout"]


def test_read_outs_are_fitted_on_training_scenes_alone(fresh, monkeypatch: pytest.MonkeyPatch):
    adapter = Seer(few())
    loaded: list[tuple[str, str]] = []
    tracked: list[tuple[str, str]] = []
    load, track = WorldData.load, WorldData.track

    def spy_load(self: WorldData, ids: Sequence[str]) -> np.ndarray:
        loaded.extend((self.split, clip) for clip in ids)
        return load(self, ids)

    def spy_track(self: WorldData, clip: str) -> Any:
        tracked.append((self.split, clip))
        return track(self, clip)

    data = fewer()
    assert data.train is not None
    trials = ROLLED.trials(data)
    batch = Batch(tuple(trials), clips_of(data, trials), 0)
    scorer = ROLLED.scorer(data, SETTING)
    with monkeypatch.context() as patch:
        patch.setattr(WorldData, "load", spy_load)
        patch.setattr(WorldData, "track", spy_track)
        scorer.score(adapter, batch)
    train = {clip.id for clip in data.train.clips()}
    # All but those whose future is cut short by the end of the clip.
    whole = {c for q in data.content.quads if q.stop + 6 <= data.frames for c in q.clips}
    assert {split for split, _ in loaded} == {"train"}
    assert {clip for _, clip in loaded} == train & whole
    assert len(loaded) >= 12
    own = {clip for trial in trials for clip in trial.clips}
    assert {clip for split, clip in tracked if split == "test"} == own  # their truth, to measure
    assert not train & own


def test_what_is_scored_does_not_move_the_read_outs(fresh, monkeypatch, tmp_path: Path):
    class Tolerant(Seer):
        def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
            if to_pixels(context[0]).tobytes() in self.futures:
                return super().predict(context, horizon)
            return self.encode(context[:, -1:].expand(-1, horizon, -1, -1, -1))

    trials = ROLLED.trials(fewer())
    clean = scored(Tolerant(few()), trials)
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "other"))
    poisoned = scored(Tolerant(few()), trials, torch.rand(2, 24, 3, 64, 64))
    assert clean[1:] == poisoned[1:]
    assert clean[0] != poisoned[0]
    assert clean[0]["readout_r2"] == poisoned[0]["readout_r2"]


def test_training_latents_are_computed_once_per_revision(fresh):
    first, second, other = Seer(few()), Seer(few()), Seer(few())
    other.card = other.card.model_copy(update={"revision": "another"})
    trials = ROLLED.trials(fewer())[:1]
    rows = [scored(adapter, trials) for adapter in (first, second, other)]
    assert rows[0] == rows[1] == rows[2]
    # Four clips to be surprised at; of A and P a still, the mean and the future to be read.
    assert second.encoded == 4 + 3 * 2
    quads = [q for q in fewer().content.quads if "/train-" in q.id and q.stop + 6 <= 24]
    assert len(quads) >= 3
    assert first.encoded == second.encoded + 4 * len(quads)  # of A and P a future and a still
    assert other.encoded == first.encoded


@pytest.mark.parametrize("fitted_on", [0, 1])
def test_without_training_scenes_there_is_nothing_to_read_by(fresh, fitted_on: int):
    def keep(quad: Any) -> bool:
        fitted = fitted_on and quad.id == "presence-drop/train-0000/occluded"
        return bool(fitted) or quad.id == f"{scenes('presence-drop')[0]}/occluded"

    data = part_of("permanence_quick", keep)
    data.__dict__["built"] = few().built
    if fitted_on:
        assert data.train is not None
        assert few().train is not None
        data.train.__dict__["built"] = few().train.built
    trials = ROLLED.trials(data)
    assert len(trials) == 1
    adapter = Seer(few())
    with pytest.raises(DataError, match="no training scenes") as caught:
        rows_of(adapter, data, trials, ROLLED)
    assert f"{fitted_on} quads in the training split of permanence_quick" in str(caught.value)
    assert "data=permanence_quick, or suite.rollouts=0" in str(caught.value)
    rows = rows_of(adapter, data, trials, Permanence(rollouts=0))
    assert [row["role"] for row in rows] == ["rollout"]


def test_predictions_of_another_length_are_refused():
    class Short(Seer):
        def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
            return Latents(super().predict(context, horizon).tokens[:, :-1], 1)

        def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
            return torch.ones(len(video), video.shape[1] - context)

    adapter = Short(few())
    told = {"operators": ("latent_error",), "revision": adapter.card.revision}
    adapter.card = card("short", "surprises", "encodes", "predicts", **told)
    with pytest.raises(ContractError, match="adapter 'short', call predict: wrong shape"):
        rows_of(adapter, few(), read_trials()[:1], ROLLED)


# The truth


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("clip", [scenes("presence-steady")[0], scenes("presence-drop")[1]])
def test_coverage_counts_the_pixels_that_show_the_target(clip: str, stride: int):
    track = few().track(f"{clip}/occluded/A")
    cut = Cut(15, 6)
    states = states_of(track, cut)
    seen = render(track).segmentation.numpy()
    ids = [slot + 1 for slot in track.slots_of("target")]
    for rows, columns in ((8, 8), (4, 16)):
        found = states.coverage(stride, (rows, columns))
        assert found.shape == (6 // stride, rows, columns)
        high, wide = 64 // rows, 64 // columns
        for step in range(6 // stride):
            for i in range(rows):
                for j in range(columns):
                    token = seen[
                        15 + step * stride : 15 + (step + 1) * stride,
                        i * high : (i + 1) * high,
                        j * wide : (j + 1) * wide,
                    ]
                    expected = float(np.isin(token, ids).mean())
                    assert float(found[step, i, j]) == pytest.approx(expected, abs=1e-12)


def test_the_diameter_is_that_of_the_whole_outline_at_its_largest():
    track = few().track(f"{scenes('presence-rebound')[0]}/occluded/A")
    alone = track
    for role in set(track.roles) - {"target"}:
        alone = alone.without(role)
    pixels = (render(alone).segmentation[14:20] > 0).sum(dim=(1, 2))
    expected = 2 * (float(pixels.max()) / np.pi) ** 0.5 / 64
    assert states_of(track, Cut(14, 6)).diameter == pytest.approx(expected)


def test_sides_are_told_by_the_middle_of_the_occluder():
    for name in (scenes("presence-steady")[0], scenes("presence-drop")[0]):  # one camera jitters
        track = few().track(f"{name}/occluded/A")
        slot = track.slots_of("occluder")[0]
        states = states_of(track, Cut(10, 6))
        for t in range(6):
            pose = track.camera_c2w[10 + t].astype(np.float64)
            local = np.linalg.inv(pose) @ np.append(track.pos[10 + t, slot], 1)
            column = (track.K.astype(np.float64) @ local[:3])[0] / local[2] / 64
            assert float(states.middle[t]) == pytest.approx(column, abs=1e-4)
        sides = states.sides(2, 16)
        assert sides.shape == (3, 16)
        for t, row in enumerate(sides.tolist()):
            middle = float(states.middle[2 * t : 2 * t + 2].mean())
            assert row == [1.0 if (j + 0.5) / 16 > middle else -1.0 for j in range(16)]


def test_a_scene_without_a_target_shows_none():
    track = few().track("never_there/test-0000/occluded/P")
    assert not track.slots_of("target")
    states = states_of(track, Cut(14, 6))
    assert not states.target.any()
    assert states.diameter == 0


def test_states_are_tokens_of_any_grid():
    states = States(torch.ones(4, 6, 6).double(), torch.full((4,), 0.5).double(), 0.2)
    assert torch.equal(states.coverage(2, (3, 3)), torch.ones(2, 3, 3).double())
    assert states.sides(4, 4).tolist() == [[-1, -1, 1, 1]]


# One reading at a time, on numbers


COLOURS = ("blue", "red")


def tokens_of(coverage: Tensor, colour: str) -> Tensor:
    """Latents that hold the share, the share of red, and a constant."""
    red = coverage * (colour == "red")
    return torch.stack([coverage, red, torch.ones_like(coverage)], dim=-1).float()


def example(scene: int, column: int, out: bool = True, faint: float = 0.0) -> Example:
    """A target that comes out from the second step on, three rows down; the exit is right."""
    coverage = torch.zeros(4, 8, 8).double()
    if out:
        coverage[1:, 3, column] = 1.0
    colour = COLOURS[scene % 2]
    shown = coverage + faint
    return Example(
        f"scene{scene}",
        tokens_of(shown, colour),
        tokens_of(torch.full_like(coverage, faint), colour),
        coverage,
        EXITS,
        {"colour": colour, "shape": "box"} if out else None,
    )


EXITS = torch.tensor([-1.0] * 4 + [1.0] * 4).double().expand(4, 1, 8)


@pytest.fixture(scope="module")
def readout() -> Readout:
    examples = [example(i, 4 + i % 4, out) for i in range(12) for out in (True, False)]
    return fit_readout(examples)


def place(*at: tuple[int, int, int], share: float = 1.0) -> Tensor:
    coverage = torch.zeros(4, 8, 8).double()
    for step, row, column in at:
        coverage[step, row, column] = share
    return coverage


def measured(a: Tensor, p: Tensor | None = None, readout: Readout | None = None, **told: Any):
    """Measures a reading against a target three rows down in column 5 from step 1 on."""
    true = place((1, 3, 5), (2, 3, 5), (3, 3, 5))
    empty = torch.zeros(4, 8, 8).double()
    assert readout is not None
    colour = told.pop("shown", "red")
    reading = Reading(a, empty if p is None else p, tokens_of(a, colour))
    given = {"diameter": 0.25, "stride": 2, "looks": {"colour": "red", "shape": "box"}, **told}
    return measures(reading, Reading(true, empty, None), EXITS, readout, **given)


def test_the_truth_is_read_without_error(readout):
    found = measured(place((1, 3, 5), (2, 3, 5), (3, 3, 5)), readout=readout)
    assert found == {
        "zone": 1.0,
        "emerged": 1.0,
        "phantom": 0.0,
        "emergence_error": 0.0,
        "position_error": 0.0,
        "colour": 1.0,
        "shape": 1.0,
    }
    assert set(found) == set(MEASURES)


def test_a_step_too_late_or_too_early_is_so_many_frames(readout):
    assert measured(place((3, 3, 5)), readout=readout)["emergence_error"] == 4.0
    early = place(*((t, 3, 5) for t in range(4)))
    assert measured(early, readout=readout)["emergence_error"] == 2.0


@pytest.mark.parametrize("columns", [0, 1, 2])
def test_columns_off_are_diameters_off(readout, columns: int):
    moved = place(*((t, 3, 5 + columns) for t in range(1, 4)))
    error = measured(moved, readout=readout)["position_error"]
    assert error == pytest.approx(columns / 8 / 0.25)
    down = place(*((t, 3 + columns, 5) for t in range(1, 4)))
    assert measured(down, readout=readout)["position_error"] == pytest.approx(columns / 8 / 0.25)


def test_a_target_of_no_size_has_no_place(readout):
    assert measured(place((1, 3, 5)), readout=readout, diameter=0.0)["position_error"] is None


def test_the_other_side_is_no_exit(readout):
    wrong = measured(place((1, 3, 2), (2, 3, 2)), readout=readout)
    assert (wrong["zone"], wrong["emerged"], wrong["emergence_error"]) == (0.0, 0.0, None)
    assert (wrong["colour"], wrong["shape"]) == (None, None)


def test_what_is_on_both_sides_is_on_neither(readout):
    both = measured(place((1, 3, 2), (1, 3, 5)), readout=readout)
    assert (both["zone"], both["emerged"]) == (0.5, 0.0)


def test_sides_are_held_against_those_of_the_partner(readout):
    a, p = place((1, 3, 5)), place((1, 3, 5), (2, 3, 5))
    found = measured(a, p, readout=readout)
    assert (found["zone"], found["phantom"], found["emerged"]) == (0.0, 1.0, 1.0)
    assert measured(p, a, readout=readout)["zone"] == 1.0
    assert measured(a, a, readout=readout)["zone"] == 0.5
    assert measured(a + 1e-7, a, readout=readout)["zone"] == 0.5  # rounding is no difference


def test_another_colour_is_read_as_another(readout):
    true = place((1, 3, 5), (2, 3, 5))
    assert measured(true, readout=readout, shown="blue")["colour"] == 0.0
    assert measured(true, readout=readout, shown="blue")["shape"] == 1.0
    assert measured(true, readout=readout, looks=None)["colour"] is None


def test_read_outs_are_what_their_examples_are_made_of(readout):
    assert readout.r2 == pytest.approx(1, abs=1e-6)
    assert 0.1 < readout.threshold < 0.9
    shown = example(0, 6)
    read = readout.coverage(shown.tokens, shown.last)
    torch.testing.assert_close(read, shown.coverage, atol=1e-3, rtol=0)
    assert side(read, EXITS).tolist() == pytest.approx([0, 1, 1, 1], abs=1e-2)
    assert readout.looks["colour"][1] == COLOURS
    assert readout.looks["shape"][1] == ("box",)


def test_what_was_there_before_is_not_what_has_come_out(readout):
    """A look-alike that stands about is read in the last context frame as well."""
    shown = example(1, 6, faint=0.3)
    read = readout.coverage(shown.tokens, shown.last)
    torch.testing.assert_close(read, shown.coverage, atol=1e-3, rtol=0)


def test_what_the_last_frame_foretells_is_the_mean_of_what_followed(readout):
    last = example(0, 4).last
    told = readout.foretold(last)
    mean = torch.zeros(4, 8, 8).double()
    mean[1:, 3, 4:] = 0.5 / 4
    torch.testing.assert_close(told, mean, atol=1e-6, rtol=0)
    longer = readout.foretold(torch.cat([last, last[:2]]))
    assert longer.shape == (6, 8, 8)
    assert torch.equal(longer[4:], longer[3:4].expand(2, -1, -1))
    assert torch.equal(readout.foretold(last[:2]), told[:2])


def test_latents_that_tell_nothing_are_read_as_nothing():
    """A blind encoder is a result like any other, not a failure."""
    examples = [example(i, 4 + i % 4, out) for i in range(12) for out in (True, False)]
    blind = fit_readout(
        [
            replace(each, tokens=torch.ones_like(each.tokens), last=torch.ones_like(each.last))
            for each in examples
        ]
    )
    assert blind.r2 == pytest.approx(0, abs=0.05)
    latents = torch.ones(4, 8, 8, 3)
    assert float(blind.coverage(latents, latents).abs().max()) == pytest.approx(0, abs=1e-9)
    assert blind.threshold > 0


def test_scenes_of_one_cluster_cannot_be_fitted_on():
    same = [replace(example(i, 5, out), cluster="one") for i in range(4) for out in (True, False)]
    with pytest.raises(ValueError, match="two scenes"):
        fit_readout(same)
