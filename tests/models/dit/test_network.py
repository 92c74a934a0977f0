from collections.abc import Callable

import pytest
import torch

from worldbench_models.blocks import SIZES, Size
from worldbench_models.dit.network import DiT, level_code, parameters
from worldbench_models.patches import VALUES

TINY = Size(width=32, depth=3, heads=3, head=16, hidden=40)
Network = Callable[..., DiT]


def _asked(t: int, h: int, w: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(batch, t, h, w, VALUES, generator=generator)
    return patches, torch.rand(batch, t, generator=generator)


def test_before_training_the_estimate_is_zero_and_blocks_pass_tokens_on() -> None:
    torch.manual_seed(0)
    network = DiT(TINY)
    patches, levels = _asked(4, 2, 3)
    assert not network(patches, levels).any()
    tokens = [network.features(patches, levels, depth) for depth in (0, 1, 3)]
    assert torch.equal(tokens[0], tokens[1])
    assert torch.equal(tokens[0], tokens[2])
    assert float(tokens[0].detach().std()) > 0.5


@pytest.mark.parametrize("grid", [(8, 8, 8), (1, 1, 1), (3, 2, 5), (11, 3, 2)])
def test_any_frames_resolution_and_aspect_are_taken(
    grid: tuple[int, int, int], random_network: Network
) -> None:
    patches, levels = _asked(*grid)
    estimate = random_network()(patches, levels)
    assert estimate.shape == patches.shape
    assert torch.isfinite(estimate).all()
    assert float(estimate.std()) > 0.1


def test_the_usual_grid_has_the_positions_of_any_other(random_network: Network) -> None:
    """Tokens of a part of the usual grid are placed as in the whole."""
    network = random_network(Size(32, 0, 2, 16, 40))  # no blocks: each token by itself
    patches, levels = _asked(8, 8, 8, batch=1)
    whole = network.features(patches, levels, 0)
    part = network.features(patches[:, :5, :4, :3].contiguous(), levels[:, :5], 0)
    torch.testing.assert_close(part, whole[:, :5, :4, :3])


@pytest.mark.parametrize("step", [0, 3])
def test_the_level_of_each_latent_step_matters(step: int, random_network: Network) -> None:
    network = random_network()
    patches, levels = _asked(4, 2, 2)
    before = network(patches, levels)
    levels[:, step] = 1 - levels[:, step]
    moved = (network(patches, levels) - before).abs().amax(dim=(0, 2, 3, 4))
    assert int(moved.argmax()) == step
    assert bool((moved > 1e-4).all())


def test_every_token_sees_every_other(random_network: Network) -> None:
    network = random_network()
    patches, levels = _asked(3, 2, 2, batch=1)
    before = network(patches, levels)
    patches[0, 2, 1, 1] += 1
    moved = (network(patches, levels) - before).abs().amax(dim=-1)
    assert bool((moved > 1e-5).all())


@pytest.mark.parametrize("given", [0, 1, 3])
def test_estimates_after_what_is_given_are_those_of_all(
    given: int, random_network: Network
) -> None:
    network = random_network().double()
    patches, levels = (each.double() for each in _asked(4, 2, 3))
    whole = network(patches, levels)
    asked = network(patches, levels, given)
    assert asked.shape == whole[:, given:].shape
    torch.testing.assert_close(asked, whole[:, given:], rtol=1e-5, atol=1e-6)


def test_where_a_patch_stands_matters(random_network: Network) -> None:
    patches, levels = _asked(1, 1, 2, batch=1)
    network = random_network()
    swapped = network(patches.flip(3), levels).flip(3)
    assert not torch.allclose(swapped, network(patches, levels), atol=1e-2)


def test_layers_differ_and_have_unit_mean_square(random_network: Network) -> None:
    patches, levels = _asked(2, 2, 2)
    layers = [random_network().features(patches, levels, depth) for depth in (1, 2, 3)]
    for tokens in layers:
        assert tokens.shape == (2, 2, 2, 2, TINY.width)
        torch.testing.assert_close(tokens.square().mean(dim=-1), torch.ones(2, 2, 2, 2))
    assert not torch.allclose(layers[0], layers[1])


def test_levels_that_differ_have_codes_that_differ() -> None:
    levels = torch.linspace(0, 1, 201)[None]
    code = level_code(levels)[0]
    nearest = (torch.cdist(code, code) + 100 * torch.eye(201)).min()
    assert float(nearest) > 0.5


def test_the_sizes_are_as_large_as_promised() -> None:
    counts = {name: parameters(size) for name, size in SIZES.items()}
    assert 7.2e6 <= counts["s"] <= 16 * 2**20 / 2  # bf16, 16 MiB
    assert counts["xs"] < counts["s"] / 2
    assert 18e6 < counts["m"] < 26e6
    assert 70e6 < counts["l"] < 90e6
    torch.manual_seed(0)
    assert counts["xs"] == sum(p.numel() for p in DiT(SIZES["xs"]).parameters())
