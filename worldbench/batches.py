"""Batches of clips, decoded by worker threads ahead of the model."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate


@runtime_checkable
class LoadsClips(Protocol):
    """Whatever decodes clips by id: a clip source, or a folder of videos."""

    def load(self, ids: Sequence[str]) -> UInt8[np.ndarray, "b t h w 3"]:
        """Decodes clips by id."""
        ...


def clip_batches(
    source: LoadsClips,
    groups: Sequence[Sequence[str]],
    *,
    device: torch.device,
    num_workers: int = 0,
) -> Iterator[Float[Tensor, "b t 3 h w"]]:
    """Yields the clips of each group, in order.

    Workers are threads: OpenCV decodes outside the GIL, and forked processes inherit the locks of
    its and torch's thread pools, on which they can hang.

    Args:
        source: Where the clips come from.
        groups: Clip ids; each group becomes one batch.
        device: Where the batch is put.
        num_workers: Threads that decode ahead, each holding one or two batches in memory; 0
            decodes when a batch is asked for.

    Raises:
        DataError: If a clip cannot be decoded, in whatever thread.
    """
    if num_workers == 0:
        for ids in groups:
            yield to_video(torch.from_numpy(source.load(ids)).to(device))
        return
    waiting = iter(groups)
    ahead: deque[Future[UInt8[np.ndarray, "b t h w 3"]]] = deque()
    with ThreadPoolExecutor(num_workers, thread_name_prefix="decode") as pool:
        try:
            ahead.extend(pool.submit(source.load, ids) for ids in islice(waiting, num_workers + 1))
            while ahead:
                pixels = ahead.popleft().result()
                ahead.extend(pool.submit(source.load, ids) for ids in islice(waiting, 1))
                yield to_video(torch.from_numpy(pixels).to(device))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def to_video(pixels: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b t 3 h w"]:
    """Converts decoded pixels to the boundary's format: float32 in [0, 1], channels third."""
    return pixels.permute(0, 1, 4, 2, 3).float().div_(255)


def resized(
    video: Float[Tensor, "b t 3 h w"], size: tuple[int, int]
) -> Float[Tensor, "b t 3 h2 w2"]:
    """Returns clips of another size: bilinear, antialiased, the aspect ratio not kept."""
    if (video.shape[-2], video.shape[-1]) == size:
        return video
    frames = interpolate(video.flatten(0, 1), size, mode="bilinear", antialias=True)
    # Weights sum to 1 but for rounding.
    return frames.clamp(0, 1).reshape(*video.shape[:3], *size)


def to_pixels(video: Float[Tensor, "t 3 h w"]) -> UInt8[np.ndarray, "t h w 3"]:
    """Converts a video of the boundary's format to pixels for encoding."""
    pixels = (video.detach().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())
