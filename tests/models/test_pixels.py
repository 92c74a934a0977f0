import pytest
import torch

from worldbench_models.pixels import checked_video, native


@pytest.mark.parametrize(
    "shape", [(4, 3, 8, 8), (1, 4, 1, 8, 8), (1, 4, 8, 8, 3), (0, 4, 3, 8, 8), (1, 0, 3, 8, 8)]
)
def test_clips_of_another_shape_are_refused_in_words(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clips must be b t 3 h w"):
        checked_video(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.complex64])
def test_clips_that_are_no_floats_are_refused_in_words(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"floats in \[0, 1\], got torch"):
        checked_video(torch.zeros(1, 2, 3, 8, 8, dtype=dtype))


def test_float32_clips_pass_as_they_are_with_a_little_slack() -> None:
    clip = torch.full((1, 2, 3, 8, 8), 1 + 5e-5)
    assert checked_video(clip) is clip
    assert checked_video(clip.double()).dtype == torch.float32


@pytest.mark.parametrize(
    ("size", "expected"), [((16, 64), (64, 256)), ((64, 16), (256, 64)), ((90, 160), (64, 112))]
)
def test_clips_up_to_four_to_one_are_taken(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert native(size, 64) == expected


@pytest.mark.parametrize(
    ("size", "crop"), [((16, 65), "16 × 64"), ((1600, 16), "64 × 16"), ((1, 5), "1 × 4")]
)
def test_longer_clips_are_told_what_to_crop_to(size: tuple[int, int], crop: str) -> None:
    with pytest.raises(ValueError, match=f"crop them to at most {crop}"):
        native(size, 64)
