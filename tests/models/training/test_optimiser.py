import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from worldbench_models.training.optimiser import (
    Muon,
    adamw,
    cosine,
    optimisers,
    orthogonalised,
    trapezoid,
)

SHAPES = [(32, 64), (64, 32), (32, 64), (48, 48)]


def parameters(seed: int) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in SHAPES]


def test_stacked_muon_is_torchs_muon() -> None:
    ours, theirs = parameters(0), parameters(0)
    stacked = Muon(ours, lr=1e-2)
    reference = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        stacked.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        # Products of a stack may be summed in another order than those of a single matrix.
        torch.testing.assert_close(one, other, rtol=0, atol=2e-4)


def test_a_matrix_without_a_gradient_stays() -> None:
    given = parameters(0)
    before = [p.detach().clone() for p in given]
    for parameter in given[1:]:
        parameter.grad = torch.ones_like(parameter)
    Muon(given, lr=1e-2).step()
    moved = [not torch.equal(p, b) for p, b in zip(given, before, strict=True)]
    assert moved == [False, True, True, True]


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(*shape, generator=generator) for shape in SHAPES]
    for matrix, moved in zip(given, orthogonalised(given), strict=True):
        assert moved.shape == matrix.shape
        values = torch.linalg.svdvals(moved)
        assert float(values.max()) < 1.3
        assert float(values.quantile(0.1)) > 0.5  # those next to zero would need more steps
        # The singular vectors stay: M^T·update is symmetric and positive.
        product = matrix.mT @ moved
        torch.testing.assert_close(product, product.mT, rtol=0, atol=0.05 * float(product.max()))


def test_muon_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match="takes matrices"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1)


def test_both_optimisers_lower_a_quadratic() -> None:
    matrix, vector = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8))
    both = optimisers([matrix], [vector], learning_rate=0.1, adamw_learning_rate=0.02)

    def loss() -> torch.Tensor:
        return (matrix - 1).square().mean() + (vector + 1).square().mean()

    first = float(loss().detach())
    for _ in range(200):
        loss().backward()
        for optimiser in both:
            optimiser.step()
            optimiser.zero_grad()
    assert float(loss().detach()) < 0.05 * first


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    factors = [trapezoid(step, 100, warmup=10, decay=0.3) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:70] == [1.0] * 61
    assert factors[85] == pytest.approx(0.5)
    assert factors[100] == 0.0
    assert all(a >= b for a, b in pairwise(factors[9:]))


def test_a_whole_cosine_falls_to_zero_and_is_halfway_in_the_middle() -> None:
    factors = [cosine(step, 100, warmup=0.0, whole=1.0) for step in range(101)]
    assert factors[0] == 1.0
    assert factors[25] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0, abs=1e-12)
    assert all(a > b for a, b in pairwise(factors))


def test_a_cosine_is_cut_off_after_its_share_and_rises_linearly_before() -> None:
    factors = [cosine(step, 200, warmup=0.1, whole=0.8) for step in range(201)]
    assert factors[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert factors[20] == 1.0
    # Halfway between the end of the warm-up and of the steps, 0.4 of the half wave are gone.
    assert factors[110] == pytest.approx((1 + math.cos(0.4 * math.pi)) / 2)
    assert factors[200] == pytest.approx((1 + math.cos(0.8 * math.pi)) / 2)
    assert all(a > b for a, b in pairwise(factors[20:]))


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_runs_of_a_few_steps_have_learning_rates_too(steps: int, warmup: float) -> None:
    factors = [cosine(step, steps, warmup, 0.8) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)
    assert cosine(0, 4, 1.0, 0.8) == 0.25  # all of it is warm-up
    assert cosine(3, 4, 1.0, 0.8) == 1.0


def test_no_share_of_a_cosine_is_constant() -> None:
    assert {cosine(step, 50, 0.0, 0.0) for step in range(51)} == {1.0}


def test_weight_decay_is_of_the_matrices_alone() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    both = adamw([matrix], [vector], learning_rate=0.1, decay=0.5)
    (0 * matrix.sum() + 0 * vector.sum()).backward()
    for optimiser in both:
        optimiser.step()
    torch.testing.assert_close(matrix.data, torch.full((2, 2), 1 - 0.1 * 0.5))
    assert torch.equal(vector.data, torch.ones(2))
