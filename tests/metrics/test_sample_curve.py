import pytest
import torch
from torch import Tensor

from worldbench.errors import DataError
from worldbench.metrics import (
    finite_sample_curve,
    frechet_distance,
    kernel_distance,
    sample_diversity,
)
from worldbench.metrics.samples import two_samples


def draw(seed: int, n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def test_the_curve_ends_at_all_clips_and_falls_to_its_limit():
    x, y = draw(0, 256, 6) + 0.3, draw(1, 300, 6)
    curve = finite_sample_curve(two_samples(x, y))
    assert [point.n for point in curve] == [8, 16, 32, 64, 128, 256]
    assert [point.subsets for point in curve] == [8, 8, 8, 4, 2, 1]
    last = curve[-1]
    assert last.frechet == pytest.approx(frechet_distance(x, y), rel=1e-12)
    assert last.kernel == pytest.approx(kernel_distance(x, y), rel=1e-12)
    assert (last.frechet_spread, last.floor) == (None, None)
    values = [point.frechet for point in curve]
    assert values == sorted(values, reverse=True)
    floors = [point.floor for point in curve if point.floor is not None]
    assert floors == sorted(floors, reverse=True)
    assert all(point.floor < point.frechet for point in curve[1:-1])
    # The kernel distance has no slope.
    truth = last.kernel
    assert all(abs(p.kernel - truth) < 4 * p.kernel_spread for p in curve if p.kernel_spread)


def test_subsets_are_disjoint_keep_clusters_whole_and_depend_on_the_seed_alone():
    x, y = draw(2, 64, 3), draw(3, 64, 3)
    labels = [row // 4 for row in range(64)]
    # Four copies of a row are one clip: with clusters whole, halves hold eight different ones.
    copies = x[::4].repeat_interleave(4, dim=0), y[::4].repeat_interleave(4, dim=0)
    sets = two_samples(*copies, labels, labels)
    (half, whole) = finite_sample_curve(sets)
    assert (half.n, half.subsets, whole.n) == (32, 2, 64)
    assert finite_sample_curve(sets, seed=1) == finite_sample_curve(sets, seed=1)
    assert finite_sample_curve(sets, seed=1) != finite_sample_curve(sets, seed=2)


def test_too_few_clips_give_no_curve():
    assert finite_sample_curve(two_samples(draw(0, 7, 2), draw(1, 90, 2))) == ()


def test_diversity_is_the_share_of_the_real_variance():
    real = draw(4, 4000, 5)
    contexts = torch.arange(300).repeat_interleave(8)
    means = draw(5, 300, 5)[contexts]
    for scale in (0.0, 0.5, 1.0):
        shares = sample_diversity(means + scale * draw(6, 2400, 5), contexts, real)
        assert shares.shape == (300,)
        assert float(shares.mean()) == pytest.approx(scale**2, abs=0.02)


def test_diversity_is_unbiased_with_two_samples_and_ignores_the_order():
    real, contexts = draw(7, 2000, 4), torch.arange(500).repeat(2)
    x = draw(8, 1000, 4)
    shares = sample_diversity(x, contexts, real)
    assert float(shares.mean()) == pytest.approx(1, abs=0.08)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(sample_diversity(x[order], contexts[order], real), shares)


def test_what_has_no_diversity_says_so():
    contexts = torch.tensor([0, 0, 1])
    with pytest.raises(DataError, match="several rollouts of every context"):
        sample_diversity(draw(0, 3, 2), contexts, draw(1, 9, 2))
    with pytest.raises(DataError, match="without variety"):
        sample_diversity(draw(0, 4, 2), torch.tensor([0, 0, 1, 1]), torch.zeros(9, 2))
