from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as Oracle
from sklearn.metrics import r2_score

from worldbench_models.ridge import HELD, PENALTIES, ridge_r2


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(seed: int, rows: int = 120, noise: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    x = normal(rows, 8, seed=seed) * torch.logspace(-1, 1, 8).double() + 3
    return x, x @ normal(8, 2, seed=99) + noise * normal(rows, 2, seed=seed + 1)


def test_ridge_equals_scikit_learns_at_the_penalty_that_its_fold_chooses() -> None:
    (x, y), (asked, truth) = linear(0), linear(10)
    found = ridge_r2(x, y, asked, truth, group=4)

    def scores(fit: slice, at: torch.Tensor, goal: torch.Tensor, penalty: float) -> np.ndarray:
        rows = x[fit].numpy()
        centre, scale = rows.mean(axis=0), rows.std(axis=0)
        oracle = Oracle(alpha=penalty * len(rows)).fit((rows - centre) / scale, y[fit].numpy())
        guess = oracle.predict((at.numpy() - centre) / scale)
        result: np.ndarray = r2_score(goal.numpy(), guess, multioutput="raw_values")
        return result

    cut = 120 - round(HELD * 30) * 4
    table = np.stack([scores(slice(cut), x[cut:], y[cut:], each) for each in PENALTIES])
    chosen = tuple(PENALTIES[i] for i in table.argmax(axis=0))
    assert found.penalty == chosen
    np.testing.assert_allclose(found.held_r2, table.max(axis=0), rtol=1e-8)
    for column, penalty in enumerate(chosen):
        expected = scores(slice(None), asked, truth, penalty)[column]
        assert found.r2[column] == pytest.approx(expected, rel=1e-8)


def test_what_is_linear_is_read_off_and_what_is_noise_is_not() -> None:
    (x, y), (asked, truth) = linear(0, noise=0), linear(10, noise=0)
    assert min(ridge_r2(x, y, asked, truth).r2) > 0.9999
    noise = normal(120, 2, seed=5)
    assert max(ridge_r2(x, noise, asked, normal(120, 2, seed=6)).r2) < 0.1


def test_less_is_read_off_as_features_are_corrupted() -> None:
    (x, y), (asked, truth) = linear(0), linear(10)
    found = [
        ridge_r2(
            x + much * normal(120, 8, seed=7), y, asked + much * normal(120, 8, seed=8), truth
        ).r2[0]
        for much in (0, 1, 5, 50)
    ]
    assert all(better > worse for better, worse in pairwise(found))


def test_labels_of_the_test_part_choose_nothing() -> None:
    (x, y), (asked, truth) = linear(0), linear(10)
    honest, poisoned = ridge_r2(x, y, asked, truth), ridge_r2(x, y, asked, -truth.flip(0))
    assert (honest.penalty, honest.held_r2) == (poisoned.penalty, poisoned.held_r2)
    assert max(poisoned.r2) < 0
    beyond = ridge_r2(x, y, 1e3 * asked, truth)
    assert (honest.penalty, honest.held_r2) == (beyond.penalty, beyond.held_r2)


def test_rows_without_truth_are_dropped() -> None:
    (x, y), (asked, truth) = linear(0), linear(10)
    some_y, some_truth = y.clone(), truth.clone()
    some_y[::5, 0] = torch.nan
    some_truth[::3] = torch.nan
    found = ridge_r2(x, some_y, asked, some_truth)
    spoilt = x.clone()
    spoilt[::5] = 1e6  # of rows without truth, features count for nothing either
    assert ridge_r2(spoilt, some_y, asked, some_truth) == found
    kept, tested = ~some_y.isnan().any(dim=1), ~some_truth.isnan().any(dim=1)
    few = ridge_r2(x[kept], y[kept], asked[tested], truth[tested])
    np.testing.assert_allclose(found.r2, few.r2, atol=1e-3)  # the folds differ by a row or so


def test_a_group_is_never_split_by_the_fold() -> None:
    # A feature for each clip: of clips that are not fitted it tells nothing, of a torn one all.
    clips = torch.eye(13, dtype=torch.float64).repeat_interleave(8, dim=0)
    level = torch.arange(13, dtype=torch.float64)[:, None] / 100
    level[10] = 10.0
    y = level.repeat_interleave(8, dim=0)
    assert ridge_r2(clips, y, clips, y, group=8).held_r2[0] <= 0  # the last 24 of 104 rows
    assert ridge_r2(clips, y, clips, y, group=1).held_r2[0] > 0.5  # the last 21


def test_columns_that_do_not_vary_and_parts_without_rows_are_refused() -> None:
    x, y = linear(0)
    with pytest.raises(ValueError, match="does not vary"):
        ridge_r2(x, torch.ones_like(y), x, y)
    with pytest.raises(ValueError, match="0 rows"):
        ridge_r2(x, y, x, torch.full_like(y, torch.nan))
    with pytest.raises(ValueError, match="too few to fit"):
        ridge_r2(x, torch.full_like(y, torch.nan), x, y)


def test_a_channel_that_never_varies_does_no_harm() -> None:
    (x, y), (asked, truth) = linear(0), linear(10)
    dead = torch.full((120, 1), 5.0, dtype=torch.float64)
    found = ridge_r2(torch.cat([x, dead], 1), y, torch.cat([asked, dead], 1), truth)
    np.testing.assert_allclose(found.r2, ridge_r2(x, y, asked, truth).r2, rtol=1e-8)


def test_a_column_that_only_rounding_moves_is_never_read() -> None:
    x, y = linear(0)
    jitter = torch.where(torch.arange(len(x)) % 2 == 0, 1.0, 1 + 1e-7).double()[:, None]
    more = torch.cat([x, 3 * jitter.to(x)], dim=1)
    moved = more.clone()
    moved[:, -1] += 1
    assert ridge_r2(more, y, moved, y).r2 == pytest.approx(ridge_r2(x, y, x, y).r2, abs=1e-9)
