"""From clips of any size to what a V-JEPA was trained on."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError
from worldbench.schema import AdapterCard

FRAMINGS = ("published", "native")
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def short_side(side: int) -> int:
    """Returns what the short side is resized to before the centre is cropped."""
    return int(side * 256 / 224)


def require_lengths(card: AdapterCard, context: int, horizon: int, *, longer: bool) -> None:
    """Refuses contexts and futures that a network was not trained on.

    Args:
        card: Of the adapter; its ``frames`` are the most that both have together.
        context: Frames given.
        horizon: Frames to foresee.
        longer: Whether the user may raise that limit.

    Raises:
        ValueError: If the context is not legal or nothing is to be foreseen.
        DataError: If both together are too long.
    """
    if not card.legal_context(context):
        raise ValueError(
            f"{card.name} needs a context of {card.min_context} to {card.max_context} frames, "
            f"a multiple of {card.temporal_stride}; got {context}"
        )
    if horizon < 1:
        raise ValueError(f"horizon must be ≥ 1, got {horizon}: nothing comes after the context")
    if card.frames is not None and context + horizon > card.frames:
        whole = -(-(context + horizon) // card.temporal_stride) * card.temporal_stride
        raise DataError(
            f"{card.name} was trained on shorter clips",
            seen=f"context and future of {context + horizon} frames",
            accepted=f"{card.frames} frames",
            fix="shorter clips"
            + (f", or adapter.frames={whole}: at places it has never seen" if longer else ""),
        )


def prepared(
    video: Float[Tensor, "b t 3 h w"], side: int, stride: int, framing: str
) -> Float[Tensor, "b t2 3 s s"]:
    """Returns clips of a network's resolution and statistics, and of whole latent steps.

    The ``published`` framing is that of VJEPA2VideoProcessor of transformers, on floats: the short
    side bilinearly to int(side · 256/224), antialiased, the other in proportion and rounded down,
    and the centre. ``native`` takes clips as they are.

    Args:
        video: Values in [0, 1].
        side: Height and width that the network was trained on.
        stride: Frames of a latent step; the last frame is repeated until the last step is whole,
            which the network would drop.
        framing: One of :data:`FRAMINGS`.

    Raises:
        ValueError: If the framing is native and clips are of another size: the network would
            number their patches wrongly, and answer all the same.
    """
    size = (video.shape[-2], video.shape[-1])
    if framing == "native" and size != (side, side):
        raise ValueError(
            f"clips of {size[0]} × {size[1]} are not of the network's {side} × {side}; render them "
            "so, or choose adapter.framing=published, which resizes and crops"
        )
    frames = _centre(video.flatten(0, 1), side) if framing == "published" else video.flatten(0, 1)
    mean, std = (torch.tensor(values).view(3, 1, 1).to(frames) for values in (_MEAN, _STD))
    clips = ((frames - mean) / std).reshape(*video.shape[:3], side, side)
    short = -clips.shape[1] % stride
    return torch.cat([clips, clips[:, -1:].expand(-1, short, -1, -1, -1)], dim=1)


def _centre(frames: Float[Tensor, "n 3 h w"], side: int) -> Float[Tensor, "n 3 s s"]:
    height, width = frames.shape[-2:]
    short = short_side(side)
    if height <= width:
        size = (short, int(short * width / height))
    else:
        size = (int(short * height / width), short)
    if size != (height, width):
        frames = functional.interpolate(frames, size, mode="bilinear", antialias=True).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return frames[..., top : top + side, left : left + side]
