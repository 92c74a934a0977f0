"""Corruptions of clips by level, from hardly visible to 1, and clips of the worlds to corrupt."""

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from worldbench.batches import to_video
from worldbench.data.worlds.families import family
from worldbench.data.worlds.pictures import render_rgb
from worldbench.data.worlds.simulation import simulate


@cache
def rendered(split: str, count: int) -> Tensor:
    """All frames of clips of the worlds, in [0, 1]."""
    specs = family("train_random").specs(count, 0, split=split)
    return to_video(render_rgb([simulate(spec) for spec in specs]))


def noisier(video: Tensor, level: float) -> Tensor:
    """Adds grain."""
    grain = torch.randn(video.shape, generator=torch.Generator().manual_seed(1))
    return (video + 0.2 * level * grain).clamp(0, 1)


def blurrier(video: Tensor, level: float) -> Tensor:
    """Blurs every frame."""
    sigma = 3 * level
    taps = torch.arange(-9, 10).float()
    kernel = torch.exp(-taps.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    frames = functional.pad(video.flatten(0, 1), (9, 9, 9, 9), mode="reflect")
    frames = functional.conv2d(frames, kernel, groups=3)
    frames = functional.conv2d(frames, kernel.transpose(2, 3), groups=3)
    return frames.unflatten(0, video.shape[:2])


def frozen(video: Tensor, level: float) -> Tensor:
    """Holds the last moving frame for a share of the time."""
    frames = video.shape[1]
    moving = round(frames * (1 - level)) or 1
    return video[:, [min(t, moving - 1) for t in range(frames)]]


def shuffled(video: Tensor, level: float) -> Tensor:
    """Permutes frames within a share of the clip."""
    generator, frames = torch.Generator().manual_seed(2), video.shape[1]
    count = max(2, round(frames * level))
    rows = []
    for clip in video:
        order = torch.arange(frames)
        order[:count] = torch.randperm(count, generator=generator)
        rows.append(clip[order])
    return torch.stack(rows)
