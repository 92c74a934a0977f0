"""PSNR and SSIM of rollouts against the true future, frame by frame.

Both answer how close one guess came to one outcome: where several futures are possible, a blurred
mean beats any sharp sample. They stand on the board without a skill score.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from worldbench.errors import ContractError
from worldbench.metrics.state import PreciseMetric

MSE_FLOOR = (1 / 255) ** 2 / 12
"""Mean squared error of rounding to 8 bits: video files cannot say more than this."""

PSNR_CEILING = -10 * math.log10(MSE_FLOOR)
"""58.92 dB. PSNR is infinite for equal frames; below ``MSE_FLOOR`` it is cut here, so that means of
clips that contain an exact frame stay finite and comparable."""

SSIM_WINDOW = 11
"""Pixels: the window of the Gaussian with σ = 1.5 of Wang et al. 2004."""

_CHUNK_VALUES = 1 << 16  # five frames of 64 × 64: SSIM is twice as fast while its maps stay cached


def frame_psnr(
    rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
) -> Float[Tensor, "b t"]:
    """Peak signal-to-noise ratio of each frame, −10 log₁₀ MSE for a data range of 1.

    Args:
        rollout: The model's future, values in [0, 1].
        truth: The true future, values in [0, 1].

    Returns:
        Decibels, float64, at most 58.92 (:data:`PSNR_CEILING`).

    Raises:
        ContractError: If shapes differ, or values are not finite or outside of [0, 1].
    """

    def psnr(a: Tensor, b: Tensor) -> Tensor:
        value: Tensor = peak_signal_noise_ratio(
            a.double(), b.double(), data_range=1.0, reduction="none", dim=(1, 2, 3)
        )
        return value

    return _by_frame(psnr, rollout, truth).clamp(max=PSNR_CEILING)


def frame_ssim(
    rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
) -> Float[Tensor, "b t"]:
    """Structural similarity of each frame (Wang et al. 2004).

    Gaussian window with σ = 1.5 cut at 11 pixels, population covariances, K₁ = .01, K₂ = .03, data
    range 1, each colour channel on its own, mean over windows that lie wholly inside the frame.
    Computed in float32, within 1e-5 of float64 on pictures with contrast and 1e-4 on flat and white
    ones, at 1 ms a frame of 64 × 64 on one core; float64 takes thirty times as long.

    Args:
        rollout: The model's future, values in [0, 1], at least 11 × 11 pixels.
        truth: The true future, values in [0, 1].

    Returns:
        Similarity in [−1, 1], float64 (so that means do not round again).

    Raises:
        ContractError: As :func:`frame_psnr`; also when frames are smaller than the window.
    """
    if min(rollout.shape[-2:]) < SSIM_WINDOW:
        raise ContractError(
            "frames are smaller than the SSIM window",
            seen=f"{rollout.shape[-2]} × {rollout.shape[-1]} pixels",
            accepted=f"at least {SSIM_WINDOW} × {SSIM_WINDOW}",
        )

    def ssim(a: Tensor, b: Tensor) -> Tensor:
        # Cropped here, because the library averages reflected borders too in some versions.
        _, similarity = structural_similarity_index_measure(
            a.float(), b.float(), data_range=1.0, reduction="none", return_full_image=True
        )
        rim = SSIM_WINDOW // 2
        inside: Tensor = similarity[..., rim:-rim, rim:-rim]
        return inside.double().mean(dim=(1, 2, 3))

    return _by_frame(ssim, rollout, truth)


def _by_frame(
    score: Callable[[Tensor, Tensor], Tensor], rollout: Tensor, truth: Tensor
) -> Float[Tensor, "b t"]:
    """Applies a score of image batches to all frames, a bounded number of them at a time."""
    _require_comparable(rollout, truth)
    frames = rollout.flatten(0, 1), truth.flatten(0, 1)
    at_once = max(1, _CHUNK_VALUES // max(1, frames[0][:1].numel()))
    scores = []
    for start in range(0, len(frames[0]), at_once):
        a, b = (video[start : start + at_once] for video in frames)
        scores.append(score(a, b).reshape(len(a)))
    return torch.cat(scores).reshape(rollout.shape[:2])


def _require_comparable(rollout: Tensor, truth: Tensor) -> None:
    if rollout.shape != truth.shape or not rollout.numel():
        raise ContractError(
            "rollout and truth must have the same, non-empty shape",
            seen=f"{tuple(rollout.shape)} and {tuple(truth.shape)}",
            accepted="[b, t, 3, h, w] twice",
            fix="generate() must return exactly as many frames as the horizon",
        )
    for name, video in (("rollout", rollout), ("truth", truth)):
        low, high = (float(end) for end in video.detach().aminmax())
        if not (low >= 0 and high <= 1):
            raise ContractError(
                f"the {name} has values outside of [0, 1]",
                seen=f"from {low} to {high}",
                accepted="RGB in [0, 1], finite",
                fix="clamp or rescale in the adapter, where the right range is known",
            )


class _FrameMean(PreciseMetric):
    """Mean over clips of the clip's mean over frames."""

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("clips", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(
        self, rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
    ) -> None:
        """Adds clips; videos as for the function of the same name."""
        scores = self.score(rollout, truth)
        self.total += scores.mean(dim=1).sum().to(self.total.device)
        self.clips += len(scores)

    def score(
        self, rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
    ) -> Float[Tensor, "b t"]:
        raise NotImplementedError

    def compute(self) -> Float[Tensor, ""]:
        """The mean, float64 ``[]``.

        Raises:
            ContractError: If no clip was added.
        """
        if not self.clips:
            raise ContractError(f"{type(self).__name__} has no clips", fix="call update() first")
        mean: Tensor = self.total / self.clips
        return mean


class FramePSNR(_FrameMean):
    """Mean PSNR in dB, :func:`frame_psnr`, at most 58.92 for exact frames."""

    def score(
        self, rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
    ) -> Float[Tensor, "b t"]:
        """PSNR of each frame."""
        return frame_psnr(rollout, truth)


class FrameSSIM(_FrameMean):
    """Mean structural similarity, :func:`frame_ssim`."""

    def score(
        self, rollout: Float[Tensor, "b t 3 h w"], truth: Float[Tensor, "b t 3 h w"]
    ) -> Float[Tensor, "b t"]:
        """SSIM of each frame."""
        return frame_ssim(rollout, truth)
