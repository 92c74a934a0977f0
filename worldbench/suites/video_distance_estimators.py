"""Distances between two sets of features, as metrics of a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.data.source import Clip
from worldbench.metrics.frechet import frechet_influence, frechet_report
from worldbench.metrics.gaussian import SAMPLES_PER_DIM
from worldbench.metrics.jedi import KERNEL, SCALE, jedi_report
from worldbench.metrics.kernel import kernel_influence, kernel_report
from worldbench.metrics.samples import TwoSamples, two_samples
from worldbench.schema import MetricResult, Scalar
from worldbench.suite import Row
from worldbench.suites.video_distance_options import Kind

UNITS: dict[Kind, dict[str, str]] = {
    "frechet": {
        "frechet_inf": "squared feature units",
        "frechet": "squared feature units",
        "kernel": "squared MMD",
    },
    "jedi": {"jedi_unbiased": "100 × squared MMD", "jedi": "100 × squared MMD"},
}
"""The distances of a kind of suite, in the order of the record, and their units."""

RANKED: dict[Kind, tuple[str, ...]] = {
    "frechet": ("frechet_inf", "kernel"),
    "jedi": ("jedi_unbiased",),
}
"""Those on which adapters are ranked: the estimates without bias."""

_UNIT = {name: unit for units in UNITS.values() for name, unit in units.items()}


@dataclass(frozen=True)
class Sets:
    """Two sets of clips to compare.

    Attributes:
        rollouts: Features of one side.
        reference: Features of the other.
        clusters: Source video of each rollout.
        reference_clusters: The same for the reference.
        windows: Rows of features that one clip has.
    """

    rollouts: Float[Tensor, "n k"]
    reference: Float[Tensor, "m k"]
    clusters: list[str]
    reference_clusters: list[str]
    windows: int = 1

    @classmethod
    def of(
        cls,
        rows: Sequence[Row],
        column: str,
        reference: Sequence[Clip],
        reference_features: Float[Tensor, "m ..."],
    ) -> "Sets":
        """Takes one side from a column of the rows; windows of a clip share its cluster."""
        rollouts = torch.tensor([row[column] for row in rows], dtype=torch.float64)
        width = rollouts.shape[-1]
        windows = rollouts.shape[1] if rollouts.ndim == 3 else 1
        return cls(
            rollouts.reshape(-1, width),
            reference_features.reshape(-1, width),
            [str(row["cluster"]) for row in rows for _ in range(windows)],
            [clip.cluster for clip in reference for _ in range(windows)],
            windows,
        )

    @property
    def samples(self) -> TwoSamples:
        """The two sets under one numbering of clusters."""
        return two_samples(self.rollouts, self.reference, self.clusters, self.reference_clusters)

    def result(self, name: str, factors: dict[str, Scalar], **found: Any) -> MetricResult:
        """Returns a metric of these sets, with what was found."""
        return MetricResult(
            name=name,
            factors=factors,
            n=len(self.rollouts) // self.windows,
            clusters=len({*self.clusters, *self.reference_clusters}),
            unit=_UNIT[name],
            higher_is_better=False,
            **found,
        )


@dataclass(frozen=True)
class Estimator:
    """Which distances are measured, and how.

    Attributes:
        kind: Fréchet and kernel distance, or JEDi.
        ddof: Covariances of the plain Fréchet distance divide by n − ddof.
        remedy: What would define FD∞ where there are too few clips.
    """

    kind: Kind = "frechet"
    ddof: int = 1
    remedy: str = "more clips, or fewer suite.components, would define it"

    @property
    def units(self) -> dict[str, str]:
        """The distances by name, with their units."""
        return UNITS[self.kind]

    @property
    def ranked(self) -> tuple[str, ...]:
        """Those on which adapters are ranked."""
        return RANKED[self.kind]

    def __call__(
        self, sets: Sets, factors: dict[str, Scalar], *, headline: bool, kept: list[Row] | None
    ) -> list[MetricResult]:
        """Measures all, and writes influence values into the kept rows if there are any."""
        if self.kind == "jedi":
            return _jedi(sets, factors, headline, kept)
        return [
            *self._frechet(sets, factors, headline, kept),
            _kernel(sets, factors, headline, kept),
        ]

    def _frechet(
        self, sets: Sets, factors: dict[str, Scalar], headline: bool, kept: list[Row] | None
    ) -> list[MetricResult]:
        both = (sets.rollouts, sets.reference, sets.clusters, sets.reference_clusters)
        report = frechet_report(*both, ddof=self.ddof)
        # FD_n is biased by its own n, so no interval can be put around it: it belongs to FD∞.
        plain = sets.result("frechet", factors, value=report.value, reason=report.reason)
        if report.infinity is None:
            reason = str(report.reason)
            if report.n < SAMPLES_PER_DIM * report.dim:
                reason += f"; {self.remedy}"
            limit = sets.result(
                "frechet_inf", factors, headline=headline, status="skipped", reason=reason
            )
            return [limit, plain]
        limit = sets.result(
            "frechet_inf",
            factors,
            headline=headline,
            value=report.infinity,
            low=report.low,
            high=report.high,
        )
        if report.low is not None and kept is not None:
            influence = frechet_influence(sets.rollouts, sets.reference)
            _keep_influence(kept, "frechet_inf", sets, *influence)
        return [limit, plain]


def _kernel(
    sets: Sets, factors: dict[str, Scalar], headline: bool, kept: list[Row] | None
) -> MetricResult:
    both = (sets.rollouts, sets.reference, sets.clusters, sets.reference_clusters)
    report = kernel_report(*both)
    if report.low is not None and kept is not None:
        _keep_influence(kept, "kernel", sets, *kernel_influence(*both))
    # Clips of one video look alike and stand in both halves: only pairs of clips from different
    # videos keep the estimate unbiased. With one clip per video it is the plain U-statistic.
    between = report.between_clusters
    return sets.result(
        "kernel",
        factors,
        value=report.value if between is None else between,
        low=report.low,
        high=report.high,
        reason=report.reason,
        headline=headline,  # unbiased at any n, so it ranks where frechet_inf is not defined
    )


def _jedi(
    sets: Sets, factors: dict[str, Scalar], headline: bool, kept: list[Row] | None
) -> list[MetricResult]:
    both = (sets.rollouts, sets.reference, sets.clusters, sets.reference_clusters)
    report = jedi_report(*both)
    plain = sets.result("jedi", factors, value=report.value, reason=report.reason)
    found: dict[str, Any] = {"status": "skipped", "reason": str(report.reason)}
    if report.unbiased is not None:
        found = {"value": report.unbiased, "low": report.low, "high": report.high}
        found["reason"] = report.reason
    if report.low is not None and kept is not None:
        options = {"degree": KERNEL.degree, "gamma": KERNEL.gamma, "coef0": KERNEL.coef0}
        x, y = kernel_influence(*both, **options)  # type: ignore[arg-type]
        _keep_influence(kept, "jedi_unbiased", sets, SCALE * x, SCALE * y)
    return [sets.result("jedi_unbiased", factors, headline=headline, **found), plain]


def _keep_influence(kept: list[Row], metric: str, sets: Sets, x: Tensor, y: Tensor) -> None:
    """Writes influence values into the kept rows, scaled so that estimate − θ ≈ their mean."""
    if sets.windows > 1:
        x, y = (side.reshape(-1, sets.windows).mean(dim=1) for side in (x, y))
    total = len(x) + len(y)
    scaled = torch.cat([x * (total / len(x)), y * (total / len(y))])
    for row, value in zip(kept, scaled.tolist(), strict=True):
        row[f"{metric}.influence"] = value
