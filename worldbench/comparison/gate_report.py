"""A gate's verdict on a terminal, and as the Markdown summary of a CI step."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from worldbench.comparison import words
from worldbench.comparison.gate import Guard, Verdict, span
from worldbench.comparison.render import bullets, console, markdown_table, rich_table
from worldbench.leaderboard import markdown, text
from worldbench.record import unwritable

HEADS = (
    "metric",
    "baseline",
    "candidate",
    "worse by",
    "allowed",
    "p (Holm)",
    "detectable",
    "result",
)
_TRIAL_HEADS = ("trial", "scene", "baseline", "candidate", "difference")
_CAPTIONS = ("most against the candidate", "most in favour of the candidate")


def show(verdict: Verdict) -> None:
    """Prints a verdict to stdout."""
    screen: Console = console()
    # Text and not str: names and reasons from outside must not be read as markup.
    screen.print(rich_table(HEADS, [_cells(guard) for guard in verdict.guards]))
    for line in (*_failures(verdict), *_remarks(verdict)):
        screen.print(Text(line))
    screen.print(Text(_conclusion(verdict), style="bold"))


def as_markdown(verdict: Verdict) -> str:
    """Returns a verdict as GitHub Markdown with one final newline."""
    parts = [
        f"## worldbench gate: {markdown.escape(_conclusion(verdict))}",
        markdown_table(HEADS, [_cells(guard) for guard in verdict.guards]),
    ]
    if told := [*_failures(verdict), *_remarks(verdict)]:
        parts.append(bullets(told))
    lost = [guard.line for guard in verdict.guards if not guard.passed and guard.line is not None]
    for caption, rows in (found for line in lost for found in words.trials(line, _CAPTIONS)):
        parts += [markdown.escape(caption), markdown_table(_TRIAL_HEADS, rows)]
    parts.append(
        "Worse by: how much worse the candidate is, with a 95 % interval clustered by scene; "
        f"below 0 it is better. Holm corrects p for {verdict.tests} tests. Detectable: the "
        "smallest true difference that one test finds in 80 % of repetitions."
    )
    return "\n\n".join(parts) + "\n"


def append(path: Path, verdict: Verdict) -> None:
    """Appends the Markdown to a file that other steps write to as well.

    Raises:
        EnvironmentFault: If it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"\n{as_markdown(verdict)}")
    except OSError as error:
        raise unwritable(path, error) from error


def _cells(guard: Guard) -> list[str]:
    place, line, result = text.plain(guard.place), guard.line, "ok" if guard.passed else "FAILED"
    if line is None or guard.allowed is None:
        return [place, "has scores", "none", "", "", "", "", result]
    a, b = (words.scored(cell) for cell in (line.a, line.b))
    paired = line.paired
    return [
        f"{place}: {text.heading(line.column)}",
        a,
        b,
        _loss(guard),
        text.number(guard.allowed),
        words.p_value(paired.adjusted if paired is not None else None),
        "unknown"
        if paired is None or paired.detectable is None
        else text.number(paired.detectable),
        result,
    ]


def _loss(guard: Guard) -> str:
    line = guard.line
    if line is None or line.loss is None:
        return "unknown"
    low, high = span(line)
    if low is None or high is None:
        return f"{words.signed(line.loss)} no interval"
    places = text.decimals(line.loss, low, high)
    ends = f"[{text.number(low, places)}, {text.number(high, places)}]"
    return f"{words.signed(line.loss, places)} {ends}"


def _failures(verdict: Verdict) -> list[str]:
    return [
        f"failed: {_name(guard)}: {_said(guard)}" for guard in verdict.guards if not guard.passed
    ]


def _remarks(verdict: Verdict) -> list[str]:
    said = [guard for guard in verdict.guards if guard.passed and guard.said]
    return [f"note: {_name(guard)}: {_said(guard)}" for guard in said]


def _name(guard: Guard) -> str:
    place = text.plain(guard.place)
    return f"{place}: {text.plain(guard.line.column.label)}" if guard.line is not None else place


def _said(guard: Guard) -> str:
    return text.plain(guard.said)


def _conclusion(verdict: Verdict) -> str:
    failed = sum(not guard.passed for guard in verdict.guards)
    sides = f"{text.plain(verdict.candidate)} against {text.plain(verdict.baseline)}"
    if not failed:
        return f"passed ({len(verdict.guards)} guarded), {sides}"
    return f"failed ({failed} of {len(verdict.guards)} guarded), {sides}"
