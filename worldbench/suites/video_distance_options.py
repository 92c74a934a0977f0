"""What ``video_distance`` can do beyond its plain protocol; all of it is off by default.

An option that is off leaves no trace in the protocol, so that records made before it was there keep
their key.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from worldbench.errors import UsageError, unknown_name
from worldbench.metrics.presets import EXTRACTORS, Preset, preset_of

OWN = "effnetlite0-dt"
"""The offline extractor, which a projection on ``suite.components`` follows."""

Kind = Literal["frechet", "jedi"]
"""Which distances a suite measures: Fréchet and kernel distance, or JEDi."""

DISTANCES: dict[Kind, tuple[str, ...]] = {
    "frechet": ("frechet", "frechet_inf", "kernel"),
    "jedi": ("jedi", "jedi_unbiased"),
}
"""The distances of a kind of suite, by name."""

_LOCAL = ("extractor", "weights")  # the card says which they are; a path is nobody's protocol


@dataclass(frozen=True)
class Options:
    """Options of a suite of video distances.

    Attributes:
        extractor: What distances are measured in.
        weights: The extractor's weight file or folder.
        preset: A published way to measure; None takes the extractor's usual one.
        whole: Features are of context and future together, as published video distances have it,
            not of the future alone.
        window: Frames of a window that slides over long clips, each a sample; None takes a clip
            whole.
        every: Frames from one window to the next; None puts windows end to end.
        ceiling: Also measure the true futures, and still ones, in place of the rollouts.
        diversity: Also measure how far apart rollouts of one context are; needs two samples.
        curve: Also measure distances at fewer clips.
        by_class: Also measure class by class.
        temporal: Also measure warping error, flicker and motion.
        readout: Also measure generators that encode as predictors of latents are, through a
            read-out of latents.

    Raises:
        UsageError: If a name is unknown or a number makes no sense.
    """

    extractor: str = OWN
    weights: str | None = None
    preset: str | None = None
    whole: bool = False
    window: int | None = None
    every: int | None = None
    ceiling: bool = False
    diversity: bool = False
    curve: bool = False
    by_class: bool = False
    temporal: bool = False
    readout: bool = False

    def __post_init__(self) -> None:
        if self.extractor not in EXTRACTORS:
            raise unknown_name(
                "extractor", self.extractor, EXTRACTORS, fix=f"suite.extractor={OWN}"
            )
        if self.every is not None and self.window is None:
            raise UsageError(
                "suite.every is the step of a window that is not there",
                seen=self.every,
                accepted="both, or neither",
                fix="suite.window=16 suite.every=8",
            )
        for option, least in (("window", 2), ("every", 1)):
            value = getattr(self, option)
            if value is not None and value < least:
                raise UsageError(
                    f"suite.{option} is too small",
                    seen=value,
                    accepted=f"an integer of at least {least}, or null",
                    fix=f"suite.{option}=null",
                )
        assert self.recipe is None or self.recipe.extractor == self.extractor

    def check(self, *, measured: int, samples: int) -> None:
        """Refuses options that the suite's numbers leave no room for.

        Args:
            measured: Frames of a clip that are measured.
            samples: Rollouts per context.

        Raises:
            UsageError: If a window is longer than the clips, read-outs are to see windows, or
                diversity lacks samples.
        """
        if self.window is not None and self.readout:
            raise UsageError(
                "read-outs of latents see a clip whole",
                seen=f"suite.readout=true with suite.window={self.window}",
                accepted="one of the two",
                fix="suite.readout=false",
            )
        if self.window is not None and self.window > measured:
            raise UsageError(
                "suite.window is longer than what it slides over",
                seen=f"{self.window} frames",
                accepted=f"at most {measured}",
                fix=f"suite.window={measured}, or a longer suite.horizon",
            )
        if self.diversity and samples < 2:
            raise UsageError(
                "diversity needs several rollouts of every context",
                seen=f"suite.samples={samples}",
                accepted="2 or more",
                fix="suite.samples=4",
            )

    @classmethod
    def of(cls, given: dict[str, Any]) -> "Options":
        """Makes options of keyword arguments.

        Raises:
            UsageError: If one does not exist or makes no sense.
        """
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise unknown_name("option of the suite", name, known, fix="worldbench list suites")
        return cls(**given)

    @property
    def recipe(self) -> Preset | None:
        """The preset, the extractor's usual one included."""
        return preset_of(self.preset, self.extractor)

    @property
    def protocol(self) -> dict[str, Any]:
        """Options that are not at their default, and the preset that follows from them."""
        differing = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in _LOCAL and getattr(self, field.name) != field.default
        }
        if self.recipe is not None:
            differing["preset"] = self.recipe.name
        return differing


def metric_versions(kind: Kind, options: Options) -> dict[str, str]:
    """Returns the version of every metric's arithmetic, of those that are asked for."""
    extra = {"diversity": options.diversity}
    extra |= dict.fromkeys(("warping_error", "flicker", "motion"), options.temporal)
    asked = (*DISTANCES[kind], "psnr", "ssim", *(name for name, on in extra.items() if on))
    return dict.fromkeys(asked, "1")
