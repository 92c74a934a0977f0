import pytest
import torch
from torch import nn
from torch.nn import functional

from worldbench_models.dit.recipe import DiTRecipe
from worldbench_models.jepa.recipe import JEPARecipe
from worldbench_models.training.compute import count_flops, peak_tflops


def test_a_product_costs_two_operations_per_multiply() -> None:
    assert count_flops(lambda: nn.Linear(7, 11, bias=False)(torch.empty(5, 7))) == 2 * 5 * 7 * 11


def test_attention_is_counted_as_its_two_products() -> None:
    def attend() -> None:
        q = torch.empty(2, 3, 10, 8)
        functional.scaled_dot_product_attention(q, q, q)

    assert count_flops(attend) == 2 * (2 * 2 * 3 * 10 * 10 * 8)


def test_a_dits_forward_pass_is_counted_as_by_hand() -> None:
    """Design §11: about 10 GFLOP for the shipped size, 512 tokens."""
    width, depth, mixed, hidden, tokens, patch = 384, 4, 5 * 64, 1152, 512, 384
    block = 2 * tokens * (4 * width * mixed + 3 * width * hidden) + 4 * tokens**2 * mixed
    level = 2 * 8 * (128 * 128 * 2 + 128 * 6 * width)
    by_hand = depth * block + 2 * 2 * tokens * patch * width + level
    assert DiTRecipe().clip_flops("s") == by_hand


def test_a_jepas_pass_is_counted_as_by_hand() -> None:
    """Encodes 512 tokens, and foresees 384 of them from 128."""
    encoder = 4 * (2 * 512 * (4 * 384 * 320 + 3 * 384 * 1152) + 4 * 512**2 * 320)
    predictor = 2 * (2 * 512 * (4 * 192 * 192 + 3 * 192 * 304) + 4 * 512**2 * 192)
    ends = 2 * (512 * 384 * 384 + 128 * 384 * 192 + 384 * 192 * 384)
    assert JEPARecipe().clip_flops("s") == encoder + predictor + ends


@pytest.mark.parametrize(("collapse", "targets"), [("ema", 1), ("sigreg", 3)])
def test_a_jepas_training_is_counted_as_by_hand(collapse: str, targets: int) -> None:
    """Per clip and mask: what is seen is encoded, seen and hidden go through the predictor."""

    def encoded(n: int) -> int:
        return 2 * n * 384 * 384 + 4 * (2 * n * (4 * 384 * 320 + 3 * 384 * 1152) + 4 * n**2 * 320)

    def foreseen(seen: int, hidden: int) -> int:
        n = seen + hidden
        blocks = 2 * (2 * n * (4 * 192 * 192 + 3 * 192 * 304) + 4 * n**2 * 192)
        return encoded(seen) + blocks + 2 * seen * 384 * 192 + 2 * hidden * 192 * 384

    causal = [(64 * steps, 512 - 64 * steps) for steps in range(1, 8)]
    student = 0.5 * (foreseen(128, 192) + foreseen(64, 192))
    student += 0.5 * sum(foreseen(*mask) for mask in causal) / 7
    taught = 0.5 * encoded(512) + 0.5 * sum(encoded(hidden) for _, hidden in causal) / 7
    by_hand = 3 * student + targets * taught
    assert JEPARecipe(collapse=collapse).training_flops("s") == pytest.approx(by_hand, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.0), ("Something else", None)],
)
def test_the_peak_is_known_by_the_devices_name(
    name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert peak_tflops(torch.device("cuda"), "bf16") == peak
    assert peak_tflops(torch.device("cuda"), "fp32") is None
    assert peak_tflops(torch.device("cpu"), "bf16") is None
