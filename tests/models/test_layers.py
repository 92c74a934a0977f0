"""Several layers in one pass are the layers asked for one by one."""

import pytest
import torch

from worldbench.adapter import Encodes, EncodesLayers, EncodesNoisy, Layered
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.jepa.adapter import JEPAAdapter


@pytest.mark.parametrize("kind", [DiTAdapter, JEPAAdapter])
@pytest.mark.parametrize("frames", [16, 21])
def test_layers_in_one_pass_are_those_of_encode(kind: type, frames: int) -> None:
    adapter = kind(weights="random", size="xs")
    assert isinstance(adapter, Encodes)
    assert isinstance(adapter, Layered)
    assert isinstance(adapter, EncodesLayers)
    assert isinstance(adapter, EncodesNoisy) == (kind is DiTAdapter)
    video = torch.rand(3, frames, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = 0.1 if kind is DiTAdapter else None
    asked = (adapter.layers[2], adapter.layers[0], adapter.layers[-1])
    with torch.inference_mode():
        found = adapter.encode_layers(video, asked, noise=noise, seed=3)
        assert tuple(found) == asked
        for layer, latents in found.items():
            alone = adapter.encode(video, layer=layer, noise=noise, seed=3)
            assert torch.equal(latents.tokens, alone.tokens)
            assert latents.temporal_stride == alone.temporal_stride == 2


@pytest.mark.parametrize("kind", [DiTAdapter, JEPAAdapter])
def test_a_layer_that_does_not_exist_is_told(kind: type) -> None:
    adapter = kind(weights="random", size="xs")
    with pytest.raises(ValueError, match="no layer 'block99'"):
        adapter.encode_layers(torch.rand(1, 2, 3, 64, 64), ["block1", "block99"])
