import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor

from worldbench.errors import DataError
from worldbench.metrics import ExtractorCard, JEPAEmbeddingDistance, jedi_distance, jedi_report
from worldbench.metrics import polynomial as blocks


def draw(seed: int, n: int, d: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def definition(x: Tensor, y: Tensor) -> float:
    """As published: means over all pairs of scikit-learn's kernel, times 100."""
    xx, yy, xy = (
        polynomial_kernel(a.numpy(), b.numpy(), degree=2, gamma=None, coef0=0)
        for a, b in ((x, x), (y, y), (x, y))
    )
    return 100 * float(xx.mean() + yy.mean() - 2 * xy.mean())


@pytest.mark.parametrize(("n", "m", "d"), [(40, 25, 6), (9, 30, 64)])
def test_is_the_published_value_in_any_block_size(n, m, d, monkeypatch):
    x, y = draw(0, n, d), 1.3 * draw(1, m, d) + 0.5
    assert jedi_distance(x, y) == pytest.approx(definition(x, y), rel=1e-11)
    monkeypatch.setattr(blocks, "_BLOCK_VALUES", 7 * (n + m))
    assert jedi_distance(x, y) == pytest.approx(definition(x, y), rel=1e-11)


def test_unbiased_leaves_out_pairs_of_a_clip_with_itself():
    x, y = draw(2, 12, 4), draw(3, 9, 4) + 0.3

    def k(a: Tensor, b: Tensor) -> float:
        return float(a @ b / 4) ** 2

    def within(z: Tensor) -> float:
        pairs = [k(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        return sum(pairs) / len(pairs)

    between = sum(k(a, b) for a in x for b in y) / (12 * 9)
    expected = 100 * (within(x) + within(y) - 2 * between)
    assert jedi_distance(x, y, unbiased=True) == pytest.approx(expected, rel=1e-12)


def test_the_published_estimate_is_biased_upwards_and_the_other_is_not():
    pairs = [(draw(2 * s, 12, 4), draw(2 * s + 1, 12, 4)) for s in range(300)]
    plain = np.array([jedi_distance(x, y) for x, y in pairs])
    fair = np.array([jedi_distance(x, y, unbiased=True) for x, y in pairs])
    error = fair.std() / np.sqrt(len(fair))
    assert abs(fair.mean()) < 3.5 * error
    assert plain.mean() > 10 * error
    assert plain.min() >= 0


def test_self_distance_is_zero_and_exchange_changes_nothing():
    x, y = draw(4, 20, 5), draw(5, 30, 5) + 1
    assert jedi_distance(x, x) == pytest.approx(0, abs=1e-10)
    assert jedi_distance(x, y) == pytest.approx(jedi_distance(y, x), rel=1e-12)
    assert jedi_distance(2 * x, 2 * y) == pytest.approx(16 * jedi_distance(x, y), rel=1e-12)


@pytest.mark.parametrize("stretch", [1.0, 1.5])
def test_intervals_cover_the_population_value(stretch):
    # E k(x, x′) for independent normal vectors of covariance s²I is s⁴/D.
    truth = 100 * (1 - stretch**2) ** 2 / 5
    inside = 0
    for seed in range(80):
        report = jedi_report(stretch * draw(2 * seed, 64, 5), draw(2 * seed + 1, 90, 5))
        inside += report.low <= truth <= report.high
    assert inside / 80 >= 0.87


def test_report_and_metric_agree_and_carry_the_card():
    card = ExtractorCard("vjepa2", "a" * 64, 4, "as is")
    x, y = draw(6, 30, 4), draw(7, 40, 4) + 0.5
    for unbiased in (False, True):
        metric = JEPAEmbeddingDistance(card=card, unbiased=unbiased)
        metric.update(x, real=False)
        metric.update(y, real=True)
        expected = jedi_distance(x, y, unbiased=unbiased)
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-10)
    report = metric.report()
    assert report.value == pytest.approx(jedi_distance(x, y), rel=1e-10)
    assert report.unbiased == pytest.approx(jedi_distance(x, y, unbiased=True), rel=1e-10)
    assert report.low < report.unbiased < report.high
    assert (report.n, report.m, report.dim, report.clusters) == (30, 40, 4, 30)
    assert report.card == "vjepa2"


def test_few_clusters_leave_no_interval_and_one_set_alone_is_refused():
    few = jedi_report(draw(8, 12, 3), draw(9, 12, 3), ["a"] * 12, ["b"] * 12)
    assert (few.unbiased, few.low) == (None, None)
    assert few.reason == "only 1 clusters in a set, 8 needed"
    with pytest.raises(DataError, match="too small"):
        jedi_distance(draw(8, 1, 3), draw(9, 12, 3))
