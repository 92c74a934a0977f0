"""Maps of what a read-out sees, as warm tokens over a darkened frame."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_DARK = 0.5
_COOLEST = 0.35
"""Where on the colour map warmth begins: below it the colours are too dark to be seen."""


def heat(
    frame: UInt8[np.ndarray, "h w 3"], coverage: Float[np.ndarray, "rows columns"], full: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Lays coverage over a darkened frame.

    Args:
        frame: The frame.
        coverage: One value per token; tokens stay squares, and below 0 nothing is seen.
        full: The value, above 0, from which on a token is at its brightest.
    """
    warmth = np.clip(coverage / full, 0, 1).astype(np.float32)
    side = (frame.shape[1], frame.shape[0])
    large = cv2.resize(warmth, side, interpolation=cv2.INTER_NEAREST)[..., None]
    mixed = (1 - large) * _DARK * frame + large * colours(large[..., 0])
    return np.asarray(mixed.round(), np.uint8)


def colours(warmth: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the colour of each warmth in [0, 1], RGB."""
    levels = ((_COOLEST + (1 - _COOLEST) * warmth) * 255).round().astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return np.asarray(coloured, np.uint8)
