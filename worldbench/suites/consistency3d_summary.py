"""From rows to metrics: what ``consistency3d`` concludes."""

from collections.abc import Mapping, Sequence

from worldbench.schema import MetricResult, Scalar, Trial
from worldbench.suite import Row, Summary
from worldbench.suites.consistency3d import HEADLINE, is_headline, is_view
from worldbench.suites.means import mean_of
from worldbench.suites.quad_summary import QuadRows
from worldbench.suites.view_summary import of_views

FACTORS = ("hidden", "objects", "distribution")
"""What the headline is broken down by beside the violation; ``hidden`` in frames."""

_OUTSIDE: dict[str, Scalar] = {"condition": "occluded", "hide": "outside"}
"""Where the camera turns away and comes back: a memory of frames is enough."""

_RESIZED: dict[str, Scalar] = {**HEADLINE, "resized": True}
"""Where a piece is scaled: a memory of colours is enough."""


def summarise(rows: Sequence[Row], trials: Mapping[str, Trial]) -> Summary:
    """Turns the rows of all trials into metrics; all rows are kept."""
    by_role: dict[str, list[Row]] = {}
    for row in rows:
        by_role.setdefault(str(row["role"]), []).append(row)
    metrics = [*_quads(by_role, trials), *of_views(by_role, trials)]
    return Summary(tuple(metrics), tuple(rows))


def _quads(by_role: Mapping[str, list[Row]], trials: Mapping[str, Trial]) -> list[MetricResult]:
    asked = [*by_role.get("rollout", []), *by_role.get("surprise", [])]
    skipped = [row for row in by_role.get("skipped", []) if not is_view(trials[str(row["trial"])])]
    if not asked:
        first = str(skipped[0]["reason"]) if skipped else "the data has no matched quads"
        return [
            MetricResult(
                name="rigidity_accuracy",
                factors=dict(HEADLINE),
                higher_is_better=True,
                headline=True,
                status="skipped",
                reason=f"no trial could be asked: {first}",
            )
        ]
    operator = next(str(row["operator"]) for row in asked if row["role"] == "rollout")
    quads = QuadRows(asked, trials, "rigidity_accuracy", HEADLINE, operator)
    counted = {trial.id for trial in trials.values() if is_headline(trial)}
    own = [row for row in asked if row["role"] == "rollout" and row["trial"] in counted]
    own += [row for row in skipped if row["trial"] in counted]
    return [
        *quads.accuracies(("violation", *FACTORS), others=False),
        *(
            mean_of(
                "rigidity_accuracy",
                quads.where(levels),
                lambda row: row.get("outcome"),
                {**levels, "operator": operator},
            )
            for levels in (_OUTSIDE, _RESIZED)
        ),
        *quads.controls(both_possible=False),
        *quads.operators(),
        *quads.trivial(),
        *quads.trivial_at(_OUTSIDE),
        *quads.trivial_at(_RESIZED),
        mean_of("asked", own, lambda row: float(row["role"] == "rollout"), HEADLINE),
    ]
