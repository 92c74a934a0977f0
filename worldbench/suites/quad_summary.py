"""From rows of quads to accuracies: overall, by factor, by operator; controls, trivial scorers.

Shared by every suite of matched quads; what its headline is, is the suite's to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from worldbench.schema import MetricResult, Scalar, Trial
from worldbench.stats import cluster_standard_error, share_interval
from worldbench.suite import Row
from worldbench.suites.means import mean_of
from worldbench.suites.quad_scores import PREFIXES
from worldbench.suites.quad_trials import CLIPS
from worldbench.trivial_scorers import SCORERS


@dataclass(frozen=True)
class QuadRows:
    """Rows of quads, with the trials that they belong to.

    Attributes:
        rows: One per trial and operator.
        trials: By id.
        name: Of the accuracy.
        headline: Levels of the factors that the headline's trials share.
        operator: The headline operator.
    """

    rows: Sequence[Row]
    trials: Mapping[str, Trial]
    name: str
    headline: Mapping[str, Scalar]
    operator: str

    def where(self, levels: Mapping[str, Scalar], operator: str | None = None) -> list[Row]:
        """Returns the rows of one operator (the headline's if None) with these levels."""
        wanted = operator or self.operator
        return [
            row
            for row in self.rows
            if row["operator"] == wanted
            and all(self.level(row, name) == level for name, level in levels.items())
        ]

    def level(self, row: Row, factor: str) -> Scalar | None:
        """Returns a factor's level in a row's trial; None if it has no such factor."""
        return self.trials[str(row["trial"])].factors.get(factor)

    def accuracies(self, factors: Sequence[str], *, others: bool = True) -> list[MetricResult]:
        """Returns the headline, what it is by each factor, and the same of other questions.

        Args:
            factors: What the headline is broken down by.
            others: Whether to add every other violation and condition.
        """
        own = self.where(self.headline)
        told: dict[str, Scalar] = {**self.headline, "operator": self.operator}
        found = [mean_of(self.name, own, _outcome, told, headline=True)]
        for factor in factors:
            for level in self._levels(own, factor):
                some = [row for row in own if self.level(row, factor) == level]
                found.append(mean_of(self.name, some, _outcome, {**told, factor: level}))
        return found + (self._others() if others else [])

    def _others(self) -> list[MetricResult]:
        """Returns the accuracy of every other violation and condition, by the same operator."""
        found = []
        for violation in self._levels(self.rows, "violation"):
            for condition in self._levels(self.rows, "condition"):
                levels = {"violation": violation, "condition": condition}
                rows = self.where(levels)
                if rows and levels != dict(self.headline):
                    told = {**levels, "operator": self.operator}
                    found.append(mean_of(self.name, rows, _outcome, told))
        return found

    def operators(self) -> list[MetricResult]:
        """Returns, by operator, other ways to read the headline's quads."""
        found = []
        for operator in dict.fromkeys(str(row["operator"]) for row in self.rows):
            rows = self.where(self.headline, operator)
            if not rows:
                continue
            told: dict[str, Scalar] = {**self.headline, "operator": operator}
            if operator != self.operator:
                found.append(mean_of(self.name, rows, _outcome, told))
            found.append(mean_of("max_accuracy", rows, lambda row: row["outcome_max"], told))
            found.append(single_clip_auroc(rows, told))
            for prefix in PREFIXES:
                found.append(
                    mean_of(
                        "shared_prefix_accuracy",
                        rows,
                        lambda row, prefix=prefix: row[prefix],  # type: ignore[misc]
                        {"operator": operator, "prefix": prefix},
                    )
                )
        return found

    def trivial(self) -> list[MetricResult]:
        """Returns the accuracies of scorers that have nothing in mind, on the same trials."""
        own = self.where(self.headline)
        found = [
            mean_of(
                "shared_prefix_accuracy",
                own,
                lambda row, prefix=prefix: row[f"future_only_{prefix}"],  # type: ignore[misc]
                {"operator": "future only", "prefix": prefix},
            )
            for prefix in PREFIXES
        ]
        if "violation" not in self.headline:
            violations = self._levels(own, "violation")
            levels = [self.headline, *({**self.headline, "violation": v} for v in violations)]
            return found + [each for level in levels for each in self.trivial_at(level)]
        for violation in self._levels(self.rows, "violation"):
            found += self.trivial_at({"violation": violation, "condition": "occluded"})
        return found

    def trivial_at(self, levels: Mapping[str, Scalar]) -> list[MetricResult]:
        """Returns the accuracy of every trivial scorer on the trials with these levels."""
        return [
            mean_of(
                "trivial_accuracy",
                self.where(levels),
                lambda row, name=name: row[f"trivial_{name}"],  # type: ignore[misc]
                {**levels, "scorer": name},
            )
            for name in SCORERS
        ]

    def controls(self, *, both_possible: bool = True) -> list[MetricResult]:
        """Returns what stands beside the headline: in plain sight, no impossible clip, ties.

        Args:
            both_possible: Whether the suite has quads without an impossible clip.
        """
        own = self.where(self.headline)
        plain = self.where({**self.headline, "condition": "visible"})
        found = [mean_of("visible_control", plain, _outcome, {})]
        if both_possible:
            fair = self.where({"condition": "both_possible"})
            found.append(mean_of("both_possible_control", fair, _outcome, {}))
        tied = mean_of("tied", own, lambda row: float(row["outcome"] == 0.5), {}, better=False)
        return [*found, tied]

    def _levels(self, rows: Iterable[Row], factor: str) -> list[Scalar]:
        """Returns a factor's levels in order, numbers by size."""
        levels = {self.level(row, factor) for row in rows} - {None}
        return sorted((v for v in levels if v is not None), key=lambda v: (str(type(v)), v))


def _outcome(row: Row) -> float:
    return float(row["outcome"])


def single_clip_auroc(rows: Sequence[Row], factors: Mapping[str, Scalar]) -> MetricResult:
    """Returns how well single clips are told apart: the area under the ROC curve of mean surprise.

    P(S(impossible) > S(possible)) + ½ P(=), over all pairs of clips of all quads (Mann-Whitney);
    its interval from placement values (DeLong et al. 1988), summed by scene.
    """
    possible, impossible = (
        np.array([[row[f"mean_{clip}"] for clip in clips] for row in rows], dtype=np.float64)
        for clips in (CLIPS[:2], CLIPS[2:])
    )
    flat, other = possible.ravel(), impossible.ravel()
    above = _placements(other, flat)  # of each impossible clip among the possible ones
    below = 1 - _placements(flat, other)
    value = float(above.mean())
    influence = np.concatenate([2 * (above - value), 2 * (below - value)])
    clusters = [str(row["cluster"]) for row in rows for _ in range(2)]
    error = cluster_standard_error(influence, clusters * 2)
    found = share_interval(value, error, len(rows), len(set(clusters)))
    return MetricResult(
        name="auroc",
        factors=dict(factors),
        higher_is_better=True,
        **asdict(found),
    )


def _placements(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Returns the share of ``among`` that lies below each value, ties ½."""
    ordered = np.sort(among)
    below = np.searchsorted(ordered, values, side="left")
    up_to = np.searchsorted(ordered, values, side="right")
    share: np.ndarray = (below + up_to) / (2 * len(ordered))
    return share
