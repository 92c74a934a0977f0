import itertools

import pytest

from worldbench_models.windows import windows


@pytest.mark.parametrize("horizon", [1, 3, 6, 15])
@pytest.mark.parametrize("context", [1, 2, 7, 8, 20])
def test_windows_follow_each_other_without_a_gap(context: int, horizon: int) -> None:
    found = windows(context, horizon, 8)
    assert found[0].split == context
    for window, after in itertools.pairwise(found):
        assert window.split + window.future == after.split
        assert after.prefix >= 4
    assert found[-1].split + found[-1].future == context + horizon
    for window in found:
        assert window.start >= 0
        assert window.prefix >= 1
        assert window.prefix + window.future <= 8


def test_a_window_sees_as_much_of_the_past_as_fits_beside_the_horizon() -> None:
    assert [(w.prefix, w.future) for w in windows(20, 3, 8)] == [(5, 3)]
    assert [(w.prefix, w.future) for w in windows(2, 6, 8)] == [(2, 6)]
    assert [(w.prefix, w.future) for w in windows(2, 15, 8)] == [(2, 6), (4, 4), (4, 4), (7, 1)]


@pytest.mark.parametrize("length", [-1, 0, 1])
def test_windows_too_short_for_past_and_future_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="at least 2 latent steps"):
        windows(2, 6, length)
