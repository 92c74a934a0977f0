import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor

from worldbench.errors import UsageError
from worldbench.metrics import PolynomialKernel, kernel_distance, kernel_influence, kernel_report
from worldbench.metrics import polynomial as blocks


def draw(seed: int, n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def test_agrees_with_a_double_loop_over_all_pairs() -> None:
    x, y = draw(0, 9, 3), draw(1, 14, 3) + 0.7

    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    def within(z: Tensor) -> float:
        pairs = [k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        return sum(pairs) / len(pairs)

    between = sum(k(a, b) for a in x for b in y) / (9 * 14)
    expected = within(x) + within(y) - 2 * between
    assert kernel_distance(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"degree": 2, "coef0": 0.0}, {"degree": 1, "gamma": 0.3, "coef0": 2.0}]
)
def test_agrees_with_the_kernels_of_scikit_learn_in_any_block_size(
    options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = draw(2, 40, 6), draw(3, 25, 6) + 0.5
    chosen = {"degree": 3, "gamma": None, "coef0": 1.0} | options
    xx, yy, xy = (
        polynomial_kernel(a.numpy(), b.numpy(), **chosen) for a, b in ((x, x), (y, y), (x, y))
    )
    expected = (xx.sum() - np.trace(xx)) / (40 * 39) + (yy.sum() - np.trace(yy)) / (25 * 24)
    expected -= 2 * xy.mean()
    assert kernel_distance(x, y, **options) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(blocks, "_BLOCK_VALUES", 65 * 7)
    assert kernel_distance(x, y, **options) == pytest.approx(expected, rel=1e-12)


def test_a_linear_kernel_measures_the_unbiased_squared_distance_of_means() -> None:
    x, y = draw(4, 30, 5), draw(5, 50, 5) + 1
    noise = float(x.var(dim=0).sum()) / 30 + float(y.var(dim=0).sum()) / 50
    expected = float((x.mean(0) - y.mean(0)).square().sum()) - noise
    value = kernel_distance(x, y, degree=1, gamma=1.0, coef0=0.0)
    assert value == pytest.approx(expected, rel=1e-11)


def test_is_unbiased_at_small_samples_when_distributions_coincide() -> None:
    values = [kernel_distance(draw(2 * s, 6, 4), draw(2 * s + 1, 9, 4)) for s in range(2000)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3.5 * error
    assert min(values) < 0


def test_more_noise_is_farther() -> None:
    real, rollout, noise = draw(6, 200, 8), draw(7, 200, 8), draw(8, 200, 8)
    ladder = [kernel_distance(rollout + sigma * noise, real) for sigma in (0, 0.5, 1, 2, 4)]
    assert all(a < b for a, b in itertools.pairwise(ladder))


def test_influence_predicts_what_leaving_a_sample_out_does() -> None:
    x, y = draw(9, 200, 4), draw(10, 150, 4) + 0.5
    psi_x, psi_y = kernel_influence(x, y)
    assert abs(float(psi_x.mean())) < 1e-12
    assert abs(float(psi_y.mean())) < 1e-12
    full = kernel_distance(x, y)
    # Leaving out is finite: it differs from the derivative by a share of 1/n.
    for i in (0, 50, 149):
        without_x = kernel_distance(torch.cat([x[:i], x[i + 1 :]]), y)
        without_y = kernel_distance(x, torch.cat([y[:i], y[i + 1 :]]))
        assert float(psi_x[i]) == pytest.approx((full - without_x) * 199, rel=0.02, abs=0.02)
        assert float(psi_y[i]) == pytest.approx((full - without_y) * 149, rel=0.02, abs=0.02)


def test_a_kernel_that_is_not_positive_definite_is_refused() -> None:
    with pytest.raises(UsageError, match="positive definite"):
        kernel_distance(draw(0, 4, 2), draw(1, 4, 2), gamma=-1.0)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_intervals_cover_the_population_value(shift: float) -> None:
    # E k for the linear kernel is known: the population value is D·shift².
    kernel = PolynomialKernel(degree=1, gamma=1.0, coef0=0.0)
    inside = 0
    for seed in range(150):
        report = kernel_report(
            draw(2 * seed, 64, 5), draw(2 * seed + 1, 90, 5) + shift, kernel=kernel
        )
        inside += report.low <= 5 * shift**2 <= report.high
    assert inside / 150 >= 0.89


def test_the_cubic_kernel_covers_zero_when_distributions_coincide() -> None:
    inside = 0
    for seed in range(100):
        report = kernel_report(draw(2 * seed, 50, 6), draw(2 * seed + 1, 80, 6))
        inside += report.low <= 0 <= report.high
    assert inside / 100 >= 0.92


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_clusters_keep_the_estimate_unbiased_and_the_interval_honest(shift: float) -> None:
    kernel = PolynomialKernel(degree=1, gamma=1.0, coef0=0.0)
    scenes = [row // 4 for row in range(80)]
    estimates, naive, inside = [], [], 0
    for seed in range(150):
        # Rollouts and real clips of one scene share what the scene looks like.
        scene = 2 * draw(3 * seed, 20, 3).repeat_interleave(4, dim=0)
        x, y = scene + draw(3 * seed + 1, 80, 3) + shift, scene[::2] + draw(3 * seed + 2, 40, 3)
        report = kernel_report(x, y, scenes, scenes[::2], kernel=kernel)
        estimates.append(report.between_clusters)
        naive.append(report.value)
        inside += report.low <= 3 * shift**2 <= report.high
    error = np.std(estimates) / np.sqrt(150)
    assert abs(np.mean(estimates) - 3 * shift**2) < 3.5 * error
    assert inside / 150 >= 0.89


def test_report_needs_enough_clusters_for_an_interval() -> None:
    x, y = draw(11, 30, 3), draw(12, 30, 3)
    report = kernel_report(x, y, [row % 4 for row in range(30)])
    assert report.value == kernel_distance(x, y)
    assert (report.standard_error, report.low, report.high) == (None, None, None)
    assert report.reason == "only 4 clusters in a set, 8 needed"
    assert report.between_clusters == pytest.approx(between_clusters(x, y, 4), abs=1e-12)


def test_a_single_cluster_has_no_pairs_between_clusters() -> None:
    x, y = draw(11, 30, 3), draw(12, 30, 3)
    assert kernel_report(x, y, ["a"] * 30, ["a"] * 30).between_clusters is None


def between_clusters(x: Tensor, y: Tensor, modulus: int) -> float:
    """Brute force over pairs whose rows in x come from different clusters; y has its own each."""

    def k(a: Tensor, b: Tensor) -> float:
        return float((a.double() @ b.double() / 3 + 1) ** 3)

    n = len(x)
    apart = [(i, j) for i in range(n) for j in range(n) if i % modulus != j % modulus]
    xx = sum(k(x[i], x[j]) for i, j in apart) / len(apart)
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / n**2


def test_without_clusters_the_estimate_is_the_value() -> None:
    report = kernel_report(draw(13, 30, 3), draw(14, 20, 3))
    assert report.between_clusters == report.value
    assert (report.n, report.m, report.dim, report.clusters) == (30, 20, 3, 20)
    assert report.kernel == PolynomialKernel()
