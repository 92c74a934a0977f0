import random
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch
from random_tracks import HIGH, LOW, random_track

from worldbench.data.worlds.pictures.intersect import root
from worldbench.data.worlds.pictures.rays import Grid
from worldbench.data.worlds.pictures.render import Rendered, render, render_rgb
from worldbench.data.worlds.pictures.shading import colours
from worldbench.data.worlds.pictures.tables import cut, tabulate
from worldbench.data.worlds.pictures.trace import trace
from worldbench.data.worlds.scene import KINDS
from worldbench.data.worlds.track import Track
from worldbench.errors import DataError, UsageError

SIDES = [(axis, sign) for axis in range(3) for sign in (1, -1)]


class Oracle:
    """The track as MuJoCo sees it: six planes, then one mocap body per slot."""

    def __init__(self, track: Track) -> None:
        planes = "".join(
            f'<geom type="plane" group="1" size="0 0 1" pos="{self._join(corner)}" '
            f'zaxis="{self._join(sign * np.eye(3)[axis])}"/>'
            for (axis, sign), corner in zip(SIDES, [LOW, HIGH] * 3, strict=True)
        )
        bodies = "".join(
            f'<body mocap="true"><geom type="{KINDS[kind]}" size="{self._join(size)}"/></body>'
            for kind, size in zip(track.kind, track.size, strict=True)
        )
        text = f"<mujoco><worldbody>{planes}{bodies}</worldbody></mujoco>"
        self.track, self.model = track, mujoco.MjModel.from_xml_string(text)
        self.data = mujoco.MjData(self.model)

    @staticmethod
    def _join(values: np.ndarray) -> str:
        return " ".join(str(float(value)) for value in values)

    def place(self, frame: int) -> None:
        self.data.mocap_pos[:] = self.track.pos[frame]
        self.data.mocap_quat[:] = self.track.rot[frame]
        mujoco.mj_kinematics(self.model, self.data)

    def cast(self, frame: int, height: int, width: int) -> tuple[np.ndarray, ...]:
        """Depth, id and normal at pixel centres, and the rays' directions."""
        self.place(frame)
        pose, matrix = (a.astype(np.float64) for a in (self.track.camera_c2w[frame], self.track.K))
        y, x = np.mgrid[:height, :width] + 0.5
        local = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(matrix).T
        rays = (local @ pose[:3, :3].T).reshape(-1, 3)
        depth, geom = np.zeros(len(rays)), np.zeros(len(rays), np.int32)
        normal = np.zeros(rays.size)
        eye = np.ascontiguousarray(pose[:3, 3])
        mujoco.mj_multiRay(
            *(self.model, self.data, eye, rays.reshape(-1), None, True, -1),
            *(geom, depth, normal, len(rays), 1e6),
        )
        shape = (height, width)
        ids = np.maximum(geom - 5, 0).reshape(shape)
        return depth.reshape(shape), ids, normal.reshape(*shape, 3), rays.reshape(*shape, 3)

    def shadowed(self, point: np.ndarray, towards: np.ndarray, own: int) -> bool:
        """Whether a slot other than ``own`` (an id) lies between a point and the light."""
        groups, geom = np.array([1, 0, 1, 1, 1, 1], np.uint8), np.zeros(1, np.int32)
        body = own if own else -1
        ray = (self.model, self.data, point, towards, groups, True, body, geom)
        return mujoco.mj_ray(*ray) >= 0


def beside_another(ids: np.ndarray) -> np.ndarray:
    """Pixels with a differing id among their eight neighbours."""
    padded = np.pad(ids, 1, mode="edge")
    h, w = ids.shape
    return np.any([padded[i : i + h, j : j + w] != ids for i in range(3) for j in range(3)], axis=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [48, (40, 60)])
def test_depth_ids_and_normals_agree_with_mujoco(seed: int, size: int | tuple[int, int]) -> None:
    track = random_track(seed, size=size, slots=9)
    out, oracle = render(track, supersample=1), Oracle(track)
    for frame in range(track.frames):
        depth, ids, normal, _ = oracle.cast(frame, *track.spec.size)
        found = out.segmentation[frame].numpy()
        same = (found == ids) & (abs(out.depth[frame].numpy() - depth) < 1e-3)
        assert same.mean() >= 0.995
        assert (beside_another(ids) | same).all()
        turned = abs(out.normals[frame].numpy() - normal).max(-1) > 5e-3
        assert (turned & same).mean() < 0.005
        assert np.bincount(found.ravel(), minlength=10).astype(bool).sum() >= 7


def test_light_and_shadows_agree_with_mujoco() -> None:
    track = random_track(5, slots=8, frames=2)
    light = track.light.copy()
    light[3] = 0.3
    ones, plain = np.ones_like(track.albedo), np.zeros_like(track.texture)
    track = replace(track, light=light, albedo=ones, texture=plain)
    track = replace(
        track, room_albedo=np.ones_like(track.room_albedo), room_texture=0 * track.room_texture
    )
    out, oracle = render(track, supersample=1), Oracle(track)
    towards = light[:3].astype(np.float64)
    for frame in range(track.frames):
        depth, ids, normal, rays = oracle.cast(frame, *track.spec.size)
        points = track.camera_c2w[frame, :3, 3] + depth[..., None] * rays
        facing = np.maximum(normal @ towards, 0)
        dark = np.array(
            [
                oracle.shadowed(point, towards, int(own))
                for point, own in zip(points.reshape(-1, 3), ids.ravel(), strict=True)
            ]
        ).reshape(ids.shape)
        everywhere = 0.7 + 0.3 * normal[..., 2]
        expected = np.round(255 * np.sqrt(0.3 * everywhere + 0.7 * facing * ~dark))
        agree = abs(out.rgb[frame].numpy() - expected[..., None]).max(-1) <= 1
        assert agree.mean() >= 0.99
        assert (agree | beside_another(ids) | beside_another(dark) | (facing < 0.02)).all()
        assert (dark & (facing > 0.1) & (ids == 0)).sum() > 20
        assert (dark & (facing > 0.1) & (ids > 0)).sum() > 5


@pytest.mark.parametrize("towards", [(0, 0, 1), (1, 0, 0), (0, -1, 0)])
def test_light_along_an_axis_of_upright_solids_casts_their_outline(towards: tuple[int]) -> None:
    track = random_track(3, slots=4, frames=2)
    light = np.array([*towards, 0], np.float32)
    upright = np.zeros_like(track.rot)
    upright[..., 0] = 1
    track = replace(track, light=light, rot=upright)
    out, oracle = render(track, supersample=1), Oracle(track)
    depth, ids, normal, rays = oracle.cast(0, *track.spec.size)
    points = track.camera_c2w[0, :3, 3] + depth[..., None] * rays
    lit = np.array(
        [
            not oracle.shadowed(point, light[:3].astype(np.float64), int(own))
            for point, own in zip(points.reshape(-1, 3), ids.ravel(), strict=True)
        ]
    ).reshape(ids.shape)
    lit &= normal @ light[:3] > 1e-3
    seen = out.rgb[0].numpy().max(-1) > 0
    assert (seen == lit).mean() > 0.99
    assert ((seen == lit) | beside_another(ids) | beside_another(lit)).all()


def _lookup(maps: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The four pixels around image points, and their bilinear weights on the last axis."""
    j, i = np.floor(x - 0.5).astype(int), np.floor(y - 0.5).astype(int)
    return np.stack([maps[i + a, j + b] for a in (0, 1) for b in (0, 1)], 0)


def _reproject(out: Rendered, first: int, second: int, half: float) -> tuple[np.ndarray, ...]:
    """Relative depth and colour errors of the first frame's pixels on the second's flat faces.

    ``half`` is where a pixel's centre is taken to be: 0.5 by contract.
    """
    matrix = out.K.double().numpy()
    poses = out.camera_c2w.double().numpy()
    depth, ids, normal = (a.numpy() for a in (out.depth, out.segmentation, out.normals))
    colour = out.rgb.double().numpy()
    height, width = ids.shape[1:]
    y, x = np.mgrid[:height, :width] + half
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(matrix).T
    world = (rays * depth[first][..., None]) @ poses[first, :3, :3].T + poses[first, :3, 3]
    seen = ((world - poses[second, :3, 3]) @ poses[second, :3, :3]) @ matrix.T
    u, v = seen[..., 0] / seen[..., 2] + 0.5 - half, seen[..., 1] / seen[..., 2] + 0.5 - half
    inside = (u > 1) & (v > 1) & (u < width - 1) & (v < height - 1)
    u, v, z = u[inside], v[inside], seen[..., 2][inside]
    flat = (_lookup(ids[second], u, v) == ids[first][inside]).all(0)
    flat &= (abs(_lookup(normal[second], u, v) - normal[first][inside]) < 1e-3).all((0, -1))
    a, b = (v - 0.5) % 1, (u - 0.5) % 1
    weight = np.stack([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b])
    inverse = (weight / _lookup(depth[second], u, v)).sum(0)
    shade = (weight[..., None] * _lookup(colour[second], u, v)).sum(0)
    return abs(z * inverse - 1)[flat], abs(shade - colour[first][inside]).max(-1)[flat]


def test_pixels_land_on_their_surface_in_another_frame() -> None:
    track = random_track(2, frames=8, slots=8, size=96)
    still = replace(track, pos=track.pos[:1].repeat(8, 0), rot=track.rot[:1].repeat(8, 0))
    still = replace(still, light=np.array([0, 0, 1, 1], np.float32))
    out = render(still, supersample=2)
    depth, colour = _reproject(out, 0, 7, 0.5)
    assert len(depth) > 0.5 * 96 * 96
    assert np.quantile(depth, 0.999) < 1e-4
    assert np.median(colour) <= 2
    shifted, _ = _reproject(out, 0, 7, 0.0)
    assert np.median(shifted) > 20 * np.median(depth)


def test_visible_pixels_never_exceed_amodal_ones() -> None:
    track = random_track(1, slots=8)
    out = render(track)
    assert (out.visible_px <= out.amodal_px).all()
    assert (out.visible_px < out.amodal_px).any()
    for slot in range(8):
        counted = (out.segmentation == slot + 1).sum((1, 2))
        assert torch.equal(counted, out.visible_px[:, slot])
        alone = track
        for other in set(track.roles) - {f"prop{slot}"}:
            alone = alone.without(other)
        only = render(alone)
        assert torch.equal(only.visible_px[:, 0], out.amodal_px[:, slot])
        assert torch.equal(only.visible_px, only.amodal_px)


def test_a_slot_outside_the_room_has_no_pixels() -> None:
    track = random_track(1)
    pos = track.pos.copy()
    pos[:, 0] = (0, 6, 1)
    out = render(replace(track, pos=pos))
    assert out.amodal_px[:, 0].sum() == 0
    assert out.visible_px[:, 1:].sum() > 0


@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_a_batch_gives_what_each_clip_gives_alone(chunk: int | None) -> None:
    tracks = [random_track(seed, slots=slots) for seed, slots in enumerate((6, 0, 1, 30))]
    alone = [render(track).rgb for track in tracks]
    order = random.Random(0).sample(range(4), 4)
    batch = render_rgb([tracks[k] for k in order], chunk=chunk)
    assert all(torch.equal(batch[n], alone[k]) for n, k in enumerate(order))


def test_roots_round_as_ieee_754_demands() -> None:
    values = torch.rand(200_000, generator=torch.Generator().manual_seed(0)) * 3
    assert np.array_equal(root(values).numpy(), np.sqrt(values.numpy()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same_bits() -> None:
    tracks = [random_track(seed, slots=slots) for seed, slots in enumerate((6, 0, 1, 30))]
    assert torch.equal(render_rgb(tracks, device="cuda").cpu(), render_rgb(tracks))
    for track in tracks:
        here, there = render(track), render(track, device="cuda")
        for name, value in vars(here).items():
            assert torch.equal(value, getattr(there, name).cpu()), name


@pytest.mark.parametrize(
    ("size", "supersample", "zoom"),
    [(48, 1, 1), (33, 2, 1), (24, 3, 4), (32, 8, 2), (32, 8, 5), (32, 8, 0.3)],
)
@pytest.mark.parametrize("kinds", [(0, 1, 2, 3), (0,), (1,)])
def test_culling_changes_no_pixel(
    size: int, supersample: int, zoom: float, kinds: tuple[int, ...]
) -> None:
    track = random_track(8, slots=12, frames=2, size=size)
    pos, shape, pose = track.pos.copy(), track.size.copy(), track.camera_c2w
    shape[::3] *= 0.3
    # Behind the camera; and beside it, reaching across its plane.
    pos[:, 0] = pose[:, :3, 3] - pose[:, :3, 2]
    pos[:, 1] = pose[:, :3, 3] + 0.05 * pose[:, :3, 2] + 0.32 * pose[:, :3, 0]
    shape[1] = (0.3, 0.05, 0.05)
    kind = np.resize(np.array(kinds, np.int8), 12)
    track = replace(track, pos=pos, size=shape, kind=kind)
    matrix = track.K * np.array([[zoom, 1, 1], [1, zoom, 1], [1, 1, 1]])
    tables, grid = tabulate([track], [matrix]), Grid(size, size, supersample)
    few, all_ = (
        cut(tables, grid, 0, 2, cull=cull, device=torch.device("cpu")) for cull in (True, False)
    )
    assert len(few.tile) < len(all_.tile)
    hits, expected = trace(few), trace(all_)
    assert torch.equal(hits.depth, expected.depth)
    assert torch.equal(hits.surface, expected.surface)
    assert torch.equal(colours(few, hits), colours(all_, expected))


def test_of_two_slots_in_one_place_the_first_is_seen() -> None:
    track = random_track(1, slots=5, frames=2)
    twice = {
        name: np.concatenate([value, value], axis)
        for axis, names in enumerate(
            (("body", "kind", "size", "albedo"), ("pos", "rot", "vel", "angvel"))
        )
        for name in names
        for value in [getattr(track, name)]
    }
    texture = np.concatenate([track.texture, 0 * track.texture])
    double = render(replace(track, roles=track.roles * 2, texture=texture, **twice))
    once = render(track)
    assert torch.equal(double.segmentation, once.segmentation)
    assert torch.equal(double.amodal_px, once.amodal_px.repeat(1, 2))
    assert double.visible_px[:, 5:].sum() == 0


def test_twice_the_size_shows_the_same_picture() -> None:
    track = random_track(4)
    small, large = render(track), render(track, size=96)
    fine = render(track, size=96, supersample=1).rgb.double().square()
    pooled = fine.view(3, 48, 2, 48, 2, 3).mean((2, 4)).sqrt()
    # The same rays: only the levels' rounding is between the two.
    assert ((pooled - small.rgb.double()).abs() <= 1.5).double().mean() > 0.999
    halved = large.rgb.double().view(3, 48, 2, 48, 2, 3).mean((2, 4))
    assert (halved - small.rgb.double()).abs().mean() < 2
    assert torch.equal(large.K, small.K * torch.tensor([[2.0], [2], [1]]))
    shares = large.visible_px.double() / 4 - small.visible_px.double()
    assert shares.abs().max() < 8


def test_no_slot_leaves_the_room_alone() -> None:
    out = render(random_track(0, slots=0))
    assert out.visible_px.shape == out.amodal_px.shape == (3, 0)
    assert (out.segmentation == 0).all()
    torch.testing.assert_close(out.normals.square().sum(-1), torch.ones_like(out.depth))
    assert out.rgb.float().std() > 1


def test_batches_of_unlike_or_no_tracks_are_refused() -> None:
    with pytest.raises(UsageError, match="no track"):
        render_rgb([])
    with pytest.raises(UsageError, match="length"):
        render_rgb([random_track(0), random_track(0, frames=4)])
    with pytest.raises(UsageError, match="size"):
        render_rgb([random_track(0), random_track(0, size=32)])
    assert render_rgb([random_track(0), random_track(0, size=32)], size=24).shape[2] == 24
    with pytest.raises(UsageError, match="aspect"):
        render(random_track(0), size=(48, 64))
    with pytest.raises(UsageError, match="sub-samples"):
        render(random_track(0), supersample=0)
    with pytest.raises(UsageError, match="frame"):
        render_rgb([random_track(0)], chunk=0)


def test_tracks_that_no_camera_could_have_seen_are_refused() -> None:
    track = random_track(0)
    lost, zero, outside = track.pos.copy(), track.rot.copy(), track.camera_c2w.copy()
    lost[1, 2, 0], zero[0, 0], outside[2, :3, 3] = np.nan, 0, (0, 0, 4.5)
    with pytest.raises(DataError, match="pos of a track"):
        render(replace(track, pos=lost))
    with pytest.raises(DataError, match="zero quaternion"):
        render(replace(track, rot=zero))
    with pytest.raises(DataError, match="leaves the room"):
        render_rgb([track, replace(track, camera_c2w=outside)])
