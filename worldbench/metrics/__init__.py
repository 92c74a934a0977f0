"""Metrics: functional maths, and thin ``torchmetrics.Metric`` classes that hold state.

Names are imported on first use, so that reading a card does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldbench.metrics.card import ExtractorCard, require_same_card
    from worldbench.metrics.features import FeatureMetric
    from worldbench.metrics.frame import FramePSNR, FrameSSIM, frame_psnr, frame_ssim
    from worldbench.metrics.frechet import (
        FrechetReport,
        FrechetVideoDistance,
        frechet_distance,
        frechet_infinity,
        frechet_influence,
        frechet_report,
    )
    from worldbench.metrics.kernel import (
        KernelReport,
        KernelVideoDistance,
        kernel_distance,
        kernel_influence,
        kernel_report,
    )
    from worldbench.metrics.polynomial import PolynomialKernel

_HOME = {
    "ExtractorCard": "card",
    "FeatureMetric": "features",
    "FramePSNR": "frame",
    "FrameSSIM": "frame",
    "FrechetReport": "frechet",
    "FrechetVideoDistance": "frechet",
    "KernelReport": "kernel",
    "KernelVideoDistance": "kernel",
    "PolynomialKernel": "polynomial",
    "frame_psnr": "frame",
    "frame_ssim": "frame",
    "frechet_distance": "frechet",
    "frechet_infinity": "frechet",
    "frechet_influence": "frechet",
    "frechet_report": "frechet",
    "kernel_distance": "kernel",
    "kernel_influence": "kernel",
    "kernel_report": "kernel",
    "require_same_card": "card",
}

__all__ = [
    "ExtractorCard",
    "FeatureMetric",
    "FramePSNR",
    "FrameSSIM",
    "FrechetReport",
    "FrechetVideoDistance",
    "KernelReport",
    "KernelVideoDistance",
    "PolynomialKernel",
    "frame_psnr",
    "frame_ssim",
    "frechet_distance",
    "frechet_infinity",
    "frechet_influence",
    "frechet_report",
    "kernel_distance",
    "kernel_influence",
    "kernel_report",
    "require_same_card",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
