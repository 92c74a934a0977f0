"""Counts against hand counts, and whatever cannot be counted is named."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldbench.flops import count

X = torch.linspace(0, 1, 2 * 3 * 10 * 8).reshape(2, 3, 10, 8)
MATRIX, VECTOR = torch.ones(5, 7), torch.ones(7)


@pytest.mark.parametrize(
    ("call", "by_hand"),
    [
        (lambda: MATRIX @ torch.ones(7, 3), 2 * 5 * 7 * 3),
        (lambda: nn.Linear(8, 4)(X), 2 * 60 * 8 * 4),
        (lambda: torch.einsum("ij,kj->ik", MATRIX, torch.ones(3, 7)), 2 * 5 * 7 * 3),
        (lambda: MATRIX @ VECTOR, 2 * 5 * 7),
        (lambda: torch.addmv(torch.ones(5), MATRIX, VECTOR), 2 * 5 * 7),
        (lambda: VECTOR @ VECTOR, 2 * 7),
        (lambda: nn.Conv2d(3, 6, (3, 5))(X), 2 * 2 * 6 * (8 * 4) * 3 * 15),
        (lambda: nn.Conv3d(3, 6, 2)(torch.ones(1, 3, 4, 5, 6)), 2 * 6 * (3 * 4 * 5) * 3 * 8),
        (lambda: functional.scaled_dot_product_attention(X, X, X), 2 * (2 * 2 * 3 * 10 * 10 * 8)),
        (lambda: X.softmax(dim=-1) * 2 + X.norm() + X.mean(), 0),
        (lambda: functional.interpolate(X, (4, 4), mode="bilinear", antialias=True), 0),
    ],
)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_count_is_the_one_by_hand(
    call: Callable[[], Tensor], by_hand: int, mode: Callable[[], torch.autograd.grad_mode.no_grad]
) -> None:
    with mode():
        found = count(call)
    assert found.flops == by_hand
    assert found.why_incomplete is None


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_precision_changes_no_count(precision: torch.dtype) -> None:
    def call() -> Tensor:
        return functional.scaled_dot_product_attention(nn.Linear(8, 8)(X), X, X)

    with torch.autocast("cpu", dtype=precision):
        assert count(call) == count(call)
        in_half = count(call)
    assert in_half.flops == count(call).flops == 2 * 60 * 8 * 8 + 19200


@torch.library.custom_op("worldbench_tests::doubled", mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return x * 2


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: nn.LSTM(8, 4)(X[0]), "rnn"),
        (lambda: torch.linalg.solve(torch.eye(5), MATRIX), "solve"),
        (lambda: torch.fft.rfft(VECTOR), "fft"),
        (lambda: torch.cdist(MATRIX, MATRIX), "cdist"),
        (lambda: torch.cdist(torch.ones(60, 7), torch.ones(60, 7)), "dist"),
        (lambda: nn.Bilinear(5, 5, 2)(MATRIX[:, :5], MATRIX[:, :5]), "trilinear"),
        (lambda: doubled(X), "worldbench_tests.doubled"),
        (lambda: X.numpy().sum(), "Tensor.numpy"),
        (lambda: np.asarray(X).sum(), "Tensor.__array__"),
        (lambda: X.data_ptr(), "Tensor.data_ptr"),
        (lambda: np.from_dlpack(X), "Tensor.__dlpack__"),
    ],
)
def test_what_cannot_be_counted_is_named(call: Callable[[], object], named: str) -> None:
    found = count(call)
    assert any(named in name for name in found.uncounted)
    assert named in str(found.why_incomplete)


def test_counting_ends_with_the_call() -> None:
    first = count(lambda: MATRIX @ VECTOR)
    X.numpy()
    torch.fft.rfft(VECTOR)
    assert count(lambda: MATRIX @ VECTOR) == first
