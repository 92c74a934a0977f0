import math

import pytest

from worldbench.data.clip_options import share_excluded, some_or_all
from worldbench.errors import UsageError


@pytest.mark.parametrize("count", [1.5, "many", True, 0, [2]])
def test_counts_are_integers_or_null(count: object) -> None:
    with pytest.raises(UsageError, match=r"data\.max_videos is not a usable number") as caught:
        some_or_all("max_videos", count)
    assert "null for all" in str(caught.value)
    assert some_or_all("max_videos", 2) == 2
    assert some_or_all("max_videos", None) is None


@pytest.mark.parametrize("share", ["abc", None, True, 2, -0.1, math.nan, math.inf])
def test_what_may_be_excluded_is_a_share(share: object) -> None:
    with pytest.raises(UsageError, match=r"data\.max_excluded is no share"):
        share_excluded(share)


@pytest.mark.parametrize("share", [0, 0.05, 1])
def test_no_file_and_every_file_are_shares(share: float | int) -> None:
    assert share_excluded(share) == share
