"""Quads are fair by construction: known scorers sit at ½, and see everything in plain sight."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from worldbench.data.worlds import fairness, quads
from worldbench.data.worlds.fairness import Unqualified
from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures.render import render, render_rgb
from worldbench.data.worlds.quad_plans import QuadPlan
from worldbench.data.worlds.quads import PERMANENCE, RIGIDITY, Quad
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.errors import DataError, UsageError

SLIVER = 2
"""Pixels whose centre may see what none of their four sub-samples saw."""

Scorer = Callable[[np.ndarray, int], float]


def found(name: str, violation: str, count: int, **factors: object) -> list[Quad]:
    """The first ``count`` quads that a family's balanced specs give."""
    made: list[Quad] = []
    for spec in family(name).specs(6 * count, 0, factors=factors):
        try:
            made.append(quads.make_quad(spec, violation))
        except Unqualified:
            continue
        if len(made) == count:
            return made
    raise AssertionError(f"only {len(made)} of {count} {violation} quads")


@pytest.fixture(scope="module")
def presence() -> list[Quad]:
    return found("occluder_pass", "presence", 12)


def floats(video: np.ndarray) -> np.ndarray:
    return video.astype(np.float64) / 255


def frame_difference(video: np.ndarray, context: int) -> float:
    return float(np.abs(np.diff(floats(video)[context - 1 :], axis=0)).sum())


SCORERS: dict[str, Scorer] = {
    "constant": lambda video, context: 1.0,
    "frame difference": frame_difference,
    "pixel variance": lambda video, context: float(floats(video)[context:].var()),
    "mean of context": lambda v, c: float(((floats(v)[c:] - floats(v)[:c].mean(0)) ** 2).sum()),
    "max of context": lambda v, c: float(((floats(v)[c:] - floats(v)[:c].max(0)) ** 2).sum()),
    "first of context": lambda v, c: float(((floats(v)[c:] - floats(v)[0]) ** 2).sum()),
    "last of context": lambda v, c: float(((floats(v)[c:] - floats(v)[c - 1]) ** 2).sum()),
}


def accuracy(scorer: Scorer, made: Sequence["Quad | Entry"]) -> float:
    """Share of quads whose foils surprise more than the truth; ties count ½."""
    points = []
    for quad in made:
        context = quad.stop - quad.stop % 2  # the largest boundary of a stride of two
        foils = sum(scorer(video, context) for video in quad.foils(context))
        truth = sum(scorer(video, context) for video in quad.videos)
        tie = abs(foils - truth) <= 1e-6 * abs(foils + truth) / 2
        points.append(0.5 if tie else float(foils > truth))
    return float(np.mean(points))


@pytest.mark.parametrize("name", ["constant", "frame difference", "pixel variance"])
def test_scorers_of_frames_and_steps_sit_at_chance(name: str, presence: list[Quad]) -> None:
    assert accuracy(SCORERS[name], presence) == 0.5


def test_the_frame_difference_sees_everything_in_plain_sight(presence: list[Quad]) -> None:
    controls = plain(presence)
    assert len(controls) >= 10
    assert accuracy(frame_difference, controls) == 1.0


def plain(made: list[Quad]) -> list[Quad]:
    """Controls of the quads that have one."""
    controls = []
    for quad in made:
        with suppress(Unqualified):
            controls.append(quads.visible_control(quad))
    return controls


@pytest.mark.parametrize("violation", PERMANENCE)
def test_every_splice_of_a_control_stands_out(violation: str) -> None:
    fixed = {"motion": "steady"} if violation in ("speed", "count") else {}
    controls = plain(found("occluder_pass", violation, 3, **fixed))
    assert controls
    for quad in controls:
        truth = sum(frame_difference(video, quad.start) for video in quad.videos)
        for at in range(quad.start, quad.stop + 1):
            foils = sum(frame_difference(video, quad.start) for video in quad.foils(at))
            assert foils > truth


def test_a_jump_that_looks_like_a_step_is_no_control() -> None:
    rng = np.random.default_rng(0)
    video = rng.integers(0, 255, (8, 8, 8, 3)).astype(np.uint8)
    with pytest.raises(Unqualified, match="not plain"):
        fairness.plain_from(video, video, 2, 6)


def test_either_clip_can_be_made_to_show_more() -> None:
    (quad,) = found("occluder_pass", "presence", 1, motion="steady")
    amounts = fairness.traces(quad.videos, quad.tracks, quad.start)
    for track, amount in zip(quad.tracks, amounts, strict=True):  # a target and its shadow
        seen = render(track).visible_px[: quad.start, track.slots_of("target")]
        assert 0.7 * int(seen.sum()) < amount < 4 * int(seen.sum())
    more, less = ("A", "P") if amounts[0] > amounts[1] else ("P", "A")
    assert quads.make_quad(quad.spec, "presence", shows_more=more).start == quad.start
    with pytest.raises(Unqualified, match=f"{less} must show more"):
        quads.make_quad(quad.spec, "presence", shows_more=less)


@pytest.mark.parametrize("violation", ["shape", "colour"])
def test_only_the_target_changes_with_its_shape_or_colour(violation: str) -> None:
    spec = SceneSpec("occluder_pass", 2, factors={"lookalike": True, "distractors": 2})
    a, p = (simulate(part) for part in quads.partners(spec, violation))
    bystanders = a.slots_of("distractor")
    assert len(bystanders) == 2
    assert np.array_equal(a.kind[bystanders], p.kind[bystanders])
    assert np.array_equal(a.albedo[bystanders], p.albedo[bystanders])


def blurred(video: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(floats(video).mean(0), (0, 0), 10)


def histogram(video: np.ndarray) -> np.ndarray:
    coarse = (video >> 5).astype(np.int64)
    bins = coarse[..., 0] * 64 + coarse[..., 1] * 8 + coarse[..., 2]
    return np.bincount(bins.ravel(), minlength=512) / bins.size


def side_of_motion(video: np.ndarray) -> float:
    change = np.abs(np.diff(floats(video), axis=0)).sum((0, 1, 3))
    return float((change * np.linspace(-1, 1, len(change))).sum() / (change.sum() + 1e-6))


def edges(video: np.ndarray) -> float:
    return float(np.mean([np.abs(cv2.Laplacian(f, cv2.CV_32F)).sum() for f in video]))


BAGS: dict[str, Scorer] = {
    "blurred mean of context": lambda v, c: float(((blurred(v[c:]) - blurred(v[:c])) ** 2).sum()),
    "colours of context": lambda v, c: float(((histogram(v[c:]) - histogram(v[:c])) ** 2).sum()),
    "side of motion": lambda v, c: (side_of_motion(v[c:]) - side_of_motion(v[:c])) ** 2,
    "edges of context": lambda v, c: abs(edges(v[c:]) - edges(v[:c])),
}
"""Coarse descriptions of the context that the future is held against: no object in mind."""


@dataclass(frozen=True)
class Entry:
    """A quad as a set keeps it."""

    videos: tuple[np.ndarray, np.ndarray]
    start: int
    stop: int

    def foils(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        return quads.splice(*self.videos, at)


@pytest.fixture(scope="module")
def many() -> dict[str, list[Entry]]:
    """A hundred presence quads in the proportions of the sets, and their controls."""
    counts = {"steady": 15, "braking": 15, "rebound": 34, "drop": 40}
    plan = QuadPlan("many", "", {f"presence ({kind})": n for kind, n in counts.items()})
    content = plan.make(2, lambda done, total: None)
    tracks = {clip.id: clip.track for clip in content.clips}
    made: dict[str, list[Entry]] = {"occluded": [], "visible": []}
    for quad in content.quads:
        a, p = render_rgb([tracks[clip] for clip in quad.clips]).numpy()
        made[quad.condition].append(Entry((a, p), quad.start, quad.stop))
    assert len(made["occluded"]) == 104
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({**SCORERS, **BAGS}))
def test_known_scorers_sit_at_chance_on_a_hundred_quads(
    name: str, many: dict[str, list[Entry]]
) -> None:
    measured = accuracy({**SCORERS, **BAGS}[name], many["occluded"])
    # Bags win some kinds of quad and lose others: three standard errors of a coin.
    assert abs(measured - 0.5) <= 3 * 0.5 / 104**0.5, measured


@pytest.mark.slow
def test_the_frame_difference_sees_a_hundred_controls(many: dict[str, list[Entry]]) -> None:
    assert accuracy(frame_difference, many["visible"]) == 1.0


@pytest.mark.parametrize("violation", PERMANENCE)
def test_what_permanence_quads_differ_in_is_out_of_sight(violation: str) -> None:
    fixed = {"motion": "steady"} if violation in ("speed", "count") else {}
    for quad in found("occluder_pass", violation, 2, **fixed):
        a, p = quad.videos
        assert quad.stop - quad.start >= fairness.MIN_RUN
        assert (a[quad.start : quad.stop] == p[quad.start : quad.stop]).all()
        assert (a[quad.start - 1] != p[quad.start - 1]).any()
        assert (a[quad.stop] != p[quad.stop]).any()
        # One of two targets goes its way in both; what P has more of is hidden.
        track = quad.tracks[1 if violation == "count" else 0]
        slot = track.slots_of("target")[-1]
        seen = render(track).visible_px[:, slot]
        assert int(seen[quad.start : quad.stop].max()) <= SLIVER
        assert int(seen.max()) > 10


@pytest.mark.parametrize("violation", RIGIDITY)
@pytest.mark.parametrize("hide", ["screen", "outside"])
def test_what_rigidity_quads_differ_in_is_out_of_view(violation: str, hide: str) -> None:
    (quad,) = found("hidden_piece", violation, 1, hide=hide)
    pieces = quad.tracks[0].slots_of("piece")
    seen = render(quad.tracks[0]).visible_px[:, pieces].sum(1)
    assert int(seen[quad.start : quad.stop].max()) <= SLIVER
    assert int(seen[0]) > 20
    assert int(seen[-1]) > 20
    assert accuracy(frame_difference, [quad]) == 0.5
    assert accuracy(frame_difference, [quads.visible_control(quad)]) == 1.0


def test_pieces_change_as_their_violation_says() -> None:
    spec = SceneSpec("hidden_piece", 3)
    tracks = {name: quads.make_quad(spec, name).tracks for name in RIGIDITY}
    a = tracks["slide"][0]
    slots = a.slots_of("piece")

    def places(name: str) -> np.ndarray:
        return tracks[name][1].pos[0, slots]

    was = a.pos[0, slots]
    from_middle = was[:, :2] - was[:, :2].mean(0)
    moved = places("slide") - was
    assert np.allclose(moved[0], moved[1], atol=1e-4)
    # Along the view or across it.
    assert 0.3 < np.abs(moved[0]).max() < 0.5
    assert np.abs(moved[0]).max() == np.linalg.norm(moved[0])
    assert np.allclose(places("swap")[:, :2], was[::-1, :2], atol=1e-4)
    # Mirrored in a line through the middle: as far from it, and neither there nor swapped.
    mirrored = places("mirror")[:, :2] - was[:, :2].mean(0)
    assert np.allclose(mirrored[0], -mirrored[1], atol=1e-3)
    assert np.allclose(
        np.linalg.norm(mirrored, axis=1), np.linalg.norm(from_middle, axis=1), atol=1e-3
    )
    for other in (from_middle, from_middle[::-1]):
        assert np.linalg.norm(mirrored - other, axis=1).min() > 0.3
    ratio = tracks["scale"][1].size[slots].max(1) / a.size[slots].max(1)
    assert (np.abs(np.log(ratio)) > 0.3).all()


def test_splices_are_the_same_wherever_they_are_cut(presence: list[Quad]) -> None:
    quad = presence[0]
    for at in range(quad.start, quad.stop + 1):
        for one, other in zip(quad.foils(at), quad.foils(quad.start), strict=True):
            assert (one == other).all()
    with pytest.raises(ValueError, match="no splice at"):
        quad.foils(quad.stop + 1)


def test_both_contexts_show_the_target(presence: list[Quad]) -> None:
    for quad in presence[:4]:
        for track in quad.tracks:
            seen = render(track).visible_px[: quad.start, track.slots_of("target")]
            assert int(seen.sum()) > 0


def test_bystanders_do_not_notice_the_target(presence: list[Quad]) -> None:
    for quad in presence:
        a, p = (
            track.pos[:, [s for s, role in enumerate(track.roles) if role != "target"]]
            for track in quad.tracks
        )
        assert np.array_equal(a, p)


def test_in_both_possible_quads_nothing_foretells_the_target() -> None:
    made = []
    for spec in family("occluder_pass").specs(6, 0, factors={"motion": "steady", "occluders": 1}):
        try:
            made.append(quads.both_possible(spec))
        except Unqualified:
            continue
    assert len(made) >= 3
    for quad in made:
        a, p = quad.tracks
        assert not p.slots_of("target")
        seen = render(a).visible_px[:, a.slots_of("target")]
        assert int(seen[: quad.stop].max()) <= SLIVER
        assert int(seen[quad.stop :].max()) > 10


def test_a_spec_that_hides_nothing_is_refused() -> None:
    spec = SceneSpec("hidden_piece", 0, factors={"hide": "in_view"})
    with pytest.raises(Unqualified, match="identical run"):
        quads.make_quad(spec, "slide")


def test_an_unfair_splice_is_caught(presence: list[Quad]) -> None:
    quad = presence[0]
    with pytest.raises(DataError, match="not balanced"):
        fairness.check(*quad.videos, quad.start - 2, quad.stop)


def test_unknown_violations_and_families_without_the_factor_are_told() -> None:
    with pytest.raises(UsageError, match="presence"):
        quads.make_quad(SceneSpec("occluder_pass", 0), "presense")
    with pytest.raises(UsageError, match="factor"):
        quads.make_quad(SceneSpec("drop", 0), "presence")


def test_quads_are_the_same_every_time(presence: list[Quad]) -> None:
    quad = presence[0]
    again = quads.make_quad(replace(quad.spec), "presence")
    assert (again.videos[0] == quad.videos[0]).all()
    assert (again.start, again.stop) == (quad.start, quad.stop)
