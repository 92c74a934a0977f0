"""What a pull request does to scores, and that no text in it can do anything to readers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_validate import contribute
from tracked_runs import METRICS

from worldbench import cli, score_comment
from worldbench.schema import MetricResult

PSNR = METRICS[0].model_copy(update={"headline": True})


def measured(value: float, name: str = "psnr", **changes: object) -> MetricResult:
    update = {"name": name, "value": value, "low": None, "high": None, **changes}
    return PSNR.model_copy(update=update)


def shown(base: Path, head: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    for folder in (base, head):
        folder.mkdir(exist_ok=True)
    assert cli.main(["diff", str(base), str(head)]) == 0
    return capsys.readouterr().out.splitlines()


def test_scores_that_move_are_told_with_their_direction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    error = {"higher_is_better": False}
    contribute(base, measured(20.0), measured(3.0, "frechet", **error), measured(1.0, "ssim"))
    contribute(head, measured(19.0), measured(2.0, "frechet", **error), measured(1.001, "ssim"))
    contribute(base, name="same")
    contribute(head, name="same")
    contribute(base, measured(1.0), name="gone")
    contribute(head, measured(2.0), name="fresh")
    lines = shown(base, head, capsys)
    assert lines[0] == score_comment.MARKER
    assert "Records: 1 added, 1 removed, 1 changed, 1 unchanged." in lines
    rows = [re.split(r" \| ", line.strip("| ")) for line in lines if "`" in line]
    told = [(r[0], r[1], r[4], r[5], r[6], r[7]) for r in rows]
    assert told == [
        ("worse", "`mine`", "`psnr`", "20", "19", "-1"),
        ("better", "`mine`", "`frechet`", "3", "2", "-1"),
        ("new", "`fresh`", "`psnr`", "–", "2", "–"),
        ("gone", "`gone`", "`psnr`", "1", "–", "–"),
    ]


def test_a_control_that_should_have_a_value_is_neither_better_nor_worse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    contribute(base, measured(0.5, "both_possible_control"), measured(0.5, "visible_control"))
    contribute(head, measured(0.95, "both_possible_control"), measured(0.95, "visible_control"))
    lines = shown(base, head, capsys)
    assert any(line.startswith("| changed |") and "`both_possible" in line for line in lines)
    assert any(line.startswith("| better |") and "`visible" in line for line in lines)


def test_another_revision_of_an_adapter_is_compared_with_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    old, new = contribute(base, measured(20.0)), contribute(head, measured(21.0))
    content = json.loads(new.read_text())
    content["body"]["adapter"]["revision"] = "e" * 64
    place = head / "mine" / "eeeeeeeeeeee" / new.parent.name / new.name
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(content))
    new.unlink()
    lines = shown(base, head, capsys)
    assert any("| better | `mine`" in line and "20 | 21 | +1" in line for line in lines)
    assert old.is_file()


def test_a_score_that_is_lost_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, head = tmp_path / "base", tmp_path / "head"
    skipped = measured(0.0).model_copy(update={"value": None, "status": "skipped", "reason": "w"})
    contribute(base, measured(20.0), measured(1.0, "ssim"))
    contribute(head, skipped, measured(1.0, "ssim"))
    (row,) = (line for line in shown(base, head, capsys) if "`psnr`" in line)
    assert row.startswith("| other status |")
    assert row.endswith("| 20 | `skipped` | – |")


def test_nothing_new_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base"
    contribute(base)
    assert "No score moved by more than rounding." in shown(base, base, capsys)
    assert cli.main(["diff", str(base), str(tmp_path / "nowhere")]) == 2


COUNTS = dict.fromkeys(("added", "removed", "changed", "unchanged"), 0)
HOSTILE = [
    "</td><script>alert(1)</script>",
    "@everyone see https://example.org and #1",
    "![x](https://example.org/x.png) [y](javascript:z)",
    "` code ends here | and a cell \\| too",
    "a\nb\r\n\n# heading",
    "\x1b[2J\u202eevil",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_inert(text: str) -> None:
    row = dict.fromkeys(("adapter", "suite", "data", "metric", "before", "after"), text)
    counts = dict.fromkeys(("added", "removed", "changed", "unchanged"), 1)
    page = score_comment.render({"rows": [{"kind": "worse", **row}], "counts": counts})
    line = page.splitlines()[-1]
    assert page.count("\n") == 8, "a text cannot open a line of its own"
    cells = re.split(r"(?<!\\)\|", line)[1:-1]
    assert len(cells) == 8, "nor a cell"
    for cell in cells[1:7]:
        assert re.fullmatch(r"`[^`]{1,130}`", cell.strip()), "nor leave its code span"
    assert all(c.isprintable() for c in line)


def test_a_long_diff_is_cut_to_what_a_comment_may_hold() -> None:
    row = {"kind": "better", "adapter": "a" * 100, "before": 1.0, "after": 2.0}
    counts = dict.fromkeys(("added", "removed", "changed", "unchanged"), 0)
    page = score_comment.render({"rows": [row] * 2000, "counts": counts})
    assert len(page) < 65_000
    assert re.search(r"And \d+ more", page)


@pytest.mark.parametrize(
    "diff",
    [
        {},
        ["rows", "counts"],
        {"rows": [], "counts": {"added": "<b>"}},
        {"rows": [{"kind": "<img>"}], "counts": {}},
        {"rows": [], "counts": COUNTS | {"added": 10**3000}},
        {"rows": [], "counts": COUNTS | {"added": -1}},
        {"rows": [{"kind": ["worse"]}], "counts": COUNTS},
        {"rows": [{"kind": {}}], "counts": COUNTS},
        {"rows": [{"kind": "worse", "before": 1, "after": 10**400}], "counts": COUNTS},
        {"rows": [{"kind": "worse", "before": -(10**400)}], "counts": COUNTS},
        {"rows": ["x"], "counts": COUNTS},
    ],
)
def test_what_is_no_diff_gives_no_comment(diff: object) -> None:
    with pytest.raises(ValueError, match=r"score diff|no count|no score"):
        score_comment.render(diff)


def test_numbers_at_the_edge_give_a_line() -> None:
    row = {"kind": "worse", "before": -(10**308), "after": 10**308}
    line = score_comment.render({"rows": [row], "counts": COUNTS}).splitlines()[-1]
    assert line.endswith("| -1e+308 | 1e+308 | +inf |")


def test_a_comment_says_whose_claim_it_is() -> None:
    diff = {"rows": [], "counts": COUNTS}
    page = score_comment.render(diff, "a1" * 20)
    assert page.splitlines()[0] == score_comment.MARKER
    assert f"As the pull request's own run reports it, at `{'a1' * 20}`." in page
    assert "own run" not in score_comment.render(diff)


@pytest.mark.parametrize("head", ["", "main", "A" * 40, "a" * 39, "a" * 41, "a" * 40 + "\n"])
def test_what_is_no_commit_gives_no_comment(head: str) -> None:
    with pytest.raises(ValueError, match="no commit"):
        score_comment.render({"rows": [], "counts": COUNTS}, head)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"rows": [], "counts": {"added": 1e5}}', "9" * 5000]
)
def test_a_hostile_file_ends_the_command(text: str, tmp_path: Path) -> None:
    file = tmp_path / "diff.json"
    file.write_text(text)
    done = subprocess.run(
        [sys.executable, "-I", "-S", score_comment.__file__, str(file), "a" * 40],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""


def test_the_comment_is_made_without_anything_installed(tmp_path: Path) -> None:
    base, head, file = tmp_path / "base", tmp_path / "head", tmp_path / "diff.json"
    contribute(base, measured(20.0))
    contribute(head, measured(19.0))
    assert cli.main(["diff", str(base), str(head), "--json", str(file)]) == 0
    script = Path(score_comment.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(file)], capture_output=True, text=True
    )
    assert done.stdout == score_comment.render(json.loads(file.read_text())), done.stderr
