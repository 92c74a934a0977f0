from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from worldbench_models.blocks import SIZES
from worldbench_models.dit import network as dit
from worldbench_models.jepa.network import JEPA, SHAPES, Shape, normed, parameters
from worldbench_models.patches import GRID, VALUES
from worldbench_models.positions import grid_positions, rotation

Network = Callable[..., JEPA]

STEP = GRID[1] * GRID[2]


def patches(batch: int, steps: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(batch, steps, *GRID[1:], VALUES, generator=generator) - 1


def test_a_suffix_has_the_same_latents_wherever_in_time_it_is(random_network: Network) -> None:
    network = random_network()
    clip = patches(2, 3)
    first = network.encode(clip)
    for later in (1, 5):
        places = network.places(GRID).at(torch.arange(later * STEP, (later + 3) * STEP))
        shifted = network.encoder(clip.flatten(1, 3), places).unflatten(1, (3, *GRID[1:]))
        torch.testing.assert_close(shifted, first, rtol=0, atol=1e-5)


def test_time_matters_all_the_same(random_network: Network) -> None:
    """Steps twice as far apart are not steps next to each other."""
    network = random_network()
    clip = patches(1, 2)
    every = torch.arange(2 * STEP)
    apart = network.places(GRID).at(every + STEP * (every >= STEP))
    other = network.encoder(clip.flatten(1, 3), apart).unflatten(1, (2, *GRID[1:]))
    assert float((other - network.encode(clip)).abs().max()) > 0.05


def test_predictions_do_not_depend_on_when_they_are_asked_for(random_network: Network) -> None:
    network = random_network()
    context = network.encode(patches(1, 2))
    expected = network.predict(context, 3)
    tokens = network.predictor.seen(context.flatten(1, 3))
    hint = network.places(GRID).hint[2 * STEP : 5 * STEP]
    tokens = torch.cat([tokens, network.predictor.asked(2, hint, tokens)[None]], dim=1)
    later = grid_positions(5, *GRID[1:]) + torch.tensor([3.0, 0.0, 0.0])
    tokens = network.predictor(tokens, rotation(later, network.shape.predictor.head))
    found = network.predictor.told(tokens[:, 2 * STEP :]).reshape(expected.shape)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_row_and_column_tell_equal_patches_apart(random_network: Network) -> None:
    latents = random_network().encode(patches(1, 1)[:, :, :1, :1].expand(1, 8, *GRID[1:], VALUES))
    by_place = latents[0, 0].flatten(0, 1)
    distances = torch.cdist(by_place, by_place) + 10 * torch.eye(STEP)
    assert float(distances.min()) > 0.1


@pytest.mark.parametrize("depth", [None, 0, 1, 2])
def test_latents_have_mean_zero_and_variance_one_at_any_depth(
    random_network: Network, depth: int | None
) -> None:
    latents = random_network().encode(patches(2, 2), depth)
    assert latents.dtype == torch.float32
    assert float(latents.mean(dim=-1).abs().max()) < 1e-5
    variance = latents.var(dim=-1, correction=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=0, atol=1e-3)


def test_less_depth_is_less_of_the_same_network(random_network: Network) -> None:
    network, clip = random_network(), patches(1, 2)
    by_depth = [network.encode(clip, depth) for depth in (0, 1, 2, 3)]
    assert torch.equal(by_depth[3], network.encode(clip))
    for one, other in pairwise(by_depth):
        assert float((one - other).abs().max()) > 0.05
    code = network.places((2, *GRID[1:])).code
    first = normed(network.encoder.patch_in(clip.flatten(1, 3)) + code)
    torch.testing.assert_close(by_depth[0].flatten(1, 3), first)


def test_norming_large_latents_of_low_precision_is_done_in_float32() -> None:
    x = 1000 * torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
    found = normed(x.bfloat16())
    rows = x.bfloat16().double()
    expected = (rows - rows.mean(dim=-1, keepdim=True)) / rows.std(-1, correction=0, keepdim=True)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("context", "horizon"), [(2, 6), (4, 1), (6, 5)])
def test_a_prediction_has_as_many_steps_as_were_asked_for(
    random_network: Network, context: int, horizon: int
) -> None:
    network = random_network()
    foreseen = network.predict(network.encode(patches(2, context)), horizon)
    assert foreseen.shape == (2, horizon, *GRID[1:], network.shape.encoder.width)
    assert foreseen.dtype == torch.float32


def test_another_context_has_another_prediction_and_clips_do_not_mix(
    random_network: Network,
) -> None:
    network = random_network()
    context = network.encode(patches(3, 2))
    before = network.predict(context, 2)
    changed = context.clone()
    changed[1, 0, 3, 3] = -changed[1, 0, 3, 3]
    after = network.predict(changed, 2)
    differs = (before != after).any(dim=-1)
    assert bool(differs[1].all())
    assert not bool(differs[::2].any())


def test_other_grids_than_the_usual_have_places_of_their_own(random_network: Network) -> None:
    network = random_network()
    usual = network.places((8, 8, 8))
    computed = network.places((9, 8, 8))  # too long to be kept
    torch.testing.assert_close(computed.code[: 8 * STEP], usual.code)
    torch.testing.assert_close(computed.rotation[0][: 8 * STEP], usual.rotation[0])
    small = patches(1, 2)[:, :, :4, :2]
    assert network.encode(small).shape == (1, 2, 4, 2, network.shape.encoder.width)
    # Its second row is the usual second row, not the tokens that follow the first in a wider grid.
    torch.testing.assert_close(network.places((2, 4, 2)).code[2], usual.code[8])


@pytest.mark.parametrize("size", SHAPES)
def test_a_jepa_has_the_parameters_of_the_dit_of_its_size(size: str) -> None:
    assert parameters(SHAPES[size]) / dit.parameters(SIZES[size]) == pytest.approx(1, abs=0.1)


def test_parameters_are_counted_as_they_are(random_network: Network) -> None:
    network = random_network()
    assert parameters(network.shape) == sum(p.numel() for p in network.parameters())
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == parameters(
        network.shape
    )


def test_the_shipped_size_has_a_small_predictor_and_a_small_file() -> None:
    with torch.device("meta"):
        network = JEPA(SHAPES["s"])
    assert sum(p.numel() for p in network.predictor.parameters()) <= 800_000
    # Two bytes a weight; names, shapes and the header take a few kB.
    assert 2 * parameters(SHAPES["s"]) + 65_536 <= 16 * 2**20


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_heads_of_predictor_and_encoder_are_turned_alike(shape: Shape) -> None:
    assert shape.predictor.head == shape.encoder.head


def test_first_weights_make_outputs_as_large_as_their_input() -> None:
    torch.manual_seed(0)
    network = JEPA(SHAPES["xs"])
    x = torch.randn(1, 2 * STEP, SHAPES["xs"].encoder.width)
    turned = network.places((2, *GRID[1:])).rotation
    out = x
    with torch.no_grad():
        for block in network.encoder.blocks:
            out = block(out, turned)
    assert 1 < float(out.std()) < 1.5
