"""Counted operations, and what share of a device's peak they come to."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

TRAINING_PASSES = 3
"""A pass with gradient costs three forward passes: a backward pass is two."""

_PEAKS = {
    "GH200": 989.4,
    "H200": 989.4,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.5,
    "H100": 989.4,
    "GB200": 2500.0,
    "B200": 2250.0,
    "A100": 311.8,
    "L40S": 362.0,
    "RTX 4090": 165.2,
}
"""Dense bf16 TFLOP/s by the vendors' datasheets; the first name that a device's contains."""


def count_flops(run: Callable[[], object]) -> int:
    """Counts the operations of matrix products, convolutions and attention in a call.

    The call runs on the meta device: nothing is computed or allocated.
    """
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return int(counter.get_total_flops())


def peak_tflops(device: torch.device, precision: str) -> float | None:
    """Returns a device's peak in TFLOP/s, None where it is not known."""
    if device.type != "cuda" or precision != "bf16":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
