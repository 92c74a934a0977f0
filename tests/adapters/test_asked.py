import pytest
import torch

from worldbench.adapters.asked import checked_clips


@pytest.mark.parametrize(
    "shape", [(4, 3, 8, 8), (1, 4, 1, 8, 8), (1, 4, 8, 8, 3), (0, 4, 3, 8, 8), (1, 0, 3, 8, 8)]
)
def test_clips_of_another_shape_are_refused_in_words(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clips must be b t 3 h w"):
        checked_clips(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.complex64])
def test_clips_that_are_no_floats_are_refused_in_words(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"floats in \[0, 1\], got torch"):
        checked_clips(torch.zeros(1, 2, 3, 8, 8, dtype=dtype))


def test_float32_clips_pass_as_they_are_with_a_little_slack() -> None:
    clip = torch.full((1, 2, 3, 8, 8), 1 + 5e-5)
    assert checked_clips(clip) is clip
    assert checked_clips(clip.double()).dtype == torch.float32
