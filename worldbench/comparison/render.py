"""A comparison on a terminal, as Markdown, as JSON and as one page that needs no network."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worldbench.comparison import words
from worldbench.comparison.outcome import Comparison, Configuration, Line
from worldbench.leaderboard import markdown, text

COMPARISON_SCHEMA = 1
"""Version of the layout of ``worldbench compare --json``."""

_PIPED_WIDTH = 160  # columns, where there is no terminal to ask


def show(comparison: Comparison) -> None:
    """Prints a comparison to stdout."""
    screen = console()
    # Text and not str: names and reasons from outside must not be read as markup.
    screen.print(Text(words.title(comparison), style="bold"))
    for configuration in comparison.configurations:
        screen.print()
        _show(screen, configuration)
    for line in comparison.unmatched:
        screen.print(Text(f"\nnot compared: {text.plain(line)}"))
    screen.print(Text(f"\n{words.reading(comparison)} {words.SCOPE}"))


def console() -> Console:
    """Returns the console on stdout; wide where there is no terminal to ask."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def _show(screen: Console, configuration: Configuration) -> None:
    screen.print(Text(words.heading(configuration), style="bold"))
    for letter, side in (("A", configuration.a), ("B", configuration.b)):
        screen.print(Text(f"  {words.side(letter, side)}"))
    lines = words.measured(configuration)
    if lines:
        wide = screen.width >= _PIPED_WIDTH
        screen.print(rich_table(words.HEADS, [words.cells(line) for line in lines], wide))
    for sentence in words.conclusions(configuration):
        screen.print(Text(f"  {sentence}"))
    for line in lines:
        for caption, rows in words.trials(line):
            table = rich_table(words.TRIAL_HEADS, rows)
            table.title, table.title_justify = Text(caption), "left"
            screen.print(table)
    for reason in words.unpaired(configuration):
        screen.print(Text(f"  not tested: {reason}"))


def rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]], wide: bool = False) -> Table:
    """Returns foreign cells as an inert table for a terminal."""
    table = Table()
    for head in heads:
        # Scores with their intervals stay on one line where there is room for it.
        table.add_column(Text(head), overflow="fold", no_wrap=wide and head in words.SCORES)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def as_markdown(comparison: Comparison) -> str:
    """Returns a comparison as GitHub Markdown with one final newline."""
    parts = [f"# {markdown.escape(words.title(comparison))}"]
    for configuration in comparison.configurations:
        parts += _markdown(configuration)
    if comparison.unmatched:
        parts += ["## Not compared", bullets(comparison.unmatched)]
    return "\n\n".join([*parts, words.reading(comparison), words.SCOPE]) + "\n"


def _markdown(configuration: Configuration) -> list[str]:
    sides = (("A", configuration.a), ("B", configuration.b))
    parts = [
        f"## {markdown.escape(words.heading(configuration))}",
        bullets([words.side(letter, side) for letter, side in sides]),
    ]
    lines = words.measured(configuration)
    if lines:
        parts.append(markdown_table(words.HEADS, [words.cells(line) for line in lines]))
    if told := words.conclusions(configuration):
        parts.append(bullets(told))
    for caption, rows in (item for line in lines for item in words.trials(line)):
        parts += [markdown.escape(caption), markdown_table(words.TRIAL_HEADS, rows)]
    if reasons := words.unpaired(configuration):
        parts += ["Not tested:", bullets(reasons)]
    return parts


def bullets(lines: Sequence[str]) -> str:
    """Returns foreign lines as an inert Markdown list."""
    return "\n".join(f"- {markdown.escape(line)}" for line in lines)


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns foreign cells as an inert Markdown table."""
    # A cell opens no list, whatever it begins with: a letter before it keeps numbers readable.
    lines = [[markdown.escape(f"x{cell}")[1:] for cell in row] for row in (heads, *rows)]
    lines.insert(1, ["---"] * len(heads))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_json(comparison: Comparison) -> str:
    """Returns a comparison as JSON text: sorted keys, ASCII only, numbers as measured."""
    data = asdict(comparison)
    for shown, configuration in zip(data["configurations"], comparison.configurations, strict=True):
        shown["lines"] = [_line(line) for line in configuration.lines]
    data |= {"schema": COMPARISON_SCHEMA, "tests": comparison.tests}
    return json.dumps(data, sort_keys=True, indent=1, allow_nan=False)


def _line(line: Line) -> dict[str, object]:
    extra = {"difference": line.difference, "winner": line.winner, "loss": line.loss}
    told = asdict(line) | extra
    del told["column"]["scale"]  # the answers say what came of it
    return told


def as_html(comparison: Comparison) -> str:
    """Returns a comparison as one page; everything that came from a record is escaped."""
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("worldbench", "comparison"),
                PackageLoader("worldbench", "leaderboard"),  # the board's style sheet
            ]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": text.plain, "cells": words.cells}
    template = environment.get_template("compare.html.j2")
    return template.render(comparison=comparison, words=words)
