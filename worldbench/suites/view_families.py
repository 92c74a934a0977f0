"""Families of views, and sources of real ones."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from worldbench.data.source import ClipSource

POSED, UNPOSED = "posed", "unposed"
"""Families of real views: with cameras, and without."""


@runtime_checkable
class Camera(Protocol):
    """Cameras of a clip: intrinsics in its pixels, and camera to world."""

    @property
    def K(self) -> Float64[np.ndarray, "t 3 3"]:  # noqa: N802 - as everywhere for intrinsics
        """Intrinsics of every frame."""
        ...

    @property
    def c2w(self) -> Float64[np.ndarray, "t 4 4"]:
        """Camera to world of every frame, x right, y down, z forward."""
        ...


@runtime_checkable
class PosedSource(ClipSource, Protocol):
    """Clips whose cameras are known."""

    def cameras(self, clip_id: str) -> Camera:
        """Returns a clip's cameras."""
        ...
