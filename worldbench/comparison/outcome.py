"""What a comparison is: data that ``measure`` makes and that every rendering reads."""

from dataclasses import dataclass
from typing import Literal

from worldbench.leaderboard.board import Cell, Column
from worldbench.leaderboard.scales import target
from worldbench.schema import Status

ALPHA = 0.05
"""Family-wise error rate of all statements "better" of one comparison together."""

POWER = 0.8
"""Share of repetitions in which a true difference of the minimal detectable size is found."""


@dataclass(frozen=True)
class Trial:
    """One trial that both sides answered, with both scores in the unit of the metric."""

    id: str
    cluster: str
    a: float
    b: float

    @property
    def difference(self) -> float:
        """Score of a minus score of b."""
        return self.a - self.b


@dataclass(frozen=True)
class Paired:
    """A paired test of one metric.

    Attributes:
        kind: ``trials`` where the metric is a mean of trials (cluster sign-flip, cluster
            bootstrap), ``influence`` where it is a distance (paired influence values, normal).
        difference: Score of a minus score of b, over the trials that both answered.
        low: Lower end of the clustered 95 % interval of the difference; None, as ``high``, where
            none can be formed.
        high: Upper end.
        p: Two-sided p, unadjusted; None where the test says nothing.
        adjusted: p after Holm over all metrics of the comparison; None where p is None.
        detectable: Minimal detectable difference, of one test at α = .05 with power .8; None where
            the spread is unknown.
        n: Trials that both answered.
        clusters: Scenes or source videos they came from.
        only_a: Trials that a alone answered.
        only_b: Trials that b alone answered.
        better: Trials on which a scored better than b; 0, as the next three, for distances.
        ties: Trials on which both scored the same.
        worse: Trials on which a scored worse than b.
        best: The trials of the largest gain of a over b, first the largest.
        worst: The trials of the largest loss of a against b, first the largest.
    """

    kind: Literal["trials", "influence"]
    difference: float
    low: float | None
    high: float | None
    p: float | None
    adjusted: float | None
    detectable: float | None
    n: int
    clusters: int
    only_a: int
    only_b: int
    better: int = 0
    ties: int = 0
    worse: int = 0
    best: tuple[Trial, ...] = ()
    worst: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Line:
    """One metric of a suite configuration.

    Attributes:
        column: The metric.
        a: Score of a, or its status with the reason.
        b: The same of b.
        paired: The paired test; None where there is none.
        reason: Why there is none; None where there is one.
    """

    column: Column
    a: Cell
    b: Cell
    paired: Paired | None
    reason: str | None

    @property
    def difference(self) -> float | None:
        """Score of a minus score of b: paired where it can be, else of the two recorded values."""
        if self.paired is not None:
            return self.paired.difference
        if self.a.value is None or self.b.value is None:
            return None
        return self.a.value - self.b.value

    @property
    def loss(self) -> float | None:
        """How much worse b is than a, in the unit of the metric; negative where it is better.

        None where either has no score. For a control, how much further b is from its target.
        """
        difference, goal = self.difference, target(self.column)
        if goal is not None and self.a.value is not None and self.b.value is not None:
            return abs(self.b.value - goal) - abs(self.a.value - goal)
        if difference is None:
            return None
        return difference if self.column.higher_is_better else -difference

    @property
    def winner(self) -> Literal["a", "b"] | None:
        """The significantly better side (adjusted p ≤ α); None if there is none or it is unknown.

        A control, where neither direction is better, has none.
        """
        paired = self.paired
        if paired is None or paired.adjusted is None or paired.adjusted > ALPHA:
            return None
        if paired.difference == 0.0 or target(self.column) is not None:
            return None
        return "a" if (paired.difference > 0.0) == self.column.higher_is_better else "b"


@dataclass(frozen=True)
class Side:
    """One of the two records of a configuration."""

    name: str
    revision: str
    status: Status
    reason: str | None
    record: str


@dataclass(frozen=True)
class Configuration:
    """One suite configuration that both sides have a record of.

    Attributes:
        key: :attr:`worldbench.schema.Body.board_key`.
        suite: Name of the suite.
        version: Its version.
        data: Name of the data.
        a: The first record.
        b: The second.
        lines: One per metric, headline metrics first.
    """

    key: str
    suite: str
    version: str
    data: str
    a: Side
    b: Side
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Comparison:
    """Two sides on every suite configuration they share.

    Attributes:
        a: The first side, as the user named it.
        b: The second.
        configurations: What was compared.
        unmatched: For each record without a partner, why it was not compared.
    """

    a: str
    b: str
    configurations: tuple[Configuration, ...]
    unmatched: tuple[str, ...]

    @property
    def tests(self) -> int:
        """How many tests Holm's correction counts."""
        lines = [line for c in self.configurations for line in c.lines]
        return sum(line.paired is not None and line.paired.p is not None for line in lines)
