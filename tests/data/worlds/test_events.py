"""What happened is in the motion and not in any single frame."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from worldbench.data.worlds.families import family
from worldbench.data.worlds.families.events import EVENTS
from worldbench.data.worlds.simulation import simulate
from worldbench.data.worlds.spec import SceneSpec
from worldbench.data.worlds.track import Track


def happening(event: str, seed: int = 3, **factors: str) -> Track:
    return simulate(SceneSpec("events", seed, factors={"event": event, **factors}))


def path(track: Track) -> np.ndarray:
    return track.pos[:, track.slots_of("target")[0], :2].astype(np.float64)


def turned(track: Track) -> float:
    """Radians that the target's path bends, anticlockwise from above."""
    steps = np.diff(path(track), axis=0)
    a, b = steps[:-1], steps[1:]
    return float(np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)).sum())


def test_there_are_sixteen_events() -> None:
    assert len(set(EVENTS)) == len(EVENTS) == 16
    assert {happening(event).label for event in EVENTS} == set(EVENTS)


@pytest.mark.parametrize(
    ("event", "axis", "sign"),
    [
        ("sliding left", 0, -1),
        ("sliding right", 0, 1),
        ("coming nearer", 1, -1),
        ("moving away", 1, 1),
    ],
)
def test_straight_events_go_where_they_say(event: str, axis: int, sign: int) -> None:
    way = path(happening(event))
    moved = way[-1] - way[0]
    assert sign * moved[axis] > 0.5
    assert abs(moved[1 - axis]) < 0.01


@pytest.mark.parametrize(("side", "sign"), [("clockwise", -1), ("anticlockwise", 1)])
def test_circles_go_round_their_way(side: str, sign: int) -> None:
    assert sign * turned(happening(f"circling {side}")) > np.radians(240)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_bends_are_a_quarter_turn(side: str, sign: int) -> None:
    assert sign * turned(happening(f"bending {side}")) == pytest.approx(np.pi / 2, abs=0.15)


@pytest.mark.parametrize(("side", "sign"), [("clockwise", -1), ("anticlockwise", 1)])
def test_spinning_happens_on_the_spot(side: str, sign: int) -> None:
    track = happening(f"spinning {side}", shape="box")
    assert np.ptp(path(track), axis=0).max() < 0.01
    assert sign * track.angvel[-1, track.slots_of("target")[0], 2] > 2


def test_speeds_change_as_they_say() -> None:
    def speeds(event: str) -> np.ndarray:
        return np.linalg.norm(np.diff(path(happening(event)), axis=0), axis=1)

    assert speeds("speeding up")[-1] > 4 * speeds("speeding up")[0]
    assert speeds("slowing down")[0] > 4 * speeds("slowing down")[-1]
    assert speeds("starting to move")[:6].max() < 0.01 < speeds("starting to move")[-5:].min()
    assert speeds("stopping")[-6:].max() < 0.01 < speeds("stopping")[:5].min()
    assert speeds("staying still").max() < 1e-3
    back = path(happening("going and coming back"))
    assert np.linalg.norm(back[-1] - back[0]) < 0.1 * np.linalg.norm(back[8] - back[0])


def test_the_target_stays_in_view_and_clear_of_the_furniture() -> None:
    for spec in family("events").specs(48, 0):
        track = simulate(spec)
        target = track.slots_of("target")[0]
        pose, centre = track.camera_c2w[:, :3], track.pos[:, target]
        local = np.einsum("tji,tj->ti", pose[:, :, :3], centre - pose[:, :, 3]) @ track.K.T
        pixel = local[:, :2] / local[:, 2:]
        assert ((pixel > 0) & (pixel < 64)).all()
        for prop in track.slots_of("prop"):
            apart = np.linalg.norm(centre[:, :2] - track.pos[:, prop, :2], axis=1)
            assert apart.min() > 0.25


@pytest.mark.slow
def test_a_single_frame_tells_the_event_at_most_one_and_a_half_times_chance() -> None:
    """The judge sees the true state of a frame, which is more than any picture shows."""
    states, labels = [], []
    for number, event in enumerate(EVENTS):
        for spec in family("events").specs(250, 1000 * number, factors={"event": event}):
            states.append(state_of(simulate(spec)))
            labels.append(number)
    frames, truth = np.stack(states), np.array(labels)
    order = np.random.default_rng(0).permutation(len(truth))
    train, test = order[::2], order[1::2]

    def score(features: np.ndarray) -> float:
        forest = RandomForestClassifier(200, min_samples_leaf=5, n_jobs=2, random_state=0)
        return float(forest.fit(features[train], truth[train]).score(features[test], truth[test]))

    chance = 1 / len(EVENTS)
    for frame in (0, 4, 8, 12, 15):
        assert score(frames[:, frame]) <= 1.5 * chance, f"frame {frame}"
    steps = [frames[:, 0], frames[:, 8] - frames[:, 0], frames[:, 15] - frames[:, 8]]
    assert score(np.concatenate(steps, 1)) > 0.85


def state_of(track: Track) -> np.ndarray:
    """Place, heading, size and kind of the target at every frame, ``t d``."""
    slot = track.slots_of("target")[0]
    w, x, y, z = track.rot[:, slot].T.astype(np.float64)
    turn = [2 * (x * y - w * z), 1 - 2 * (y * y + z * z), 2 * (x * z + w * y)]
    fixed = np.broadcast_to([*track.size[slot], track.kind[slot]], (track.frames, 4))
    return np.concatenate([track.pos[:, slot], np.stack(turn, 1), fixed], 1)
