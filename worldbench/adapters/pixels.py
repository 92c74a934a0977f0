"""Raw pixels as latents: what a probe finds in clips that nobody has encoded."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from worldbench.adapter import Latents
from worldbench.errors import UsageError
from worldbench.schema import AdapterCard, digest

_STRIDE, _PATCH = 2, 8


class Pixels:
    """Cuts clips into patches of 2 frames by 8×8 pixels and returns their values as they are.

    The floor of every probe: a feature that beats it has been made, not found. Clips are resized,
    the short side to ``side`` and the other to the nearest whole patch; an odd last frame counts
    twice.

    Args:
        name: The name shown on the board.
        side: Short side in pixels, a multiple of 8.

    Raises:
        UsageError: If the side is none.
    """

    def __init__(self, name: str = "pixels", side: int = 64) -> None:
        if side < _PATCH or side % _PATCH:
            raise UsageError(
                "adapter.side is no side of whole patches",
                seen=side,
                accepted=f"a multiple of {_PATCH}",
                fix="adapter.side=64",
            )
        self.side = side
        self.card = AdapterCard(
            name=name,
            revision=digest(["pixels", 1, side, _STRIDE, _PATCH]),
            family="baseline",
            summary=f"patches of raw pixels, {_STRIDE}×{_PATCH}×{_PATCH} of clips {side} high",
            capabilities=("encodes",),
            parameters=0,
            temporal_stride=_STRIDE,
            licence="Apache-2.0",
        )

    def encode(
        self,
        video: Float[Tensor, "b t 3 h w"],
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        """Returns the patches, values in [-1, 1]; seed changes nothing.

        Raises:
            ValueError: If a layer or noise is asked for: there is none.
        """
        if layer is not None or noise not in (None, 0):
            raise ValueError(f"pixels have no layers and no noise, got {layer!r} and {noise}")
        b, t, _, h, w = video.shape
        scale = self.side / min(h, w)
        rows, columns = (max(1, round(side * scale / _PATCH)) for side in (h, w))
        size = (rows * _PATCH, columns * _PATCH)
        frames = video.flatten(0, 1)
        if size != (h, w):
            frames = interpolate(frames, size, mode="bilinear", antialias=True)
        frames = (frames.clamp(0, 1) * 2 - 1).reshape(b, t, 3, *size)
        if t % _STRIDE:
            frames = torch.cat([frames, frames[:, -1:]], dim=1)
        steps = frames.shape[1] // _STRIDE
        patches = frames.reshape(b, steps, _STRIDE, 3, rows, _PATCH, columns, _PATCH)
        return Latents(patches.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4), _STRIDE)
