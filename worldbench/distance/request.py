"""What is asked of ``worldbench distance``."""

from dataclasses import dataclass, field
from pathlib import Path

from worldbench.distance.folders import Cut
from worldbench.metrics.presets import PRESETS

OWN = "effnetlite0-dt"
"""What distances are measured in where neither extractor nor preset is named."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        real: Folder of real videos.
        fake: Folder of generated ones.
        extractor: What the distance is measured in; None takes the preset's, or the offline one.
        weights: Its weight file or folder.
        preset: A published way to measure; None takes the extractor's usual one.
        cut: Which frames are clips; ``frames`` None leaves them to the preset.
        components: Principal components of the offline default.
        paired: Whether videos of equal name come from one source.
        by_class: Whether to compare class by class as well, classes being top folders.
        curve: Whether to measure distances at fewer clips, too.
        temporal: Whether to measure warping error, flicker and motion.
        max_excluded: Largest share of unusable videos accepted.
        seed: Of random splits.
    """

    real: Path
    fake: Path
    extractor: str | None = None
    weights: str | None = None
    preset: str | None = None
    cut: Cut = field(default_factory=lambda: Cut(frames=None))
    components: int = 64
    paired: bool = False
    by_class: bool = False
    curve: bool = False
    temporal: bool = False
    max_excluded: float = 0.05
    seed: int = 0

    @property
    def space(self) -> str:
        """The extractor, also where a preset alone names it."""
        if self.extractor is not None:
            return self.extractor
        return PRESETS[self.preset].extractor if self.preset in PRESETS else OWN
