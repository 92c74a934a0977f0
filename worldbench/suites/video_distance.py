"""How far are a model's futures from the real ones?

Every clip is split into context and future. Half of the clips (``rollout`` trials) give the model
its contexts; the real futures of the other half are the reference, so that the oracle's row is the
distance of disjoint real clips at equal n: the ceiling. Per-frame metrics compare each rollout with
its own true future. Protocol: design of Fréchet video distance (Unterthiner et al. 2018, arXiv
1812.01717) on the future frames alone, in the features of a named extractor. Models that foresee
latents and no pixels are measured through a read-out of the same features, in columns of their own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar

from worldbench.data.source import Clip, ClipSource
from worldbench.errors import DataError, UsageError
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Scorer, Setting, lacks_capability
from worldbench.suites.video_distance_options import Kind, Options, metric_versions


class VideoDistance:
    """Fréchet and kernel distance, PSNR and SSIM of rollouts.

    Args:
        context: Frames the model sees.
        horizon: Frames it must foresee; at least two, since the extractor looks at change.
        samples: Rollouts per context; distances pool them, per-frame metrics average them.
        components: Principal components that the offline extractor's features are projected on.
            The bias-corrected Fréchet distance needs four clips per component.
        **options: As :class:`worldbench.suites.video_distance_options.Options`.

    Raises:
        UsageError: If a number is out of range, or options do not fit together.
    """

    name = "video_distance"
    version = "1"
    kind: ClassVar[Kind] = "frechet"
    accepts: tuple[str, ...] = ("generates", "replays", "predicts")
    beyond_rows: ClassVar[str] = "the features of all rollouts"

    def __init__(
        self,
        context: int = 4,
        horizon: int = 12,
        samples: int = 1,
        components: int = 64,
        **options: Any,
    ) -> None:
        least = {"context": 1, "horizon": 2, "samples": 1, "components": 1}
        values = {
            "context": context,
            "horizon": horizon,
            "samples": samples,
            "components": components,
        }
        for option, value in values.items():
            if value < least[option]:
                raise UsageError(
                    f"suite.{option} is too small",
                    seen=value,
                    accepted=f"an integer of at least {least[option]}",
                    fix=f"suite.{option}={least[option]} or more",
                )
        self.context, self.horizon = context, horizon
        self.samples, self.components = samples, components
        self.options = Options.of(options)
        self.options.check(measured=horizon + context * self.options.whole, samples=samples)

    @property
    def metric_versions(self) -> dict[str, str]:
        """Version of the arithmetic of every metric that is asked for."""
        return metric_versions(self.kind, self.options)

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the rollout trials; the reference clips are the scorer's business.

        Raises:
            UsageError: If the clips are shorter than context and horizon.
            DataError: If there are too few clips.
        """
        if data.frames < self.context + self.horizon:
            raise UsageError(
                "the clips are shorter than context and horizon",
                seen=f"{data.frames} frames",
                accepted=f"at least {self.context} + {self.horizon}",
                fix=f"data.frames={self.context + self.horizon}",
            )
        rollouts, _ = halves(data.clips())
        return [
            Trial(clip.id, clip.cluster, (clip.id,), {"label": clip.label}) for clip in rollouts
        ]

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns context, horizon, samples, options, clip format and the extractor's card."""
        from worldbench.suites.video_distance_space import space_card

        return {
            **self.options.protocol,
            "context": self.context,
            "horizon": self.horizon,
            "samples": self.samples,
            "clips": data.protocol,
            "extractor": asdict(space_card(self, data)),
        }

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        lacking = lacks_capability(card, self.accepts)
        able = set(card.capabilities)
        if able & set(self.accepts) == {"predicts"} and "encodes" not in able:
            return (
                f"{card.name} predicts latents and does not encode clips: without latents of real "
                "clips there is no read-out to measure a distance through"
            )
        if able & set(self.accepts) == {"predicts"} and self.options.window is not None:
            return f"{card.name} predicts latents: windows slide over pixels"
        if lacking is None and not card.legal_context(self.context):
            longest = "" if card.max_context is None else f" and ≤ {card.max_context}"
            return (
                f"a context of {self.context} frames is not legal for {card.name}, which takes "
                f"≥ {card.min_context}{longest} in multiples of {card.temporal_stride}"
            )
        return lacking

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Loads the extractor and the reference's features."""
        from worldbench.suites.video_distance_scorer import VideoDistanceScorer

        _, reference = halves(data.clips())
        return VideoDistanceScorer.load(self, data, reference[: setting.limit], setting)


def halves(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Splits clips into rollout and reference halves of equal size.

    Videos come in the order of their id's hash, a video's clips in the order of theirs, and clips
    go to the two halves in turn. So a video of several clips stands in both halves alike, its
    beginning in either, and videos of one clip are dealt out at random but reproducibly. The last
    clip of an odd number is left out.

    Raises:
        DataError: If there are fewer than four clips: a distance needs two on each side.
    """
    if len(clips) < 4:
        raise DataError(
            "too few clips to compare",
            seen=len(clips),
            accepted="at least 4; 512 or more for distances with intervals",
            fix="add videos, or shorten the clips (data.frames, or a higher data.fps)",
        )
    # In time order, videos of two clips would give their beginnings to one half, their ends to the
    # other.
    dealt = sorted(clips, key=lambda c: (_hash(c.video), _hash(c.id)))
    even = len(dealt) - len(dealt) % 2
    return dealt[0:even:2], dealt[1:even:2]


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
