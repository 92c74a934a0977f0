"""The space in which ``video_distance`` compares clips: an extractor, windows, a projection."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import ClipSource
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.extractor import EffnetLite0Dt, Projection, fit_projection
from worldbench.metrics.extractors import weighted_card, weighted_extractor
from worldbench.metrics.frame_rule import FrameRule
from worldbench.schema import digest
from worldbench.suite import Setting
from worldbench.suites.video_distance_features import (
    Extracts,
    Training,
    extractor_card,
    real_features,
    training_clips,
    training_source,
)
from worldbench.suites.video_distance_options import OWN

if TYPE_CHECKING:
    from worldbench.suites.video_distance import VideoDistance


@dataclass(frozen=True)
class Windows:
    """An extractor asked about windows that slide over longer clips.

    Attributes:
        inner: The extractor.
        frames: Frames of a window.
        every: Frames from one to the next.
    """

    inner: Extracts
    frames: int
    every: int

    @property
    def revision(self) -> str:
        """Of the extractor and the windows."""
        return digest([self.inner.revision, self.frames, self.every])

    def __call__(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b d"]:
        """Returns the features of all windows of a clip behind each other, ``b w·d``."""
        windows = video.unfold(1, self.frames, self.every).movedim(-1, 2)  # b w f 3 h w
        return self.inner(windows.flatten(0, 1)).reshape(len(video), -1)


@dataclass(frozen=True)
class Space:
    """A space with everything loaded.

    Attributes:
        card: Which space it is.
        extractor: Video to features, those of all windows behind each other.
        projection: Features of a window to the space of the distances.
        frames: Frames of a clip before those that are measured, and how many are.
        windows: How many windows slide over a clip; None where it is taken whole.
        training: Training clips with their features, made when first asked for.
    """

    card: ExtractorCard
    extractor: Extracts
    projection: Projection | None
    frames: tuple[int, int]
    windows: int | None
    training: Callable[[], Training]

    def measured(self, clips: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b ..."]:
        """Returns features of clips, context and future: ``b k``, or ``b windows k``."""
        skipped, count = self.frames
        return self.projected(self.extractor(clips[:, skipped : skipped + count]))

    def projected(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b ..."]:
        """Puts the extractor's features into the space of the distances."""
        if self.windows is None:
            return features if self.projection is None else self.projection(features)
        rows = features.reshape(len(features) * self.windows, -1)
        placed = rows if self.projection is None else self.projection(rows)
        return placed.reshape(len(features), self.windows, -1)


def measured_frames(suite: "VideoDistance") -> tuple[int, int]:
    """Returns how many frames of a clip come before those that are measured, and how many are."""
    if suite.options.whole:
        return 0, suite.context + suite.horizon
    return suite.context, suite.horizon


def window_count(suite: "VideoDistance") -> int | None:
    """Returns how many windows slide over a clip, or None where it is taken whole."""
    window = suite.options.window
    if window is None:
        return None
    return (measured_frames(suite)[1] - window) // (suite.options.every or window) + 1


def space_card(suite: "VideoDistance", data: ClipSource) -> ExtractorCard:
    """Returns the card of the suite's space on this data, without loading anything.

    Raises:
        UsageError: If weights are missing, or the extractor does not take so many frames.
        DataError: If there are too few training clips.
    """
    options = suite.options
    if options.extractor == OWN:
        card, rule = extractor_card(data, suite.components), FrameRule(least=2)
    else:
        card, rule = weighted_card(options.extractor, options.weights, options.preset)
    rule.check(card.label, options.window or measured_frames(suite)[1])
    return card


def load_space(suite: "VideoDistance", data: ClipSource, setting: Setting) -> Space:
    """Loads the extractor and fits or reads the projection, if there is one."""
    options, frames = suite.options, measured_frames(suite)
    own = options.extractor == OWN
    inner: Extracts = (
        EffnetLite0Dt(setting.device)
        if own
        else weighted_extractor(options.extractor, options.weights, options.preset, setting.device)
    )
    windows = window_count(suite)
    extractor = inner
    if options.window is not None:
        extractor = Windows(inner, options.window, options.every or options.window)

    @cache
    def fitting() -> tuple[ClipSource, Float[Tensor, "n d"]]:
        source = training_source(data, suite.components if own else 1)
        return source, real_features(
            extractor,
            source,
            training_clips(source),
            frames,
            setting,
            "features of the training clips",
        )

    projection = None
    if own:
        features = fitting()[1]
        rows = features if windows is None else features.reshape(len(features) * windows, -1)
        projection = fit_projection(rows, suite.components)

    def training() -> Training:
        source, features = fitting()
        return Training(source, tuple(training_clips(source)), space.projected(features))

    space = Space(space_card(suite, data), extractor, projection, frames, windows, cache(training))
    return space
