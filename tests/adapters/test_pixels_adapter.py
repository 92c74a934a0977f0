import pytest
import torch

from worldbench.adapter import Encodes, Layered
from worldbench.adapters.pixels import Pixels
from worldbench.errors import UsageError


def test_latents_are_the_pixels_of_a_patch() -> None:
    video = torch.rand(2, 6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    adapter = Pixels()
    assert isinstance(adapter, Encodes)
    assert not isinstance(adapter, Layered)
    latents = adapter.encode(video)
    assert latents.tokens.shape == (2, 3, 8, 8, 384)
    assert latents.temporal_stride == adapter.card.temporal_stride == 2
    patch = video[1, 2:4, :, 16:24, 40:48] * 2 - 1
    assert torch.allclose(latents.tokens[1, 1, 2, 5], patch.flatten(), atol=1e-6)


@pytest.mark.parametrize(
    ("size", "grid"), [((128, 128), (8, 8)), ((64, 96), (8, 12)), ((90, 40), (18, 8))]
)
def test_clips_of_any_size_are_resized_to_whole_patches(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    latents = Pixels().encode(torch.full((1, 3, 3, *size), 0.75))
    assert latents.tokens.shape == (1, 2, *grid, 384)
    assert torch.allclose(latents.tokens, torch.tensor(0.5), atol=1e-5)


def test_there_are_no_layers_and_no_noise() -> None:
    video = torch.rand(1, 2, 3, 64, 64)
    with pytest.raises(ValueError, match="no layers"):
        Pixels().encode(video, layer="block1")
    with pytest.raises(ValueError, match="no noise"):
        Pixels().encode(video, noise=0.1)
    with pytest.raises(UsageError, match="whole patches"):
        Pixels(side=60)
    assert Pixels(side=32).card.revision != Pixels().card.revision
