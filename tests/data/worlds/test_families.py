"""Families stage what they say, from named streams, with balanced factors."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from worldbench.data.worlds import camera
from worldbench.data.worlds.families import FAMILIES, family, stage
from worldbench.data.worlds.palette import COLOURS, OOD_COLOURS
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.scene import KINDS, vec
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track
from worldbench.errors import UsageError

NAMED = (
    "train_random",
    "occluder_pass",
    "leave_visibly",
    "drop_behind",
    "drop",
    "bounce",
    "roll_slope",
    "collide",
    "pendulum",
    "push",
    "static_orbit",
    "dolly",
    "truck",
    "orbit_with_motion",
)


def way(track: Track, role: str = "target") -> np.ndarray:
    """Path of the first slot of a role, ``t 3``."""
    return track.pos[:, track.slots_of(role)[0]]


def level_of(name: str, factor: str) -> object:
    return FAMILIES[name].factors[factor].levels[0]


def test_every_family_that_users_are_promised_exists() -> None:
    assert set(NAMED) <= set(FAMILIES)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("split", ["train", "test_ood"])
def test_every_family_simulates_in_every_split(name: str, split: str) -> None:
    for spec in family(name).specs(6, 11, split=split):
        track = simulate(spec)
        assert track.frames == 16
        assert track.factors.keys() >= spec.fixed.keys()
        eye = track.camera_c2w[:, :3, 3]
        assert (eye > track.room[0]).all()
        assert (eye < track.room[1]).all()


@pytest.mark.parametrize("name", ["occluder_pass", "collide", "hidden_piece", "train_random"])
@pytest.mark.parametrize("form", [{"size": (48, 96)}, {"frames": 33, "fps": 16}, {"fps": 12.5}])
def test_length_rate_and_aspect_are_free(name: str, form: dict[str, object]) -> None:
    for spec in family(name).specs(3, 5, **form):
        track = simulate(spec)
        assert track.frames == spec.frames
        assert track.K[0, 2] * 2 == spec.width


def test_resolution_changes_nothing_but_the_intrinsics() -> None:
    small = simulate(SceneSpec("drop", 3, size=64))
    large = simulate(SceneSpec("drop", 3, size=256))
    for name, array in small.arrays().items():
        if name != "K":
            assert np.array_equal(array, large.arrays()[name]), name
    assert np.allclose(large.K[:2], 4 * small.K[:2])


def test_equal_specs_give_equal_tracks_in_any_order() -> None:
    specs = family("train_random").specs(8, 40, split="train")
    there = [simulate(spec).digest for spec in specs]
    back = [simulate(spec).digest for spec in reversed(specs)]
    assert there == back[::-1]
    assert len(set(there)) == len(specs)


def test_specs_are_balanced() -> None:
    specs = family("collide").specs(24, 0)
    for factor, levels in (("shape", 4), ("meeting", 2), ("other", 3), ("colour", 8)):
        counts = Counter(spec.fixed[factor] for spec in specs)
        assert set(counts.values()) == {24 // levels}
    assert len({spec.seed for spec in specs}) == 24


def test_a_fixed_factor_is_kept_and_the_others_are_not_moved_by_it() -> None:
    spec = SceneSpec("occluder_pass", 8, factors={"colour": "red", "motion": "steady"})
    blue = spec.with_factors(colour="blue")
    one, other = simulate(spec), simulate(blue)
    assert np.array_equal(one.pos, other.pos)
    assert np.array_equal(one.room_texture, other.room_texture)
    target = one.slots_of("target")[0]
    changed = (one.albedo != other.albedo).any(axis=(1, 2))
    assert changed[target]
    assert changed.sum() == 1 + len(
        [s for s in one.slots_of("distractor") if one.factors["lookalike"]]
    )


@pytest.mark.parametrize("split", ["train", "calibration", "test"])
def test_colours_of_test_ood_appear_nowhere_else(split: str) -> None:
    fixed = {str(spec.fixed["colour"]) for spec in family("collide").specs(16, 0, split=split)}
    assert fixed <= set(COLOURS)
    ood = {str(s.fixed["colour"]) for s in family("collide").specs(16, 0, split="test_ood")}
    assert ood <= set(OOD_COLOURS)


def test_sizes_and_textures_of_test_ood_appear_nowhere_else() -> None:
    def looks(split: str) -> tuple[np.ndarray, np.ndarray]:
        tracks = [
            simulate(spec)
            for spec in family("collide").specs(30, 0, split=split, factors={"shape": "sphere"})
        ]
        slots = [track.slots_of("target")[0] for track in tracks]
        sizes = np.array([track.size[s, 0] for track, s in zip(tracks, slots, strict=True)])
        tones = np.array([track.texture[s, 1] for track, s in zip(tracks, slots, strict=True)])
        return sizes, tones

    sizes, tones = looks("test")
    odd_sizes, odd_tones = looks("test_ood")
    assert ((odd_sizes < sizes.min()) | (odd_sizes > sizes.max())).all()
    assert odd_tones.min() > tones.max()


def test_splits_share_no_scene() -> None:
    digests = {
        simulate(SceneSpec("drop", 3, split=split)).pos.tobytes()
        for split in ("train", "calibration", "test")
    }
    assert len(digests) == 3


def test_leave_visibly_is_occluder_pass_with_another_course() -> None:
    here = simulate(SceneSpec("occluder_pass", 12, factors={"motion": "steady"}))
    gone = simulate(SceneSpec("leave_visibly", 12, factors={"motion": "steady"}))
    assert np.array_equal(way(here)[0], way(gone)[0])
    ahead, back = (np.diff(way(track)[:6, 0]) for track in (here, gone))
    assert (np.sign(ahead) == -np.sign(back)).all()


@pytest.mark.parametrize("motion", ["steady", "braking", "rebound"])
def test_motion_behind_the_occluder_is_what_the_factor_says(motion: str) -> None:
    spec = SceneSpec("occluder_pass", 5, factors={"motion": motion, "pace": "medium"})
    x = way(simulate(spec))[:, 0].astype(np.float64)
    speed = np.abs(np.diff(x))
    if motion == "steady":
        assert np.allclose(speed, speed[0], rtol=1e-3)
    elif motion == "braking":
        assert speed[-1] < 0.7 * speed[0]
    else:
        assert np.sign(x[1] - x[0]) == -np.sign(x[-1] - x[-2])
        assert speed[-1] == pytest.approx(speed[0], rel=0.05)


def test_falling_objects_come_to_rest_on_the_floor() -> None:
    track = simulate(SceneSpec("drop", 4, factors={"objects": 1, "shape": "box", "onto": "floor"}))
    heights = way(track)[:, 2]
    assert heights[0] > 0.8
    assert heights.min() > 0.1
    assert heights[-1] < 0.5


@pytest.mark.parametrize(
    ("ground", "pose", "moves"), [("rough", "standing", False), ("slippery", "standing", True)]
)
def test_friction_decides_whether_a_box_slides(ground: str, pose: str, moves: bool) -> None:
    factors = {"shape": "box", "slope": "medium", "ground": ground, "pose": pose}
    path = way(simulate(SceneSpec("roll_slope", 2, factors=factors)))
    assert (np.linalg.norm(path[-1] - path[0]) > 0.5) == moves


def test_a_ball_rolls_down_a_rough_slope() -> None:
    factors = {"shape": "sphere", "slope": "gentle", "ground": "rough"}
    track = simulate(SceneSpec("roll_slope", 2, factors=factors))
    slot = track.slots_of("target")[0]
    speed = np.linalg.norm(track.vel[8, slot])
    assert np.linalg.norm(track.angvel[8, slot]) * track.size[slot, 0] == pytest.approx(
        speed, rel=0.1
    )


def test_pushed_objects_go_where_the_pusher_goes() -> None:
    for seed in range(4):
        track = simulate(SceneSpec("push", seed, factors={"objects": 1, "shape": "box"}))
        moved, pushed = (
            way(track)[-1] - way(track)[0],
            way(track, "pusher")[-1] - way(track, "pusher")[0],
        )
        assert moved[0] * pushed[0] > 0.05
        assert any(role == "pusher" for role in track.roles)
        assert len(track.contacts)


def test_bob_and_rod_move_as_one_body() -> None:
    track = simulate(SceneSpec("pendulum", 1, factors={"hits": "nothing"}))
    bob, rod = track.slots_of("target")
    assert track.body[bob] == track.body[rod]
    apart = np.linalg.norm(track.pos[:, bob] - track.pos[:, rod], axis=1)
    assert np.allclose(apart, apart[0], atol=1e-3)


@pytest.mark.parametrize("name", ["static_orbit", "dolly", "truck", "hidden_piece"])
def test_still_lifes_stand_still_under_a_camera_of_constant_rate(name: str) -> None:
    track = simulate(SceneSpec(name, 6))
    assert (track.pos == track.pos[0]).all()
    steps = np.linalg.norm(np.diff(track.camera_c2w[:, :3, 3], axis=0), axis=1)
    assert steps[0] > 0.01
    assert np.allclose(steps, steps[0], atol=1e-3)


@pytest.mark.parametrize("how", ["still", "jittered", "moving"])
def test_cameras_are_upright_rotations(how: str) -> None:
    path = stage(SceneSpec("collide", 9, factors={"camera": how})).camera
    turn = path[:, :3, :3]
    assert np.allclose(turn @ turn.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    assert np.allclose(turn[:, 2, 0], 0, atol=1e-9)  # right stays level
    assert (np.linalg.det(turn) > 0.999).all()
    assert (np.ptp(path[:, :3, 3], axis=0).max() > 1e-3) == (how != "still")


def test_pan_and_return_ends_where_it_began() -> None:
    path = camera.pan_and_return(vec(0, -5, 1), vec(0, 0, 0.5), 9, 0.8)
    assert np.allclose(path[0], path[-1])
    assert np.arccos(path[0, :3, 2] @ path[4, :3, 2]) == pytest.approx(0.8, abs=0.02)


def test_a_camera_cannot_look_straight_down() -> None:
    with pytest.raises(ValueError, match="upright"):
        camera.look_at(vec(0, 0, 3), vec(0, 0, 0))


def test_unknown_names_are_told_with_what_exists() -> None:
    with pytest.raises(UsageError, match="did you mean 'collide'"):
        stage(SceneSpec("colide", 0))
    with pytest.raises(UsageError, match="did you mean 'colour'"):
        stage(SceneSpec("collide", 0, factors={"color": "red"}))
    with pytest.raises(UsageError, match="red, orange"):
        stage(SceneSpec("collide", 0, factors={"colour": "mauve"}))
    with pytest.raises(UsageError, match="pink"):
        stage(SceneSpec("collide", 0, split="test_ood", factors={"colour": "red"}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 1},
        {"fps": 0},
        {"size": 8},
        {"size": (64, 5000)},
        {"split": "val"},
        {"seed": -1},
    ],
)
def test_specs_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SceneSpec(**{"family": "drop", "seed": 0, **wrong})  # type: ignore[arg-type]


def test_specs_survive_json_and_keep_their_digest() -> None:
    spec = SceneSpec("drop", 3, size=(48, 96), factors={"onto": "table", "objects": 2})
    again = SceneSpec.from_dict(spec.to_dict())
    assert again == spec
    assert again.digest == spec.digest
    assert hash(again) == hash(spec)
    assert spec.digest != replace(spec, seed=4).digest


def test_the_mixture_holds_every_scenario_and_says_which() -> None:
    specs = family("train_random").specs(60, 0, split="train")
    seen = Counter(simulate(spec).label for spec in specs)
    assert seen["tumble"] > seen["drop"] > 0
    assert set(seen) >= {"occluder_pass", "leave_visibly", "collide", "events", "truck"}


def lowest(track: Track) -> np.ndarray:
    """Height of the lowest point of every slot, ``t n``."""
    w, x, y, z = np.moveaxis(track.rot.astype(np.float64), -1, 0)
    up = np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1)
    along, across = np.abs(up[..., 2]), np.sqrt(np.maximum(0, 1 - up[..., 2] ** 2))
    size = track.size.astype(np.float64)
    reach = {
        "sphere": size[:, 0] + 0 * along,
        "box": (np.abs(up) * size).sum(-1),
        "cylinder": along * size[:, 1] + across * size[:, 0],
        "capsule": along * size[:, 1] + size[:, 0],
    }
    kinds = [reach[KINDS[kind]][:, slot] for slot, kind in enumerate(track.kind)]
    return track.pos[..., 2] - np.stack(kinds, 1)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_nothing_sinks_into_the_floor(name: str) -> None:
    for spec in family(name).specs(12, 300):
        track = simulate(spec)
        moving = [s for s, role in enumerate(track.roles) if role not in ("prop", "occluder")]
        # A hard landing presses in for the step that finds it: a centimetre at 6 m/s.
        assert lowest(track)[:, moving].min(initial=0) > -0.015


@pytest.mark.parametrize("event", ["spinning clockwise", "sliding left", "staying still"])
def test_upright_cylinders_keep_their_height(event: str) -> None:
    for seed in range(4):
        factors = {"event": event, "shape": "cylinder"}
        track = simulate(SceneSpec("events", seed, factors=factors))
        assert np.ptp(way(track)[:, 2]) < 1e-3
        assert not len(track.contacts)


def test_distractors_are_seen() -> None:
    for spec in family("occluder_pass").specs(12, 0, factors={"distractors": 1}):
        track = simulate(spec)
        seen = render(track).visible_px[:, track.slots_of("distractor")]
        assert int(seen.max()) > 10


def test_speeds_of_test_ood_appear_nowhere_else() -> None:
    def speeds(split: str) -> np.ndarray:
        factors = {"motion": "steady"}
        specs = family("occluder_pass").specs(18, 0, split=split, factors=factors)
        return np.array([abs(np.diff(way(simulate(spec))[:2, 0])[0]) for spec in specs])

    usual, odd = speeds("test"), speeds("test_ood")
    assert not any(np.isclose(usual, speed, rtol=0.02).any() for speed in odd)
