"""Does a model keep an object in mind while it cannot be seen?

Two parts over matched quads of the worlds (design §8). *Surprise*: of two impossible and two
possible clips made of the same frames, do the impossible ones surprise more? *Rollout*: in the
model's own future, does the object come out where and when it must, and only if it went in?
"""

from dataclasses import replace
from typing import Any, ClassVar

from worldbench import trivial_scorers
from worldbench.data.source import ClipSource
from worldbench.data.worlds.content import AFTER
from worldbench.options import at_least
from worldbench.schema import AdapterCard, Trial
from worldbench.suite import Scorer, Setting
from worldbench.suites import permanence_readout, quad_trials, surprise
from worldbench.suites.quad_trials import entries_of, first, quad_source, trial_of

HEADLINE = {"violation": "presence", "condition": "occluded"}
"""The quads that count: the same object at the same start passes behind an occluder, or leaves the
view in plain sight, so that a bag of context frames cannot tell."""

ALL = "all"


class Permanence:
    """Surprise at impossible futures of hidden objects, and where they are in a model's own.

    Args:
        samples: Rollouts per context: of the rollout part and of ``sample_distance``.
        rollouts: How many quads of each kind that is rolled out are; the first of them in the
            order of a hash. All if None, none if 0.
        secondary: How many of the headline quads the other operators are asked about, likewise.
        controls: How many of the headline quads are asked in plain sight too, likewise; ``all``:
            quads of every violation.

    Raises:
        UsageError: If an option is out of range.
    """

    name = "permanence"
    version = "1"
    accepts: tuple[str, ...] = ("surprises", "generates", "predicts")
    metric_versions: ClassVar[dict[str, str]] = {
        "pair_accuracy": "1",
        "max_accuracy": "1",
        "auroc": "1",
        "shared_prefix_accuracy": "1",
        "rollout_skill": "1",
        "rollout_accuracy": "1",
        "emergence_error": "1",
        "position_error": "1",
        "identity_accuracy": "1",
        "phantom_rate": "1",
    }

    def __init__(
        self,
        samples: int = 1,
        rollouts: int | None = None,
        secondary: int | None = None,
        controls: int | str = ALL,
    ) -> None:
        self.samples = at_least("suite.samples", samples, 1)
        self.rollouts, self.secondary = (
            None if value is None else at_least(f"suite.{name}", value, 0)
            for name, value in (("rollouts", rollouts), ("secondary", secondary))
        )
        self.controls: int | str = ALL
        if controls != ALL:
            self.controls = at_least("suite.controls", controls, 0, beside=ALL)

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the quads of the data, occluded ones and controls, in the set's order.

        Raises:
            UsageError: If the data holds no quads.
        """
        trials = [_moved(trial_of(entry)) for entry in entries_of(quad_source(data, self.name))]
        if isinstance(self.controls, str):
            return trials
        own = first([trial.id for trial in trials if _is_control(trial)], self.controls)
        return [trial for trial in trials if not _in_plain_sight(trial) or trial.id in own]

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns what fixes the meaning of the scores: options, rules and the clips' format."""
        return {
            "samples": self.samples,
            "rollouts": self.rollouts,
            "secondary": self.secondary,
            "controls": self.controls,
            "context": "largest legal in the identical run",
            "frames_after_run": AFTER,
            "long_from": quad_trials.SHORT,
            "headline_operator": list(surprise.HEADLINES),
            "trivial_scorers": sorted(trivial_scorers.SCORERS),
            "readout": permanence_readout.VERSION,
            "clips": data.protocol,
            **quad_trials.told_of_size(data),
        }

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        return surprise.unsupported(card)

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Makes what asks and counts; read-outs are fitted when the first rollout is read."""
        from worldbench.suites.permanence_scorer import PermanenceScorer

        return PermanenceScorer.load(self, quad_source(data, self.name), setting)


def is_headline(trial: Trial) -> bool:
    """Says whether a trial counts in the headline."""
    return all(trial.factors[name] == level for name, level in HEADLINE.items())


def _in_plain_sight(trial: Trial) -> bool:
    return bool(trial.factors["condition"] == "visible")


def _is_control(trial: Trial) -> bool:
    """Says whether a trial is a control of the headline's."""
    return _in_plain_sight(trial) and trial.factors["violation"] == HEADLINE["violation"]


def _moved(trial: Trial) -> Trial:
    """Returns the trial with a level of ``motion``: targets that fall have none of their own."""
    return replace(trial, factors={"motion": "drop", **trial.factors})
