"""Presets: what others do between a decoded video and a distance, to the last choice.

Two video distances of one name differ as soon as resizing, value range, number of frames or the
covariance's divisor do. A preset fixes all of them after the published code named in ``source``;
its formulas and arithmetic alone are taken over. This module imports no torch.
"""

from dataclasses import dataclass
from typing import Literal

from worldbench.errors import UsageError, unknown_name

Fit = Literal["stretch", "cover"]


@dataclass(frozen=True, slots=True)
class Resize:
    """One resizing of every frame, bilinear with half-pixel centres.

    Attributes:
        side: Height and width of the result, in pixels.
        fit: ``stretch`` ignores proportions; ``cover`` scales the short side, rounds the long one
            up and crops the centre.
        antialias: Whether to average over what a pixel covers when scaling down.
    """

    side: int
    fit: Fit = "stretch"
    antialias: bool = False

    @property
    def words(self) -> str:
        """The resizing as a card tells it."""
        smooth = "antialiased" if self.antialias else "not antialiased"
        how = "short side, centre crop" if self.fit == "cover" else "stretched"
        return f"bilinear resize to {self.side}x{self.side} ({how}, {smooth})"


@dataclass(frozen=True, slots=True)
class Framing:
    """How frames in [0, 1] become the network's input.

    Attributes:
        loading: A resizing that belongs to reading videos, after which values are truncated to
            whole levels of 255.
        resize: The resizing before the network.
    """

    resize: Resize
    loading: Resize | None = None

    @property
    def words(self) -> str:
        """The framing as a card tells it."""
        first = f"{self.loading.words}, truncated to 8 bit; " if self.loading else ""
        return first + self.resize.words


@dataclass(frozen=True, slots=True)
class Preset:
    """A published way to measure a video distance.

    Attributes:
        name: What the user types.
        summary: One line for help.
        extractor: The network it is made for.
        frames: Frames of a clip; ``None`` takes as many as the videos have.
        framing: What happens to frames before the network's own normalisation; ``None`` leaves it
            to the network, whose resolution its folder tells.
        ddof: Covariances divide by n − ddof.
        epsilon: Of the network's batch normalisation, where it has one.
        distance: ``frechet``, or ``jedi`` for the biased polynomial kernel distance × 100.
        source: The published code that was read for its arithmetic.
    """

    name: str
    summary: str
    extractor: str
    frames: int | None
    framing: Framing | None
    ddof: int = 1
    epsilon: float = 1e-3
    distance: Literal["frechet", "jedi"] = "frechet"
    source: str = ""


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "styleganv",
            "FVD of StyleGAN-V: 16 frames, stretched to 224, covariances over n",
            extractor="i3d",
            frames=16,
            framing=Framing(Resize(224)),
            ddof=0,
            source="github.com/universome/stylegan-v, src/metrics at 1f630af",
        ),
        Preset(
            "common_metrics",
            "FVD of common_metrics_on_video_quality: whole videos, cropped to 224, over n - 1",
            extractor="i3d",
            frames=None,
            framing=Framing(Resize(224, fit="cover")),
            ddof=1,
            source="github.com/JunyaoHu/common_metrics_on_video_quality, fvd/styleganv at 5f75173",
        ),
        Preset(
            "cdfvd_i3d",
            "FVD of cd-fvd's I3D: 16 frames, cropped to 256, stretched to 224, over n",
            extractor="i3d",
            frames=16,
            framing=Framing(Resize(224), loading=Resize(256, fit="cover", antialias=True)),
            ddof=0,
            epsilon=1e-5,
            source="PyPI cd-fvd 0.1.1",
        ),
        Preset(
            "jedi",
            "JEDi: 16 frames in V-JEPA 2 features, polynomial kernel, biased, times 100",
            extractor="vjepa2",
            frames=16,
            framing=None,
            distance="jedi",
            source="github.com/oooolga/JEDi, videojedi at 1507896 (arXiv 2410.05203)",
        ),
    )
}

EXTRACTORS = {
    "effnetlite0-dt": "ImageNet EfficientNet-Lite0 on frames and their change, projected; offline",
    "i3d": "Kinetics-400 I3D; --weights FILE",
    "videomae": "VideoMAE; --weights FOLDER, as transformers saves it",
    "vjepa2": "V-JEPA 2; --weights FOLDER, as transformers saves it",
    "dinov2": "DINOv2 on frames and their change; --weights FOLDER, as transformers saves it",
}
"""What distances can be measured in."""

USUAL_PRESETS = {"i3d": "styleganv"}
"""The preset of an extractor where none is named."""


def preset_of(name: str | None, extractor: str) -> Preset | None:
    """Looks a preset up, or the usual one of an extractor; None where there is none.

    Raises:
        UsageError: If a name is unknown or the preset belongs to another extractor.
    """
    if extractor not in EXTRACTORS:
        raise unknown_name("extractor", extractor, EXTRACTORS, fix="worldbench distance --help")
    name = name or USUAL_PRESETS.get(extractor)
    if name is None:
        return None
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS, fix="worldbench distance --help")
    preset = PRESETS[name]
    if preset.extractor != extractor:
        raise UsageError(
            f"the preset {name} is not made for {extractor}",
            accepted=f"{preset.extractor} with it, or no preset",
            fix=f"extractor {preset.extractor}",
        )
    return preset
