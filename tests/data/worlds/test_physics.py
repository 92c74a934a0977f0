"""The simulator against closed forms: nothing here compares it with itself but for determinism."""

import math
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from worldbench.data.worlds.physics.tracks import OverlapError, PhysicsError, simulate_scene
from worldbench.data.worlds.scene import Body, Drive, Geom, Light, Material, Room, Scene, vec
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import GRID, Track
from worldbench.errors import DataError

G = 9.81
NOWHERE = vec(0, 0, 0)
PLAIN = Material(vec(0.5, 0.25, 0.125), vec(0.125, 0.5, 0.25), contrast=0.25, frequency=2.0)
ROOM = Room(vec(-20, -20, 0), vec(20, 20, 20), (PLAIN,) * 6)


def ball(*pos: float, radius: float = 0.2, **more: object) -> Body:
    geom = Geom("sphere", vec(radius, 0, 0), PLAIN)
    return Body("target", (geom,), vec(*pos), **({"joint": "free"} | more))


def box(*pos: float, half: tuple[float, float, float] = (0.2, 0.2, 0.2), **more: object) -> Body:
    return Body("prop", (Geom("box", vec(*half), PLAIN),), vec(*pos), **more)


def simulate(
    *bodies: Body, frames: int = 16, fps: float = 8, gravity: np.ndarray | None = None
) -> Track:
    scene = Scene(
        ROOM,
        Light(vec(0, 0, 1), 0.25),
        bodies,
        camera=np.tile(np.eye(4), (frames, 1, 1)),
        fov=math.radians(40),
        gravity=vec(0, 0, -G) if gravity is None else gravity,
        factors={"speed": 1},
        label="made by hand",
    )
    return simulate_scene(scene, SceneSpec("by_hand", 0, frames=frames, fps=fps, size=(48, 64)))


def seconds(track: Track) -> np.ndarray:
    return np.arange(track.frames) / float(track.spec.fps)


def assert_same(one: Track, other: Track) -> None:
    for name, array in one.arrays().items():
        assert array.tobytes() == getattr(other, name).tobytes(), name


def tilted(angle: float) -> np.ndarray:
    """Quaternion of a turn about +y: a slope that goes down along +x."""
    return vec(math.cos(angle / 2), 0, math.sin(angle / 2), 0)


def down_the_slope(make: Body, angle: float, friction: float) -> np.ndarray:
    """Returns the distance travelled along a slope by a body that starts at rest on it."""
    normal, along = (
        vec(math.sin(angle), 0, math.cos(angle)),
        vec(math.cos(angle), 0, -math.sin(angle)),
    )
    slope = box(0, 0, 8, half=(8, 2, 0.1), quat=tilted(angle), friction=1.0)
    start = vec(0, 0, 8) + 0.3 * normal - 2 * along
    body = replace(make, pos=start, quat=tilted(angle), friction=friction, restitution=0.0)
    track = simulate(slope, body)
    return (track.pos[:, 1] - start) @ along


def test_free_fall_follows_the_parabola() -> None:
    track = simulate(ball(0, 0, 18, velocity=vec(1, 0, 0)))
    t = seconds(track)
    fallen = 18 - track.pos[:, 0, 2]
    np.testing.assert_allclose(fallen[3:], 0.5 * G * t[3:] ** 2, rtol=0.01)
    np.testing.assert_allclose(track.pos[:, 0, 0], t, atol=2e-5)
    np.testing.assert_allclose(track.vel[:, 0, 2], -G * t, atol=2e-3)
    assert len(track.contacts) == 0


@pytest.mark.parametrize("friction", [0.0, 0.6])
@pytest.mark.parametrize("speed", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("e", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_rebound_is_restitution_times_approach(e: float, speed: float, friction: float) -> None:
    measured = []
    for height in (0.2071, 0.2093, 0.2118):  # the floor is met at other phases of a step
        falling = ball(0, 0, height, velocity=vec(0, 0, -speed), restitution=e, friction=friction)
        track = simulate(falling, frames=8, fps=120)
        second, _, _, approach = track.contacts[0]
        after = int(np.argmax(track.vel[:, 0, 2] > 0))
        since = after / 120 - second - 1 / 480  # the step of the impact itself has no gravity
        measured.append((track.vel[after, 0, 2] + G * since) / approach)
    np.testing.assert_allclose(measured, e, atol=0.05)
    assert abs(np.mean(measured) - e) < 0.03


@pytest.mark.parametrize("e", [0.5, 0.8, 1.0])
def test_bounces_come_when_the_closed_form_says(e: float) -> None:
    track = simulate(ball(0, 0, 1.2, restitution=e))
    first = math.sqrt(2 / G)
    flights = first * np.array([1, *(2 * e**k for k in range(1, 3))])
    expected = np.cumsum(flights)[np.cumsum(flights) < seconds(track)[-1]]
    found = track.contacts[: len(expected)]
    np.testing.assert_allclose(found[:, 0], expected, rtol=0.01, atol=0.01)
    np.testing.assert_allclose(
        found[:, 3], G * first * e ** np.arange(len(expected)), rtol=0.03, atol=0.02
    )
    assert (found[:, 1:3] == (0, -1)).all()


def test_an_elastic_ball_keeps_bouncing_to_its_height() -> None:
    track = simulate(ball(0, 0, 1.2, restitution=1.0), frames=800, fps=80)
    energy = G * track.pos[:, 0, 2] + 0.5 * track.vel[:, 0, 2] ** 2
    np.testing.assert_allclose(energy, energy[0], rtol=0.02)
    assert len(track.contacts) == 11


@pytest.mark.parametrize("offset", [0.0, 0.2, 0.3])
def test_elastic_collisions_keep_momentum_and_energy(offset: float) -> None:
    one = ball(-1, 0, 5, velocity=vec(2, 0, 0), restitution=1.0, friction=0.0)
    other = ball(1, offset, 5, radius=0.3, velocity=vec(-1, 0, 0), restitution=1.0, friction=0.0)
    track = simulate(one, other, gravity=NOWHERE)
    mass = 500 * 4 / 3 * math.pi * np.array([0.2, 0.3]) ** 3
    momentum = np.einsum("n,tnk->tk", mass, track.vel.astype(float))
    np.testing.assert_allclose(momentum[-1], momentum[0], atol=1e-3 * np.abs(momentum[0]).max())
    energy = (mass * np.sum(track.vel.astype(float) ** 2, axis=-1)).sum(axis=1) / 2
    assert energy[-1] == pytest.approx(energy[0], rel=0.02)
    assert len(track.contacts) == 1
    # The closed form of the impulse along the line of centres at the touch.
    across = offset / 0.5
    normal = vec(math.sqrt(1 - across**2), across, 0)
    impulse = 2 / (1 / mass[0] + 1 / mass[1]) * 3 * normal[0]
    np.testing.assert_allclose(
        track.vel[-1, 0], vec(2, 0, 0) - impulse / mass[0] * normal, atol=0.1
    )
    assert track.contacts[0, 3] == pytest.approx(3 * normal[0], rel=0.03)
    assert tuple(track.contacts[0, 1:3]) == (0, 1)


def pendulum(angle: float, **more: object) -> Body:
    bob = Geom("sphere", vec(0.2, 0, 0), PLAIN, pos=vec(0, 0, -1.5))
    return Body("target", (bob,), vec(0, 0, 5), tilted(angle), joint="hinge", **more)


def test_a_pendulum_swings_with_the_period_of_the_closed_form() -> None:
    track = simulate(pendulum(0.1), frames=600, fps=60)
    swing = track.pos[:, 0, 0].astype(float)
    up = np.flatnonzero((swing[:-1] < 0) & (swing[1:] >= 0))
    times = (up + swing[up] / (swing[up] - swing[up + 1])) / 60
    length = (1.5**2 + 0.4 * 0.2**2) / 1.5  # of the mathematical pendulum of that inertia
    period = 2 * math.pi * math.sqrt(length / G) * (1 + 0.1**2 / 16)
    np.testing.assert_allclose(np.diff(times), period, rtol=2e-3)


def test_a_pendulum_keeps_its_energy_and_its_rod() -> None:
    track = simulate(pendulum(1.0, spin=vec(0, 0.5, 0)), frames=120, fps=12)
    inertia = 1 + 0.4 * 0.2**2 / 1.5**2
    energy = G * track.pos[:, 0, 2] + 0.5 * inertia * np.sum(track.vel[:, 0] ** 2, axis=-1)
    swing = G * (track.pos[:, 0, 2].max() - track.pos[:, 0, 2].min())
    np.testing.assert_allclose(energy, energy[0], atol=0.02 * swing)
    np.testing.assert_allclose(np.linalg.norm(track.pos[:, 0] - [0, 0, 5], axis=-1), 1.5, atol=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(track.vel[:, 0], axis=-1), 1.5 * np.abs(track.angvel[:, 0, 1]), atol=1e-3
    )


def test_a_frictionless_glide_is_straight_and_steady() -> None:
    track = simulate(box(-2, 1, 0.2, joint="free", friction=0.0, velocity=vec(1.5, -0.5, 0)))
    expected = vec(-2, 1, 0.2) + seconds(track)[:, None] * vec(1.5, -0.5, 0)
    np.testing.assert_allclose(track.pos[:, 0], expected, atol=1e-3)
    np.testing.assert_allclose(track.rot[:, 0], np.tile([1, 0, 0, 0], (16, 1)), atol=1e-3)
    assert len(track.contacts) == 0


@pytest.mark.parametrize(("friction", "share"), [(0.0, 1.0), (0.6, 5 / 7)])
def test_a_ball_goes_down_a_slope_as_it_should(friction: float, share: float) -> None:
    angle = math.radians(15)
    travelled = down_the_slope(ball(0, 0, 0), angle, friction)
    t = np.arange(16) / 8
    expected = 0.5 * share * G * math.sin(angle) * t**2
    np.testing.assert_allclose(travelled[4:], expected[4:], rtol=0.02)


@pytest.mark.parametrize(("degrees", "stays"), [(15, True), (19, True), (25, False)])
def test_a_box_slides_from_the_angle_of_friction_on(degrees: float, stays: bool) -> None:
    angle, friction = math.radians(degrees), 0.4  # arctan .4 = 21.8°
    travelled = down_the_slope(box(0, 0, 0, joint="free"), angle, friction)
    expected = 0.5 * G * (math.sin(angle) - friction * math.cos(angle)) * (15 / 8) ** 2
    assert travelled[-1] == pytest.approx(0 if stays else expected, rel=0.03, abs=0.005)


def test_friction_stops_a_sliding_box_after_v_squared_over_two_mu_g() -> None:
    track = simulate(box(-2, 0, 0.2, joint="free", friction=0.5, velocity=vec(3, 0, 0)))
    assert track.pos[-1, 0, 0] + 2 == pytest.approx(9 / (2 * 0.5 * G), rel=0.02)
    np.testing.assert_allclose(track.vel[-1, 0], 0, atol=1e-2)


@pytest.mark.parametrize(
    ("friction", "speed", "e"), [(0.6, 3.0, 0.0), (0.3, 2.0, 0.2), (0.05, 2.0, 0.8)]
)
def test_sliding_does_not_lift(friction: float, speed: float, e: float) -> None:
    going = {"joint": "free", "velocity": vec(speed, 0, 0), "friction": friction, "restitution": e}
    track = simulate(box(-5, 0, 0.2, **going), ball(-5, 2, 0.2, **going), frames=120, fps=120)
    np.testing.assert_allclose(track.pos[:, :, 2], 0.2, atol=1e-3)
    np.testing.assert_allclose(track.rot[:, 0, 1:], 0, atol=1e-3)
    assert len(track.contacts) == 0


@pytest.mark.parametrize("speed", [1.0, 3.0])
@pytest.mark.parametrize("friction", [0.1, 0.3, 0.6])
def test_an_oblique_bounce_obeys_newton_and_coulomb(friction: float, speed: float) -> None:
    thrown = ball(0, 0, 0.25, velocity=vec(speed, 0, -2), restitution=0.5, friction=friction)
    track = simulate(thrown, frames=12, fps=120)
    approach = track.contacts[0, 3]
    after = int(np.argmax(track.vel[:, 0, 2] > 0))
    # The impulse along the floor ends the slip of a solid ball, or is all that the cone allows.
    loss = min(friction * 1.5 * approach, speed * 2 / 7)
    assert track.vel[after, 0, 2] == pytest.approx(0.5 * approach, abs=0.05)
    assert track.vel[after, 0, 0] == pytest.approx(speed - loss, abs=0.03)
    assert track.angvel[after, 0, 1] == pytest.approx(2.5 * loss / 0.2, abs=0.25)


def test_a_drive_pushes_for_its_time_only() -> None:
    push = Drive(0.25, 1.0, vec(2, 0, 0))
    track = simulate(ball(0, 0, 5, drives=(push,)), gravity=NOWHERE)
    t = seconds(track)
    during = np.clip(t - 0.25, 0, 0.75)
    expected = during**2 + 2 * 0.75 * np.maximum(t - 1, 0)
    np.testing.assert_allclose(track.pos[:, 0, 0], expected, atol=2e-3)
    np.testing.assert_allclose(track.vel[:, 0, 0], 2 * during, atol=1e-4)


def test_a_turning_drive_closes_its_circle() -> None:
    turn = 2 * math.pi / 1.875  # once round in the clip
    drive = Drive(0.0, 10.0, vec(0, 1.5 * turn, 0), turn)
    track = simulate(ball(0, 0, 5, velocity=vec(1.5, 0, 0), drives=(drive,)), gravity=NOWHERE)
    np.testing.assert_allclose(track.pos[-1, 0], track.pos[0, 0], atol=2e-3)
    radius = 1.5 / turn
    distance = np.linalg.norm(track.pos[:, 0] - vec(0, radius, 5), axis=-1)
    np.testing.assert_allclose(distance, radius, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(track.vel[:, 0], axis=-1), 1.5, atol=2e-3)


def test_an_eccentric_body_turns_about_its_centre_of_mass() -> None:
    parts = (
        Geom("sphere", vec(0.2, 0, 0), PLAIN, pos=vec(0.4, 0, 0)),
        Geom("sphere", vec(0.2, 0, 0), PLAIN, pos=vec(-0.4, 0, 0)),
        Geom("box", vec(0.1, 0.1, 0.1), PLAIN, pos=vec(0, 0.4, 0)),
    )
    spin = vec(0, 0, 2)
    body = Body("target", parts, vec(0, 0, 5), tilted(0.7), joint="free", spin=spin)
    track = simulate(body, gravity=NOWHERE, frames=8)
    sphere, cube = 4 / 3 * math.pi * 0.2**3, 0.2**3
    weight = np.array([sphere, sphere, cube]) / (2 * sphere + cube)
    centre = np.einsum("n,tnk->tk", weight, track.pos.astype(float))
    drift = np.einsum("n,tnk->tk", weight, track.vel.astype(float))
    # Velocity is given for the origin, so the centre of mass starts with spin × arm.
    np.testing.assert_allclose(
        drift, np.tile(np.cross(spin, centre[0] - vec(0, 0, 5)), (8, 1)), atol=5e-4
    )
    np.testing.assert_allclose(np.diff(centre, axis=0), drift[1:] / 8, atol=5e-4)
    np.testing.assert_allclose(track.angvel[0], np.tile(spin, (3, 1)), atol=5e-4)
    assert tuple(track.body) == (0, 0, 0)


def test_velocities_are_the_rates_of_the_poses() -> None:
    spun = box(
        0, 0, 5, half=(0.1, 0.2, 0.4), joint="free", spin=vec(1, 2, -1), velocity=vec(1, 0, 2)
    )
    track = simulate(spun, gravity=NOWHERE, frames=60, fps=120)
    np.testing.assert_allclose(np.diff(track.pos[:, 0], axis=0) * 120, track.vel[1:, 0], atol=4e-3)
    rot = track.rot[:, 0].astype(float)
    turn = 2 * 120 * np.diff(rot, axis=0)  # q' = ω q / 2, so that ω = 2 q' q*
    w, v = turn[:, 0], turn[:, 1:]
    mid = (rot[1:] + rot[:-1]) / 2
    omega = mid[:, :1] * v - w[:, None] * mid[:, 1:] - np.cross(v, mid[:, 1:])
    np.testing.assert_allclose(omega, (track.angvel[1:, 0] + track.angvel[:-1, 0]) / 2, atol=0.03)


@pytest.mark.parametrize("e", [0.0, 0.2, 0.5])
def test_bodies_at_rest_stay_and_report_no_impacts(e: float) -> None:
    lying = box(1, 0, 0.2001, joint="free", restitution=e)
    on_top = box(1, 0, 0.6001, joint="free", restitution=e)
    track = simulate(ball(0, 0, 0.2001, restitution=e), lying, on_top)
    np.testing.assert_allclose(track.pos, np.tile(track.pos[:1], (16, 1, 1)), atol=5e-4)
    assert len(track.contacts) == 0


def test_a_rolling_ball_reports_no_impacts_and_hardly_slows() -> None:
    rolling = ball(-2, 0, 0.2, velocity=vec(1, 0, 0), spin=vec(0, 5, 0))
    track = simulate(rolling)
    assert len(track.contacts) == 0
    assert track.vel[-1, 0, 0] == pytest.approx(1, abs=0.03)
    assert track.angvel[-1, 0, 1] * 0.2 == pytest.approx(track.vel[-1, 0, 0], abs=5e-3)


def test_fast_bodies_stay_in_the_room() -> None:
    fast = [ball(i, 0, 5, velocity=vec(6 * i, 8, 5), restitution=1.0) for i in (-2, -1, 1, 2)]
    small = replace(ROOM, low=vec(-3, -3, 0), high=vec(3, 3, 6))
    scene = Scene(
        small, Light(vec(0, 0, 1), 0.2), tuple(fast), np.tile(np.eye(4), (40, 1, 1)), fov=0.7
    )
    track = simulate_scene(scene, SceneSpec("by_hand", 0, frames=40, fps=8))
    assert (track.pos > small.low + 0.1).all()
    assert (track.pos < small.high - 0.1).all()
    assert len(track.contacts) > 20


def test_what_one_group_does_leaves_another_bit_equal() -> None:
    wall = box(3, 0, 1, half=(0.1, 2, 1))
    mine = [ball(0, 0, 1, velocity=vec(3, 0.3, 0)), box(1.5, 0, 0.2, joint="free")]
    alone = simulate(wall, *mine)
    for theirs in (
        [box(0, 0, 1, joint="free", group=1)],  # in the very same place
        [ball(0.1, 0, 1, group=1, velocity=vec(5, 0, 0)), box(0, 0, 0.2, joint="free", group=2)],
    ):
        together = simulate(wall, *mine, *theirs)
        for name in ("pos", "rot", "vel", "angvel"):
            assert (getattr(together, name)[:, :3] == getattr(alone, name)).all()
        own = together.contacts[together.contacts[:, 1:3].max(axis=1) < 3]
        assert own.tobytes() == alone.contacts.tobytes()
        assert len(together.contacts) > len(own)  # theirs happened too


def test_fixed_bodies_of_group_zero_stop_every_group() -> None:
    wall = box(1.5, 0, 1, half=(0.1, 2, 1))
    theirs = ball(0, 0, 0.2, velocity=vec(3, 0, 0), group=1, restitution=0.9)
    assert simulate(wall, theirs).pos[:, 1, 0].max() < 1.25
    elsewhere = replace(wall, group=2)
    assert simulate(elsewhere, theirs).pos[-1, 1, 0] > 3


def busy_scene() -> Track:
    """Many contacts, where a last bit would grow."""
    spun = {"joint": "free", "spin": vec(1, 2, 3), "restitution": 0.6}
    return simulate(
        *(box(0.3 * i, 0.1 * i, 0.5 + 0.45 * i, **spun) for i in range(4)),
        ball(0.1, 0, 3, restitution=0.9),
        pendulum(0.5, group=1),
    )


def test_the_same_scene_gives_the_same_bits_in_any_process_and_order() -> None:
    first = busy_scene()
    assert len(first.contacts) > 10
    simulate(ball(0, 0, 3))
    assert_same(first, busy_scene())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert_same(first, pool.apply(busy_scene))


def test_slots_are_the_geoms_of_the_bodies_in_order() -> None:
    two = (
        Geom("cylinder", vec(0.1, 0.3, 0), PLAIN, pos=vec(0, 0, 0.3)),
        Geom("capsule", vec(0.1, 0.2, 0), PLAIN, pos=vec(0, 0, 0.9), quat=tilted(0.5)),
    )
    lamp = Body("distractor", two, vec(2, 1, 0), quat=vec(0, 0, 0, 2))  # half a turn, not unit
    track = simulate(ball(0, 0, 1), lamp, box(-2, 0, 0.2))
    assert track.roles == ("target", "distractor", "distractor", "prop")
    assert track.body.tolist() == [0, 1, 1, 2]
    assert track.kind.tolist() == [0, 2, 3, 1]
    np.testing.assert_allclose(track.size[1], [0.1, 0.3, 0], atol=GRID)
    np.testing.assert_allclose(track.pos[:, 2], np.tile([2, 1, 0.9], (16, 1)), atol=GRID)
    assert (track.pos[:, 1:] == track.pos[:1, 1:]).all()
    assert not track.vel[:, 1:].any()
    # Half a turn about z, then half a radian about y: about −y as seen from the room.
    across = [0, -math.sin(0.25), 0, math.cos(0.25)]
    np.testing.assert_allclose(np.abs(track.rot[0, 2]), np.abs(across), atol=GRID)


def test_camera_looks_and_identity_are_told() -> None:
    track = simulate(ball(0, 0, 1))
    focal = 24 / math.tan(math.radians(20))
    np.testing.assert_allclose(track.K, [[focal, 0, 32], [0, focal, 24], [0, 0, 1]], atol=GRID)
    assert track.camera_c2w.shape == (16, 4, 4)
    assert track.albedo.tolist() == [[[0.5, 0.25, 0.125], [0.125, 0.5, 0.25]]]
    assert track.texture.tolist() == [[0.25, 2, 1, 1, 1, 0, 0, 0]]
    assert track.room.tolist() == [[-20, -20, 0], [20, 20, 20]]
    assert track.room_albedo.shape == (6, 2, 3)
    assert track.room_texture.shape == (6, 8)
    assert track.light.tolist() == [0, 0, 1, 0.25]
    assert (track.label, track.factors) == ("made by hand", {"speed": 1})


def test_quaternions_are_continuous_and_values_on_the_grid() -> None:
    spinner = box(0, 0, 5, half=(0.1, 0.2, 0.3), joint="free", spin=vec(0, 0.5, 6))
    upside_down = box(2, 0, 5, quat=vec(-1, 0.1, 0, 0))
    track = simulate(spinner, upside_down, gravity=NOWHERE)
    assert (track.rot[0, :, 0] >= 0).all()
    assert (np.sum(track.rot[1:] * track.rot[:-1], axis=-1) > 0).all()
    assert track.rot[:, 0, 0].min() < 0  # it does leave the hemisphere it began in
    np.testing.assert_allclose(np.linalg.norm(track.rot, axis=-1), 1, atol=1e-4)
    for name, array in track.arrays().items():
        on_grid = array.astype(float) / GRID
        assert (on_grid == np.round(on_grid)).all(), name


def test_a_room_without_bodies_has_a_track() -> None:
    track = simulate()
    assert (track.slots, track.frames) == (0, 16)
    assert track.contacts.shape == (0, 4)


@pytest.mark.parametrize(
    ("bodies", "roles"),
    [
        ([ball(0, 0, 1), box(0, 0.3, 1)], ("prop", "target")),
        ([ball(0, 0, 0.15)], ("room", "target")),
    ],
)
def test_bodies_that_overlap_at_the_start_are_refused(
    bodies: list[Body], roles: tuple[str, str]
) -> None:
    with pytest.raises(OverlapError, match=r"by_hand") as caught:
        simulate(*bodies)
    assert isinstance(caught.value, DataError)
    assert f"{roles[0]} and {roles[1]} overlap" in str(caught.value)


def test_a_scene_that_cannot_be_simulated_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for bad in (
        ball(0, 0, 1, velocity=vec(math.nan, 0, 0)),
        ball(0, 0, 1, velocity=vec(1e12, 0, 0)),
        ball(0, 0, 1, radius=-1.0),
        ball(math.nan, 0, 1),
    ):
        with pytest.raises(PhysicsError, match="by_hand"):
            simulate(bad)
    assert not list(tmp_path.iterdir())  # MuJoCo would leave its log


def test_drives_on_what_is_not_free_and_short_cameras_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be driven"):
        simulate(pendulum(0.1, drives=(Drive(0.0, 1.0, vec(1, 0, 0)),)))
    scene = Scene(ROOM, Light(vec(0, 0, 1), 0.2), (), np.tile(np.eye(4), (3, 1, 1)), fov=0.7)
    with pytest.raises(DataError, match="camera"):
        simulate_scene(scene, SceneSpec("by_hand", 0))


def test_physics_starts_without_torch() -> None:
    code = "import sys, worldbench.data.worlds.physics.tracks; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
