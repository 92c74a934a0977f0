import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation
from torch import Tensor

from worldbench.errors import DataError, UsageError
from worldbench.metrics.correspondence import Correspondence, correspond, correspond_tokens, warp

HEIGHT, WIDTH = 24, 32
K = torch.tensor([[40.0, 0.3, 15.2], [0.0, 43.0, 12.7], [0.0, 0.0, 1.0]], dtype=torch.float64)


def smooth(seed: int, channels: int, low: float, high: float) -> Tensor:
    draw = torch.rand(1, channels, 4, 5, generator=torch.Generator().manual_seed(seed))
    size = (HEIGHT, WIDTH)
    full = torch.nn.functional.interpolate(draw.double(), size, mode="bicubic").clamp(0, 1)
    return low + (high - low) * full[0]


def view(seed: int, turn: float = 0.08, step: float = 0.3) -> Tensor:
    draw = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(draw.normal(0, turn, 3)).as_matrix()
    pose[:3, 3] = draw.normal(0, step, 3)
    return torch.from_numpy(pose)


@dataclass
class Pair:
    """Two frames with any depth at all: places need none that agrees."""

    depth_i: Tensor
    c2w_i: Tensor
    depth_j: Tensor
    c2w_j: Tensor

    @classmethod
    def draw(cls, seed: int) -> "Pair":
        base = view(seed, 1.0, 3.0)
        depth_i, depth_j = (smooth(2 * seed + k, 1, 2.0, 2.4)[0] for k in (0, 1))
        return cls(depth_i, base, depth_j, base @ view(seed + 100, 0.05, 0.1))

    def match(self, **options: float) -> Correspondence:
        return correspond(self.depth_i, K, self.c2w_i, self.depth_j, self.c2w_j, **options)


def projected(pair: Pair, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """OpenCV's places in frame j of pixels (x, y) of frame i at given depths; K without skew."""
    square = K.numpy().copy()
    square[0, 1] = 0
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(square).T
    world = rays * depth[:, None] @ pair.c2w_i[:3, :3].numpy().T + pair.c2w_i[:3, 3].numpy()
    inverse = np.linalg.inv(pair.c2w_j.numpy())
    turn = cv2.Rodrigues(inverse[:3, :3])[0]
    places, _ = cv2.projectPoints(world, turn, inverse[:3, 3], square, None)
    return places.reshape(-1, 2)


def centres(height: int, width: int, patch: int = 1) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2) * patch


@pytest.mark.parametrize("seed", range(5))
def test_places_agree_with_opencv(seed: int) -> None:
    pair = Pair.draw(seed)
    square = K.clone()
    square[0, 1] = 0
    found = correspond(pair.depth_i, square, pair.c2w_i, pair.depth_j, pair.c2w_j)
    expected = projected(pair, centres(HEIGHT, WIDTH), pair.depth_i.numpy().ravel())
    np.testing.assert_allclose(found.places.reshape(-1, 2).numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_agrees_with_a_loop_over_pixels(seed: int) -> None:
    pair = Pair.draw(seed)
    found = pair.match(parallax=1.5, agreement=0.06)
    inverse = 1 / pair.depth_j.numpy()
    change = np.linalg.inv(pair.c2w_j.numpy()) @ pair.c2w_i.numpy()
    seen = 0
    for row, column in np.ndindex(HEIGHT, WIDTH):
        here = np.array([column + 0.5, row + 0.5, 1.0])
        point = np.linalg.inv(K.numpy()) @ here * float(pair.depth_i[row, column])
        point = change[:3, :3] @ point + change[:3, 3]
        x, y = (K.numpy() @ point)[:2] / point[2]
        inside = point[2] > 0 and 0.5 <= x <= WIDTH - 0.5 and 0.5 <= y <= HEIGHT - 0.5
        there = 1 / map_coordinates(inverse, [[y - 0.5], [x - 0.5]], order=1, mode="nearest")[0]
        agrees = abs(point[2] - there) < 0.06 * point[2]
        moved = math.hypot(x - here[0], y - here[1]) >= 1.5
        assert bool(found.mask[row, column]) == bool(inside and agrees and moved)
        seen += bool(found.mask[row, column])
    assert 0 < seen < HEIGHT * WIDTH


@pytest.mark.parametrize("patch", [2, 4, 8])
def test_tokens_stand_for_the_centres_of_their_patches(patch: int) -> None:
    pair, square = Pair.draw(7), K.clone()
    square[0, 1] = 0
    args = (pair.depth_i, square, pair.c2w_i, pair.depth_j, pair.c2w_j)
    found = correspond_tokens(*args, patch=patch, parallax=0.1, agreement=0.1)
    # The centre of an even patch is where four pixels meet; 1/z is the mean of theirs.
    middle = np.arange(patch // 2, HEIGHT, patch)[:, None], np.arange(patch // 2, WIDTH, patch)
    inverse = 1 / pair.depth_i.numpy()
    around = [inverse[middle[0] - a, middle[1] - b] for a in (0, 1) for b in (0, 1)]
    pixels = centres(HEIGHT // patch, WIDTH // patch, patch)
    expected = projected(pair, pixels, 1 / np.mean(around, axis=0).ravel()) / patch
    places = found.places.reshape(-1, 2).numpy()
    np.testing.assert_allclose(places, expected, atol=1e-9)
    moved = np.linalg.norm(expected - pixels / patch, axis=1)
    kept = found.mask.flatten().numpy()
    assert kept.any()
    assert (moved[kept] >= 0.1).all()
    most = np.array([WIDTH, HEIGHT]) / patch - 0.5
    assert ((expected[kept] >= 0.5) & (expected[kept] <= most)).all()


def sideways(baseline: float) -> Tensor:
    pose = torch.eye(4, dtype=torch.float64)
    pose[0, 3] = baseline
    return pose


def test_before_a_wall_a_sideways_camera_displaces_by_focal_length_times_baseline_over_depth() -> (
    None
):
    wall = torch.full((HEIGHT, WIDTH), 4.0, dtype=torch.float64)
    found = correspond(wall, K, sideways(0), wall, sideways(0.5))
    own = torch.from_numpy(centres(HEIGHT, WIDTH)).reshape(HEIGHT, WIDTH, 2)
    shift = found.places - own
    torch.testing.assert_close(shift[..., 0], torch.full_like(wall, -40.0 * 0.5 / 4.0))
    torch.testing.assert_close(shift[..., 1], torch.zeros_like(wall))
    # 5 px to the left: the first five columns leave the frame.
    assert found.mask.equal(own[..., 0] - 5 >= 0.5)
    for parallax, kept in ((5 - 1e-6, True), (5 + 1e-6, False)):
        gated = correspond(wall, K, sideways(0), wall, sideways(0.5), parallax=parallax)
        assert bool(gated.mask.any()) == kept


def test_what_hides_behind_a_nearer_thing_does_not_correspond() -> None:
    """A post 2 m away before a wall at 4 m: columns 14 to 17 in i, moved by 4 px in j."""
    left, right = (torch.full((HEIGHT, WIDTH), 4.0, dtype=torch.float64) for _ in range(2))
    left[:, 14:18], right[:, 10:14] = 2.0, 2.0
    straight = K.clone()
    straight[0, 1] = 0
    found = correspond(left, straight, sideways(0), right, sideways(0.2))
    columns = found.mask.all(dim=0).nonzero().flatten().tolist()
    # Wall columns move by 2 px: 12 and 13 are hidden by the post (16 and 17 are by it already in
    # i). The wall in j next to the post was never seen, and 0 and 1 leave.
    assert columns == [k for k in range(WIDTH) if k not in (0, 1, 12, 13)]
    assert found.mask.any(dim=0).equal(found.mask.all(dim=0))


def test_slanted_planes_agree_with_themselves_to_the_last_digits() -> None:
    """The reason for a lookup in 1/z: this floor is off by 30 % to the nearest pixel."""
    plane, offset = np.array([0.1, 1.0, 0.05]), 1.2
    pose = view(3, 0.02, 0.1).numpy()

    def depth(c2w: np.ndarray) -> Tensor:
        rays = np.column_stack([centres(HEIGHT, WIDTH), np.ones(HEIGHT * WIDTH)])
        rays = rays @ np.linalg.inv(K.numpy()).T @ c2w[:3, :3].T
        along = (offset - c2w[:3, 3] @ plane) / (rays @ plane)
        return torch.from_numpy(np.where(along > 0, along, np.inf)).reshape(HEIGHT, WIDTH)

    pair = Pair(depth(np.eye(4)), view(3, 0, 0), depth(pose), torch.from_numpy(pose))
    found = pair.match(parallax=0.0, agreement=1e-9)
    expected = pair.match(parallax=0.0, agreement=1e9)
    floor = pair.depth_i.isfinite()
    horizon = expected.places[..., 1].floor()  # beside the sky, the blend is with a hole
    sky = pair.depth_j.isinf().any(dim=1).nonzero().max()
    assert found.mask[horizon > sky + 1].equal(expected.mask[horizon > sky + 1])
    assert not found.mask[~floor].any()
    assert int(found.mask.sum()) > 100


def test_a_frame_corresponds_to_itself_pixel_by_pixel_where_no_displacement_is_asked() -> None:
    pair = Pair.draw(9)
    same = replace(pair, depth_j=pair.depth_i, c2w_j=pair.c2w_i)
    found = same.match(parallax=0.0)
    assert found.mask.all()
    frame = smooth(1, 3, 0, 1)
    torch.testing.assert_close(warp(frame, found.places), frame, atol=1e-9, rtol=0)
    assert not same.match().mask.any()


def test_holes_and_points_behind_the_camera_have_no_place() -> None:
    pair = Pair.draw(10)
    holed = pair.depth_i.clone()
    holed[5, 6:10] = torch.tensor([0.0, -1.0, torch.nan, torch.inf])
    found = replace(pair, depth_i=holed).match(parallax=0.0, agreement=1e9)
    assert not found.mask[5, 6:10].any()
    whole, known = pair.match(parallax=0.0, agreement=1e9), holed.isfinite() & (holed > 0)
    assert found.mask[known].equal(whole.mask[known])
    torch.testing.assert_close(found.places[known], whole.places[known])
    assert found.places.isfinite().all()
    behind = pair.c2w_i @ torch.diag(torch.tensor([-1.0, 1, -1, 1], dtype=torch.float64))
    turned = replace(pair, c2w_j=behind).match(parallax=0.0, agreement=1e9)
    assert not turned.mask.any()
    empty = replace(pair, depth_j=torch.full_like(holed, torch.nan)).match(parallax=0.0)
    assert not empty.mask.any()


def test_many_pairs_at_once_are_the_pairs_one_by_one() -> None:
    pairs = [Pair.draw(seed) for seed in range(6)]
    stacked = [torch.stack([getattr(p, n) for p in pairs]) for n in Pair.__dataclass_fields__]
    depth_i, c2w_i, depth_j, c2w_j = (x.unflatten(0, (2, 3)) for x in stacked)
    found = correspond(depth_i, K, c2w_i, depth_j, c2w_j)
    frames = torch.stack([smooth(s, 3, 0, 1) for s in range(6)])
    warped = warp(frames.unflatten(0, (2, 3)), found.places).flatten(0, 1)
    for k, pair in enumerate(pairs):
        alone = pair.match()
        torch.testing.assert_close(found.places.flatten(0, 1)[k], alone.places)
        assert found.mask.flatten(0, 1)[k].equal(alone.mask)
        torch.testing.assert_close(warped[k], warp(frames[k], alone.places))


def test_what_makes_no_sense_is_refused() -> None:
    pair = Pair.draw(0)
    with pytest.raises(UsageError, match="thresholds"):
        pair.match(parallax=-1.0)
    with pytest.raises(UsageError, match="thresholds"):
        pair.match(agreement=0.0)
    with pytest.raises(DataError, match="not finite"):
        replace(pair, c2w_j=pair.c2w_j * torch.nan).match()
    args = (pair.c2w_i, pair.depth_j, pair.c2w_j)
    with pytest.raises(DataError, match="inverse"):
        correspond(pair.depth_i, torch.zeros(3, 3), *args)
    with pytest.raises(UsageError, match="tile"):
        correspond_tokens(pair.depth_i, K, *args, patch=7)


def test_sampling_agrees_with_scipy_and_with_opencv() -> None:
    frame = smooth(2, 3, 0, 1)
    draw = np.random.default_rng(0)
    places = draw.uniform((-2, -2), (WIDTH + 2, HEIGHT + 2), (HEIGHT, WIDTH, 2))
    got = warp(frame, torch.from_numpy(places)).numpy()
    index = [places[..., 1] - 0.5, places[..., 0] - 0.5]
    expected = [map_coordinates(c, index, order=1, mode="nearest") for c in frame.numpy()]
    np.testing.assert_allclose(got, expected, atol=1e-12)
    # OpenCV interpolates at multiples of 1/32 px.
    places = np.round(places * 32) / 32
    x, y = (places[..., k].astype(np.float32) - np.float32(0.5) for k in (0, 1))
    picture = np.ascontiguousarray(frame.permute(1, 2, 0).numpy(), dtype=np.float32)
    expected = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    got = warp(frame, torch.from_numpy(places)).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-6)
