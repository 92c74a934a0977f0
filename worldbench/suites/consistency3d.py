"""Is the world that a model foresees one rigid place, seen from a moving camera?

Three parts (design §9). *Rigidity quads*: a piece of a still scene slides, is scaled, swapped or
mirrored while a screen hides it; do the impossible clips surprise more? *Views*: the camera goes
round a still life; does what is foreseen show what the context showed, where it must be seen from
there, and do matches between foreseen frames obey epipolar geometry? *Read-outs*: what of depth
and of the camera's motion can be read off latents, foreseen or real?
"""

from dataclasses import replace
from typing import Any, ClassVar

from worldbench import trivial_scorers
from worldbench.data.source import Clip, ClipSource
from worldbench.data.worlds.content import AFTER, QuadEntry
from worldbench.options import at_least
from worldbench.schema import AdapterCard, Scalar, Trial
from worldbench.suite import Scorer, Setting
from worldbench.suites import surprise
from worldbench.suites.quad_trials import QuadSource, entries_of, quad_source, trial_of
from worldbench.suites.view_families import POSED, UNPOSED, PosedSource

HEADLINE: dict[str, Scalar] = {"condition": "occluded", "hide": "screen", "resized": False}
"""The quads that count: the piece is seen from one side of the screen, then from the other. Where
the camera turns away and comes back to the same view, the frames of the context as a bag tell the
answer, and where a piece is scaled its share of the colours does: those are shown beside."""

VIEWS = ("static_orbit", "dolly", "truck")
"""Families whose clips are views of a still life."""

CONTEXT = 8
"""Frames of context of a view, or the largest number below it that is legal."""


class Consistency3D:
    """Surprise at scenes that are not rigid, and the geometry of a model's own future.

    Args:
        samples: Rollouts per context; a view's values are means over them.
        views: How many views of each family, or real clips, are rolled out; all if None.
        secondary: How many of the headline quads the other operators are asked about, likewise.

    Raises:
        UsageError: If an option is out of range.
    """

    name = "consistency3d"
    version = "1"
    accepts: tuple[str, ...] = ("surprises", "generates", "predicts")
    metric_versions: ClassVar[dict[str, str]] = {
        "rigidity_accuracy": "1",
        "max_accuracy": "1",
        "auroc": "1",
        "shared_prefix_accuracy": "1",
        "anchored_skill": "1",
        "anchored_similarity": "1",
        "path_speed_error": "1",
        "tsed": "1",
        "sampson_error": "1",
        "depth": "1",
        "depth_delta1": "1",
        "pose": "1",
        "rotation_error": "1",
        "direction_error": "1",
        "gain_over_mean": "1",
        "correspondence_recall": "1",
    }

    def __init__(
        self, samples: int = 1, views: int | None = None, secondary: int | None = None
    ) -> None:
        self.samples = at_least("suite.samples", samples, 1)
        self.views, self.secondary = (
            None if value is None else at_least(f"suite.{name}", value, 0)
            for name, value in (("views", views), ("secondary", secondary))
        )

    def trials(self, data: ClipSource) -> list[Trial]:
        """Lists the quads of the data and then its views, in the set's order.

        Data of any other kind has views alone: every clip, with cameras or without.

        Raises:
            UsageError: If the data is a set of the worlds without quads.
        """
        if not isinstance(data, QuadSource):
            family = POSED if isinstance(data, PosedSource) else UNPOSED
            return [_view(clip, family) for clip in data.clips()[: self.views]]
        quads = [_quad(entry) for entry in entries_of(quad_source(data, self.name))]
        views: list[Trial] = []
        for family in VIEWS:
            clips = [clip for clip in data.clips() if clip.id.startswith(f"{family}/")]
            views += [_view(clip, family) for clip in clips[: self.views]]
        return quads + views

    def protocol(self, data: ClipSource) -> dict[str, Any]:
        """Returns what fixes the meaning of the scores: options, rules and the clips' format."""
        from worldbench import operators
        from worldbench.suites import (
            consistency3d_readout,
            correspondence_recall,
            quad_trials,
            training_views,
            view_geometry,
        )

        train = data.train if isinstance(data, QuadSource) else None
        return {
            "samples": self.samples,
            "views": self.views,
            "secondary": self.secondary,
            "context": {"quads": "largest legal in the identical run", "views": CONTEXT},
            "frames_after_run": AFTER,
            "headline_operator": list(surprise.HEADLINES),
            "trivial_scorers": sorted(trivial_scorers.SCORERS),
            "geometry": view_geometry.RULES,
            "readout": [consistency3d_readout.VERSION, operators.VERSION],
            "training": None if train is None else train.info.digest,
            "latents": {**view_geometry.LATENT_RULES, "version": training_views.VERSION},
            "angles": [list(correspondence_recall.ANGLES), correspondence_recall.NEAR],
            "clips": data.protocol,
            **quad_trials.told_of_size(data),
        }

    def unsupported(self, card: AdapterCard) -> str | None:
        """Says why this adapter cannot be asked, or None."""
        return surprise.unsupported(card)

    def scorer(self, data: ClipSource, setting: Setting) -> Scorer:
        """Makes what asks and counts; read-outs are fitted when the first view is read."""
        from worldbench.suites.consistency3d_scorer import Consistency3DScorer

        return Consistency3DScorer.load(self, data, setting)


def is_headline(trial: Trial) -> bool:
    """Says whether a trial counts in the headline."""
    return all(trial.factors.get(name) == level for name, level in HEADLINE.items())


def is_view(trial: Trial) -> bool:
    """Says whether a trial is a view, and not a quad."""
    return "view" in trial.factors


def _quad(entry: QuadEntry) -> Trial:
    trial = trial_of(entry)
    return replace(trial, factors={**trial.factors, "resized": entry.violation == "scale"})


def _view(clip: Clip, family: str) -> Trial:
    return Trial(clip.id, clip.cluster, (clip.id,), {"view": family})
