"""How a comparison speaks: the same rows and sentences in every rendering, not yet escaped."""

from worldbench.comparison.outcome import ALPHA, Comparison, Configuration, Line, Paired, Side
from worldbench.leaderboard import text
from worldbench.leaderboard.board import Cell

HEADS = ("metric", "A", "B", "A − B", "p", "p (Holm)", "detectable", "A wins/ties/loses", "trials")
SCORES = HEADS[1:4]
"""The columns of numbers with an interval."""

CAPTIONS = ("most in favour of A", "most against A")
TRIAL_HEADS = ("trial", "scene", "A", "B", "A − B")

METHOD = (
    "Scores stand with their 95 % intervals; A − B is the mean difference over the trials both "
    "answered, with a 95 % interval clustered by scene. p is two-sided: sign flips of whole scenes "
    "for means of trials, paired influence values for distances. Holm corrects for the number of "
    "tests shown, here {tests}. Detectable is the smallest true difference that one such test "
    "finds in 80 % of repetitions (α = .05, uncorrected): what is smaller may well have been "
    "missed."
)
SCOPE = "This is about these records, hence these checkpoints, and not about schools of models."


def title(comparison: Comparison) -> str:
    """Returns what is compared, A and B as the user named them."""
    return f"{text.plain(comparison.a)} against {text.plain(comparison.b)}"


def reading(comparison: Comparison) -> str:
    """Returns how the numbers came about."""
    return METHOD.format(tests=comparison.tests)


def heading(configuration: Configuration) -> str:
    """Returns the name of a suite configuration."""
    suite, data = text.plain(configuration.suite), text.plain(configuration.data)
    return f"{suite}@{text.plain(configuration.version)} · {data} ({configuration.key[:12]})"


def side(letter: str, side: Side) -> str:
    """Returns one of the two sides, with the reason where it has no scores."""
    said = f"{letter}: {text.plain(side.name)} {text.plain(side.revision[:12])}"
    return said if side.status == "ok" else f"{said}, {side.status}: {text.plain(side.reason)}"


def measured(configuration: Configuration) -> list[Line]:
    """Returns the metrics on which both sides have a score."""
    return [line for line in configuration.lines if line.difference is not None]


def cells(line: Line) -> list[str]:
    """Returns one metric as a row under :data:`HEADS`."""
    return [
        text.heading(line.column),
        *(scored(cell) for cell in (line.a, line.b)),
        difference(line),
        *_tested(line.paired),
    ]


def scored(cell: Cell) -> str:
    """Returns a score with its interval, or its status."""
    return cell.status if cell.value is None else f"{text.score(cell)} {text.interval(cell)}"


def difference(line: Line) -> str:
    """Returns the difference with its interval, e.g. ``+0.250 [0.000, 0.500]``."""
    if line.difference is None:
        return "none"
    paired = line.paired
    if paired is None or paired.low is None or paired.high is None:
        return f"{signed(line.difference)} no interval"
    places = text.decimals(paired.difference, paired.low, paired.high)
    low, high = text.number(paired.low, places), text.number(paired.high, places)
    return f"{signed(paired.difference, places)} [{low}, {high}]"


def signed(value: float, places: int | None = None) -> str:
    """Returns a difference with its sign, plus or true minus."""
    shown = text.number(value, places)
    return shown if shown.startswith("−") or value == 0.0 else f"+{shown}"


def p_value(p: float | None) -> str:
    """Returns a p as shown; ``none`` where the test says nothing."""
    if p is None:
        return "none"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _tested(paired: Paired | None) -> list[str]:
    if paired is None:
        return ["not paired", "", "", "", ""]
    split = f"{paired.better}/{paired.ties}/{paired.worse}" if paired.kind == "trials" else ""
    alone = [f"{n} of {x} alone" for x, n in (("A", paired.only_a), ("B", paired.only_b)) if n]
    trials = f"{paired.n} in {paired.clusters} scenes"
    return [
        p_value(paired.p),
        p_value(paired.adjusted),
        "unknown" if paired.detectable is None else text.number(paired.detectable),
        split,
        f"{trials} ({', '.join(alone)})" if alone else trials,
    ]


def verdict(line: Line) -> str:
    """Returns what can be concluded from a metric, in one sentence."""
    name, paired = text.plain(line.column.label), line.paired
    if paired is None or paired.adjusted is None:
        why = text.plain(line.reason) if line.reason else "its test says nothing"
        return f"{name}: no conclusion ({why})."
    if line.winner is not None:
        return f"{name}: {line.winner.upper()} is better ({_p(paired.adjusted)})."
    if paired.adjusted <= ALPHA:
        return f"{name}: A and B differ ({_p(paired.adjusted)}); neither direction is better."
    if paired.difference == 0.0 and paired.ties == paired.n:
        return f"{name}: A and B are equal on every trial."
    said = f"{name}: A and B cannot be told apart ({_p(paired.adjusted)})"
    if paired.detectable is not None:
        said += f"; a difference under {text.number(paired.detectable)} could have been missed"
    return f"{said}."


def _p(adjusted: float) -> str:
    shown = p_value(adjusted)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def conclusions(configuration: Configuration) -> list[str]:
    """Returns the verdicts: on headline metrics, and on whatever else was tested."""
    told = [x for x in configuration.lines if x.column.headline or x.paired is not None]
    return [verdict(line) for line in told]


def unpaired(configuration: Configuration) -> list[str]:
    """Returns why metrics without a headline could not be tested, one line per reason."""
    reasons: dict[str, list[str]] = {}
    for line in configuration.lines:
        if line.reason is not None and not line.column.headline:
            reasons.setdefault(text.plain(_general(line)), []).append(text.plain(line.column.label))
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _general(line: Line) -> str:
    """A line's reason without the metric's own name, so that equal reasons are told once."""
    name = line.column.name
    return (line.reason or "").replace(
        f"neither {name} nor {name}.influence", "no values per trial"
    )


def trials(line: Line, captions: tuple[str, str] = CAPTIONS) -> list[tuple[str, list[list[str]]]]:
    """Returns the best and the worst trials of a metric: caption and rows under TRIAL_HEADS."""
    paired = line.paired
    if paired is None:
        return []
    label = text.plain(line.column.label)
    return [
        (
            f"{label}: {caption}",
            [
                [
                    text.plain(trial.id),
                    text.plain(trial.cluster),
                    text.number(trial.a),
                    text.number(trial.b),
                    signed(trial.difference),
                ]
                for trial in shown
            ],
        )
        for caption, shown in zip(captions, (paired.best, paired.worst), strict=True)
        if shown
    ]
