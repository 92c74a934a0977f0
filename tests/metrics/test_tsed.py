"""TSED on rendered clips whose cameras are known, and on a real stereo pair."""

from functools import cache

import cv2
import numpy as np
import pytest
import skimage.data

from worldbench.data.worlds import SceneSpec, simulate
from worldbench.data.worlds.pictures import Rendered, render
from worldbench.errors import UsageError
from worldbench.metrics.epipolar import fundamental, symmetric_epipolar_distance
from worldbench.metrics.epipolar_fit import estimate_fundamental
from worldbench.metrics.tsed import THRESHOLDS, Pair, Tsed, matches, tsed

SIZE = 64
RECTIFIED = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])
TRUCK, DOLLY, ORBIT = ("truck", 1), ("dolly", 1), ("static_orbit", 7)


@cache
def clip(family: str, seed: int, size: int = SIZE) -> Rendered:
    return render(simulate(SceneSpec(family, seed=seed)), size=size)


def frames_of(family: str, seed: int) -> np.ndarray:
    return clip(family, seed).rgb.numpy()


def warped(video: np.ndarray, share: float) -> np.ndarray:
    """Each frame bent by a smooth field of its own, of rms ``share`` of its side."""
    side, rng, bent = video.shape[1], np.random.default_rng(0), []
    y, x = np.mgrid[:side, :side].astype(np.float32)
    for frame in video:
        fields = [cv2.GaussianBlur(rng.normal(size=(side, side)), (0, 0), side / 8) for _ in "xy"]
        dx, dy = ((share * side * f / f.std()).astype(np.float32) for f in fields)
        bent.append(
            cv2.remap(frame, x + dx, y + dy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        )
    return np.stack(bent)


def pairs_of(video: np.ndarray, truth: Rendered, gap: int = 1) -> list[Pair]:
    """Pairs of a video under the cameras of ``truth``."""
    K, poses, found = truth.K.numpy(), truth.camera_c2w.numpy(), []  # noqa: N806
    for t in range(0, len(video) - gap, 2):
        F = fundamental(K, poses[t], K, poses[t + gap])  # noqa: N806
        found.append(Pair(*matches(video[t], video[t + gap]), F, video.shape[1:3]))
    return found


def score(family: str, seed: int, share: float = 0.0, gap: int = 1) -> Tsed:
    video = frames_of(family, seed)
    return tsed(pairs_of(warped(video, share) if share else video, clip(family, seed), gap))


def shares(told: Tsed) -> dict[float, float]:
    assert told.consistent is not None
    return dict(zip(told.thresholds, told.consistent, strict=True))


def synthetic(height: float, n: int = 20, size: tuple[int, int] = (256, 256)) -> Pair:
    """A rectified pair whose matches are all ``height`` px off their lines."""
    x = np.random.default_rng(0).uniform(0, 256, (n, 2))
    return Pair(x, x + np.array([-5.0, height]), RECTIFIED, size)


def test_keypoints_are_where_pixel_centres_are_at_halves() -> None:
    y, x = np.mgrid[:64, :64] + 0.5
    truth = np.array([[20.3, 30.7], [45.0, 14.5]])  # (x, y)
    blobs = sum(
        180 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2))
        for (cx, cy), sigma in zip(truth, (2.0, 3.0), strict=True)
    )
    frame = np.repeat((40 + np.asarray(blobs)).round().astype(np.uint8)[..., None], 3, axis=2)
    found, same = matches(frame, frame)
    assert np.array_equal(found, same)
    for blob in truth:
        assert np.linalg.norm(found - blob, axis=1).min() < 0.03


def test_a_shifted_frame_matches_itself_at_the_shift() -> None:
    frame = frames_of(*DOLLY)[0]
    x_a, x_b = matches(frame, np.roll(frame, (4, 6), (0, 1)))
    assert len(x_a) > 20
    assert np.median(x_b - x_a, axis=0) == pytest.approx([6, 4], abs=0.02)


@pytest.mark.parametrize("family", ["static_orbit", "truck", "dolly"])
def test_matches_of_rendered_frames_reproject_onto_each_other(family: str) -> None:
    truth = clip(family, 1)
    K, poses = truth.K.numpy().astype(float), truth.camera_c2w.numpy().astype(float)  # noqa: N806
    errors = []
    for t in range(0, 14, 2):
        x_a, x_b = matches(*truth.rgb[t : t + 2].numpy())
        depth = truth.depth[t].numpy()[tuple(x_a.astype(int).T[::-1])]
        rays = np.c_[x_a, np.ones(len(x_a))] @ np.linalg.inv(K).T
        world = (rays * depth[:, None]) @ poses[t, :3, :3].T + poses[t, :3, 3]
        seen = (world - poses[t + 1, :3, 3]) @ poses[t + 1, :3, :3] @ K.T
        errors.append(seen[:, :2] / seen[:, 2:] - x_b)
    error = np.concatenate(errors)
    assert len(error) > 100
    assert np.abs(np.median(error, axis=0)).max() < 0.06  # half a pixel too much would be .5
    assert np.median(np.abs(error)) < 0.2


def test_matches_repeat_and_do_not_depend_on_the_order_of_frames() -> None:
    first, second = frames_of(*ORBIT)[[0, 2]]
    x_a, x_b = matches(first, second)
    again_a, again_b = matches(first, second)
    assert np.array_equal(x_a, again_a)
    assert np.array_equal(x_b, again_b)
    y_b, y_a = matches(second, first)
    assert {(*p, *q) for p, q in zip(x_a, x_b, strict=True)} == {
        (*p, *q) for p, q in zip(y_a, y_b, strict=True)
    }
    assert len(np.unique(np.c_[x_a, x_b], axis=0)) == len(x_a)


def test_frames_without_texture_or_of_noise_have_no_matches() -> None:
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), dtype=np.uint8)
    assert matches(grey, grey)[0].shape == (0, 2)
    assert matches(grey, frames_of(*TRUCK)[0])[1].shape == (0, 2)
    assert len(matches(*noise)[0]) < 5


def test_a_real_stereo_pair_keeps_to_its_rows() -> None:
    left, right, disparity = skimage.data.stereo_motorcycle()  # comes with scikit-image's wheel
    x_a, x_b = matches(left[..., :3].copy(), right[..., :3].copy())
    assert len(x_a) > 1000
    assert np.median(symmetric_epipolar_distance(RECTIFIED, x_a, x_b)) < 0.2
    shift = (x_a - x_b)[:, 0]
    assert np.mean(shift > 0) > 0.99  # what the left camera sees lies further right
    true = disparity[tuple(x_a.astype(int).T[::-1])]
    assert np.median(np.abs(shift - true)[np.isfinite(true)]) < 0.5
    told = estimate_fundamental(x_a, x_b, 0)
    assert told.status == "ok"
    assert told.F is not None
    assert np.median(symmetric_epipolar_distance(told.F, x_a, x_b)) < 0.2
    rows = np.stack([np.linspace(50, 690, 20), np.linspace(30, 470, 20)], axis=1)
    off = symmetric_epipolar_distance(told.F, rows, rows - np.array([40.0, 0]))
    assert np.median(off) < 0.5
    result = tsed([Pair(x_a, x_b, RECTIFIED, left.shape[:2])])
    assert shares(result) == dict.fromkeys(THRESHOLDS, 1.0)


@pytest.mark.parametrize(("family", "seed"), [TRUCK, DOLLY, ORBIT])
def test_the_more_a_clip_is_warped_the_farther_it_is_from_its_lines(family: str, seed: int) -> None:
    ladder = [score(family, seed, share) for share in (0.0, 0.01, 0.02, 0.03)]
    distances = [told.distance for told in ladder]
    assert all(distance is not None for distance in distances)
    assert distances == sorted(distances)
    assert distances[0] < 0.6  # at 256-equivalent: .15 px here
    assert distances[1] > 1.5
    curves = [shares(told) for told in ladder]
    for curve in curves:
        assert list(curve.values()) == sorted(curve.values())
    for threshold in (1.0, 2.0, 4.0, 8.0):
        falling = [curve[threshold] for curve in curves]
        assert falling == sorted(falling, reverse=True)
    assert curves[0][2.0] == 1
    assert curves[1][2.0] < 0.75
    assert curves[3][2.0] < 0.2


def frozen_pairs(family: str, seed: int, gap: int) -> list[Pair]:
    video = frames_of(family, seed)
    return pairs_of(np.repeat(video[:1], len(video), axis=0), clip(family, seed), gap)


def test_a_frozen_video_fails_where_the_camera_turns_and_only_there() -> None:
    told = tsed(frozen_pairs(*ORBIT, gap=4))
    assert shares(told)[2.0] == 0
    assert told.frozen == (0, 0, 0, 1, 1)
    assert shares(score(*ORBIT, gap=4))[2.0] == 1
    # The floor says where TSED is worth nothing: in small turns and in any translation.
    assert tsed(frozen_pairs(*ORBIT, gap=1)).frozen == (0, 1, 1, 1, 1)
    for moving in (TRUCK, DOLLY):
        still = tsed(frozen_pairs(*moving, gap=8))
        assert still.consistent == still.frozen == (1,) * 5


@pytest.mark.parametrize(("family", "seed"), [TRUCK, DOLLY, ORBIT])
def test_a_frozen_video_has_no_score_against_a_matrix_fitted_to_it(family: str, seed: int) -> None:
    fitted = []
    for pair in frozen_pairs(family, seed, gap=4):
        told = estimate_fundamental(pair.x_a, pair.x_b, 0)
        assert told.status == "little parallax"
        fitted.append(Pair(pair.x_a, pair.x_b, told.F, pair.size))
    result = tsed(fitted)
    assert (result.consistent, result.frozen, result.status) == (None, None, "no geometry")
    assert (result.enough, result.measured) == (len(fitted), 0)


def test_clips_with_too_few_matches_have_a_status_and_no_value() -> None:
    told = tsed([synthetic(0.1, n=9)] * 3)
    assert (told.consistent, told.distance, told.status) == (None, None, "too few matches")
    assert told.reason == "0 of 3 pairs have 10 matches"
    assert told.frozen == (1.0,) * 5
    grey = np.full((16, SIZE, SIZE, 3), 128, np.uint8)
    assert tsed(pairs_of(grey, clip(*ORBIT))).status == "too few matches"
    assert tsed([]).status == "too few matches"


def test_a_pair_without_matches_counts_against_a_clip_that_has_some() -> None:
    told = tsed([synthetic(0.7), synthetic(3.0), synthetic(0.1, n=9), synthetic(0.1)])
    assert shares(told) == {0.5: 0.25, 1.0: 0.5, 2.0: 0.5, 4.0: 0.75, 8.0: 0.75}
    assert (told.pairs, told.enough, told.measured, told.status) == (4, 3, 3, "ok")
    assert told.distance == pytest.approx(0.7, abs=1e-12)


def test_thresholds_are_at_256_equivalent_and_strict() -> None:
    assert tsed([synthetic(0.45, size=(64, 96))]).distance == pytest.approx(1.8, abs=1e-12)
    assert shares(tsed([synthetic(0.45, size=(64, 96))], [2.0])) == {2.0: 1.0}
    assert shares(tsed([synthetic(0.55, size=(64, 96))], [2.0])) == {2.0: 0.0}
    exact = Pair(np.zeros((10, 2)), np.full((10, 2), 2.0), RECTIFIED, (256, 256))
    assert shares(tsed([exact], [2.0])) == {2.0: 0.0}
    for wrong in ([], [0.0], [2.0, -1.0]):
        with pytest.raises(UsageError, match="thresholds"):
            tsed([exact], wrong)
