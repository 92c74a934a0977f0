"""What an adapter can be asked; the rest is a ValueError that says what is possible."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.asked import checked_clips
from worldbench.schema import AdapterCard


def require_legal(card: AdapterCard, context: int) -> None:
    """Refuses contexts that the card does not allow.

    Raises:
        ValueError: If the number of frames is not legal.
    """
    if not card.legal_context(context):
        raise ValueError(
            f"{card.name} needs a context of ≥ {card.min_context} frames, a multiple "
            f"of {card.temporal_stride}; got {context}"
        )


def with_future(card: AdapterCard, video: Tensor, context: int) -> Float[Tensor, "b t 3 h w"]:
    """Returns clips that have both a context and a future, in float32.

    Raises:
        ValueError: If the clips are not as :func:`~worldbench.adapters.asked.checked_clips` wants
            them, the context is not legal, or nothing comes after it.
    """
    video = checked_clips(video)
    require_legal(card, context)
    if video.shape[1] <= context:
        raise ValueError(f"nothing comes after {context} of {video.shape[1]} frames")
    return video


def layers_of(depth: int) -> tuple[str, ...]:
    """Returns what the layers of a stack are called: after which block."""
    return tuple(f"block{i + 1}" for i in range(depth))


def depth_at(layer: str, layers: Sequence[str]) -> int:
    """Returns how many blocks a layer comes after.

    Raises:
        ValueError: If there is no such layer.
    """
    if layer not in layers:
        raise ValueError(f"no layer {layer!r}; there are {', '.join(layers)}")
    return layers.index(layer) + 1
