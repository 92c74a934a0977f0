import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from worldbench_models.diagnostics import (
    BASELINES,
    constants,
    joined,
    prediction_skill,
    rank_me,
    spread,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def centred_with(values: list[float], rows: int = 40, columns: int = 12) -> torch.Tensor:
    """Features whose centred singular values are these, far from the origin."""
    left = normal(rows, len(values))
    left = torch.linalg.qr(left - left.mean(dim=0))[0]
    right = torch.linalg.qr(normal(columns, len(values), seed=1))[0]
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T + 7.0


@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_k_equal_singular_values_have_rank_k(k: int) -> None:
    assert rank_me(centred_with([3.0] * k)) == pytest.approx(k, rel=1e-6)


def test_one_direction_has_rank_one_and_none_has_rank_zero() -> None:
    assert rank_me(normal(50, 1) @ normal(1, 8)) == pytest.approx(1, rel=1e-6)
    assert rank_me(torch.full((9, 4), 0.1)) == 0


def test_the_rank_of_two_unequal_values_is_the_exponential_of_their_entropy() -> None:
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert rank_me(centred_with([3.0, 1.0])) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_the_rank_equals_the_papers_formula_in_numpy() -> None:
    features = (normal(200, 30) @ torch.diag(torch.linspace(0.01, 2, 30).double()) + 5).float()
    rows = features.numpy().astype(np.float64)
    values = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    share = values / values.sum() + 1e-7
    assert rank_me(features) == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)


def test_rank_and_spread_fall_as_features_collapse() -> None:
    whole, line = normal(300, 16), normal(300, 1, seed=1) @ normal(1, 16, seed=2)
    ranks = [rank_me((1 - a) * whole + a * line) for a in (0, 0.5, 0.8, 0.95, 1)]
    assert all(better > worse for better, worse in pairwise(ranks))
    spreads = [spread(fade * whole + 3) for fade in (1, 0.3, 0.01, 0)]
    assert all(better > worse for better, worse in pairwise(spreads))
    assert spreads[-1] == 0


def test_a_large_mean_neither_adds_to_the_rank_nor_hides_it() -> None:
    features = normal(100, 10)
    assert rank_me(features + 1e3) == pytest.approx(rank_me(features), rel=1e-6)


def test_spread_is_the_mean_standard_deviation_of_channels() -> None:
    features = torch.tensor([[0.0, 5.0], [2.0, 5.0]])
    assert spread(features) == pytest.approx(math.sqrt(2) / 2)


def test_constants_are_the_mean_of_all_tokens_and_the_median_of_each_position() -> None:
    real = normal(5, 3, 2, 4, 6).float()
    known = constants(real)
    np.testing.assert_allclose(known.mean, real.numpy().mean(axis=(0, 1, 2, 3)), rtol=1e-5)
    expected = np.median(real.numpy().reshape(15, 2, 4, 6), axis=0)  # 15 is odd: no two medians
    np.testing.assert_array_equal(known.median, expected)


def test_skill_is_one_for_the_truth_and_zero_for_each_baseline() -> None:
    came, last = normal(4, 3, 2, 2, 5).float(), normal(4, 2, 2, 5, seed=1).float()
    known = constants(normal(6, 3, 2, 2, 5, seed=2).float())
    still = normal(4, 3, 2, 2, 5, seed=4).float()
    perfect = prediction_skill(came, came, last, still, known)
    assert [perfect.against(name) for name in BASELINES] == [1, 1, 1, 1]
    own = {
        "mean": known.mean.expand_as(came),
        "median": known.median.expand_as(came),
        "copy": last[:, None].expand_as(came),
        "still": still,
    }
    assert own.keys() == set(BASELINES)
    for name, guess in own.items():
        assert prediction_skill(guess, came, last, still, known).against(name) == 0


def test_skill_equals_its_definition_and_errors_are_by_clip() -> None:
    came, guess = normal(4, 3, 2, 2, 5).float(), normal(4, 3, 2, 2, 5, seed=3).float()
    last = normal(4, 2, 2, 5, seed=1).float()
    found = prediction_skill(guess, came, last, came + 1, constants(came))
    error = np.abs(guess.numpy() - came.numpy()).mean(axis=(1, 2, 3, 4))
    copied = np.abs(last.numpy()[:, None] - came.numpy()).mean(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(found.prediction, error, rtol=1e-5)
    np.testing.assert_allclose(found.copy, copied, rtol=1e-5)
    np.testing.assert_allclose(found.still, 1, rtol=1e-5)
    assert found.against("copy") == pytest.approx(1 - error.sum() / copied.sum(), rel=1e-5)


def test_batches_of_clips_have_the_skill_of_all_of_them() -> None:
    came, guess = normal(6, 2, 2, 2, 3).float(), normal(6, 2, 2, 2, 3, seed=1).float()
    last, known = normal(6, 2, 2, 3, seed=2).float(), constants(normal(3, 2, 2, 2, 3).float())
    still = normal(6, 2, 2, 2, 3, seed=3).float()
    whole = prediction_skill(guess, came, last, still, known)
    parts = [
        prediction_skill(guess[s], came[s], last[s], still[s], known)
        for s in (slice(4), slice(4, 6))
    ]
    for name in BASELINES:
        assert joined(parts).against(name) == pytest.approx(whole.against(name))


def test_skill_falls_as_noise_is_added_to_the_prediction() -> None:
    came, noise = normal(8, 3, 2, 2, 5).float(), normal(8, 3, 2, 2, 5, seed=1).float()
    last, known = normal(8, 2, 2, 5, seed=2).float(), constants(normal(8, 3, 2, 2, 5).float())
    still = normal(8, 3, 2, 2, 5, seed=3).float()
    for name in BASELINES:
        found = [
            prediction_skill(came + much * noise, came, last, still, known).against(name)
            for much in (0, 0.1, 0.5, 2)
        ]
        assert all(better > worse for better, worse in pairwise(found))
        assert found[-1] < 0


def test_baselines_without_an_error_or_a_name_are_refused() -> None:
    same = torch.ones(2, 3, 2, 2, 4)
    found = prediction_skill(same, same, same[:, 0], same, constants(same))
    with pytest.raises(ValueError, match="never differ"):
        found.against("copy")
    with pytest.raises(ValueError, match="none of mean, median, copy, still"):
        found.against("zero")
