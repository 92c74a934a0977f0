"""What identifies a clip of the procedural worlds: a family, a seed, a format and its factors."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from worldbench.errors import UsageError
from worldbench.schema import Scalar, digest

VERSION = 1
"""Raised whenever the same spec gives another track; part of every digest."""

SPLITS = ("train", "calibration", "test", "test_ood")
"""``test_ood`` has colours, sizes, speeds and textures that no other split has; the others differ
by seed only."""


@dataclass(frozen=True)
class SceneSpec:
    """A clip before anything is computed; equal specs give equal tracks.

    What a scene contains follows from family, split, seed, length, rate, aspect ratio and factors,
    never from the resolution: the same tracks render at any.

    Attributes:
        family: One of :data:`worldbench.data.worlds.families.FAMILIES`.
        seed: Of everything that the factors leave open.
        split: One of :data:`SPLITS`.
        frames: Frames of the clip, 2 to 1024.
        fps: Frames per second, above 0, at most 120.
        size: Height and width in pixels, 16 to 1024 each; one integer stands for both.
        factors: Levels that the caller fixes, as a mapping or as sorted (name, level) pairs. The
            family draws the rest.

    Raises:
        UsageError: If a value is out of range. Families and factors are checked when the scene is
            staged.
    """

    family: str
    seed: int
    split: str = "test"
    frames: int = 16
    fps: float | int = 8
    size: Any = (64, 64)
    factors: Any = ()

    def __post_init__(self) -> None:
        size = (self.size, self.size) if isinstance(self.size, int) else tuple(self.size)
        given = self.factors.items() if isinstance(self.factors, Mapping) else self.factors
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "fps", float(self.fps))
        object.__setattr__(self, "factors", tuple(sorted((str(k), v) for k, v in given)))
        limits = [
            ("split", self.split, self.split in SPLITS, ", ".join(SPLITS)),
            ("seed", self.seed, self.seed >= 0, "an integer ≥ 0"),
            ("frames", self.frames, 2 <= self.frames <= 1024, "2 to 1024"),
            ("fps", self.fps, 0 < self.fps <= 120, "above 0, at most 120"),
            (
                "size",
                self.size,
                len(size) == 2 and all(16 <= side <= 1024 for side in size),
                "(height, width), 16 to 1024 each",
            ),
        ]
        for name, seen, fits, accepted in limits:
            if not fits:
                raise UsageError(
                    f"a scene's {name} is out of range",
                    seen=seen,
                    accepted=accepted,
                    fix=f"SceneSpec({name}=…)",
                )

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return int(self.size[0])

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return int(self.size[1])

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @property
    def seconds(self) -> float:
        """Time from the first to the last frame."""
        return (self.frames - 1) / float(self.fps)

    @property
    def fixed(self) -> dict[str, Scalar]:
        """The factors that the caller fixed, by name."""
        return dict(self.factors)

    def with_factors(self, **factors: Scalar) -> "SceneSpec":
        """Returns the spec with these factors fixed as well."""
        return replace(self, factors={**self.fixed, **factors})

    @property
    def digest(self) -> str:
        """SHA-256 of the spec and of the worlds' version."""
        return digest(["worlds", VERSION, self.to_dict()])

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-serialisable fields; :meth:`from_dict` reads them back."""
        return {**asdict(self), "size": list(self.size), "factors": self.fixed}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "SceneSpec":
        """Builds a spec from :meth:`to_dict`'s fields."""
        return cls(**fields)

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True)
