"""How much worse a metric may become, as the command line says it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.errors import UsageError


@dataclass(frozen=True)
class Allowance:
    """How much worse a metric may become.

    Attributes:
        metric: Name or label of the metric; None for every headline metric without its own.
        amount: At least 0; in the unit of the metric or, where ``relative``, in % of the baseline.
        relative: Whether it is a percentage.
    """

    metric: str | None
    amount: float
    relative: bool

    def of(self, baseline: float) -> float:
        """Returns the allowed regression in the unit of the metric."""
        return self.amount / 100.0 * abs(baseline) if self.relative else self.amount


def allowance(text: str) -> Allowance:
    """Reads ``AMOUNT`` or ``METRIC=AMOUNT``, where AMOUNT is ``0.02`` or ``5%``.

    Raises:
        UsageError: If the amount is not a finite number of at least 0.
    """
    metric, equals, amount = text.rpartition("=")
    number, relative = amount.strip().removesuffix("%"), amount.strip().endswith("%")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0) or (equals and not metric.strip()):
        raise UsageError(
            "--max-regression is not an allowed regression",
            seen=text,
            accepted="AMOUNT or METRIC=AMOUNT, the amount at least 0: 0.02, 5%, psnr=0.5",
            fix="--max-regression 0.02",
        )
    return Allowance(metric.strip() or None, value, relative)


def chosen(allowances: Sequence[Allowance]) -> dict[str | None, Allowance]:
    """Returns the allowances by metric.

    Raises:
        UsageError: If two speak of the same metric.
    """
    by_metric = {item.metric: item for item in allowances}
    if len(by_metric) < len(allowances):
        raise UsageError(
            "--max-regression is given twice for one metric",
            seen=", ".join(item.metric or "headline metrics" for item in allowances),
            accepted="one amount per metric, and one for all other headline metrics",
            fix="leave one of them out",
        )
    return by_metric
