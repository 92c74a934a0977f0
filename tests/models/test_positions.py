import torch

from worldbench_models.positions import (
    fixed_code,
    grid_positions,
    rotary_angles,
    rotate,
    rotation,
)


def test_positions_run_over_columns_first() -> None:
    positions = grid_positions(2, 3, 4)
    assert positions.shape == (24, 3)
    assert positions[1 * 12 + 2 * 4 + 3].tolist() == [1, 2, 3]


def _products(positions: torch.Tensor, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    by = rotation(positions, q.shape[-1])
    return torch.einsum("bnhc,bmhc->bhnm", rotate(q, by), rotate(k, by))


def test_products_of_turned_vectors_depend_on_differences_of_positions_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, 24, 2, 16, generator=generator) for _ in range(2))
    positions = grid_positions(2, 3, 4)
    products = _products(positions, q, k)
    shifted = _products(positions + torch.tensor([5.0, -2.0, 7.0]), q, k)
    torch.testing.assert_close(shifted, products, rtol=1e-4, atol=1e-4)
    stretched = _products(positions * 2, q, k)
    assert float((stretched - products).abs().max()) > 0.1


def test_turning_keeps_lengths_and_turns_each_pair_by_its_angle() -> None:
    positions = grid_positions(3, 2, 2)
    x = torch.randn(1, 12, 1, 16, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, rotation(positions, 16))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    pairs = torch.complex(x[..., :8], x[..., 8:])
    expected = pairs * torch.exp(1j * rotary_angles(positions, 8))[None, :, None]
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], dim=-1))


def test_each_axis_has_channels_of_its_own() -> None:
    origin = rotary_angles(torch.zeros(1, 3), 32)
    assert not origin.any()
    moved = [rotary_angles(torch.eye(3)[axis][None], 32)[0] != 0 for axis in range(3)]
    assert [int(m.sum()) for m in moved] == [10, 11, 11]
    assert int(torch.stack(moved).sum(dim=0).max()) == 1


def test_every_position_of_a_clip_has_a_code_of_its_own() -> None:
    code = fixed_code(grid_positions(8, 8, 8), 64)
    torch.testing.assert_close(code.square().mean(dim=1), torch.full((512,), 0.5))
    distances = torch.cdist(code, code) + 10 * torch.eye(512)
    assert float(distances.min()) > 0.1
