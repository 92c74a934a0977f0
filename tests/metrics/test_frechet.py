import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from worldbench.errors import DataError
from worldbench.metrics import frechet_distance, frechet_infinity, frechet_influence, frechet_report
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.samples import two_samples


def normal(seed: int, n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing


def trace(x: Tensor) -> float:
    return float(x.var(dim=0).sum())


def by_eigendecomposition(x: Tensor, y: Tensor, ddof: int = 1) -> float:
    """The textbook route: both covariances, a symmetric root, eigenvalues of the product."""
    a, b = x.numpy(), y.numpy()
    cov_a, cov_b = (np.cov(z, rowvar=False, ddof=ddof) for z in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    overlap = np.linalg.eigvalsh(root @ cov_b @ root).clip(0)
    # Null eigenvalues come out as rounding noise, whose roots would be 1e-8.
    overlap = np.sqrt(overlap[overlap > overlap.max() * 1e-13]).sum()
    shift = a.mean(0) - b.mean(0)
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap)


@pytest.mark.parametrize(
    ("n", "m", "d"),
    [(200, 150, 12), (9, 14, 30), (9, 100, 30), (100, 9, 30), (20, 20, 20), (2, 2, 5)],
)
@pytest.mark.parametrize("ddof", [0, 1])
def test_agrees_with_an_eigendecomposition_for_few_and_for_many_samples(
    n: int, m: int, d: int, ddof: int
) -> None:
    x, y = normal(0, n, d), normal(1, m, d) + 0.5
    expected = by_eigendecomposition(x, y, ddof)
    assert frechet_distance(x, y, ddof=ddof) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_the_matrix_square_root_of_scipy() -> None:
    x, y = normal(2, 90, 8), normal(3, 70, 8)
    cov_x, cov_y = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    shift = (x.mean(0) - y.mean(0)).numpy()
    expected = shift @ shift + np.trace(cov_x + cov_y - 2 * np.real(root))
    assert frechet_distance(x, y) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(40, 6), (40, 200)])
def test_commuting_gaussians_have_the_closed_form(n: int, d: int) -> None:
    x = normal(4, n, d)
    centred = x - x.mean(0)
    u, s, vt = torch.linalg.svd(centred, full_matrices=False)
    stretch = torch.linspace(0.5, 3, len(s), dtype=torch.float64)
    y = u * (s * stretch) @ vt + 2.0
    expected = float(((x.mean(0) - 2.0) ** 2).sum() + ((s * (stretch - 1)) ** 2).sum() / (n - 1))
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(60, 7), (12, 40)])
def test_rotation_translation_scale_and_exchange_act_as_on_a_squared_distance(
    n: int, d: int
) -> None:
    x, y = normal(5, n, d), normal(6, n + 3, d)
    value = frechet_distance(x, y)
    rotation = torch.linalg.qr(normal(7, d, d)).Q
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(x + 5, y + 5) == pytest.approx(value, rel=1e-9)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(("n", "d", "relative"), [(300, 20, 1e-9), (20, 300, 1e-10)])
def test_identical_sets_have_zero_distance(n: int, d: int, relative: float) -> None:
    x = normal(8, n, d)
    assert 0 <= frechet_distance(x, x.flip(0)) <= relative * trace(x)


def test_an_ill_conditioned_covariance_costs_no_accuracy() -> None:
    x = torch.randn(300, 40, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    x = x @ torch.linalg.qr(normal(9, 40, 40)).Q * torch.logspace(0, -10, 40, dtype=torch.float64)
    assert frechet_distance(x, x.flip(0)) <= 1e-13 * trace(x)
    assert frechet_distance(x, 2 * x - x.mean(0)) == pytest.approx(trace(x), rel=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("kind", ["alike", "turned", "flipped"])
def test_falling_spectra_keep_their_digits_with_many_samples(decay: float, kind: str) -> None:
    """Squares are used where they are harmless; singular values of roots do not need them."""
    generator = torch.Generator().manual_seed(13)
    x, y = (torch.randn(200, 50, generator=generator, dtype=torch.float64) for _ in "xy")
    spread = torch.arange(1, 51, dtype=torch.float64) ** -decay
    turn = torch.linalg.qr(normal(14, 50, 50)).Q
    x = x * spread @ turn
    y = {"alike": y * spread, "turned": y * spread @ turn, "flipped": y * spread.flip(0)}[
        kind
    ] @ turn
    a, b = ((z - z.mean(0)) / math.sqrt(199) for z in (x, y))
    overlap = scipy.linalg.svdvals(np.linalg.qr(a, "r") @ np.linalg.qr(b, "r").T).sum()
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + trace(x) + trace(y) - 2 * overlap
    assert abs(frechet_distance(x, y) - expected) < 1e-11 * (trace(x) + trace(y))


def test_sets_without_spread_are_apart_by_their_means_alone() -> None:
    x, y = torch.ones(5, 3), torch.zeros(7, 3)
    assert frechet_distance(x, y) == pytest.approx(3.0, rel=1e-12)
    spread = normal(10, 9, 3)
    expected = float(((spread.mean(0) - 1) ** 2).sum()) + trace(spread)
    assert frechet_distance(x, spread) == pytest.approx(expected, rel=1e-12)


def test_a_mean_of_a_thousand_sigma_in_float32_does_no_harm() -> None:
    x, y = (normal(seed, 200, 10).float() + 1000 * 3 for seed in (11, 12))
    exact = by_eigendecomposition(x.double() - 3000, y.double() - 3000)
    assert frechet_distance(x, y) == pytest.approx(exact, rel=1e-9)


def test_more_noise_is_farther() -> None:
    real, rollout = normal(13, 400, 8), normal(13, 400, 8)
    noise = torch.randn(400, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ladder = [frechet_distance(rollout + sigma * noise, real) for sigma in (0, 0.3, 1, 3, 10)]
    assert all(a < b for a, b in itertools.pairwise(ladder))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(1, 2), torch.zeros(4, 2), "too small"),
        (torch.zeros(4, 2), torch.full((4, 2), math.nan), "second set has features that are NaN"),
    ],
)
def test_unusable_sets_are_refused_by_name(x: Tensor, y: Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        frechet_distance(x, y)


def test_sets_of_different_width_are_refused() -> None:
    with pytest.raises(DataError, match="different width"):
        two_samples(torch.zeros(4, 2), torch.zeros(4, 3))


def test_influence_is_the_derivative_under_reweighting_of_one_sample() -> None:
    x, y = normal(14, 40, 5), normal(15, 30, 5) + 0.3
    psi_x, psi_y = frechet_influence(x, y)
    assert abs(float(psi_x.mean())) < 1e-10
    assert abs(float(psi_y.mean())) < 1e-10

    def reweighted(rows: Tensor, index: int, step: float) -> tuple[np.ndarray, np.ndarray]:
        weight = np.full(len(rows), (1 - step) / len(rows))
        weight[index] += step
        mean = weight @ rows.numpy()
        centred = rows.numpy() - mean
        return mean, centred.T * weight @ centred

    def distance(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
        shift = a[0] - b[0]
        overlap = np.sqrt(np.linalg.eigvals(a[1] @ b[1]).real).sum()
        return float(shift @ shift + np.trace(a[1] + b[1]) - 2 * overlap)

    step = 1e-5
    for index in (0, 7, 19):
        for rows, other, psi in ((x, y, psi_x), (y, x, psi_y)):
            fixed = reweighted(other, 0, 0.0)
            up = distance(reweighted(rows, index, step), fixed)
            down = distance(reweighted(rows, index, -step), fixed)
            assert float(psi[index]) == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-5)


def test_influence_is_undefined_for_too_few_samples_or_a_singular_covariance() -> None:
    with pytest.raises(DataError, match="not defined"):
        frechet_influence(normal(0, 19, 5), normal(1, 40, 5))
    flat = normal(0, 40, 5)
    flat[:, 4] = flat[:, 3]
    with pytest.raises(DataError, match="rank 4"):
        frechet_influence(flat, normal(1, 40, 5))


def test_infinity_removes_most_of_the_bias() -> None:
    biased, extrapolated = [], []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x, y = (torch.randn(80, 8, generator=generator, dtype=torch.float64) for _ in range(2))
        biased.append(frechet_distance(x, y + 0.5))
        extrapolated.append(frechet_infinity(x, y + 0.5).value)
    truth = 8 * 0.25
    assert np.mean(biased) - truth > 0.5
    assert abs(np.mean(extrapolated) - truth) < 0.2


def test_infinity_keeps_clusters_whole_and_depends_on_the_seed_alone() -> None:
    x, y = normal(16, 60, 4), normal(17, 60, 4)
    clusters = [f"scene{row // 3}" for row in range(60)]
    options = {"clusters_x": clusters, "clusters_y": clusters}
    value = frechet_infinity(x, y, seed=3, **options).value
    assert value == frechet_infinity(x, y, seed=3, **options).value
    assert value != frechet_infinity(x, y, seed=4, **options).value
    assert value != frechet_infinity(x, y, seed=3).value
    # Three copies of each row are one sample of a third of the size; rows alone would not know.
    thrice = x[:20].repeat_interleave(3, dim=0), y[:20].repeat_interleave(3, dim=0)
    expected = 2 * frechet_distance(*thrice) - frechet_distance(x[:20], y[:20])
    assert frechet_infinity(*thrice, **options).value < expected


def test_labels_of_numpy_are_those_of_python() -> None:
    x, y = normal(20, 60, 4), normal(21, 60, 4)
    names = [f"scene{row // 3}" for row in range(60)]
    assert two_samples(x, y, names, list(np.array(names))).clusters == 20
    assert two_samples(x, y, [7] * 60, ["7"] * 60).clusters == 2


def test_infinity_says_why_it_is_undefined() -> None:
    few = frechet_infinity(normal(0, 19, 5), normal(1, 100, 5))
    assert (few.value, few.reason) == (None, "fewer than 4·D = 20 samples (n = 19, m = 100)")
    grouped = frechet_infinity(
        normal(0, 60, 5), normal(1, 60, 5), clusters_x=[row % 5 for row in range(60)]
    )
    assert grouped.value is None
    assert grouped.reason == "only 5 clusters in a set, 8 needed"


def test_report_brings_the_value_with_its_context() -> None:
    card = ExtractorCard("net", "a" * 64, 4, "as is", projection="pca4 fitted on train")
    x, y = normal(18, 100, 4), normal(19, 80, 4) + 1
    report = frechet_report(x, y, card=card)
    assert report.value == frechet_distance(x, y)
    assert report.infinity == frechet_infinity(x, y).value
    assert report.low < report.infinity < report.high
    assert report.high - report.infinity == pytest.approx(1.99 * report.standard_error, rel=0.01)
    assert (report.n, report.m, report.dim, report.rank, report.clusters) == (100, 80, 4, 4, 80)
    assert report.card == "net-pca4"
    assert report.reason is None
    assert 0 < report.noise_floor < report.value


def test_report_with_few_samples_keeps_the_value_and_says_what_is_missing() -> None:
    x, y = normal(20, 10, 16), normal(21, 12, 16)
    report = frechet_report(x, y)
    assert report.value == frechet_distance(x, y)
    assert (report.infinity, report.standard_error, report.low, report.high) == (None,) * 4
    assert report.rank == 9
    assert report.reason == "fewer than 4·D = 64 samples (n = 10, m = 12)"


def test_report_with_a_constant_feature_has_a_rank_and_no_interval() -> None:
    x, y = normal(22, 60, 4), normal(23, 60, 4)
    x[:, 2] = 1000.1
    report = frechet_report(x, y)
    assert report.rank == 3
    assert report.infinity is not None
    assert report.standard_error is None
    assert report.reason == "no standard error: a covariance has rank 3 < D = 4"


def test_dependence_within_clusters_widens_the_interval() -> None:
    x, y = normal(24, 40, 4).repeat_interleave(5, dim=0), normal(25, 200, 4) + 1
    labels = [row // 5 for row in range(200)]
    naive = frechet_report(x, y)
    clustered = frechet_report(x, y, labels, [f"real{row}" for row in range(200)])
    assert clustered.standard_error > 1.5 * naive.standard_error


def coverage(shift: float, kind: str, runs: int, n: int, m: int, d: int) -> float:
    """Share of intervals that contain the population distance."""
    generator = torch.Generator().manual_seed(7)

    def draw(rows: int) -> Tensor:
        if kind == "normal":
            return torch.randn(rows, d, generator=generator, dtype=torch.float64)
        uniform = torch.rand(rows, d, generator=generator, dtype=torch.float64)
        return -torch.log(uniform) - 1  # exponential: skewed, mean 0, variance 1

    stretch = 1 + shift
    truth = d * shift**2 + d * (stretch - 1) ** 2
    inside = 0
    for seed in range(runs):
        report = frechet_report(draw(n), draw(m) * stretch + shift, seed=seed)
        inside += report.low <= truth <= report.high
    return inside / runs


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_cover_the_population_value(shift: float) -> None:
    assert coverage(shift, "normal", 60, 64, 80, 4) >= 0.88


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_cover_the_population_value_when_clips_share_scenes(shift: float) -> None:
    generator = torch.Generator().manual_seed(11)
    scenes = [row // 2 for row in range(100)]
    inside = 0
    for seed in range(60):
        scene, x, y = (
            torch.randn(100, 4, generator=generator, dtype=torch.float64) for _ in range(3)
        )
        scene = scene[:50].repeat_interleave(2, dim=0)
        report = frechet_report(scene + x, scene + y + shift, scenes, scenes, seed=seed)
        inside += report.low <= 4 * shift**2 <= report.high
    assert inside / 60 >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "exponential"])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("n", "m", "d"), [(64, 64, 4), (200, 100, 8)])
def test_intervals_cover_the_population_value_in_many_settings(
    kind: str, shift: float, n: int, m: int, d: int
) -> None:
    assert coverage(shift, kind, 200, n, m, d) >= 0.85
