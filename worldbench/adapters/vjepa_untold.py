"""What the weights of a V-JEPA do not tell of their network, and how that is found or asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from worldbench.errors import DataError

_ACCEPTED = "a checkpoint of facebookresearch/jepa or vjepa2: {encoder, predictor, target_encoder}"
_FIX = "fetch it again, or use adapter=vjepa2 with a folder of transformers"


@dataclass(frozen=True)
class Untold:
    """What weights do not tell of their network.

    Attributes:
        side: Height and width of its clips; None is what the positions of a V-JEPA 1 tell, or 256.
        frames: Frames of its clips; None is what those positions tell, or 64.
        heads: Of the encoder's attention; None is the usual number of its width.
        predictor_heads: Of the predictor's attention; None is as many as the encoder has in a
            V-JEPA 1, and 12 in a V-JEPA 2.
        rotary: Whether it is known to be a V-JEPA 2, whatever else the file holds.
    """

    side: int | None
    frames: int | None
    heads: int | None
    predictor_heads: int | None
    rotary: bool


def heads_of(said: int | None, usual: Mapping[int, int], width: int, *, of: str = "encoder") -> int:
    """Returns the number of heads of an attention.

    Args:
        said: What the user says; None is what is usual.
        usual: The number by width.
        width: Channels.
        of: Whose it is, for the message.

    Raises:
        DataError: If neither tells a number that divides the width.
    """
    heads = said or usual.get(width)
    if heads is None or width % heads:
        raise refused(
            f"how many heads this {of} has is not known",
            f"width {width}" + ("" if heads is None else f", which {heads} do not divide"),
            fix="adapter.heads=N (predictor_heads=N), as its training configuration says",
        )
    return heads


def depth_of(weights: Mapping[str, Tensor], part: str) -> int:
    """Counts the blocks of the ``encoder`` or the ``predictor``."""
    return len([name for name in weights if re.fullmatch(rf"{part}.*norm1\.bias", name)])


def refused(what: str, seen: object, *, fix: str = _FIX) -> DataError:
    """Makes the error of a file that is not what it should be."""
    return DataError(what, seen=seen, accepted=_ACCEPTED, fix=fix)
