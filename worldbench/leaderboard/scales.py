"""Floors, ceilings and skill: the scale that every metric is read on."""

from collections.abc import Iterable
from dataclasses import replace

from worldbench.leaderboard.board import Anchor, Cell, Column
from worldbench.limits import SMALLEST
from worldbench.scale import Scale
from worldbench.schema import Body, Family, SuiteInfo
from worldbench.stats import Interval, gap_standard_error, skill

COPY_LAST = ("copy_last",)

# Every record measures floor and ceiling through its own read-out and places itself between.
_SKILL = Scale(
    floor=0.0, ceiling=1.0, no_skill="it is a skill: its record measured floor and ceiling"
)

SCALES: dict[str, Scale] = {
    "pair_accuracy": Scale(floor=0.5, ceiling=1.0),
    "visible_control": Scale(floor=0.5, ceiling=1.0),
    "both_possible_control": Scale(
        no_skill="it is a control: where both futures are possible, neither should win", target=0.5
    ),
    "tied": Scale(no_skill="it is a control: how often neither future was the less expected"),
    "rigidity_accuracy": Scale(floor=0.5, ceiling=1.0),
    "rollout_skill": _SKILL,
    "anchored_skill": _SKILL,
    "frechet": Scale(floor=COPY_LAST, ceiling="oracle"),
    "frechet_inf": Scale(floor=COPY_LAST, ceiling="oracle"),
    "kernel": Scale(floor=COPY_LAST, ceiling="oracle"),
    "psnr": Scale(floor=COPY_LAST),
    "ssim": Scale(floor=COPY_LAST),
    **dict.fromkeys(
        (
            "anchored_similarity",
            "path_speed_error",
            "tsed",
            "enough_matches",
            "sampson_error",
            "depth",
            "depth_delta1",
            "pose",
            "rotation_error",
            "direction_error",
        ),
        Scale(no_skill="its floor and ceiling are futures of its own record"),
    ),
    "gain_over_mean": Scale(no_skill="it is a difference: its record measured what it is over"),
    "correspondence_recall": Scale(no_skill="its floor is chance, which its own record measured"),
    "asked": Scale(no_skill="it is no score: the share of trials that could be asked"),
    # Its floors, chance and a random-init twin, are factors of the record and not adapters.
    "top1": Scale(),
    "top5": Scale(),
    "per_class": Scale(),
    "fold_top1": Scale(no_skill="it is the best of a grid on the clips that chose"),
    **dict.fromkeys(
        (
            "gflops",
            "parameters",
            "encode_gflops",
            "predict_gflops",
            "generate_gflops",
            "surprise_gflops",
        ),
        Scale(no_skill="it is a cost"),
    ),
}
"""The scale of every metric that worldbench ships, by its name. Other suites tell their own."""

_FULL_SHARE = {"": 1.0, "fraction": 1.0, "%": 100.0}


def scale_of(name: str, suite: SuiteInfo) -> Scale | None:
    """Returns a metric's scale: what its suite tells, or what is known of the name."""
    return suite.scales.get(name) or SCALES.get(name)


def anchored(column: Column, bodies: Iterable[tuple[Body, Cell]]) -> Column:
    """Finds a column's floor and ceiling among the records, and says why there is no skill.

    Args:
        column: The column.
        bodies: Every record of the section, with its cell in this column.

    Returns:
        The column with ``floor``, ``ceiling`` and ``no_skill`` filled in.
    """
    scale = column.scale
    if scale is None:
        return replace(column, no_skill="no floor and ceiling are declared for this metric")
    measured = [(body, cell) for body, cell in bodies if cell.value is not None]
    column = replace(
        column,
        floor=_anchor(column, scale.floor, measured),
        ceiling=_anchor(column, scale.ceiling, measured),
    )
    return replace(column, no_skill=_why_no_skill(column, scale))


def place(column: Column, cell: Cell) -> Cell:
    """Returns the cell with its skill, where the column's scale defines one."""
    floor, ceiling = column.floor, column.ceiling
    if cell.value is None or column.no_skill or floor is None or ceiling is None:
        return cell
    error = gap_standard_error(_interval(floor), _interval(ceiling))
    return replace(
        cell, skill=skill(cell.value, floor.value, ceiling.value, standard_error=error).value
    )


def by_construction(column: Column) -> Column:
    """Returns the column with the floor and ceiling that hold whoever was measured."""
    return anchored(column, ())


def target(column: Column) -> float | None:
    """Returns the value that a control should have; None where a direction is better."""
    scale, full = column.scale, _FULL_SHARE.get(column.unit)
    if scale is None or scale.target is None or full is None:
        return None
    return scale.target * full


def is_floor(name: str, columns: Iterable[Column]) -> bool:
    """Says whether an adapter stands as a floor: by its role in the design or on this board."""
    return name in COPY_LAST or any(c.floor and c.floor.source == name for c in columns)


def _anchor(
    column: Column,
    wanted: float | str | tuple[str, ...] | None,
    measured: list[tuple[Body, Cell]],
) -> Anchor | None:
    if isinstance(wanted, float):
        full = _FULL_SHARE.get(column.unit)
        if full is None:
            return None
        value = wanted * full
        return Anchor("by construction", value, value, value)
    if wanted is None:
        return None
    oracle: Family = "oracle"
    candidates = [
        Anchor(body.adapter.name, cell.value, cell.low, cell.high)
        for body, cell in measured
        if cell.value is not None
        and (body.adapter.family == oracle if wanted == oracle else body.adapter.name in wanted)
    ]
    sign = -1.0 if column.higher_is_better else 1.0
    return min(candidates, key=lambda anchor: (sign * anchor.value, anchor.source), default=None)


def _why_no_skill(column: Column, scale: Scale) -> str | None:
    if scale.no_skill is not None:
        return scale.no_skill
    if scale.ceiling is None:
        return "this metric has no ceiling"
    if scale.floor is None or scale.floor == ():
        return "this metric has no floor"
    if column.floor is None:
        names = scale.floor if isinstance(scale.floor, tuple) else ()
        missing = " or ".join(names) or f"a share in the unit {column.unit!r}"
        return f"no floor: {missing} has no value here"
    if column.ceiling is None:
        return "no ceiling: the real future was not measured here"
    gap = column.ceiling.value - column.floor.value
    if gap != 0.0 and (gap > 0.0) != column.higher_is_better:
        return f"the ceiling ({column.ceiling.value:.4g}) is worse than the floor " + (
            f"({column.floor.value:.4g})"
        )
    if 0.0 < abs(gap) < SMALLEST:
        return f"floor and ceiling are too close to divide by ({abs(gap):.3g})"
    error = gap_standard_error(_interval(column.floor), _interval(column.ceiling))
    placed = skill(
        column.floor.value, column.floor.value, column.ceiling.value, standard_error=error
    )
    return placed.reason


def _interval(anchor: Anchor) -> Interval:
    return Interval(anchor.value, anchor.low, anchor.high, n=0, clusters=0)
