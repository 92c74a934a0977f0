import pytest
import torch

from worldbench_models.blocks import SIZES, Attention, Size, SwiGLU, rms_norm
from worldbench_models.positions import grid_positions, rotary_angles, rotation

TINY = Size(width=32, depth=2, heads=3, head=16, hidden=40)


def _seeded(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def _normed(x: torch.Tensor) -> torch.Tensor:
    return x / x.square().mean(dim=-1, keepdim=True).add(1e-6).sqrt()


def test_attention_is_that_of_a_float64_sum_over_all_pairs_of_tokens() -> None:
    attention = _seeded(Attention(TINY))
    positions = grid_positions(2, 2, 3)
    x = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    out = attention(x, rotation(positions, TINY.head))

    turn = torch.exp(1j * rotary_angles(positions, 8).double())
    qkv = x.double() @ attention.qkv.weight.double().T
    expected = torch.zeros(2, 12, 48, dtype=torch.float64)
    for head in range(3):
        q, k, v = (qkv[..., 48 * i + 16 * head : 48 * i + 16 * (head + 1)] for i in range(3))
        q, k = (torch.complex(a[..., :8], a[..., 8:]) * turn for a in (_normed(q), _normed(k)))
        for b in range(2):
            for i in range(12):
                logits = torch.stack([(q[b, i] * k[b, j].conj()).real.sum() for j in range(12)])
                share = torch.softmax(logits * 1.5 / 4, dim=0)
                expected[b, i, 16 * head : 16 * (head + 1)] = share @ v[b]
    expected = expected @ attention.out.weight.double().T
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-4)


def test_without_positions_attention_does_not_care_for_the_order_of_tokens() -> None:
    attention = _seeded(Attention(TINY))
    still = rotation(torch.zeros(12, 3), TINY.head)
    x = torch.randn(1, 12, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(attention(x, still).flip(1), attention(x.flip(1), still))


@pytest.mark.parametrize("first", [1, 5, 11])
def test_tokens_that_nobody_asks_for_are_mixed_into_the_others_all_the_same(first: int) -> None:
    attention = _seeded(Attention(TINY))
    turned = rotation(grid_positions(2, 2, 3), TINY.head)
    x = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    asked = attention(x, turned, first=first)
    torch.testing.assert_close(asked, attention(x, turned)[:, first:], rtol=1e-5, atol=1e-5)


def test_swiglu_gates_one_half_by_silu_of_the_other() -> None:
    mlp = _seeded(SwiGLU(TINY))
    x = torch.randn(1, 5, 32, generator=torch.Generator().manual_seed(1))
    gate, value = (x.double() @ m.weight.double().T for m in (mlp.gate, mlp.value))
    expected = (gate / (1 + torch.exp(-gate)) * value) @ mlp.out.weight.double().T
    torch.testing.assert_close(mlp(x).double(), expected, rtol=1e-4, atol=1e-5)


def test_normed_vectors_have_unit_mean_square_in_float32() -> None:
    x = 100 * torch.randn(3, 5, 64, generator=torch.Generator().manual_seed(0))
    normed = rms_norm(x.bfloat16())
    assert normed.dtype == torch.float32
    torch.testing.assert_close(normed.square().mean(dim=-1), torch.ones(3, 5))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_heads_of_every_size_split_into_pairs_for_three_axes(size: Size) -> None:
    assert size.head % 2 == 0
    assert size.head // 2 >= 3
    assert size.heads * size.head <= size.width


GROUPS = ((2, 5), (3, 1), (1, 7))


def _packed() -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """A row of six sequences of three lengths, each token with a position of its own."""
    generator = torch.Generator().manual_seed(2)
    positions = 5 * torch.rand(20, 3, generator=generator)
    return torch.randn(20, 32, generator=generator), rotation(positions, TINY.head)


def _sequences() -> list[slice]:
    lengths = [length for count, length in GROUPS for _ in range(count)]
    ends = torch.tensor(lengths).cumsum(0).tolist()
    return [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def test_packed_sequences_give_what_each_gives_alone_and_the_same_gradients() -> None:
    attention = _seeded(Attention(TINY))
    row, (cos, sin) = _packed()
    weights = torch.randn(20, 32, generator=torch.Generator().manual_seed(3))

    def gradients(out: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad((out * weights).sum(), [x, *attention.parameters()])

    packed = row.clone().requires_grad_()
    out = attention(packed, (cos, sin), GROUPS)
    apart = row.clone().requires_grad_()
    alone = torch.cat([attention(apart[None, s], (cos[s], sin[s]))[0] for s in _sequences()])
    torch.testing.assert_close(out, alone, rtol=0, atol=1e-5)
    pairs = zip(gradients(out, packed), gradients(alone, apart), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("number", range(6))
def test_a_packed_sequence_sees_no_other(number: int) -> None:
    attention = _seeded(Attention(TINY))
    row, turned = _packed()
    own = _sequences()[number]
    other = row.clone()
    other[own] += 1
    before, after = attention(row, turned, GROUPS), attention(other, turned, GROUPS)
    changed = (before != after).any(dim=1)
    expected = torch.zeros(20, dtype=torch.bool)
    expected[own] = True
    assert torch.equal(changed, expected)
