"""What ``video_distance`` measures beside its plain protocol, where options ask for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.card import ExtractorCard
from worldbench.metrics.diversity import sample_diversity
from worldbench.metrics.jedi import KERNEL
from worldbench.metrics.sample_curve import finite_sample_curve
from worldbench.metrics.temporal import MEASURES, UNITS, temporal_report
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row
from worldbench.suites.means import mean_of
from worldbench.suites.video_distance_estimators import Estimator, Sets
from worldbench.suites.video_distance_latents_summary import read_distances, read_reference
from worldbench.suites.video_distance_options import Options
from worldbench.suites.video_distance_readout import readout_label

PATHS = {"true": "ceiling", "still": "floor"}
"""Columns with features of what is put in the rollouts' place, and what the path is called."""


@dataclass(frozen=True)
class Extras:
    """Measures what options ask for.

    Attributes:
        options: Which.
        estimator: The distances.
        card: The extractor's card.
        reference: The reference clips.
        features: Their features.
        temporal: Their temporal measures; None where they were not asked for.
        labels: The class of every trial, by its id.
    """

    options: Options
    estimator: Estimator
    card: ExtractorCard
    reference: tuple[Clip, ...]
    features: Float[Tensor, "m ..."]
    temporal: Float[Tensor, "m d"] | None
    labels: Mapping[str, str]

    def __call__(self, rows: Sequence[Row]) -> list[MetricResult]:
        """Returns the metrics that come after those of the plain protocol."""
        found: list[MetricResult] = []
        if self.options.ceiling:
            found += self._paths(rows)
        if self.options.readout and "read" in rows[0]:
            found += self._read(rows)
        if self.options.diversity:
            found += self._diversity(rows)
        if self.options.curve:
            found += self._curve(rows)
        if self.options.by_class:
            found += self._classes(rows)
        if self.temporal is not None:
            found += self._temporal(rows)
        return found

    def _factors(self, **more: Scalar) -> dict[str, Scalar]:
        return {"extractor": self.card.label, **more}

    def _paths(self, rows: Sequence[Row]) -> list[MetricResult]:
        """The distances of true futures and of still ones, once per trial."""
        once = [row for row in rows if row["sample"] == 0]
        found = []
        for column, path in PATHS.items():
            sets = Sets.of(once, column, self.reference, self.features)
            found += self.estimator(sets, self._factors(path=path), headline=False, kept=None)
        return found

    def _read(self, rows: Sequence[Row]) -> list[MetricResult]:
        once = [row for row in rows if row["sample"] == 0]
        real = read_reference(once, self.reference)
        label = readout_label(self.card)
        return read_distances(once, real, label, self.estimator, column="read")

    def _diversity(self, rows: Sequence[Row]) -> list[MetricResult]:
        features = torch.tensor([row["features"] for row in rows], dtype=torch.float64).flatten(1)
        trials = list(dict.fromkeys(row["trial"] for row in rows))
        numbers = torch.tensor([trials.index(row["trial"]) for row in rows])
        shares = sample_diversity(features, numbers, self.features.flatten(1)).tolist()
        clusters = {row["trial"]: row["cluster"] for row in rows}
        told = [
            {"trial": trial, "cluster": clusters[trial], "share": share}
            for trial, share in zip(trials, shares, strict=True)
        ]
        return [
            mean_of(
                "diversity",
                told,
                lambda row: float(row["share"]),
                self._factors(),
                unit="share of the real variance",
                bounded=False,
            )
        ]

    def _curve(self, rows: Sequence[Row]) -> list[MetricResult]:
        sets = Sets.of(rows, "features", self.reference, self.features)
        kernel = KERNEL if self.estimator.kind == "jedi" else None
        points = finite_sample_curve(sets.samples, kernel, ddof=self.estimator.ddof)
        scale = {"frechet": 1.0, "jedi": 100.0}[self.estimator.kind]
        name = {"frechet": "kernel", "jedi": "jedi_unbiased"}[self.estimator.kind]
        found = []
        for point in points:
            at = self._factors(clips=point.n)
            if self.estimator.kind == "frechet":
                found.append(sets.result("frechet", at, value=point.frechet))
                if point.floor is not None:
                    real = {**at, "path": "ceiling"}
                    found.append(sets.result("frechet", real, value=point.floor))
            found.append(sets.result(name, at, value=scale * point.kernel))
        return found

    def _classes(self, rows: Sequence[Row]) -> list[MetricResult]:
        """The distances of every class that has two clips on both sides."""
        found = []
        for label in sorted({*self.labels.values()} - {""}):
            some = [row for row in rows if self.labels[row["trial"]] == label]
            which = [i for i, clip in enumerate(self.reference) if clip.label == label]
            if min(len(some), len(which)) < 2:
                continue
            clips = [self.reference[i] for i in which]
            sets = Sets.of(some, "features", clips, self.features[which])
            found += self.estimator(sets, self._factors(label=label), headline=False, kept=None)
        return found

    def _temporal(self, rows: Sequence[Row]) -> list[MetricResult]:
        assert self.temporal is not None
        measured = torch.tensor([row["temporal"] for row in rows], dtype=torch.float64)
        clusters = [str(row["cluster"]) for row in rows]
        real = [clip.cluster for clip in self.reference]
        found = []
        for comparison in temporal_report(measured, self.temporal, clusters, real):
            common = {
                "name": comparison.name,
                "unit": UNITS[comparison.name],
                "higher_is_better": False,
                "n": comparison.n,
                "clusters": len({*clusters, *real}),
            }
            found += [
                MetricResult(
                    **common,
                    factors={"against": "real"},
                    value=comparison.difference,
                    low=comparison.low,
                    high=comparison.high,
                    reason=comparison.reason,
                ),
                MetricResult(**common, factors={"of": "rollouts"}, value=comparison.rollouts),
                MetricResult(**common, factors={"of": "reference"}, value=comparison.real),
                MetricResult(**common, factors={"distance": "w1"}, value=comparison.distance),
            ]
        assert len(found) == 4 * len(MEASURES)
        return found
