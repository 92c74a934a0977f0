"""What a metric's values are read on: where floor and ceiling are, or why it has no skill."""

from typing import Literal

from pydantic import ConfigDict

from worldbench.limits import Limited


class Scale(Limited):
    """Where a metric's floor and ceiling come from.

    A metric with both has a skill: (value − floor) / (ceiling − floor).

    Attributes:
        floor: A share known by construction, or the adapters of which the best one that ran is the
            floor; None if the board knows no floor.
        ceiling: A share known by construction, ``oracle`` for the record of the real future, or
            None if the metric has no ceiling, hence no skill.
        no_skill: Why its scores have no skill even so; None if floor and ceiling decide.
        target: The value a control should have where neither direction is better.
    """

    model_config = ConfigDict(strict=True)

    floor: float | tuple[str, ...] | None = None
    ceiling: float | Literal["oracle"] | None = None
    no_skill: str | None = None
    target: float | None = None
