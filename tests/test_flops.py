"""Counts against hand counts, and whatever cannot be counted is named."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from worldbench.flops import converting, count

X = torch.linspace(0, 1, 2 * 3 * 10 * 8).reshape(2, 3, 10, 8)
MATRIX, VECTOR = torch.ones(5, 7), torch.ones(7)
MANY = torch.ones(64, 64)


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


def in_thread(kind: type[threading.Thread] = threading.Thread) -> None:
    thread = kind(target=lambda: MATRIX @ MATRIX.T)
    thread.start()
    thread.join()


def in_pool() -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda i: MATRIX[i] @ VECTOR, range(5)))


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
        (lambda: torch.pdist(MATRIX), "pdist"),
        (lambda: torch.conv_tbc(X[0], torch.ones(3, 8, 5), torch.zeros(5)), "conv_tbc"),
        (lambda: X.data_ptr(), "Tensor.data_ptr"),
        (lambda: sum(MANY.untyped_storage().tolist()), "Tensor.untyped_storage"),
        pytest.param(
            lambda: sum(MANY.storage()),
            "Tensor.storage",
            marks=pytest.mark.filterwarnings("ignore:TypedStorage is deprecated"),
        ),
        (lambda: np.from_dlpack(X), "Tensor.__dlpack__"),
        (lambda: torch.utils.dlpack.to_dlpack(X), "on what to_dlpack"),
        (lambda: sum(MANY.flatten().tolist()), "Tensor.tolist"),
        (in_thread, "work in another thread, Thread (<lambda>)"),
        (in_pool, "work in another thread, ThreadPoolExecutor"),
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


def test_what_is_named_does_not_depend_on_how_many_threads_there_were() -> None:
    assert count(in_pool) == count(in_pool)
    assert count(in_thread) == count(in_thread)
    assert len(count(in_pool).uncounted) == 1


def test_short_lists_and_single_numbers_are_no_work() -> None:
    lists = lambda: (VECTOR.tolist(), VECTOR.numpy(), np.asarray(VECTOR))  # noqa: E731
    assert count(lists).uncounted == ()
    assert count(lambda: (VECTOR[0].item(), float(VECTOR.sum()))).uncounted == ()
    assert "Tensor.numpy" in str(count(lambda: MANY.flatten().numpy()).why_incomplete)


def test_threads_that_only_watch_a_clock_are_no_work() -> None:
    clock = type("Monitor", (threading.Thread,), {"__module__": "tqdm._monitor"})
    assert count(lambda: in_thread(clock)).uncounted == ()


def test_threads_that_others_start_meanwhile_are_not_the_calls() -> None:
    asked, done = threading.Event(), threading.Event()

    def other() -> None:
        asked.wait()
        in_thread()
        done.set()

    meanwhile = threading.Thread(target=other)
    meanwhile.start()
    assert count(lambda: (asked.set(), done.wait(30))).uncounted == ()
    assert done.is_set()
    meanwhile.join()


def test_a_call_that_fails_leaves_nothing_behind() -> None:
    before = threading.Thread.start, torch.utils.dlpack.to_dlpack
    with pytest.raises(ZeroDivisionError):
        count(lambda: 1 // 0)
    assert before == (threading.Thread.start, torch.utils.dlpack.to_dlpack)


def converted(more: Callable[[], object]) -> np.ndarray:
    with converting():
        more()
        return (X * 255).byte().numpy()


def test_bringing_pictures_into_another_form_is_no_work_but_what_is_computed_there_counts() -> None:
    found = count(lambda: converted(lambda: (MATRIX @ VECTOR, MANY.tolist())))
    assert found.uncounted == ()
    assert found.flops == 2 * 5 * 7
    assert count(lambda: converted(lambda: torch.fft.rfft(VECTOR))).uncounted
    after = count(lambda: (converted(lambda: None), X.numpy()))
    assert "Tensor.numpy" in str(after.why_incomplete)
    with pytest.raises(ZeroDivisionError):
        converted(lambda: 1 // 0)
    assert count(lambda: X.numpy()).uncounted
