import re

import numpy as np
import pytest

from worldbench import cli

HOSTILE = "a|b `c` <script>alert(1)</script> [x](javascript:1) [red]r[/red]\x1b[31m\n# head\u202e"


@pytest.fixture
def summary(tmp_path, monkeypatch):
    path = tmp_path / "summary.md"
    path.write_text("earlier step\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


@pytest.fixture
def judged(root, monkeypatch):
    """Returns the exit code of a gate between the adapters ``base`` and ``new``."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    def judged(*allowed: str, strict: bool = False) -> int:
        given = [word for amount in allowed for word in ("--max-regression", amount)]
        options = ["--strict"] if strict else []
        return cli.main(["gate", "base", "new", *given, *options, "--records", str(root)])

    return judged


@pytest.mark.parametrize(
    ("worse", "allowed", "code"),
    [(0.0, "0", 0), (0.3, "0.2", 1), (0.3, "0.3", 0), (0.3, "5%", 0), (0.3, "1%", 1), (-9, "0", 0)],
)
def test_a_candidate_may_be_worse_by_what_is_allowed_and_no_more(add, judged, worse, allowed, code):
    scores = np.linspace(9.0, 11.0, 12)
    add("base", {"psnr": scores})
    add("new", {"psnr": scores - worse})
    assert judged(allowed) == code


@pytest.mark.parametrize(("grown", "code"), [(0.5, 1), (-0.5, 0)])
def test_an_error_that_grows_is_a_regression(add, judged, grown, code):
    changes = {"higher_is_better": False}
    add("base", {"error": np.ones(12)}, changes=changes)
    add("new", {"error": np.ones(12) + grown}, changes=changes)
    assert judged("0.1") == code


def test_strict_demands_that_the_whole_interval_is_allowed(add, judged, noise, capsys):
    scores = noise.normal(size=12)
    add("base", {"psnr": scores})
    add("new", {"psnr": scores + noise.normal(0.0, 0.5, size=12)})
    assert judged("0.1") == 0
    assert "often miss a regression" in capsys.readouterr().out
    assert judged("0.1", strict=True) == 1
    assert "may be worse" in capsys.readouterr().out


def test_only_what_is_allowed_by_name_is_guarded(add, judged):
    add("base", {"psnr": np.ones(9), "ssim": np.ones(9)})
    add("new", {"psnr": np.ones(9), "ssim": np.zeros(9)})
    assert judged("psnr=0.1") == 0
    assert judged("0.1") == 1
    assert judged("0.1", "ssim=1") == 0


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_candidate_without_the_score_fails(add, judged, status, capsys):
    add("base", {"psnr": np.ones(9)})
    add("new", status=status, reason="ran out of memory")
    assert judged("9") == 1
    assert f"no score: {status}: ran out of memory" in capsys.readouterr().out


def test_a_candidate_that_broke_before_it_saw_the_question_fails(add, judged, capsys):
    add("base", {"psnr": np.ones(9)})
    add("new", protocol={}, status="failed", reason="no checkpoint")
    assert judged("9") == 1
    assert "failed: no checkpoint" in capsys.readouterr().out


def test_a_suite_the_candidate_was_not_run_on_fails(add, judged, capsys):
    add("base", {"psnr": np.ones(9)})
    add("base", {"psnr": np.ones(9)}, suite="hard")
    add("new", {"psnr": np.ones(9)})
    assert judged("9") == 1
    assert "hard@1 · worlds-quick: the candidate has no record of it" in capsys.readouterr().out


def test_leaving_out_hard_trials_fails(add, judged, capsys):
    add("base", {"psnr": [1.0, 1.0, 0.0]}, trials=["a", "b", "hard"])
    add("new", {"psnr": [1.0, 1.0]}, trials=["a", "b"])
    assert judged("9") == 1
    assert "left out 1 trials" in capsys.readouterr().out


def test_without_rows_the_scores_are_judged_but_not_strictly(add, judged, capsys):
    add("base", {"psnr": np.ones(9)}, rows=False)
    add("new", {"psnr": np.ones(9)})
    assert judged("0.1") == 0
    assert "not tested: A: its rows file" in capsys.readouterr().out
    assert judged("0.1", strict=True) == 1


def test_other_protocols_are_refused_with_the_keys_that_differ(add, judged, summary, capsys):
    add("base", {"psnr": np.ones(9)})
    add("new", {"psnr": np.ones(9)}, protocol={"context": 6, "clips": {"fps": 8.0}})
    assert judged("9") == 2
    assert "protocol.context: 4 | 6" in capsys.readouterr().err
    assert summary.read_text(encoding="utf-8") == "earlier step\n"


@pytest.mark.parametrize("wrong", ["-1", "nan", "much", "=1", "psnr=", "%", "pnsr=1"])
def test_amounts_and_metrics_that_make_no_sense_are_usage_errors(add, judged, wrong):
    add("base", {"psnr": np.ones(9)})
    add("new", {"psnr": np.ones(9)})
    assert judged(wrong) == 2
    assert judged("1", "2") == 2


def test_a_baseline_without_scores_guards_nothing_and_is_refused(add, judged, capsys):
    add("base", status="failed", reason="x")
    add("new", {"psnr": np.ones(9)})
    assert judged("1") == 2
    assert "nothing to guard" in capsys.readouterr().err


def test_the_summary_is_appended_and_hostile_words_in_it_are_inert(
    root, add, summary, capsys, monkeypatch
):
    rows = {"trials": [f"{HOSTILE}{i}" for i in range(9)], "changes": {"unit": HOSTILE}}
    add("base", {HOSTILE: np.ones(9)}, **rows)
    add("new", {HOSTILE: np.zeros(9)}, **rows)
    add("base", {"psnr": np.ones(9)}, suite="later")
    add("new", suite="later", status="failed", reason=HOSTILE)
    words = ["gate", "base", "new", "--max-regression", "0.1", "--records", str(root)]
    assert cli.main(words) == 1
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("earlier step\n\n## worldbench gate: failed (2 of 2 guarded)")
    assert not re.search(r"<script|(?<!\\)`|(?<!\\)\]\(|^# ", text, re.MULTILINE)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in tables} == {10, 7}
