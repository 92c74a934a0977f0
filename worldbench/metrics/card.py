"""The identity of a distance: which frozen features it was measured in.

A Fréchet or kernel distance is a number *of an extractor*: other weights, another resize or another
projection give another scale. The card travels with every such number, and two numbers with
different cards never meet in one table, test or merge. This module imports no torch.
"""

import hashlib
import json
from dataclasses import dataclass

from worldbench.errors import UsageError


@dataclass(frozen=True, slots=True)
class ExtractorCard:
    """What a reader must know to measure the same distance again.

    Attributes:
        name: Short name of the extractor, e.g. ``"effnetlite0-dt"``.
        revision: Digest of the weights (hex).
        dim: Number of features per clip, after the projection.
        preprocessing: Frames, size, resize filter, value range and normalisation, in words.
        projection: Linear map applied last: its kind, then what it was fitted on, e.g. ``"pca64
            fitted on worlds-train 3f9c…"``; ``None`` without one.
        source: Where the weights come from.
        licence: Their licence, as an SPDX identifier where there is one.

    Raises:
        UsageError: If ``name`` or ``revision`` is empty or ``dim`` is not positive.
    """

    name: str
    revision: str
    dim: int
    preprocessing: str
    projection: str | None = None
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.name or not self.revision or self.dim < 1 or self.projection == "":
            raise UsageError(
                "an extractor card needs a name, a revision and a positive dim",
                seen=f"name={self.name!r}, revision={self.revision!r}, dim={self.dim}",
                fix="fill the three in; revision is the digest of the weights file",
            )

    @property
    def label(self) -> str:
        """Name and kind of projection, as in ``frechet[effnetlite0-dt-pca64]``."""
        kind = "" if self.projection is None else f"-{self.projection.split()[0]}"
        return self.name if self.name.endswith(kind) else self.name + kind

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of every field that can move a number; source and licence cannot."""
        identity = [self.name, self.revision, self.dim, self.preprocessing, self.projection]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def require_same_card(a: ExtractorCard | None, b: ExtractorCard | None) -> None:
    """Refuses to bring together distances measured in different features.

    Args:
        a: Card of one side; ``None`` for features of unknown origin.
        b: Card of the other side.

    Raises:
        UsageError: If the digests differ, or only one side has a card.
    """
    if (a and a.digest) != (b and b.digest):
        seen = " and ".join(f"{c.label} ({c.digest[:12]})" if c else "no card" for c in (a, b))
        raise UsageError(
            "distances with different extractor cards do not compare",
            seen=seen,
            accepted="two equal cards, or none on either side",
            fix="extract both sets with the same weights, preprocessing and projection",
        )
