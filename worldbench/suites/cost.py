"""What does an answer cost?

Counted in floating-point operations of matrix products, convolutions and attention, which depend on
shapes and not on the machine (:mod:`worldbench.flops`): of encoding a clip, of a second foreseen in
latents and in pixels, and of saying how surprising the four clips of a quad are. Every adapter is
asked at its own size and frame rate, one clip at a time, about clips of the same number of frames.
Seconds and memory do depend on the machine: they stand in the record's provenance. Nothing here is
a score, so that nothing is ranked; a model that does less for an answer may well answer worse.
"""

from typing import Any, ClassVar

from worldbench import flops
from worldbench.data.source import ClipSource
from worldbench.errors import DataError, UsageError
from worldbench.options import at_least
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Scorer, Setting, lacks_capability
from worldbench.suites import surprise


class Cost:
    """Parameters and operations.

    Args:
        context: Frames the model sees.
        horizon: Frames it must foresee; a clip that is encoded has as many as both together.
        quads: Pairs of clips asked about. Each is spliced into a quad for surprise.

    Raises:
        UsageError: If an option is out of range.
    """

    name = "cost"
    version = "1"
    accepts: tuple[str, ...] = ("encodes", "predicts", "generates", "surprises")
    metric_versions: ClassVar[dict[str, str]] = {
        "parameters": "1",
        "encode_gflops": "1",
        "predict_gflops": "1",
        "generate_gflops": "1",
        "surprise_gflops": "1",
    }
    samples = 1

    def __init__(self, context: int = 4, horizon: int = 12, quads: int = 2) -> None:
        self.context = at_least("suite.context", context, 1)
        self.horizon = at_least("suite.horizon", horizon, 1)
        self.quads = at_least("suite.quads", quads, 1)

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self.context + self.horizon

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the first pairs of clips of the data.

        Raises:
            UsageError: If the clips are shorter than context and horizon.
            DataError: If there are too few.
        """
        if data.frames < self.frames:
            raise UsageError(
                "the clips are shorter than context and horizon",
                seen=f"{data.frames} frames",
                accepted=f"at least {self.context} + {self.horizon}",
                fix=f"suite.horizon={max(1, data.frames - self.context)}",
            )
        clips = data.clips()[: 2 * self.quads]
        if len(clips) < 2 * self.quads:
            raise DataError(
                "too few clips to ask about",
                seen=len(clips),
                accepted=f"2 for each of {self.quads} quads",
                fix="suite.quads=1, or more clips",
            )
        pairs = zip(clips[::2], clips[1::2], strict=True)
        return [Trial(a.id, a.cluster, (a.id, b.id)) for a, b in pairs]

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns what fixes the counts: lengths, sizes, operators and how operations count."""
        return {
            "context": self.context,
            "horizon": self.horizon,
            "quads": self.quads,
            "size": "the adapter's own, or the data's",
            "fps": "the adapter's own, or the data's",
            "clips_at_once": {"encode": 1, "predict": 1, "generate": 1, "surprise": 4},
            "operators": list(surprise.HEADLINES),
            "operations": flops.VERSION,
            "clips": data.protocol,
        }

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        if set(card.capabilities) == {"replays"}:
            return f"{card.name} looks answers up by trial: what they cost was spent elsewhere"
        return lacks_capability(card, self.accepts)

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Makes what asks and counts."""
        from worldbench.suites.cost_scorer import CostScorer

        return CostScorer(self, data.fps, setting)
