"""Clustered intervals, paired tests and skill: numpy and scipy only, so the leaderboard can use it.

Trials that share a scene or a source video are not independent. Everything here that speaks of
uncertainty therefore resamples, flips or sums whole clusters. Five ideas, one module each:
``clusters`` groups trials, ``intervals`` says how sure a number is, ``significance`` whether two
adapters differ, ``power`` what difference could have been seen, ``ranking`` turns differences into
ranks; ``scores`` holds the pair rule and skill.
"""

from worldbench.stats.intervals import (
    Interval,
    cluster_mean,
    cluster_standard_error,
    normal_interval,
    share_interval,
    wilson,
)
from worldbench.stats.power import minimal_detectable
from worldbench.stats.ranking import Comparison, adjust, pairwise, rank_adapters, ranks
from worldbench.stats.scores import Skill, gap_standard_error, pair_score, skill
from worldbench.stats.significance import (
    InfluenceDifference,
    holm,
    influence_difference,
    paired_differences,
    sign_flip,
)

__all__ = [
    "Comparison",
    "InfluenceDifference",
    "Interval",
    "Skill",
    "adjust",
    "cluster_mean",
    "cluster_standard_error",
    "gap_standard_error",
    "holm",
    "influence_difference",
    "minimal_detectable",
    "normal_interval",
    "pair_score",
    "paired_differences",
    "pairwise",
    "rank_adapters",
    "ranks",
    "share_interval",
    "sign_flip",
    "skill",
    "wilson",
]
