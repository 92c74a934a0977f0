import re

import pytest

from worldbench.leaderboard import build, render
from worldbench.leaderboard.markdown import escape
from worldbench.leaderboard.text import decimals, number, plain

HOSTILE = "a|b `code` <script>alert(1)</script> [x](javascript:1) *b* _i_\n# head\r\n| --- |"


def markdown(records) -> str:
    return render(build(records))["leaderboard.md"].decode()


def cells(line: str) -> list[str]:
    """Splits a table line as GitHub does: at pipes that no backslash escapes."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_table_line_has_as_many_cells_as_its_head(tree):
    tree.measured("copy_last")
    tree.add(tree.card("model", summary=HOSTILE, source=HOSTILE), status="failed", reason=HOSTILE)
    width = None
    tables = 0
    for line in markdown(tree.root).splitlines():
        if not line.startswith("|"):
            width = None
            continue
        tables += width is None
        width = width or len(cells(line))
        assert len(cells(line)) == width
    assert tables >= 3


def test_foreign_text_becomes_one_inert_line():
    inert = escape(HOSTILE)
    assert "\n" not in inert
    assert "<" not in inert
    assert not re.search(r"(?<!\\)[|`*_\[\]]", inert)


@pytest.mark.parametrize("start", ["- item", "+ item", "1. item", "23) item", "# head"])
def test_foreign_text_cannot_open_a_list_or_heading(start):
    assert not re.match(r"([-+#]|\d+[.)])", escape(start))


def test_control_characters_and_direction_overrides_are_dropped():
    assert plain("a\x00b\u202ec\u2028d") == "a bc d"


def test_a_score_stands_with_interval_skill_and_rank(records):
    line = next(
        line
        for line in markdown(records).splitlines()
        if line.startswith("| linear\\_flow") and "generative" in line
    )
    assert cells(line)[2] == "6.00 \\[5.70, 6.30\\] · skill 0.62 · **rank 1**"


def test_statuses_are_words_and_never_numbers_or_blanks(records):
    lines = [line for line in markdown(records).splitlines() if line.startswith("| broken")]
    assert cells(lines[0])[1:] == ["0 of 3", "not run", "failed: ran out of memory at batch 3"]
    assert all(cell for line in lines for cell in cells(line))


def test_protocol_exclusions_and_remarks_are_told(records):
    text = markdown(records)
    assert "- horizon: 12" in text
    assert "- 1: too short" in text
    assert "no skill: this metric has no ceiling" in text
    assert "no rank: the record names no rows file" in text


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.81234, 0.79, 0.83, "0.812"),
        (23.0149, 22.6, 23.4, "23.01"),
        (1234.5, 1100.0, 1300.0, "1234"),
        (1.23456e-4, 1.0e-4, 1.5e-4, "0.000123"),
        (0.81234, None, None, "0.8123"),
        (-2.0, None, None, "−2.000"),
        (-1e-5, -1e-1, 1e-1, "0.00"),
        (1.5e-9, None, None, "1.500e−09"),
        (0.0, None, None, "0.0"),
        (0.0, 0.0, 5e-324, "0.00000000"),
    ],
)
def test_decimals_follow_the_interval(value, low, high, shown):
    assert number(value, decimals(value, low, high)) == shown
