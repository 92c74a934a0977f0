"""Epipolar geometry against explicit projections, explicit lines, OpenCV and scikit-image."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from skimage.transform import FundamentalMatrixTransform

from worldbench.errors import DataError
from worldbench.metrics.epipolar import (
    fundamental,
    sampson_error,
    symmetric_epipolar_distance,
)
from worldbench.metrics.epipolar_fit import checkerboard, estimate_fundamental

SIDE = 256


@dataclass(frozen=True)
class Scene:
    """Two cameras and what they see of the same points."""

    cameras: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    x_a: np.ndarray
    x_b: np.ndarray
    points: np.ndarray

    @property
    def F(self) -> np.ndarray:  # noqa: N802
        return fundamental(*self.cameras)


def project(points: np.ndarray, K: np.ndarray, c2w: np.ndarray) -> np.ndarray:  # noqa: N803
    seen = (np.c_[points, np.ones(len(points))] @ np.linalg.inv(c2w).T)[:, :3] @ K.T
    return seen[:, :2] / seen[:, 2:]


def scene(seed: int, *, n: int = 60, turn: float = 0.2, travel: float = 1.0) -> Scene:
    rng = np.random.default_rng(seed)
    points = rng.uniform((-3, -3, 4), (3, 3, 12), (n, 3))
    cameras: list[np.ndarray] = []
    for _ in range(2):
        pose = np.eye(4)
        pose[:3, :3] = cv2.Rodrigues(turn * rng.uniform(-1, 1, 3))[0]
        pose[:3, 3] = travel * rng.uniform(-1, 1, 3)
        focal = rng.uniform(200, 300, 2)
        K = np.array([[focal[0], 3.0, 120], [0, focal[1], 131], [0, 0, 1]])  # noqa: N806
        cameras += [K, pose]
    a, b = (project(points, *cameras[i : i + 2]) for i in (0, 2))
    return Scene((cameras[0], cameras[1], cameras[2], cameras[3]), a, b, points)


def noisy(seed: int, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    s, rng = scene(seed), np.random.default_rng(seed)
    return s.F, s.x_a + scale * rng.normal(size=(60, 2)), s.x_b + scale * rng.normal(size=(60, 2))


def same_up_to_sign(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return float(min(np.abs(a - b).max(), np.abs(a + b).max()))


@pytest.mark.parametrize("seed", range(5))
def test_views_of_one_point_satisfy_the_matrix_of_their_cameras(seed: int) -> None:
    s = scene(seed)
    assert np.linalg.norm(s.F) == pytest.approx(1, abs=1e-12)
    assert abs(np.linalg.det(s.F)) < 1e-15
    assert symmetric_epipolar_distance(s.F, s.x_a, s.x_b).max() < 1e-9
    assert sampson_error(s.F, s.x_a, s.x_b).max() < 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_fits_of_opencv_and_scikit_image_to_noise_free_points(seed: int) -> None:
    s = scene(seed)
    fit = FundamentalMatrixTransform.from_estimate(s.x_a, s.x_b)
    assert same_up_to_sign(s.F, fit.params) < 1e-9
    eight, _ = cv2.findFundamentalMat(s.x_a, s.x_b, cv2.FM_8POINT)
    assert same_up_to_sign(s.F, eight) < 1e-5  # it computes on float32 points


def test_a_truck_has_horizontal_lines_and_a_dolly_lines_through_the_centre() -> None:
    K = np.array([[80.0, 0, 32], [0, 80, 32], [0, 0, 1]])  # noqa: N806
    right, forward = np.eye(4), np.eye(4)
    right[0, 3], forward[2, 3] = 0.3, 0.3
    rectified = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert same_up_to_sign(fundamental(K, np.eye(4), K, right), rectified) < 1e-15
    dolly = fundamental(K, np.eye(4), K, forward)
    centre, out, on = np.array([[32.0, 32]]), np.array([[40.0, 32]]), np.array([[50.0, 32]])
    off = np.array([[50.0, 33]])
    assert symmetric_epipolar_distance(dolly, out, on) == pytest.approx(0, abs=1e-12)
    assert symmetric_epipolar_distance(dolly, out, off) == pytest.approx(
        (1 + 8 / np.hypot(18, 1)) / 2, abs=1e-12
    )
    exact = np.array([[0.0, -1, 32], [1, 0, -32], [-32, 32, 0]])
    assert np.array_equal(symmetric_epipolar_distance(exact, centre, centre), [0])  # not NaN
    assert np.array_equal(sampson_error(exact, centre, centre), [0])


def test_a_frozen_pair_satisfies_every_translation_but_no_rotation() -> None:
    still = np.random.default_rng(0).uniform(0, SIDE, (200, 2))
    K = np.array([[220.0, 0, 128], [0, 220, 128], [0, 0, 1]])  # noqa: N806
    moved, turned = np.eye(4), np.eye(4)
    moved[:3, 3] = turned[:3, 3] = (0.4, -0.1, 0.7)
    turned[:3, :3] = cv2.Rodrigues(np.array([0.1, 0.2, 0.05]))[0]
    F_moved, F_turned = (fundamental(K, np.eye(4), K, c) for c in (moved, turned))  # noqa: N806
    assert symmetric_epipolar_distance(F_moved, still, still).max() < 1e-9
    assert np.median(symmetric_epipolar_distance(F_turned, still, still)) > 8


@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_distances_are_those_from_explicit_lines(scale: float) -> None:
    F, x_a, x_b = noisy(3, scale)  # noqa: N806
    for got, p, q in zip(symmetric_epipolar_distance(F, x_a, x_b), x_a, x_b, strict=True):
        told = 0.0
        for matrix, point, other in ((F, p, q), (F.T, q, p)):
            a, b, c = matrix @ (*point, 1.0)
            # Two points of the line, and the height of the triangle over them.
            foot = -c * np.array([a, b]) / (a * a + b * b)
            along = np.array([-b, a]) / np.hypot(a, b)
            to = other - foot
            told += abs(along[0] * to[1] - along[1] * to[0]) / 2
        assert got == pytest.approx(told, abs=1e-9)


@pytest.mark.parametrize("scale", [0.1, 1.0, 20.0])
def test_sampson_errors_are_roots_of_opencvs_and_equal_scikit_images(scale: float) -> None:
    F, x_a, x_b = noisy(4, scale)  # noqa: N806
    got = sampson_error(F, x_a, x_b)
    squared = [
        cv2.sampsonDistance(np.r_[p, 1], np.r_[q, 1], F) for p, q in zip(x_a, x_b, strict=True)
    ]
    assert got == pytest.approx(np.sqrt(squared), abs=1e-9)
    residuals = FundamentalMatrixTransform(matrix=F).residuals(x_a, x_b)
    assert got == pytest.approx(residuals, abs=1e-9)


def test_sampson_errors_are_the_distances_to_the_nearest_exact_match_in_first_order() -> None:
    F, x_a, x_b = noisy(5, 1e-3)  # noqa: N806
    got, sed = sampson_error(F, x_a, x_b), symmetric_epipolar_distance(F, x_a, x_b)
    for k in range(0, 60, 7):
        fixed_a, fixed_b = cv2.correctMatches(F, x_a[None, k : k + 1], x_b[None, k : k + 1])
        apart = np.r_[fixed_a.ravel() - x_a[k], fixed_b.ravel() - x_b[k]]
        assert np.linalg.norm(apart) == pytest.approx(got[k], rel=1e-3, abs=1e-9)
    assert (got <= sed + 1e-15).all()


def test_swapping_the_frames_transposes_the_matrix_and_keeps_distances() -> None:
    s = scene(6)
    swapped = fundamental(*s.cameras[2:], *s.cameras[:2])
    assert same_up_to_sign(swapped, s.F.T) < 1e-14
    F, x_a, x_b = noisy(6, 1.0)  # noqa: N806
    for distance in (symmetric_epipolar_distance, sampson_error):
        assert distance(F, x_a, x_b) == pytest.approx(distance(F.T, x_b, x_a), abs=1e-12)
        assert distance(F, x_a, x_b) == pytest.approx(distance(-7 * F, x_a, x_b), abs=1e-12)


def test_neither_where_the_world_begins_nor_where_pixels_do_matters() -> None:
    s = scene(7)
    K_a, c2w_a, K_b, c2w_b = (camera.copy() for camera in s.cameras)  # noqa: N806
    world = np.eye(4)
    world[:3, :3] = cv2.Rodrigues(np.array([0.5, -1.0, 2.0]))[0]
    world[:3, 3] = (30, -20, 10)
    assert same_up_to_sign(fundamental(K_a, world @ c2w_a, K_b, world @ c2w_b), s.F) < 1e-12
    offset = np.array([11.0, -7.0])
    K_a[:2, 2] += offset
    K_b[:2, 2] += offset
    shifted = fundamental(K_a, c2w_a, K_b, c2w_b)
    _, x_a, x_b = noisy(7, 1.0)
    for distance in (symmetric_epipolar_distance, sampson_error):
        told = distance(shifted, x_a + offset, x_b + offset)
        assert told == pytest.approx(distance(s.F, x_a, x_b), abs=1e-9)


def test_cameras_at_one_place_or_values_that_are_not_finite_are_refused() -> None:
    K_a, pose, K_b, turned = scene(8).cameras  # noqa: N806
    turned[:3, 3] = pose[:3, 3]
    with pytest.raises(DataError, match="no epipolar geometry") as told:
        fundamental(K_a, pose, K_b, turned)
    assert told.value.seen is not None
    assert told.value.accepted is not None
    assert told.value.fix is not None
    at_the_origin = np.eye(4, dtype=np.float32)
    with pytest.raises(DataError, match="no epipolar geometry"):
        fundamental(K_a, at_the_origin, K_b, at_the_origin)
    pose[0, 0] = np.nan
    with pytest.raises(DataError, match="c2w_a is not finite"):
        fundamental(K_a, pose, K_b, turned)
    x = np.zeros((3, 2))
    with pytest.raises(DataError, match="not finite"):
        symmetric_epipolar_distance(np.eye(3), x, x + np.nan)
    with pytest.raises(DataError, match="not finite"):
        estimate_fundamental(x, x + np.inf, 0)


@pytest.mark.parametrize("seed", range(3))
def test_an_estimate_is_that_of_the_cameras_despite_noise_and_outliers(seed: int) -> None:
    s, rng = scene(seed, n=200), np.random.default_rng(seed)
    x_a, x_b = (x + 0.1 * rng.normal(size=x.shape) for x in (s.x_a, s.x_b))
    x_b[:40] = rng.uniform(0, SIDE, (40, 2))
    told = estimate_fundamental(x_a, x_b, seed)
    assert (told.status, told.reason) == ("ok", None)
    assert told.F is not None
    assert told.inliers[40:].mean() > 0.95
    assert told.inliers[:40].mean() < 0.1
    assert np.median(symmetric_epipolar_distance(told.F, s.x_a, s.x_b)) < 0.05
    again = estimate_fundamental(x_a, x_b, seed)
    assert again.F is not None
    assert np.array_equal(told.F, again.F)


def test_matches_that_leave_the_matrix_undetermined_give_a_status_instead() -> None:
    rng = np.random.default_rng(1)
    x_a, tiny = rng.uniform(0, SIDE, (80, 2)), 0.1 * rng.normal(size=(80, 2))
    turn = np.array([[1.01, -0.05, 9], [0.05, 1.01, -4], [1e-4, -5e-5, 1]])
    rotated = cv2.perspectiveTransform(x_a[None], turn)[0]
    few = scene(2, n=9)
    told = {
        "frozen": estimate_fundamental(x_a, x_a, 0),
        "nearly frozen": estimate_fundamental(x_a, x_a + tiny, 0),
        "panned": estimate_fundamental(x_a, x_a + 9 + tiny, 0),
        "rotated": estimate_fundamental(x_a, rotated + tiny, 0),
        "random": estimate_fundamental(x_a[:40], rng.uniform(0, SIDE, (40, 2)), 0),
        "on a line": estimate_fundamental(x_a * [1, 0], x_a * [1, 0] + 5, 0),
        "few": estimate_fundamental(few.x_a, few.x_b, 0),
        "none": estimate_fundamental(np.zeros((0, 2)), np.zeros((0, 2)), 0),
    }
    assert {name: one.status for name, one in told.items()} == {
        "frozen": "little parallax",
        "nearly frozen": "little parallax",
        "panned": "homography",
        "rotated": "homography",
        "random": "no model",
        "on a line": "no model",
        "few": "too few matches",
        "none": "too few matches",
    }
    assert all(one.F is None and one.reason for one in told.values())
    assert told["frozen"].displacement == 0
    assert told["few"].reason == "9 matches, 10 needed"


def test_halves_are_spread_over_the_frame_and_neighbours_stay_together() -> None:
    y, x = np.mgrid[0:128, 0:256] + 0.5
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    black = checkerboard(points, (128, 256)).reshape(128, 256)
    assert black.mean() == 0.5
    assert black[:64].mean() == black[:, :128].mean() == 0.5
    squares = black.reshape(8, 16, 16, 16)
    assert (squares == squares[:, :1, :, :1]).all()


def test_the_other_half_tells_a_fit_from_a_matrix_that_holds() -> None:
    """A fit suits what it was fitted to; on the other half it shows whether the scene is rigid."""
    own, other, rigid = [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        still = scene(seed, n=60)
        bent = still.x_b + 6 * np.sin(still.x_a[:, ::-1] / 15 + rng.uniform(0, 6, 2))
        for x_b, into in ((still.x_b, rigid), (bent, other)):
            black = checkerboard(still.x_a, (SIDE, SIDE))
            fit = estimate_fundamental(still.x_a[black], x_b[black], seed, tolerance=4.0)
            if fit.F is None:
                continue
            a, b = still.x_a, x_b
            into.append(np.median(symmetric_epipolar_distance(fit.F, a[~black], b[~black])))
            if into is other:
                own.append(np.median(symmetric_epipolar_distance(fit.F, a[black], b[black])))
    assert len(other) >= 3
    assert max(rigid) < 0.1
    assert np.mean(other) > 1.3 * np.mean(own)
