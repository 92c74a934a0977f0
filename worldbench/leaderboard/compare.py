"""Ranks: who is significantly better than whom, over the whole board as one family of tests."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from worldbench.errors import RecordError
from worldbench.leaderboard.rows import Absent, Scores
from worldbench.stats import (
    Comparison,
    adjust,
    influence_difference,
    paired_differences,
    ranks,
    sign_flip,
)

ALPHA = 0.05
"""Family-wise error rate of all statements "better" on the board together."""

MIN_DRAWS = 10_000


@dataclass(frozen=True)
class Contender:
    """One adapter in one contest: its id, its score and its per-trial results."""

    adapter: str
    value: float
    scores: Scores | Absent


@dataclass(frozen=True)
class Contest:
    """One headline metric of one section, and the adapters measured on it."""

    metric: str
    higher_is_better: bool
    contenders: tuple[Contender, ...]


def standings(contests: Sequence[Contest]) -> dict[tuple[str, str], int | str]:
    """Ranks every contender: 1 + number of adapters significantly better (Holm, α = .05).

    The family is all adapter pairs × headline metrics of all contests together.

    Args:
        contests: The contests, in an order that does not depend on files.

    Returns:
        By (metric, adapter): the rank, or the reason why there is none.

    Raises:
        RecordError: If two rows files put the same trial into different clusters.
    """
    pairs = [
        (contest, a, b) for contest in contests for a, b in combinations(contest.contenders, 2)
    ]
    # A sign-flip p is at least 1 / (1 + draws) and Holm multiplies it by the size of the family:
    # with fewer draws than this, no difference on a large board could be significant.
    draws = max(MIN_DRAWS, math.ceil(2 * len(pairs) / ALPHA))
    compared = [c for contest, a, b in pairs if (c := _compare(contest, a, b, draws)) is not None]
    adjusted = adjust(compared) if compared else []
    result: dict[tuple[str, str], int | str] = {}
    for contest in contests:
        own = [c for c in adjusted if c.metric == contest.metric]
        for adapter, rank in _ranked(contest, own).items():
            result[contest.metric, adapter] = rank
    return result


def _ranked(contest: Contest, own: list[Comparison]) -> dict[str, int | str]:
    result: dict[str, int | str] = {
        c.adapter: c.scores.reason for c in contest.contenders if isinstance(c.scores, Absent)
    }
    able = [c.adapter for c in contest.contenders if c.adapter not in result]
    met = {name for comparison in own for name in (comparison.a, comparison.b)}
    lonely = [name for name in able if name not in met and len(able) > 1]
    result.update(dict.fromkeys(lonely, "it shares no comparable trials with any other adapter"))
    names = [name for name in able if name not in result]
    result.update(ranks(names, own, ALPHA))
    return result


def _compare(contest: Contest, a: Contender, b: Contender, draws: int) -> Comparison | None:
    """Tests one pair; None where the two cannot be compared."""
    one, two = a.scores, b.scores
    if isinstance(one, Absent) or isinstance(two, Absent) or one.kind != two.kind:
        return None
    shared = sorted(one.values.keys() & two.values.keys())
    _agree(contest, a, b, one, two, shared)
    if not shared:
        return None
    labels = [one.clusters[trial] for trial in shared]
    p: float | None
    if one.kind == "trials":
        _, differences = paired_differences(one.values, two.values)
        p = sign_flip(differences, labels, draws=draws)
        difference = math.fsum(differences) / len(shared)
    else:
        tested = influence_difference(
            one.values, two.values, one.clusters, two.clusters, a.value, b.value
        )
        p, difference = tested.p, tested.difference
    if p is None:
        return None
    return Comparison(
        a=a.adapter,
        b=b.adapter,
        metric=contest.metric,
        difference=difference,
        p=p,
        adjusted=None,
        n=len(shared),
        clusters=len(set(labels)),
        higher_is_better=contest.higher_is_better,
    )


def _agree(
    contest: Contest, a: Contender, b: Contender, one: Scores, two: Scores, shared: Iterable[str]
) -> None:
    for trial in shared:
        if one.clusters[trial] != two.clusters[trial]:
            raise RecordError(
                f"rows of {a.adapter} and {b.adapter} disagree on the cluster of trial {trial}",
                seen=f"{one.clusters[trial]!r} and {two.clusters[trial]!r} in {contest.metric}",
                accepted="one cluster per trial, since both name the same data",
                fix="run the older of the two cells again",
            )
