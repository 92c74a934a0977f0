"""From rows of probes to accuracies with intervals clustered by scene."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from worldbench.schema import MetricResult, Scalar
from worldbench.stats import cluster_standard_error, share_interval
from worldbench.suite import Row, Summary
from worldbench.suites.means import mean_of
from worldbench.suites.probe_training import Items

if TYPE_CHECKING:
    from worldbench.suites.probe import Probe

_TOP = 5


def summarise(
    rows: Sequence[Row], suite: "Probe", items: Items, left_out: Sequence[float]
) -> Summary:
    """Returns all metrics; the rows get the confusion matrix of the headline's probe.

    Args:
        rows: Of all trials.
        suite: What was asked.
        items: What probes learnt from.
        left_out: Shares of labels that were not asked about.
    """
    asked = [row for row in rows if row["role"] in ("rollout", "probe")]
    plain = [row for row in asked if row["control"] is None and row["share"] is None]
    by_probe = {p: [row for row in plain if row["probe"] == p] for p in suite.probes}
    first = suite.probes[0]
    metrics = [_top1(by_probe[first], {"probe": first}, headline=True)]
    for probe, some in by_probe.items():
        metrics += [_top1(some, {"probe": probe})] if probe != first else []
        metrics += _others(some, probe, len(items.classes))
    metrics += _few(asked, by_probe, suite)
    metrics += [_too_few(share, probe) for probe in suite.few_probes for share in left_out]
    metrics += _controls(asked, by_probe[first], items)
    metrics += _transfer([row for row in rows if row["role"] == "transfer"], suite)
    metrics += _grid([row for row in rows if row["role"] == "grid"])
    metrics += _compute(by_probe[first], first)
    return Summary(tuple(metrics), (*rows, *confusion(by_probe[first])))


def _top1(
    rows: Sequence[Row], factors: dict[str, Scalar], *, headline: bool = False
) -> MetricResult:
    return mean_of("top1", rows, lambda row: row["correct"], factors, headline=headline)


def _others(rows: Sequence[Row], probe: str, classes: int) -> list[MetricResult]:
    """Returns top-5, and the mean over classes: each counts alike, however many clips it has."""
    factors: dict[str, Scalar] = {"probe": probe}
    found = [_per_class(rows, factors)]
    if classes > _TOP:
        found.append(mean_of("top5", rows, lambda row: row["correct5"], factors))
    return found


def _per_class(rows: Sequence[Row], factors: dict[str, Scalar]) -> MetricResult:
    """Returns the mean over classes of the share that is right.

    Where some classes have more clips, its interval follows from how far each clip is from its own
    class: how many clips there are of a class is no accident of which scenes were drawn.
    """
    by_class: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_class[row["label"]].append(row["correct"])
    if len({len(values) for values in by_class.values()}) <= 1:
        return mean_of("per_class", rows, lambda row: row["correct"], factors)
    means = {label: math.fsum(values) / len(values) for label, values in by_class.items()}
    value = math.fsum(means.values()) / len(means)
    influence = [
        (row["correct"] - means[row["label"]])
        * (len(rows) / (len(means) * len(by_class[row["label"]])))
        for row in rows
    ]
    clusters = [str(row["cluster"]) for row in rows]
    error = cluster_standard_error(np.array(influence), clusters)
    told = share_interval(value, error, len(rows), len(set(clusters)))
    return MetricResult(
        name="per_class",
        factors=dict(factors),
        higher_is_better=True,
        **asdict(told),
    )


def _few(rows: Sequence[Row], by_probe: dict[str, list[Row]], suite: "Probe") -> list[MetricResult]:
    """Returns accuracy by number of labels; of several splits, each clip's mean over them."""
    sets: dict[tuple[str, float], list[Row]] = defaultdict(list)
    for row in rows:
        if row["share"] is not None:
            sets[row["probe"], row["share"]].append(row)
    found = []
    for (probe, _), some in sorted(sets.items(), key=lambda item: (item[0][0], item[0][1])):
        by_clip: dict[tuple[str, str], list[float]] = defaultdict(list)
        for row in some:
            by_clip[row["trial"], row["cluster"]].append(row["correct"])
        means: list[Row] = [
            {"cluster": cluster, "correct": sum(values) / len(values)}
            for (_, cluster), values in by_clip.items()
        ]
        labels = round(sum(row["labels"] for row in some) / len(some))
        found.append(_top1(means, {"probe": probe, "labels": labels}))
    for probe in suite.few_probes if found else ():
        if full := by_probe.get(probe):
            found.append(_top1(full, {"probe": probe, "labels": full[0]["labels"]}))
    return found


def _too_few(share: float, probe: str) -> MetricResult:
    reason = "one scene of each class, which it keeps at least, is as much as a share beside it"
    return MetricResult(
        name="top1",
        factors={"probe": probe, "share_of_labels": share},
        higher_is_better=True,
        status="skipped",
        reason=reason,
    )


def _controls(rows: Sequence[Row], plain: Sequence[Row], items: Items) -> list[MetricResult]:
    """Returns what probes score where there is less to learn, and what naming one class scores."""
    sets: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["control"] is not None:
            sets[row["probe"], row["control"]].append(row)
    found = [_top1(some, {"probe": p, "control": c}) for (p, c), some in sorted(sets.items())]
    counts = Counter(items.labels)
    usual = min(counts, key=lambda label: (-counts[label], label))
    named = [row | {"correct": float(row["label"] == usual)} for row in plain]
    return [*found, _top1(named, {"control": "most_frequent_class"})]


def _transfer(rows: Sequence[Row], suite: "Probe") -> list[MetricResult]:
    own = [row | {"cluster": row["scene"]} for row in rows]
    return [
        _top1(some, {"probe": probe, "data": some[0]["data"]})
        for probe in suite.probes
        if (some := [row for row in own if row["probe"] == probe])
    ]


def _grid(rows: Sequence[Row]) -> list[MetricResult]:
    """Returns what the selection saw, by depth and by noise level: its best head at each.

    They are maxima over heads on the clips that chose, hence without intervals, and no results.
    """
    linear = [row for row in rows if row["probe"] == "logistic"]
    found = []
    for factor in ("depth", "noise"):
        levels = sorted({row[factor] for row in linear if row[factor] is not None})
        for level in levels if len(levels) > 1 else ():
            some = [row for row in linear if row[factor] == level]
            best = max(row["fold_top1"] for row in some)
            found.append(
                MetricResult(
                    name="fold_top1",
                    factors={factor: level},
                    value=best,
                    n=some[0]["fold_clips"],
                    higher_is_better=True,
                    reason="the best of a grid on the clips that chose: no result",
                )
            )
    return found


def _compute(rows: Sequence[Row], probe: str) -> list[MetricResult]:
    """Returns the operations per video, and the accuracy again, placed by them.

    Where some could not be counted there is no number: it would be too low by nobody knows what.
    """
    if not rows:
        return []
    common = {"name": "gflops", "unit": "GFLOP a video", "higher_is_better": False}
    if rows[0]["gflops"] is None:
        return [MetricResult(**common, status="skipped", reason=rows[0]["uncounted"])]
    gflops = round(float(rows[0]["gflops"]), 2)
    cost = MetricResult(**common, value=gflops, n=len(rows))
    return [cost, _top1(rows, {"probe": probe, "gflops": gflops})]


def confusion(rows: Iterable[Row]) -> list[Row]:
    """Counts how often which class was taken for which; pairs that never came up are left out."""
    counts = Counter((row["label"], row["predicted"], row["probe"]) for row in rows)
    return [
        {
            "trial": f"{label} → {predicted}",
            "cluster": "",
            "role": "confusion",
            "probe": probe,
            "label": label,
            "predicted": predicted,
            "count": count,
        }
        for (label, predicted, probe), count in sorted(counts.items())
    ]
