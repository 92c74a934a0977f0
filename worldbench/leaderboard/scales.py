"""Floors, ceilings and skill: the scale that every metric is read on."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from worldbench.leaderboard.board import Anchor, Cell, Column
from worldbench.schema import Body, Family
from worldbench.stats import Interval, gap_standard_error, skill


@dataclass(frozen=True)
class Scale:
    """Where a metric's floor and ceiling come from.

    Attributes:
        floor: A share known by construction, or the adapters of which the best one that ran is the
            floor; None if the board knows no floor.
        ceiling: A share known by construction, ``oracle`` for the record of the real future, or
            None if the metric has no ceiling, hence no skill.
        no_skill: Why its scores have no skill even so; None if floor and ceiling decide.
        target: The value a control should have where neither direction is better.
    """

    floor: float | tuple[str, ...] | None
    ceiling: float | Literal["oracle"] | None
    no_skill: str | None = None
    target: float | None = None


COPY_LAST = ("copy_last",)

SCALES: dict[str, Scale] = {
    "pair_accuracy": Scale(0.5, 1.0),
    "visible_control": Scale(0.5, 1.0),
    "both_possible_control": Scale(
        None, None, "it is a control: where both futures are possible, neither should win", 0.5
    ),
    "tied": Scale(None, None, "it is a control: how often neither future was the less expected"),
    "rigidity_accuracy": Scale(0.5, 1.0),
    # Every record measures floor and ceiling through its own read-out and places itself between.
    "rollout_skill": Scale(0.0, 1.0, "it is a skill: its record measured floor and ceiling"),
    "anchored_skill": Scale(0.0, 1.0, "it is a skill: its record measured floor and ceiling"),
    "frechet": Scale(COPY_LAST, "oracle"),
    "frechet_inf": Scale(COPY_LAST, "oracle"),
    "kernel": Scale(COPY_LAST, "oracle"),
    "psnr": Scale(COPY_LAST, None),
    "ssim": Scale(COPY_LAST, None),
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
        Scale(None, None, "its floor and ceiling are futures of its own record"),
    ),
    "gain_over_mean": Scale(None, None, "it is a difference: its record measured what it is over"),
    "correspondence_recall": Scale(
        None, None, "its floor is chance, which its own record measured"
    ),
    "asked": Scale(None, None, "it is no score: the share of trials that could be asked"),
    # Its floors, chance and a random-init twin, are factors of the record and not adapters.
    "top1": Scale(None, None),
    "top5": Scale(None, None),
    "per_class": Scale(None, None),
    "fold_top1": Scale(None, None, "it is the best of a grid on the clips that chose"),
    **dict.fromkeys(
        (
            "gflops",
            "parameters",
            "encode_gflops",
            "predict_gflops",
            "generate_gflops",
            "surprise_gflops",
        ),
        Scale(None, None, "it is a cost"),
    ),
}
"""The scale of every metric that worldbench ships, by its name."""

_FULL_SHARE = {"": 1.0, "fraction": 1.0, "%": 100.0}


def anchored(column: Column, bodies: Iterable[tuple[Body, Cell]]) -> Column:
    """Finds a column's floor and ceiling among the records, and says why there is no skill.

    Args:
        column: The column.
        bodies: Every record of the section, with its cell in this column.

    Returns:
        The column with ``floor``, ``ceiling`` and ``no_skill`` filled in.
    """
    scale = SCALES.get(column.name)
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
    scale = SCALES.get(column.name)
    full = _FULL_SHARE.get(column.unit)
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
    error = gap_standard_error(_interval(column.floor), _interval(column.ceiling))
    placed = skill(
        column.floor.value, column.floor.value, column.ceiling.value, standard_error=error
    )
    return placed.reason


def _interval(anchor: Anchor) -> Interval:
    return Interval(anchor.value, anchor.low, anchor.high, n=0, clusters=0)
