"""The gate: has a candidate become worse than its baseline by more than is allowed?"""

from collections.abc import Iterable
from dataclasses import dataclass

from worldbench.comparison.allowance import Allowance
from worldbench.comparison.outcome import Comparison, Configuration, Line
from worldbench.comparison.pairs import Found, Unmatched, short
from worldbench.errors import UsageError, unknown_name
from worldbench.leaderboard.columns import is_main
from worldbench.leaderboard.scales import target
from worldbench.schema import Body

_ROUNDING = 1e-9
"""What a regression may exceed the allowed one by: 0.50 − 0.48 is not 0.02 in binary."""


@dataclass(frozen=True)
class Guard:
    """What became of one guarded metric, or of a whole record that the candidate lacks.

    Attributes:
        place: Suite, version and data.
        line: The metric; None where the candidate has no record.
        allowed: The allowed regression in the unit of the metric; None as ``line``.
        passed: False if the gate fails for it.
        said: Why it fails; what to know about it where it passes, often nothing.
    """

    place: str
    line: Line | None
    allowed: float | None
    passed: bool
    said: str


@dataclass(frozen=True)
class Verdict:
    """All guards of a gate, and how many tests their p are corrected for."""

    baseline: str
    candidate: str
    guards: tuple[Guard, ...]
    tests: int

    @property
    def passed(self) -> bool:
        """Whether no guard fails."""
        return all(guard.passed for guard in self.guards)


def refuse(found: Found, allowed: dict[str | None, Allowance]) -> None:
    """Refuses to judge where the candidate was asked another question than the baseline.

    A candidate's record without scores is no refusal: it fails the gate.

    Raises:
        UsageError: Naming the keys that differ.
    """
    crossed = [
        item
        for item in _missing(found, allowed)
        if item.nearest is not None and item.nearest.body.status == "ok"
    ]
    if crossed:
        raise UsageError(
            "baseline and candidate were asked different questions",
            seen="; ".join(
                f"{item.source.body.suite.name}: {short(key)}"
                for item in crossed
                for key in item.keys
            ),
            accepted="equal suite, version, metric versions, data and protocol",
            fix="run both with the same options (each key: BASELINE | CANDIDATE)",
        )


def judge(
    comparison: Comparison, found: Found, allowed: dict[str | None, Allowance], *, strict: bool
) -> Verdict:
    """Judges a comparison of a baseline (a) with a candidate (b).

    A metric passes if the candidate is worse by no more than is allowed, over the trials that both
    answered. A score that the baseline has and the candidate has not fails, and so do trials that
    only the baseline answered: leaving out what is hard is no way through.

    Args:
        comparison: The comparison.
        found: The records it came from.
        allowed: Allowances by metric.
        strict: Demand that the whole 95 % interval of the regression lies within the allowed one.

    Raises:
        UsageError: If no metric is guarded, or an allowance names an unknown one.
    """
    known = {
        name
        for configuration in comparison.configurations
        for line in configuration.lines
        for name in (line.column.name, line.column.label)
    }
    alone = [metric for item in found.unmatched for metric in item.source.body.metrics]
    known |= {name for metric in alone if is_main(metric) for name in (metric.name, metric.label)}
    for name in allowed:
        if name is not None and name not in known:
            raise unknown_name("metric", name, known, fix="worldbench compare BASELINE CANDIDATE")
    guards = [
        _guard(configuration, line, allowance, strict)
        for configuration in comparison.configurations
        for line in configuration.lines
        if line.a.value is not None
        and (
            allowance := _wanted(line.column.name, line.column.label, line.column.headline, allowed)
        )
    ]
    guards += [_absent(item) for item in _missing(found, allowed)]
    if not guards:
        raise UsageError(
            "there is nothing to guard: the baseline has no score on any metric chosen",
            seen=", ".join(name or "headline metrics" for name in allowed),
            accepted="a baseline whose records have status ok",
            fix="worldbench compare BASELINE CANDIDATE, to see what there is",
        )
    return Verdict(comparison.a, comparison.b, tuple(guards), comparison.tests)


def _wanted(
    name: str, label: str, headline: bool, allowed: dict[str | None, Allowance]
) -> Allowance | None:
    own = allowed.get(label) or allowed.get(name)
    return own or (allowed.get(None) if headline else None)


def _missing(found: Found, allowed: dict[str | None, Allowance]) -> list[Unmatched]:
    """Returns the baseline's records with a guarded score that the candidate has no partner of."""
    return [u for u in found.unmatched if u.side == "a" and _holds(u.source.body, allowed)]


def _holds(body: Body, allowed: dict[str | None, Allowance]) -> bool:
    scored: Iterable[tuple[str, str, bool]] = (
        (m.name, m.label, m.headline) for m in body.metrics if is_main(m) and m.value is not None
    )
    return any(_wanted(*metric, allowed) for metric in scored)


def _absent(item: Unmatched) -> Guard:
    suite = item.source.body.suite
    place = f"{suite.name}@{suite.version} · {suite.data.name}"
    if item.nearest is None:
        return Guard(place, None, None, False, "the candidate has no record of it")
    body = item.nearest.body
    return Guard(
        place, None, None, False, f"the candidate's record is {body.status}: {body.reason}"
    )


def _guard(configuration: Configuration, line: Line, given: Allowance, strict: bool) -> Guard:
    assert line.a.value is not None  # only scores of the baseline are guarded
    place = f"{configuration.suite}@{configuration.version} · {configuration.data}"
    allowed = given.of(line.a.value)
    why = _failure(line, allowed, strict)
    return Guard(place, line, allowed, why is None, _remark(line, allowed) if why is None else why)


def _failure(line: Line, allowed: float, strict: bool) -> str | None:
    """Returns why a metric fails; None if it passes."""
    paired = line.paired
    if line.loss is None:
        return f"the candidate has no score: {line.b.status}: {line.b.reason}"
    if paired is not None and paired.only_a:
        return f"the candidate left out {paired.only_a} trials that the baseline answered"
    limit = allowed + _ROUNDING * max(1.0, allowed)
    if line.loss > limit:
        return "worse by more than is allowed"
    if not strict:
        return None
    worst = span(line)[1]
    if worst is None:
        return f"the regression has no interval ({line.reason or 'too few scenes'})"
    return "it may be worse by more than is allowed" if worst > limit else None


def span(line: Line) -> tuple[float | None, float | None]:
    """Returns the 95 % interval of a regression; (None, None) where there is none."""
    paired = line.paired
    if paired is None or paired.low is None or paired.high is None:
        return None, None
    if target(line.column) is not None:
        return None, None  # how far a control is from its target has no paired interval
    if line.column.higher_is_better:
        return paired.low, paired.high
    return -paired.high, -paired.low


def _remark(line: Line, allowed: float) -> str:
    """Returns what a pass leaves open."""
    paired = line.paired
    if paired is None:
        return f"not tested: {line.reason}"
    if paired.detectable is not None and paired.detectable > allowed:
        return "so few scenes often miss a regression of the allowed size"
    return ""
