import pytest

from worldbench_models.pixels import native


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
