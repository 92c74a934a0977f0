"""Which of two matched movies surprises more, on the field's own data: IntPhys and IntPhys 2.

A window slides over each movie; at every place its first C frames are the context and the rest is
what came. Two scores are made of the surprises:

- ``pair_accuracy``, the headline: over all contexts of a fixed list and all places of the window,
  do the two impossible movies of a quadruplet surprise more than the two possible ones?
- ``relative_accuracy``, as published (Garrido et al. 2025, arXiv 2502.11831): per context, the
  share of pairs whose impossible movie has the larger mean (or maximal) surprise over windows.

The published figures are those of the context that scores best, block by block, on the very movies
that are reported. Here nothing is chosen: every context has its line, and the headline averages
over all. For orientation, on the dev set of IntPhys the paper has V-JEPA-H at 98 % [95.6, 99.4]
with the best context, and V-JEPA-L in [85.6, 94.4] with the context fixed at 2.

Two further differences, both by intent. Ties count ½, where the published strict comparison takes
them for errors: the movies of a pair share their first windows, so that maxima can tie. And an
adapter is asked by its own headline operator; the published one, whose targets are encoded with
their context (``latent_error_fullclip``), stands beside it where an adapter has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from worldbench import operators
from worldbench.data.quadruplet_data import QuadrupletData
from worldbench.data.source import ClipSource
from worldbench.errors import DataError, UsageError
from worldbench.options import at_least, yes_or_no
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Scorer, Setting, lacks_capability
from worldbench.suites.surprise import headline_operator, operators_of

PUBLISHED_OPERATOR = "latent_error_fullclip"


@dataclass(frozen=True, order=True)
class View:
    """One question about a movie: where the window stands, and how much of it is context.

    Attributes:
        context: Frames given.
        start: First frame of the window.
    """

    context: int
    start: int


class IntPhys:
    """Surprise at impossible movies, over sliding windows.

    A quadruplet of 49 frames of 224 × 224 pixels is 118 MB of float32: ``batch_size`` counts
    quadruplets.

    Args:
        window: Frames of a window.
        slide: Frames from one place of the window to the next.
        contexts: Frames of context, all of which are asked of every adapter that can take them.
        beginning: Whether the first window is asked with all shorter even contexts too, for events
            before the first context ends.
        samples: Rollouts per context that ``sample_distance`` compares with what came.

    Raises:
        UsageError: If a number is out of range.
    """

    name = "intphys"
    version = "1"
    accepts: tuple[str, ...] = ("surprises", "generates", "predicts")
    metric_versions: ClassVar[dict[str, str]] = {"pair_accuracy": "1", "relative_accuracy": "1"}

    def __init__(
        self,
        window: int = 16,
        slide: int = 2,
        contexts: Sequence[int] = (2, 4, 6, 8, 10),
        beginning: bool = False,
        samples: int = 1,
    ) -> None:
        self.window = at_least("suite.window", window, 2)
        self.slide = at_least("suite.slide", slide, 1)
        self.samples = at_least("suite.samples", samples, 1)
        self.beginning = yes_or_no("suite.beginning", beginning)
        self.contexts = tuple(at_least("suite.contexts", c, 1) for c in contexts)
        if not self.contexts or self.contexts != tuple(sorted({*self.contexts})):
            raise UsageError(
                "suite.contexts is no rising list",
                seen=list(contexts),
                accepted="numbers of frames, each larger than the one before",
                fix="suite.contexts=[2,4,6,8,10]",
            )
        if self.contexts[-1] >= self.window:
            raise UsageError(
                "a context leaves no future in the window",
                seen=f"{self.contexts[-1]} of {self.window} frames",
                accepted="contexts shorter than the window",
                fix=f"suite.window={self.contexts[-1] + 1} or more, or shorter suite.contexts",
            )

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the quadruplets; the clips of each are P1, P2, I1, I2.

        Raises:
            UsageError: If the data have no quadruplets.
            DataError: If a movie is shorter than the window.
        """
        quadruplets = _quadruplets(self.name, data).matched
        short = [q for q in quadruplets if q.frames < self.window]
        if short:
            raise DataError(
                f"{len(short)} quadruplets are shorter than the window",
                seen=f"{short[0].frames} frames in {short[0].id}",
                accepted=f"at least {self.window}",
                fix=f"data.min_frames={self.window} excludes and lists them",
            )
        return [
            Trial(q.id, q.cluster, q.movies, {**q.factors, "frames": q.frames, "exact": q.exact})
            for q in quadruplets
        ]

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns windows, contexts, samples, the clips' format and the shared space's version."""
        return {
            "window": self.window,
            "slide": self.slide,
            "contexts": list(self.contexts),
            "beginning": self.beginning,
            "samples": self.samples,
            "clips": data.protocol,
            "sample_distance": operators.VERSION,
        }

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        lacking = lacks_capability(card, self.accepts)
        if lacking is not None:
            return lacking
        if headline_operator(card) is None:
            return (
                f"{card.name} has no operator to be asked by: it has to be surprised, to generate, "
                "or to both predict and encode"
            )
        if not any(self.takes(card, context) for context in self.contexts):
            return f"{card.name} can take none of the contexts: " + "; ".join(
                why_not(card, context) for context in self.contexts
            )
        return None

    def asked_operators(self, card: AdapterCard) -> tuple[str, ...]:
        """Returns the headline operator, and the published one if the adapter has it."""
        headline = headline_operator(card)
        own = operators_of(card)
        return tuple(name for name in own if name in (headline, PUBLISHED_OPERATOR))

    def takes(self, card: AdapterCard, context: int) -> bool:
        """Says whether an adapter can be asked with a context.

        It must be legal, and leave a future in the clips that the adapter was made for.
        """
        return card.legal_context(context) and (card.frames is None or context < card.frames)

    def views(self, card: AdapterCard, frames: int) -> dict[int, list[View]]:
        """Returns what is asked about a movie, by context, of an adapter.

        Args:
            card: The adapter's; contexts that it cannot take are left out.
            frames: Frames of the movie.
        """
        starts = range(0, frames - self.window + 1, self.slide)
        found = {}
        for context in self.contexts:
            if not self.takes(card, context):
                continue
            found[context] = [View(c, 0) for c in self.earlier(context) if self.takes(card, c)]
            found[context] += [View(context, start) for start in starts]
        return found

    def earlier(self, context: int) -> Sequence[int]:
        """Returns the shorter contexts with which the first window is asked too."""
        return range(2, context - 1, 2) if self.beginning else ()

    def untaken(self, card: AdapterCard) -> int:
        """Returns how many contexts of the beginning an adapter cannot take."""
        return sum(not self.takes(card, c) for c in self.earlier(self.contexts[-1]))

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Makes the scorer; there is nothing to load."""
        from worldbench.suites.intphys_scorer import IntPhysScorer

        quadruplets = {q.id: q for q in _quadruplets(self.name, data).matched}
        return IntPhysScorer(self, quadruplets, setting)


class IntPhys2(IntPhys):
    """The same question of IntPhys 2, with the windows and contexts published for V-JEPA 2.

    Those published for models of 16 frames are ``window=16 contexts=[4,6,8,10,12,14]``. The
    release (facebookresearch/IntPhys2) computes surprises and scores none of them: they are
    scored here as those of IntPhys are.
    """

    name = "intphys2"

    def __init__(
        self,
        window: int = 48,
        slide: int = 2,
        contexts: Sequence[int] = (12, 18, 24, 30, 36, 42),
        beginning: bool = True,
        samples: int = 1,
    ) -> None:
        super().__init__(window, slide, contexts, beginning, samples)


def why_not(card: AdapterCard, context: int) -> str:
    """Says why an adapter cannot be asked with a context."""
    if card.legal_context(context):
        return f"{context} frames leave no future in clips of {card.frames}"
    longest = "" if card.max_context is None else f" and ≤ {card.max_context}"
    return (
        f"{context} frames are not legal (≥ {card.min_context}{longest}, "
        f"multiples of {card.temporal_stride})"
    )


def _quadruplets(suite: str, data: ClipSource) -> QuadrupletData:
    if not isinstance(data, QuadrupletData):
        raise UsageError(
            f"the suite {suite} needs movies in quadruplets",
            seen=type(data).__name__,
            accepted="data=intphys or data=intphys2",
            fix=f"data={suite} data.root=DIR",
        )
    return data
