import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from torch import Tensor

from worldbench.errors import ContractError
from worldbench.metrics.depth import DepthReport, depth_report, scale_and_shift


def maps(seed: int, h: int = 12, w: int = 17) -> tuple[Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    true = draw.uniform(1, 12, (h, w))
    guess = 0.6 * true * np.exp(draw.normal(0, 0.3, (h, w))) + draw.normal(0, 1.5, (h, w)) + 0.5
    return torch.from_numpy(guess), torch.from_numpy(true)


def report(predicted: Tensor, true: Tensor) -> DepthReport:
    found = depth_report(predicted, true)
    assert found is not None
    return found


def by_hand(guess: np.ndarray, true: np.ndarray) -> list[float]:
    hits, errors = [0, 0, 0], []
    for d, t in zip(guess.ravel(), true.ravel(), strict=True):
        for k in range(3):
            hits[k] += bool(d > 0 and max(d / t, t / d) < 1.25 ** (k + 1))
        errors.append(abs(d - t) / t)
    return [*(n / true.size for n in hits), float(np.mean(errors))]


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_loop_and_with_numpys_least_squares(seed: int) -> None:
    guess, true = maps(seed)
    assert (guess <= 0).any()
    found = report(guess, true)
    scores = found.raw
    measured = [scores.delta1, scores.delta2, scores.delta3, scores.abs_rel]
    assert measured == pytest.approx(by_hand(guess.numpy(), true.numpy()), abs=1e-12)

    columns = np.stack([guess.numpy().ravel(), np.ones(guess.numel())], axis=1)
    scale, shift = np.linalg.lstsq(columns, true.numpy().ravel(), rcond=None)[0]
    assert (found.scale, found.shift) == pytest.approx((scale, shift), abs=1e-9)
    scores = found.fitted
    measured = [scores.delta1, scores.delta2, scores.delta3, scores.abs_rel]
    expected = by_hand(scale * guess.numpy() + shift, true.numpy())
    assert measured == pytest.approx(expected, abs=1e-9)


def test_the_truth_scores_in_full_raw_and_fitted() -> None:
    _, true = maps(1)
    found = report(true, true)
    assert (found.scale, found.shift) == pytest.approx((1, 0), abs=1e-12)
    for scores in (found.raw, found.fitted):
        assert (scores.delta1, scores.delta2, scores.delta3) == (1, 1, 1)
        assert scores.abs_rel == pytest.approx(0, abs=1e-12)


def test_a_known_factor_is_a_miss_or_a_hit_by_its_size() -> None:
    _, true = maps(2)
    for factor, expected in ((1.2, (1, 1, 1)), (1.3, (0, 1, 1)), (1.7, (0, 0, 1)), (2.0, (0,) * 3)):
        for applied in (factor, 1 / factor):
            raw = report(applied * true, true).raw
            assert (raw.delta1, raw.delta2, raw.delta3) == expected
            assert raw.abs_rel == pytest.approx(abs(applied - 1), abs=1e-12)


def test_the_fit_forgives_scale_and_shift_and_nothing_else() -> None:
    _, true = maps(3)
    found = report(0.1 * true - 7, true)
    assert (found.raw.delta1, found.raw.delta3) == (0, 0)
    assert found.fitted.delta1 == 1
    assert found.fitted.abs_rel == pytest.approx(0, abs=1e-9)
    assert report(true.log(), true).fitted.abs_rel > 0.05


def test_negative_depths_are_misses_before_and_after_the_fit() -> None:
    _, true = maps(4)
    assert report(-true, true).raw.delta3 == 0  # max(d/d*, d*/d) = −1 < 1.25
    assert report(torch.zeros_like(true), true).raw.delta3 == 0
    # One far outlier tilts the line: near pixels come out behind the camera.
    true = torch.tensor([1.0, 1.0, 1.0, 2.0, 40.0], dtype=torch.float64)
    guess = torch.tensor([0.0, 0.0, 0.0, 3.0, 9.0], dtype=torch.float64)
    found = report(guess, true)
    after = found.scale * guess + found.shift
    assert int((after <= 0).sum()) == 3
    assert found.fitted.delta3 <= 2 / 5


def test_depth_the_wrong_way_round_is_not_turned_over() -> None:
    _, true = maps(5)
    found = report(20 - true, true)
    assert found.scale == 0
    assert found.shift == pytest.approx(float(true.mean()))
    constant = report(torch.full_like(true, 0.1), true)
    assert (constant.scale, constant.shift) == (0, pytest.approx(float(true.mean())))
    assert constant.fitted == found.fitted


@pytest.mark.parametrize("seed", range(20))
def test_the_fit_is_the_least_squares_one_with_scale_at_least_zero(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(3, 1, 30), draw.normal(5, 2, 30)
    columns = np.stack([x, np.ones(30), -np.ones(30)], axis=1)  # the shift may have either sign
    scale, up, down = nnls(columns, y)[0]
    found = scale_and_shift(torch.from_numpy(x), torch.from_numpy(y))
    assert found == pytest.approx((scale, up - down), abs=1e-9)


def test_holes_in_the_truth_are_left_out() -> None:
    guess, true = maps(6)
    holed = true.clone()
    holed.view(-1)[:5] = torch.tensor([0.0, -1.0, torch.nan, torch.inf, -torch.inf])
    expected = report(guess.view(-1)[5:], true.view(-1)[5:])
    assert report(guess, holed) == expected
    assert expected.pixels == true.numel() - 5


def test_too_few_pixels_are_no_measurement() -> None:
    guess, true = maps(7)
    true.view(-1)[2:] = 0
    assert depth_report(guess, true) is None
    assert depth_report(torch.ones(0), torch.ones(0)) is None


def test_more_noise_is_worse() -> None:
    _, true = maps(8, 40, 40)
    noise = torch.randn(true.shape, generator=torch.Generator().manual_seed(0)).double()
    ladder = [report(true + sigma * noise, true) for sigma in (0, 0.3, 1, 2, 4)]
    for scores in ([r.raw for r in ladder], [r.fitted for r in ladder]):
        assert all(a.delta1 > b.delta1 for a, b in itertools.pairwise(scores))
        assert all(a.abs_rel < b.abs_rel for a, b in itertools.pairwise(scores))


def test_float32_maps_are_summed_in_float64() -> None:
    guess, true = (m.float() for m in maps(9))
    assert report(guess, true) == report(guess.double(), true.double())


def test_what_cannot_be_compared_is_refused() -> None:
    guess, true = maps(10)
    with pytest.raises(ContractError, match="not finite"):
        depth_report(guess.fill_(torch.nan), true)
