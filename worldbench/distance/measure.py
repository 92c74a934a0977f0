"""From two folders to a distance with everything that is needed to judge it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from worldbench.distance.comparable import doubts, require_comparable
from worldbench.distance.features import Space, projected_space, weighted_space
from worldbench.distance.folders import Cut, FolderClips
from worldbench.distance.request import OWN, Request
from worldbench.errors import DataError, UsageError
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.frechet import FrechetReport, frechet_report
from worldbench.metrics.gaussian import SAMPLES_PER_DIM
from worldbench.metrics.jedi import KERNEL, JEDiReport, jedi_report
from worldbench.metrics.kernel import KernelReport, kernel_report
from worldbench.metrics.presets import Preset, preset_of
from worldbench.metrics.sample_curve import CurvePoint, finite_sample_curve
from worldbench.metrics.samples import TwoSamples, two_samples
from worldbench.metrics.temporal import TemporalComparison, temporal_report
from worldbench.suite import Setting

_FEW = 256
"""Below so many clips the offline default's distances say little."""


@dataclass(frozen=True)
class Distances:
    """The distances of two sets; those that were not asked for are None."""

    frechet: FrechetReport | None
    kernel: KernelReport | None
    jedi: JEDiReport | None


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        card: The features.
        preset: How clips were framed and covariances divided.
        real: The real clips.
        fake: The generated clips.
        distances: Of all clips.
        classes: Of the clips of each class.
        curve: At fewer clips.
        temporal: Temporal measures of both.
        warnings: What a reader should know.
    """

    card: ExtractorCard
    preset: Preset | None
    real: FolderClips
    fake: FolderClips
    distances: Distances
    classes: dict[str, Distances]
    curve: tuple[CurvePoint, ...]
    temporal: tuple[TemporalComparison, ...]
    warnings: tuple[str, ...]


def measure(request: Request, setting: Setting) -> Outcome:
    """Finds the videos, extracts features and compares them.

    Raises:
        UsageError: If options do not fit together, or weights are missing.
        DataError: If the folders cannot be read or compared.
    """
    preset = preset_of(request.preset, request.space)
    cut = _cut(request, preset)
    space = _space(request, cut, setting)
    real, fake = (
        FolderClips(root, cut, max_excluded=request.max_excluded, progress=setting.progress)
        for root in (request.real, request.fake)
    )
    require_comparable(real, fake)
    space.rule.check(space.card.label, len(real.clips[0].times))
    x, y = (space.features(side, setting) for side in (fake, real))
    compare = _Comparison(request, preset, space.card)
    labels = compare.labels(fake), compare.labels(real, own=not request.paired)
    return Outcome(
        card=space.card,
        preset=preset,
        real=real,
        fake=fake,
        distances=compare(x, y, *labels),
        classes=_by_class(compare, fake, real, x, y) if request.by_class else {},
        curve=_curve(request, preset, two_samples(x, y, *labels)) if request.curve else (),
        temporal=_temporal(request, compare, fake, real, setting) if request.temporal else (),
        warnings=(*doubts(real, fake), *_small(space.card, preset, len(x), len(y))),
    )


def _curve(request: Request, preset: Preset | None, sets: TwoSamples) -> tuple[CurvePoint, ...]:
    kernel = KERNEL if preset and preset.distance == "jedi" else None
    return finite_sample_curve(sets, kernel, ddof=_ddof(preset), seed=request.seed)


def _cut(request: Request, preset: Preset | None) -> Cut:
    """The cut with the preset's number of frames where none was given."""
    if request.cut.frames is not None:
        return request.cut
    return replace(request.cut, frames=16 if preset is None else preset.frames)


def _space(request: Request, cut: Cut, setting: Setting) -> Space:
    if request.space != OWN:
        return weighted_space(request.space, request.weights, request.preset, setting)
    if request.weights is not None:
        raise UsageError(
            f"{OWN} brings its own weights", seen=request.weights, fix="leave --weights out"
        )
    assert cut.frames is not None
    return projected_space(request.components, cut.frames, setting)


def _ddof(preset: Preset | None) -> int:
    return 1 if preset is None else preset.ddof


@dataclass(frozen=True)
class _Comparison:
    """Compares two sets as a preset has it."""

    request: Request
    preset: Preset | None
    card: ExtractorCard

    def labels(self, side: FolderClips, *, own: bool = False) -> list[str]:
        """The cluster of every clip: its video, which two folders share only if they are paired."""
        mark = "real " if own else ""
        return [mark + clip.video for clip in side.clips]

    def __call__(
        self,
        x: Float[Tensor, "n d"],
        y: Float[Tensor, "m d"],
        clusters_x: Sequence[str],
        clusters_y: Sequence[str],
    ) -> Distances:
        both = (x, y, clusters_x, clusters_y)
        if self.preset is not None and self.preset.distance == "jedi":
            return Distances(None, None, jedi_report(*both, card=self.card))
        ddof, seed = _ddof(self.preset), self.request.seed
        return Distances(
            frechet_report(*both, card=self.card, ddof=ddof, seed=seed),
            kernel_report(*both, card=self.card),
            None,
        )


def _by_class(
    compare: _Comparison,
    fake: FolderClips,
    real: FolderClips,
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m d"],
) -> dict[str, Distances]:
    labels = ([clip.label for clip in fake.clips], [clip.label for clip in real.clips])
    names = sorted({*labels[0], *labels[1]})
    if names == [""]:
        raise DataError(
            "there are no classes",
            seen=f"videos right in {fake.root} and {real.root}",
            accepted="a folder per class, of equal names on both sides",
            fix="leave --by-class out",
        )
    alone = [name for name in names if min(side.count(name) for side in labels) < 2]
    if alone:
        raise DataError(
            f"{len(alone)} classes have fewer than two clips on one side",
            seen=", ".join(alone[:5]),
            accepted="two or more clips of every class in both folders",
            fix="remove these folders, or add videos",
        )
    found = {}
    for name in names:
        a, b = ([i for i, own in enumerate(side) if own == name] for side in labels)
        videos = (compare.labels(fake), compare.labels(real, own=not compare.request.paired))
        found[name] = compare(x[a], y[b], [videos[0][i] for i in a], [videos[1][i] for i in b])
    return found


def _temporal(
    request: Request,
    compare: _Comparison,
    fake: FolderClips,
    real: FolderClips,
    setting: Setting,
) -> tuple[TemporalComparison, ...]:
    from worldbench.metrics import temporal

    space = Space(
        temporal.CARD, temporal.RULE, temporal.CARD.digest, lambda: temporal.temporal_measures
    )
    x, y = (space.features(side, setting) for side in (fake, real))
    return temporal_report(x, y, compare.labels(fake), compare.labels(real, own=not request.paired))


def _small(card: ExtractorCard, preset: Preset | None, n: int, m: int) -> list[str]:
    fewest, needed = min(n, m), SAMPLES_PER_DIM * card.dim
    if preset is not None and preset.distance == "jedi":
        biased = f"n is small: {fewest} clips; jedi is biased upwards, read jedi_unbiased"
        return [biased] if fewest < _FEW else []
    if fewest >= max(needed, _FEW):
        return []
    what = f"n is small: {fewest} clips for {card.dim} features"
    if fewest < needed:
        return [
            f"{what}, where FD∞ needs {needed}; the Fréchet distance is biased upwards and "
            f"compares with others at n = {fewest} alone; read the kernel distance"
        ]
    return [f"{what}; {_FEW} or more give a distance that is worth a comparison"]
