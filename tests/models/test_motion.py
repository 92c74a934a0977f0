from functools import cache

import numpy as np
import pytest
import torch

from worldbench.data.worlds import SceneSpec, render, simulate
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError
from worldbench_models import motion
from worldbench_models.gates.clips import still_camera
from worldbench_models.motion import (
    SCENARIOS,
    MotionClips,
    image_position,
    in_frame,
    in_sight,
    moving_target,
    single_object_clips,
)


@cache
def tracks() -> list[tuple[Track, int]]:
    """Two tracks of each scenario that qualify, each with the slot of its target."""
    found = []
    for scenario in SCENARIOS:
        kept = 0
        for seed in range(700_000, 700_050):
            fixed = {"scenario": scenario}
            track = simulate(SceneSpec("train_random", seed, "calibration", factors=fixed))
            slot = moving_target(track)
            if slot is not None and still_camera(track) and kept < 2:
                found.append((track, slot))
                kept += 1
    return found


@pytest.fixture(scope="module")
def few() -> MotionClips:
    return single_object_clips(20, workers=1)


@pytest.mark.slow
def test_the_projected_centre_is_the_centroid_of_the_rendered_target() -> None:
    away, compared = [], 0
    for track, slot in tracks():
        truth = render(track, supersample=1)
        whole = (truth.visible_px[:, slot] == truth.amodal_px[:, slot]).numpy()
        at = 64 * image_position(track, slot)
        for frame in np.flatnonzero(whole & in_frame(track, slot)):
            rows, columns = np.nonzero(truth.segmentation[frame].numpy() == 1 + slot)
            # A silhouette that the frame's edge cuts has its centroid elsewhere.
            if len(rows) and min(*rows, *columns) > 0 and max(*rows, *columns) < 63:
                centroid = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
                away.append(np.abs(centroid - at[frame]).max())
                compared += 1
    assert compared > 60
    assert np.median(away) < 0.4
    assert np.max(away) < 1.5


def test_a_centre_is_in_sight_where_its_own_body_is_rendered_before_it() -> None:
    agree, hidden = [], 0
    for track, slot in tracks():
        segmentation = render(track, supersample=1).segmentation.numpy()
        own = 1 + np.flatnonzero(track.body == track.body[slot])
        sight, inside = in_sight(track, slot), in_frame(track, slot)
        pixel = np.minimum((64 * image_position(track, slot)).astype(int), 63)
        for frame in np.flatnonzero(inside):
            column, row = pixel[frame]
            agree.append(sight[frame] == (segmentation[frame, row, column] in own))
        hidden += int((inside & ~sight).sum())
    assert np.mean(agree) > 0.98  # a pixel on an edge may belong to either
    assert hidden >= 3


def test_clips_tell_position_and_velocity_of_one_object(few: MotionClips) -> None:
    assert few.rgb.shape == (20, 16, 64, 64, 3)
    assert few.position.shape == few.velocity.shape == (20, 8, 2)
    known = few.position[~few.position.isnan()]
    assert float(known.min()) >= 0
    assert float(known.max()) <= 1
    assert torch.equal(few.position[..., 0].isnan(), few.position[..., 1].isnan())
    assert bool((~few.position[..., 0].isnan()).sum(dim=1).ge(4).all())
    steps = few.position[:, 1:] - few.position[:, :-1]
    assert bool(few.velocity[:, 0].isnan().all())
    torch.testing.assert_close(few.velocity[:, 1:], steps, equal_nan=True)


def test_what_moves_in_the_frames_is_where_the_position_says(few: MotionClips) -> None:
    still = few.rgb.float().median(dim=1, keepdim=True).values
    change = (few.rgb.float() - still).abs().amax(dim=-1).reshape(20, 8, 2, 64, 64).mean(dim=2)
    grid = (torch.arange(64) + 0.5) / 64
    weight = torch.where(change > 12, change, 0)
    across = (weight.sum(dim=2) * grid).sum(dim=-1) / weight.sum(dim=(2, 3))
    known = ~few.position[..., 0].isnan() & ~across.isnan()
    pair = torch.stack([across[known], few.position[..., 0][known]])
    assert float(torch.corrcoef(pair)[0, 1]) > 0.8


def test_positions_and_velocities_vary_broadly(few: MotionClips) -> None:
    position = few.position.flatten(0, 1)
    position = position[~position.isnan().any(dim=1)]
    velocity = few.velocity.flatten(0, 1)
    velocity = velocity[~velocity.isnan().any(dim=1)]
    assert float(position.std(dim=0)[0]) > 0.15
    assert float(position.std(dim=0)[1]) > 0.05
    assert bool((velocity.std(dim=0) > 0.02).all())
    assert bool((velocity[:, 0] > 0.01).any())
    assert bool((velocity[:, 0] < -0.01).any())


def test_the_same_seed_gives_the_same_clips_and_another_gives_others(few: MotionClips) -> None:
    again, other = (single_object_clips(20, workers=1, seed=seed) for seed in (0, 7))
    assert torch.equal(again.rgb, few.rgb)
    torch.testing.assert_close(again.position, few.position, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(other.rgb, few.rgb)


def test_a_scene_in_which_two_bodies_move_has_no_moving_target() -> None:
    spec = SceneSpec("train_random", 0, "calibration", factors={"scenario": "collide"})
    assert moving_target(simulate(spec)) is None
    bare = simulate(SceneSpec("train_random", 0, "calibration", factors={"scenario": "bounce"}))
    slot = moving_target(bare)
    assert slot is not None
    assert bare.roles[slot] == "target"
    assert moving_target(bare.without("target")) is None


def test_too_few_clips_that_qualify_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "SCENARIOS", ("static_orbit",))
    with pytest.raises(DataError, match="too few clips have one moving object"):
        single_object_clips(1, workers=1)
