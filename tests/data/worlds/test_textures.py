from dataclasses import replace

import numpy as np
import pytest
import torch
from random_tracks import look_at, random_track

from worldbench.data.worlds.pictures.noise import blend, noise
from worldbench.data.worlds.pictures.render import render
from worldbench.data.worlds.track import Track


def _slice(seed: int, per_cycle: int = 8, side: int = 512) -> torch.Tensor:
    """The noise on a random plane, ``per_cycle`` samples per unit wave."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0][:2]
    steps = np.arange(side) / per_cycle
    grid = np.stack(np.meshgrid(steps, steps), -1) @ axes + rng.uniform(-50, 50, 3)
    x, y, z = torch.from_numpy(grid.astype(np.float32)).unbind(-1)
    return noise((x, y, z))


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_energy_above_its_shortest_wave(seed: int) -> None:
    values = _slice(seed).double()
    window = torch.hann_window(512, dtype=torch.float64)
    power = torch.fft.fft2((values - values.mean()) * window * window[:, None]).abs().square()
    along = torch.fft.fftfreq(512, 1 / 8, dtype=torch.float64)
    frequency = (along.square() + along.square()[:, None]).sqrt()
    assert power[frequency > 1.5].sum() < 1e-3 * power.sum()
    assert power[frequency > 0.4].sum() > 0.5 * power.sum()


def test_noise_is_centred_and_about_one_high() -> None:
    values = torch.stack([_slice(seed) for seed in range(8)])
    assert abs(values.mean()) < 0.03
    assert 0.6 < values.std() < 0.73
    assert values.abs().max() < 2.7
    share = blend((values, values, values))
    assert 0 <= share.min() < 0.01 < 0.99 < share.max() <= 1


def test_no_two_places_look_the_same() -> None:
    values = _slice(0, side=512).double()
    patches = values.unfold(0, 32, 32).unfold(1, 32, 32).reshape(256, -1)
    centred = patches - patches.mean(1, keepdim=True)
    centred /= centred.norm(dim=1, keepdim=True)
    likeness = centred @ centred.T - 2 * torch.eye(256, dtype=torch.float64)
    assert likeness.max() < 0.95


def _faced(track: Track) -> Track:
    """One textured box that faces a camera looking along +y, in even light."""
    frames = track.frames
    pos = np.zeros_like(track.pos)
    pos[:, 0] = (0, 0.5, 1)
    rot = np.zeros_like(track.rot)
    rot[..., 0] = 1
    size = np.full_like(track.size, 0.5)
    pose = look_at(np.array([0, -2.5, 1.0]), np.array([0, 0, 1.0])).astype(np.float32)
    return replace(
        track,
        kind=np.ones_like(track.kind),
        pos=pos,
        rot=rot,
        size=size,
        light=np.array([0, 0, 1, 1], np.float32),
        camera_c2w=np.stack([pose] * frames),
    )


def test_textures_shift_with_a_moving_box() -> None:
    track = _faced(random_track(7, slots=1, size=64))
    pixel = 2.5 / track.K[0, 0]
    pos = track.pos.copy()
    pos[:, 0, 0] += np.arange(3) * 4 * pixel
    pos[:, 0, 2] -= np.arange(3) * 2 * pixel
    out = render(replace(track, pos=pos), supersample=2)
    face = out.rgb[0, 24:40, 24:40].int()
    assert face.float().std() > 3
    for frame in (1, 2):
        down, right = 2 * frame, 4 * frame
        moved = out.rgb[frame, 24 + down : 40 + down, 24 + right : 40 + right].int()
        assert (moved - face).abs().max() <= 1
        assert (out.rgb[frame, 24:40, 24:40].int() - face).abs().max() > 5


def test_textures_turn_with_the_object() -> None:
    track = random_track(11, slots=7)
    track = replace(track, light=np.array([0, 0, 1, 1], np.float32))
    turn, c, s = np.eye(4), np.cos(0.7), np.sin(0.7)
    turn[:2, :2] = [[c, -s], [s, c]]
    half = np.array([np.cos(0.35), np.sin(0.35)])
    w, x, y, z = np.moveaxis(track.rot.astype(np.float64), -1, 0)
    rot = np.stack(
        [
            half[0] * w - half[1] * z,
            half[0] * x - half[1] * y,
            half[0] * y + half[1] * x,
            half[0] * z + half[1] * w,
        ],
        -1,
    )
    turned = replace(
        track,
        rot=rot.astype(np.float32),
        pos=(track.pos @ turn[:3, :3].T).astype(np.float32),
        camera_c2w=(turn @ track.camera_c2w).astype(np.float32),
        room=track.room + np.array([[-3] * 2 + [0], [3] * 2 + [0]], np.float32),
    )
    before, after = render(track, supersample=1), render(turned, supersample=1)
    same = (before.segmentation > 0) & (after.segmentation == before.segmentation)
    assert same.sum() > 300
    change = (before.rgb.int() - after.rgb.int()).abs().amax(-1)
    assert (change[same] <= 1).float().mean() > 0.99
    plain = replace(turned, texture=turned.texture + np.float32(0.37))
    other = (before.rgb.int() - render(plain, supersample=1).rgb.int()).abs().amax(-1)
    assert (other[same] > 3).float().mean() > 0.5


def test_supersampling_changes_edges_and_little_else() -> None:
    track = random_track(3)
    rough, smooth = (render(track, supersample=n) for n in (1, 2))
    assert torch.equal(rough.segmentation, smooth.segmentation)
    ids = torch.nn.functional.pad(rough.segmentation[:, None].float(), [1] * 4, mode="replicate")
    most = torch.nn.functional.max_pool2d(ids, 3, 1)[:, 0]
    edge = most != -torch.nn.functional.max_pool2d(-ids, 3, 1)[:, 0]
    change = (rough.rgb.int() - smooth.rgb.int()).abs().amax(-1).float()
    assert change[edge].mean() > 5 * change[~edge].mean()
    assert change[~edge].median() <= 1


def test_second_colour_has_at_most_its_share() -> None:
    track = _faced(random_track(9, slots=1, size=64))
    albedo = np.zeros_like(track.albedo)
    albedo[:, 1] = 1
    texture = track.texture.copy()
    texture[:, 0] = 0.5
    up = 0.7**0.5
    out = render(replace(track, albedo=albedo, texture=texture), supersample=1)
    face = out.rgb[0, 22:42, 22:42].double() / 255 / up
    assert face.min() < 0.1
    assert 0.6 < face.max() <= 0.5**0.5 + 0.01
