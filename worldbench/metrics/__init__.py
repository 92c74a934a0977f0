"""Metrics: functional maths, and thin ``torchmetrics.Metric`` classes that hold state.

Names are imported on first use, so that reading a card does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldbench.metrics.card import ExtractorCard, require_same_card
    from worldbench.metrics.diversity import sample_diversity
    from worldbench.metrics.features import FeatureMetric
    from worldbench.metrics.frame import FramePSNR, FrameSSIM, frame_psnr, frame_ssim
    from worldbench.metrics.frechet import (
        FrechetReport,
        frechet_distance,
        frechet_infinity,
        frechet_influence,
        frechet_report,
    )
    from worldbench.metrics.frechet_metric import FrechetVideoDistance
    from worldbench.metrics.jedi import (
        JEDiReport,
        JEPAEmbeddingDistance,
        jedi_distance,
        jedi_report,
    )
    from worldbench.metrics.kernel import (
        KernelReport,
        KernelVideoDistance,
        kernel_distance,
        kernel_influence,
        kernel_report,
    )
    from worldbench.metrics.polynomial import PolynomialKernel
    from worldbench.metrics.sample_curve import CurvePoint, finite_sample_curve
    from worldbench.metrics.temporal import (
        TemporalComparison,
        TemporalQuality,
        temporal_measures,
        temporal_report,
    )

_HOME = {
    "CurvePoint": "sample_curve",
    "ExtractorCard": "card",
    "FeatureMetric": "features",
    "FramePSNR": "frame",
    "FrameSSIM": "frame",
    "FrechetReport": "frechet",
    "FrechetVideoDistance": "frechet_metric",
    "JEDiReport": "jedi",
    "JEPAEmbeddingDistance": "jedi",
    "KernelReport": "kernel",
    "KernelVideoDistance": "kernel",
    "PolynomialKernel": "polynomial",
    "TemporalComparison": "temporal",
    "TemporalQuality": "temporal",
    "finite_sample_curve": "sample_curve",
    "frame_psnr": "frame",
    "frame_ssim": "frame",
    "frechet_distance": "frechet",
    "frechet_infinity": "frechet",
    "frechet_influence": "frechet",
    "frechet_report": "frechet",
    "jedi_distance": "jedi",
    "jedi_report": "jedi",
    "kernel_distance": "kernel",
    "kernel_influence": "kernel",
    "kernel_report": "kernel",
    "require_same_card": "card",
    "sample_diversity": "diversity",
    "temporal_measures": "temporal",
    "temporal_report": "temporal",
}

__all__ = [
    "CurvePoint",
    "ExtractorCard",
    "FeatureMetric",
    "FramePSNR",
    "FrameSSIM",
    "FrechetReport",
    "FrechetVideoDistance",
    "JEDiReport",
    "JEPAEmbeddingDistance",
    "KernelReport",
    "KernelVideoDistance",
    "PolynomialKernel",
    "TemporalComparison",
    "TemporalQuality",
    "finite_sample_curve",
    "frame_psnr",
    "frame_ssim",
    "frechet_distance",
    "frechet_infinity",
    "frechet_influence",
    "frechet_report",
    "jedi_distance",
    "jedi_report",
    "kernel_distance",
    "kernel_influence",
    "kernel_report",
    "require_same_card",
    "sample_diversity",
    "temporal_measures",
    "temporal_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
