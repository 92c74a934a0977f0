"""``consistency3d`` through the suite: who knows the scene is at 1, who doesn't cannot win."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from quad_adapters import (
    CopiesLatents,
    Generator,
    Oracle,
    Patches,
    Surprised,
    change,
    constant,
    from_last,
    hashed,
    key,
)
from quad_bench import CPU, SETTING, clips_of, part_of
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import interpolate

import worldbench.suites.consistency3d_views as views_module
from worldbench.adapter import Latents
from worldbench.adapters.still import CopyLast
from worldbench.data.real import VideoData
from worldbench.data.realestate10k import RealEstateData
from worldbench.data.source import ClipSource
from worldbench.data.video import encode
from worldbench.data.worlds import SceneSpec, simulate
from worldbench.data.worlds.data import WorldData
from worldbench.data.worlds.pictures.render import render
from worldbench.errors import DataError, UsageError
from worldbench.schema import MetricResult, Trial
from worldbench.suite import Batch, Row, Summary
from worldbench.suites.consistency3d import VIEWS, Consistency3D, is_headline, is_view
from worldbench.suites.view_geometry import View, path, seen_from, view_angles
from worldbench.suites.view_rows import view_cut
from worldbench.trivial_scorers import SCORERS

SUITE = Consistency3D()
QUADS = Consistency3D(views=0)
FAIR = ("constant", "frame_difference", "pixel_variance", "last_of_context")
"""What looks at frames, at steps or at what is hidden alone: never anything but a tie."""


@functools.cache
def quads() -> WorldData:
    return part_of("consistency3d_quick", lambda quad: True)


@functools.cache
def views(each: int = 2) -> WorldData:
    """Some quads, so that the set is one of quads, and views of each family."""
    whole = WorldData("consistency3d_quick", workers=1)
    names = {f"{family}/{i:04d}" for family in VIEWS for i in range(each)}
    names |= {f"{family}/train/{i:04d}" for family in VIEWS for i in range(4)}
    quad = next(q for q in whole.content.quads if q.condition == "occluded")
    data = part_of("consistency3d_quick", lambda one: one.id == quad.id)
    clips = tuple(c for c in whole.content.clips if c.id in names or c.id in quad.clips)
    content = replace(whole.content, clips=clips, quads=(quad,))
    train = WorldData("consistency3d_quick", "train", workers=1)
    for part in (data, train):
        part.__dict__["_loaded"] = (content, None)
    data.__dict__["train"] = train
    return data


def rows_of(
    adapter: Any,
    data: WorldData,
    trials: Sequence[Trial],
    suite: Consistency3D = SUITE,
    size: int = 8,
) -> list[Row]:
    scorer, rows = suite.scorer(data, SETTING), []
    for at in range(0, len(trials), size):
        some = tuple(trials[at : at + size])
        rows += scorer.score(adapter, Batch(some, clips_of(data, some), at))
    return rows


def of_views(adapter: Any, **options: Any) -> Summary:
    data = views()
    trials = [trial for trial in SUITE.trials(data) if is_view(trial)]
    rows = rows_of(adapter, data, trials, **options)
    return SUITE.scorer(data, SETTING).summarise(rows)


def metric(summary: Summary, name: str, **factors: Any) -> MetricResult:
    (found,) = [m for m in summary.metrics if m.name == name and m.factors == factors]
    return found


# Quads


@pytest.fixture(scope="module")
def asked() -> list[Row]:
    data = quads()
    return rows_of(Surprised(change), data, QUADS.trials(data), QUADS)


@pytest.mark.parametrize("name", sorted(SCORERS))
def test_trivial_scorers_are_at_chance_on_the_shipped_headline(asked: list[Row], name: str) -> None:
    counted = {trial.id for trial in QUADS.trials(quads()) if is_headline(trial)}
    values = [row[f"trivial_{name}"] for row in asked if row["trial"] in counted]
    assert len(values) == 24
    if name in FAIR:
        assert set(values) == {0.5}
    assert abs(sum(value - 0.5 for value in values)) <= 1


def test_what_is_remembered_of_frames_wins_where_the_camera_comes_back(asked: list[Row]) -> None:
    summary = QUADS.scorer(quads(), SETTING).summarise(asked)
    for scorer, least in (("first_of_context", 0.9), ("last_of_context", 0.5)):
        told = {"condition": "occluded", "hide": "outside", "scorer": scorer}
        value = metric(summary, "trivial_accuracy", **told).value
        assert value is not None
        assert value >= least


def test_changes_between_frames_see_every_shipped_control(asked: list[Row]) -> None:
    outcomes = [row["outcome"] for row in asked if row["trial"].endswith("/visible")]
    assert outcomes == [1.0] * 39


@pytest.mark.parametrize(("says", "expected"), [(constant, 0.5), (from_last, 0.5), (change, 0.5)])
def test_who_remembers_nothing_ties(
    says: Callable[[Tensor, Tensor], Tensor], expected: float
) -> None:
    data = quads()
    trials = [trial for trial in QUADS.trials(data) if trial.factors["condition"] == "occluded"]
    rows = rows_of(Surprised(says), data, trials[::4], QUADS)
    assert {row["outcome"] for row in rows} == {expected}


def test_a_simulator_is_right_about_all_of_them() -> None:
    data = quads()
    trials = QUADS.trials(data)
    rows = rows_of(Oracle(data, trials), data, trials, QUADS)
    assert {row["outcome"] for row in rows} == {1.0}
    summary = QUADS.scorer(data, SETTING).summarise(rows)
    (headline,) = [m for m in summary.metrics if m.headline]
    assert (headline.name, headline.value, headline.n) == ("rigidity_accuracy", 1.0, 24)
    names = {m.factors.get("violation") for m in summary.metrics if m.name == headline.name}
    assert names == {None, "slide", "swap", "mirror"}


def test_quads_depend_on_neither_batch_size_nor_order() -> None:
    data = quads()
    trials = QUADS.trials(data)[::6]
    expected = rows_of(Surprised(hashed), data, trials, QUADS, size=8)
    assert rows_of(Surprised(hashed), data, trials, QUADS, size=1) == expected
    assert rows_of(Surprised(hashed), data, trials[::-1], QUADS)[::-1] == expected


# Views: the geometry


def first_views() -> list[View]:
    data = views()
    return [View(data.track(f"{family}/0000"), (64, 64), CPU) for family in VIEWS]


def test_depth_alone_is_that_of_the_whole_rendering() -> None:
    for view in first_views():
        torch.testing.assert_close(view.depth, render(view.track).depth, rtol=0, atol=0)


def test_a_camera_at_a_constant_rate_is_where_its_path_says() -> None:
    for view in first_views():
        cameras = view.track.camera_c2w
        np.testing.assert_allclose(path(cameras, np.arange(16.0)), cameras, atol=1e-4)
        # Half a frame twice is a frame.
        half = path(cameras, np.array([0.0, 0.5, 1.0]))
        step = half[1] @ np.linalg.inv(half[0])
        np.testing.assert_allclose(step @ half[1], half[2], atol=1e-9)


def test_a_still_scene_looks_the_same_from_its_own_cameras() -> None:
    for view in first_views():
        again = seen_from(view.track, view.track.camera_c2w.astype(np.float64))
        np.testing.assert_array_equal(render(again).rgb, render(view.track).rgb)


def test_angles_of_view_are_those_of_the_cameras_axes() -> None:
    cameras = torch.eye(4).double().repeat(3, 1, 1)
    for i, degrees in enumerate((0.0, 30.0, 90.0)):
        angle = np.deg2rad(degrees)
        cameras[i, :3, 2] = torch.tensor([np.sin(angle), 0, np.cos(angle)])
    told = view_angles(cameras, [0, 0, 1], [1, 2, 2])
    torch.testing.assert_close(told, torch.tensor([30.0, 90.0, 60.0]).double())


# Views: pixels


class Knows(Generator):
    """Generates the true future of a view, changed by a function of context and future."""

    def __init__(self, name: str, spoil: Callable[[Tensor, Tensor], Tensor], **fields: Any) -> None:
        super().__init__(self._follows, name, **fields)
        self.spoil, data = spoil, views()
        trials = [trial for trial in SUITE.trials(data) if is_view(trial)]
        clips = clips_of(data, trials)
        cut = view_cut(self.card, data.frames)
        assert cut is not None
        self.futures = {key(clip[: cut.context]): clip[cut.context :] for clip in clips}

    def _follows(self, context: Tensor, horizon: int) -> Tensor:
        future = self.spoil(context, self.futures[key(context)])
        assert len(future) == horizon
        return future.clamp(0, 1)


def warped(share: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Bends every frame by a wave of this share of its width, another one each frame."""

    def spoil(context: Tensor, future: Tensor) -> Tensor:
        y, x = np.mgrid[:64, :64].astype(np.float32)
        bent = []
        for number, frame in enumerate(future):
            wave = share * 64 * np.sin(2 * np.pi * (y / 21 + number / 2.7)).astype(np.float32)
            picture = frame.permute(1, 2, 0).numpy()
            bent.append(cv2.remap(picture, x + wave, y, cv2.INTER_LINEAR, borderMode=1))
        return torch.from_numpy(np.stack(bent)).permute(0, 3, 1, 2)

    return spoil


def blurred(context: Tensor, future: Tensor) -> Tensor:
    soft = [cv2.GaussianBlur(f.permute(1, 2, 0).numpy(), (0, 0), 2.5) for f in future]
    return torch.from_numpy(np.stack(soft)).permute(0, 3, 1, 2)


def slid(context: Tensor, future: Tensor) -> Tensor:
    """A piece of the picture slides over the rest, a little further every frame."""
    out = future.clone()
    for number in range(len(future)):
        to = 20 + 3 * number
        out[number, :, 20:44, to : to + 20] = future[number, :, 20:44, 20 : 20 + 20]
    return out


def coarse(context: Tensor, future: Tensor) -> Tensor:
    return interpolate(interpolate(future, size=(16, 16), mode="area"), size=(64, 64))


def jittered(context: Tensor, future: Tensor) -> Tensor:
    shifts = [(2, -1), (-2, 2), (1, 2), (-1, -2)]
    return torch.stack([f.roll(shifts[i % 4], (1, 2)) for i, f in enumerate(future)])


LADDER: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "real": lambda context, future: future,
    "warp-1": warped(0.01),
    "warp-3": warped(0.03),
    "slid": slid,
    "blurred": blurred,
    "grey": lambda context, future: torch.full_like(future, 0.5),
    "frozen": lambda context, future: context[-1:].expand_as(future),
    "jittered": jittered,
    "coarse": coarse,
}


@pytest.fixture(scope="module")
def ladder() -> dict[str, Summary]:
    with pytest.MonkeyPatch.context() as patch:
        # What pixels are worth needs no read-outs.
        patch.setattr(views_module, "spaces_of", lambda card: ())
        return {name: of_views(Knows(name, spoil)) for name, spoil in LADDER.items()}


def skill_of(summary: Summary) -> float:
    value = metric(summary, "anchored_skill", extractor="pixels").value
    assert value is not None
    return value


def test_the_real_future_is_at_one_and_a_frozen_one_at_zero(ladder: dict[str, Summary]) -> None:
    assert skill_of(ladder["real"]) == pytest.approx(1, abs=1e-9)
    assert skill_of(ladder["frozen"]) == 0.0
    assert skill_of(of_views_quietly(CopyLast())) == 0.0


def of_views_quietly(adapter: Any) -> Summary:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views_module, "spaces_of", lambda card: ())
        return of_views(adapter)


def test_every_corruption_is_below_the_real_future(ladder: dict[str, Summary]) -> None:
    skills = {name: skill_of(summary) for name, summary in ladder.items()}
    assert all(skill < 1 for name, skill in skills.items() if name != "real"), skills
    assert skills["warp-3"] < skills["warp-1"]
    assert skills["grey"] < 0 < skills["blurred"]
    assert skills["slid"] < 0.95
    assert skills["coarse"] < 0.9


def test_a_path_that_is_followed_has_its_speed_and_a_frozen_one_none(
    ladder: dict[str, Summary],
) -> None:
    for name, expected in (("real", 0.0), ("frozen", 1.0)):
        told = {"extractor": "pixels", "future": "model"}
        found = metric(ladder[name], "path_speed_error", **told)
        assert found.value == pytest.approx(expected, abs=0.1)
        assert not found.higher_is_better


def test_a_camera_that_would_leave_the_room_sees_nothing_there() -> None:
    view = View(views().track("dolly/0001"), (64, 64), CPU)
    again = view.along(0, np.array([0.0, 15.0, 200.0, -200.0]), 1)
    assert [bool(mask.any()) for mask in again.mask] == [True, True, False, False]


def test_bent_frames_have_fewer_pairs_on_their_epipolar_lines(ladder: dict[str, Summary]) -> None:
    for threshold in (1.0, 2.0, 4.0):
        told = {"future": "model", "geometry": "true", "threshold": threshold}
        found = [metric(ladder[name], "tsed", **told) for name in ("real", "warp-1", "warp-3")]
        shares = [0.0 if one.value is None else one.value for one in found]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > shares[2]
        truth = metric(ladder["real"], "tsed", **{**told, "future": "ceiling"})
        assert shares[0] == truth.value


def test_too_few_matches_are_a_status_and_no_share(ladder: dict[str, Summary]) -> None:
    rows = [row for row in ladder["grey"].rows if row["role"] == "tsed"]
    assert {row["model.status"] for row in rows} == {"too few matches"}
    assert {row["model.2"] for row in rows} == {None}
    told = {"future": "model", "geometry": "true", "threshold": 2.0}
    found = metric(ladder["grey"], "tsed", **told)
    assert found.status == "skipped"
    assert "too few matches" in str(found.reason)
    for name in ("real", "frozen"):
        still = metric(ladder[name], "tsed", **{**told, "future": "floor"})
        assert still.value == metric(ladder["frozen"], "tsed", **told).value


def test_skill_is_told_by_gap_and_by_view(ladder: dict[str, Summary]) -> None:
    found = [m.factors for m in ladder["real"].metrics if m.name == "anchored_skill"]
    gaps = {factors["gap"] for factors in found if "gap" in factors}
    assert gaps <= set(range(1, 9))
    assert len(gaps) >= 6
    assert {factors["view"] for factors in found if "view" in factors} == set(VIEWS)


# Views: latents


class Places(Patches):
    """Encodes where in the world each token's surface is, and what follows, if it knows it."""

    def __init__(self, name: str = "places", knows: bool = True, stride: int = 2) -> None:
        super().__init__(name, stride, revision=f"{name} {knows}")
        self.knows, self.seen = knows, {}  # type: ignore[var-annotated]
        generator = torch.Generator().manual_seed(2)
        self.waves = 4 * torch.randn(3, 32, generator=generator).double()
        data = views()
        for part in (data, data.train):
            assert part is not None
            for clip in part.clips():
                if clip.id.split("/")[0] in VIEWS:
                    (frames,) = clips_of(part, [Trial(clip.id, clip.cluster, (clip.id,), {})])
                    self._learn(View(part.track(clip.id), (64, 64), CPU), frames)

    def _learn(self, view: View, frames: Tensor) -> None:
        rows = columns = torch.arange(8) * 8 + 4
        depth = view.depth[:, rows][:, :, columns].double()
        y, x = torch.meshgrid(rows + 0.5, columns + 0.5, indexing="ij")
        rays = torch.stack([x, y, torch.ones(8, 8)], -1).double() @ view.intrinsics.inverse().T
        points = rays * depth[..., None]
        world = points @ view.cameras[:, None, :3, :3].mT + view.cameras[:, None, None, :3, 3]
        # Waves over the world, short enough that neighbours differ.
        waves = (world @ self.waves).cos()
        told = torch.cat([waves, depth.log()[..., None]], dim=-1)
        for number in range(len(frames)):
            self.seen[key(frames[number : number + 1])] = told[number]
        self.follows = getattr(self, "follows", {})
        self.follows[key(frames[:8])] = frames[8:]

    def encode(
        self, video: Tensor, *, layer: str | None = None, noise: float | None = None, seed: int = 0
    ) -> Latents:
        stride = self.card.temporal_stride
        tokens = [
            torch.stack([self.seen[key(frame[None])] for frame in clip[::stride]]) for clip in video
        ]
        return Latents(torch.stack(tokens).float(), stride)

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        if not self.knows:
            last = self.encode(context).tokens[:, -1:]
            return Latents(last.expand(-1, horizon // 2, -1, -1, -1).clone(), 2)
        return self.encode(torch.stack([self.follows[key(clip)] for clip in context]))


class Positions(Patches):
    """Encodes where in the picture a token is, and nothing else."""

    def __init__(self, name: str = "positions") -> None:
        super().__init__(name)

    def encode(
        self, video: Tensor, *, layer: str | None = None, noise: float | None = None, seed: int = 0
    ) -> Latents:
        code = torch.eye(64).reshape(8, 8, 64)
        return Latents(code.expand(len(video), video.shape[1] // 2, 8, 8, 64).clone(), 2)

    def predict(self, context: Tensor, horizon: int, *, actions: Tensor | None = None) -> Latents:
        return self.encode(context[:, :1].expand(-1, horizon, -1, -1, -1))


class Odd(Positions):
    """Encodes a grid that does not tile the pictures."""

    def __init__(self) -> None:
        super().__init__("odd")

    def encode(self, video: Tensor, **_: Any) -> Latents:
        grid = torch.rand(1, 1, 24, 24, 4, generator=torch.Generator().manual_seed(0))
        return Latents(grid.expand(len(video), video.shape[1] // 2, -1, -1, -1).clone(), 2)


def test_a_grid_that_does_not_tile_is_a_status_and_leaves_the_rest() -> None:
    found = of_views(Odd())
    rows = [row for row in found.rows if row["role"] == "unmeasured"]
    assert {row["space"] for row in rows} == {"latents", "own"}
    assert "24 × 24 tokens do not tile 64 × 64" in rows[0]["reason"]
    told = {m.name: m for m in found.metrics if m.status == "skipped" and "tile" in str(m.reason)}
    assert told.keys() == {"anchored_skill", "depth_delta1", "rotation_error", "direction_error"}
    assert "data.size=native" in str(told["anchored_skill"].reason)
    assert told["anchored_skill"].factors == {"extractor": "latents"}


@pytest.fixture(scope="module")
def places() -> Summary:
    return of_views(Places())


def test_who_knows_where_everything_is_is_at_one(places: Summary) -> None:
    assert metric(places, "anchored_skill", extractor="latents").value == pytest.approx(1, abs=1e-6)


def test_latents_that_stay_are_at_zero() -> None:
    found = of_views(Places("still", knows=False))
    assert metric(found, "anchored_skill", extractor="latents").value == pytest.approx(0, abs=1e-9)


def test_depth_that_stands_in_latents_is_read_off(places: Summary) -> None:
    told = {"extractor": "own", "measure": "delta1", "scale": "raw"}
    model = metric(places, "depth", future="model", **told).value
    floor = metric(places, "depth", future="floor", **told).value
    assert model == metric(places, "depth", future="ceiling", **told).value
    assert model is not None
    assert floor is not None
    assert model > 0.85
    assert model > floor


def test_places_are_found_again_and_noise_finds_nothing(places: Summary) -> None:
    near = {"angle": "0–30°"}
    where = of_views(Positions())
    assert (metric(where, "correspondence_recall", scorer="latents", **near).value or 0) < 0.05
    assert (metric(places, "correspondence_recall", scorer="latents", **near).value or 0) > 0.7
    chance = metric(places, "correspondence_recall", scorer="chance", **near).value
    assert chance is not None
    assert chance < 0.15


def test_what_neither_generates_nor_encodes_is_asked_about_quads_alone() -> None:
    data = views()
    trials = SUITE.trials(data)
    rows = rows_of(Surprised(change), data, trials)
    skipped = [row for row in rows if row["role"] == "skipped"]
    assert len(skipped) == sum(map(is_view, trials))
    assert "neither generates nor encodes" in skipped[0]["reason"]
    assert SUITE.scorer(data, SETTING).summarise(rows).metrics[0].status == "ok"


def test_views_depend_on_neither_batch_size_nor_order() -> None:
    data, adapter = views(), CopiesLatents("copies")
    trials = [trial for trial in SUITE.trials(data) if is_view(trial)]
    expected = rows_of(adapter, data, trials)
    assert rows_of(adapter, data, trials, size=1) == expected
    by_trial = {t.id: [row for row in expected if row["trial"] == t.id] for t in trials}
    backwards = rows_of(adapter, data, trials[::-1])
    assert backwards == [row for trial in trials[::-1] for row in by_trial[trial.id]]


def test_without_training_views_there_is_no_read_out() -> None:
    data = quads()
    trial = Trial("dolly/0000", "dolly/0000", ("dolly/0000",), {"view": "dolly"})
    with pytest.raises(DataError, match="no training views"):
        rows_of(CopiesLatents("copies"), _with_one_view(data), [trial])


def _with_one_view(data: WorldData) -> WorldData:
    whole = views()
    alone = part_of("consistency3d_quick", lambda quad: False)
    alone.__dict__["_loaded"] = (whole.content, None)
    alone.__dict__["train"] = None
    return alone


# Real views


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A walk round a scene, in the layout of RealEstate10K and as a mere video."""
    root = tmp_path_factory.mktemp("walk")
    # A scene of enough texture: pairs of its frames have 27 to 32 matches, 12 to 18 in either half.
    track = simulate(SceneSpec("static_orbit", seed=2, frames=16, fps=8, size=(128, 128)))
    seen = render(track)
    for folder in ("videos", "test"):
        (root / folder).mkdir()
    encode(root / "videos" / "a.mp4", seen.rgb.numpy(), 8)
    lens = seen.K.double().numpy()[[0, 1, 0, 1], [0, 1, 2, 2]] / 128
    cameras = track.camera_c2w.astype(np.float64)
    cameras[:, :3, :3] = Rotation.from_matrix(cameras[:, :3, :3]).as_matrix()
    lines = [
        " ".join(map(str, [125_000 * t, *lens, 0, 0, *np.linalg.inv(c2w)[:3].ravel()]))
        for t, c2w in enumerate(cameras)
    ]
    text = "\n".join(["https://www.youtube.com/watch?v=abcdefghijk", *lines]) + "\n"
    (root / "test" / "a.txt").write_text(text)
    return root


def real(data: ClipSource, adapter: Any) -> Summary:
    rows = rows_of(adapter, data, SUITE.trials(data))  # type: ignore[arg-type]
    return SUITE.scorer(data, SETTING).summarise(rows)


def test_videos_with_cameras_are_held_to_them(walk: Path) -> None:
    data = RealEstateData("walk", str(walk), "test", frames=16, fps=8, size=(128, 128))
    found = real(data, CopyLast())
    assert [t.factors for t in SUITE.trials(data)] == [{"view": "posed"}]
    told = {"geometry": "true", "threshold": 2.0}
    assert metric(found, "tsed", future="ceiling", **told).value == 1.0
    assert metric(found, "tsed", future="model", **told).value is not None
    assert found.metrics[0].status == "skipped"
    assert "no matched quads" in str(found.metrics[0].reason)


def test_videos_without_cameras_are_held_to_what_their_matches_say(walk: Path) -> None:
    data = VideoData("walk", str(walk / "videos"), frames=16, fps=8, size=(128, 128))
    found = real(data, CopyLast())
    assert [t.factors for t in SUITE.trials(data)] == [{"view": "unposed"}]
    told = {"geometry": "estimated", "threshold": 2.0}
    # A frozen video agrees with itself: the gate on parallax makes that no score.
    assert metric(found, "tsed", future="model", **told).status == "skipped"
    assert (metric(found, "tsed", future="ceiling", **told).value or 0) > 0.5
    row = next(row for row in found.rows if row["role"] == "tsed")
    assert row["model.status"] == "no geometry"


def test_of_real_views_latents_say_nothing(walk: Path) -> None:
    data = VideoData("walk", str(walk / "videos"), frames=16, fps=8, size=(64, 64))
    rows = rows_of(CopiesLatents("copies"), data, SUITE.trials(data))  # type: ignore[arg-type]
    assert "generates no pixels" in rows[0]["reason"]


def test_a_set_of_the_worlds_without_quads_is_refused() -> None:
    with pytest.raises(UsageError, match="matched quads"):
        SUITE.trials(WorldData("worlds", workers=1))


@pytest.mark.parametrize("option", ["views", "secondary"])
def test_options_that_make_no_sense_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match=f"suite.{option}"):
        Consistency3D(**{option: -1})
