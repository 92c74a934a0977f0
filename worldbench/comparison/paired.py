"""The paired tests of one metric, from per-trial results to difference, interval and p."""

from worldbench.comparison.outcome import ALPHA, POWER, Paired, Trial
from worldbench.leaderboard.board import Column
from worldbench.leaderboard.rows import Scores
from worldbench.stats import (
    cluster_mean,
    cluster_standard_error,
    influence_difference,
    minimal_detectable,
    normal_interval,
    paired_differences,
    sign_flip,
)


def of_trials(column: Column, one: Scores, two: Scores, draws: int, shown: int) -> Paired:
    """Compares means of trials: cluster bootstrap interval, two-sided cluster sign-flip p.

    Args:
        column: The metric, for its direction.
        one: Scores of a by trial.
        two: Scores of b by trial; at least one trial is shared.
        draws: Draws of the sign-flip.
        shown: How many of the best and of the worst trials to keep.
    """
    ids, differences = paired_differences(one.values, two.values)
    labels = [one.clusters[trial] for trial in ids]
    interval = cluster_mean(differences, labels, bounded=False)
    se = cluster_standard_error(differences - interval.value, labels)
    sign = 1.0 if column.higher_is_better else -1.0
    trials = [Trial(i, one.clusters[i], one.values[i], two.values[i]) for i in ids]
    # Sorted is stable and ids are: equal gains stand in the order of their ids.
    gains = sorted(trials, key=lambda trial: -sign * trial.difference)
    better = [trial for trial in gains if sign * trial.difference > 0.0]
    worse = [trial for trial in gains if sign * trial.difference < 0.0]
    losses = sorted(worse, key=lambda trial: sign * trial.difference)
    return Paired(
        kind="trials",
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        p=sign_flip(differences, labels, draws=draws),
        adjusted=None,
        detectable=minimal_detectable(se, interval.clusters, alpha=ALPHA, power=POWER),
        better=len(better),
        ties=len(ids) - len(better) - len(worse),
        worse=len(worse),
        best=tuple(better[:shown]),
        worst=tuple(losses[:shown]),
        n=len(ids),
        clusters=interval.clusters,
        only_a=len(one.values) - len(ids),
        only_b=len(two.values) - len(ids),
    )


def of_influence(one: Scores, two: Scores, value_a: float, value_b: float) -> Paired:
    """Compares distances by paired influence values: normal interval and two-sided p.

    Args:
        one: Influence values of a, by role and trial.
        two: The same of b.
        value_a: Distance of a.
        value_b: Distance of b.
    """
    found = influence_difference(
        one.values, two.values, one.clusters, two.clusters, value_a, value_b
    )
    # Reference clips weigh in the spread but are no trials.
    a, b = ({i for i in side.values if i.startswith("rollout/")} for side in (one, two))
    clusters = len(set(one.clusters.values()) | set(two.clusters.values()))
    # A spread of 0 beside a difference is a degenerate linearisation and gives no interval.
    se = None if found.p is None else found.standard_error
    interval = normal_interval(found.difference, se, len(a & b), clusters)
    return Paired(
        kind="influence",
        difference=found.difference,
        low=interval.low,
        high=interval.high,
        p=found.p,
        adjusted=None,
        detectable=minimal_detectable(se, clusters, alpha=ALPHA, power=POWER),
        n=len(a & b),
        clusters=len({one.clusters[i] for i in a & b}),
        only_a=len(a - b),
        only_b=len(b - a),
    )
