import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats as oracle

from worldbench import cli
from worldbench.comparison import Comparison, compare, find, render
from worldbench.errors import RecordError, UsageError
from worldbench.stats import minimal_detectable

SHIPPED = Path(__file__).parents[2] / "reports" / "records"
HOSTILE = "a|b `c` <script>alert(1)</script> [x](javascript:1) [red]r[/red]\x1b[31m\n# head\u202e"


def compared(root: Path, a: str = "one", b: str = "two", **options) -> Comparison:
    return compare(a, b, find(a, b, root), **options)


def only(comparison: Comparison):
    (configuration,) = comparison.configurations
    (line,) = configuration.lines
    return line


# --- numbers --------------------------------------------------------------------------------------


def test_p_agrees_with_scipys_paired_permutation_test(root, add, noise):
    a, b = noise.normal(size=11), noise.normal(0.6, size=11)
    add("one", {"psnr": a})
    add("two", {"psnr": b})
    paired = only(compared(root)).paired
    expected = oracle.permutation_test(
        (a, b), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert paired.p == pytest.approx(expected.pvalue)
    assert paired.difference == pytest.approx(expected.statistic)


def test_what_is_read_by_maps_of_their_own_is_on_no_common_scale():
    found = compare("jepa", "jepa_random", find("jepa", "jepa_random", SHIPPED))
    read = [
        line
        for configuration in found.configurations
        for line in configuration.lines
        if "-readout" in line.column.label
    ]
    assert read
    assert {(line.paired, line.reason) for line in read} == {
        (None, "A and B: each model is read by a map of its own, so these are not on one scale")
    }


def test_trials_of_a_scene_count_as_one_in_test_and_interval(root, add, noise):
    a, b = noise.normal(size=10), noise.normal(0.6, size=10)
    scenes = [f"s{i}" for i in range(10)]
    thrice = {"clusters": scenes * 3}
    add("one", {"psnr": np.tile(a, 3)}, **thrice)
    add("two", {"psnr": np.tile(b, 3)}, **thrice)
    add("lone_one", {"psnr": a}, clusters=scenes)
    add("lone_two", {"psnr": b}, clusters=scenes)
    many = only(compared(root)).paired
    few = only(compared(root, "lone_one", "lone_two")).paired
    assert (many.n, many.clusters, few.n, few.clusters) == (30, 10, 10, 10)
    for name in ("p", "low", "high", "detectable"):
        assert getattr(many, name) == pytest.approx(getattr(few, name))


def test_detectable_difference_is_found_four_times_in_five(root, add, noise):
    a, b = noise.normal(size=16), noise.normal(size=16)
    add("one", {"psnr": a})
    add("two", {"psnr": b})
    found = only(compared(root)).paired.detectable
    spread = np.std(a - b, ddof=1)
    shift = found / spread * np.sqrt(16)
    edge = oracle.t.ppf(0.975, 15)
    # The power of a t test whose true difference is the detectable one, by its own distribution.
    power = oracle.nct.sf(edge, 15, shift) + oracle.nct.cdf(-edge, 15, shift)
    assert power == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(("se", "clusters"), [(None, 9), (0.0, 9), (1.0, 1)])
def test_no_spread_means_no_detectable_difference(se, clusters):
    assert minimal_detectable(se, clusters) is None


@pytest.mark.parametrize(
    "wrong", [{"se": -1.0}, {"se": float("nan")}, {"clusters": 0}, {"power": 1.0}, {"alpha": 0.0}]
)
def test_detectable_difference_refuses_nonsense(wrong):
    with pytest.raises(ValueError, match="must"):
        minimal_detectable(**({"se": 1.0, "clusters": 5} | wrong))


def test_p_is_holms_over_all_metrics_shown(root, add, noise):
    for name, shift in (("one", 0.0), ("two", 0.8)):
        scores = {"psnr": noise.normal(shift, size=12), "ssim": noise.normal(shift / 2, size=12)}
        add(name, scores)
    both = compared(root).configurations[0].lines
    p = sorted(line.paired.p for line in both)
    assert sorted(line.paired.adjusted for line in both) == [
        pytest.approx(min(1.0, 2 * p[0])),
        pytest.approx(max(2 * p[0], p[1])),
    ]
    alone = only(compared(root, metrics=["psnr"])).paired
    assert alone.adjusted == alone.p


def test_identical_records_differ_by_zero(root, add, noise):
    values = noise.normal(size=20)
    add("one", {"psnr": values})
    add("two", {"psnr": values})
    line = only(compared(root))
    paired = line.paired
    assert (paired.difference, paired.low, paired.high, paired.p) == (0.0, 0.0, 0.0, 1.0)
    assert (paired.better, paired.ties, paired.worse) == (0, 20, 0)
    assert (paired.best, paired.worst, paired.detectable, line.winner) == ((), (), None, None)


@pytest.mark.parametrize(("higher", "winner", "best"), [(True, "a", "t001"), (False, "b", "t003")])
def test_direction_decides_who_wins_and_which_trials_are_best(root, add, higher, winner, best):
    base = np.zeros(12)
    gains = np.full(12, 0.5)
    gains[1], gains[3] = 0.9, -0.1
    add("one", {"error": base + gains}, changes={"higher_is_better": higher})
    add("two", {"error": base}, changes={"higher_is_better": higher})
    line = only(compared(root, shown=1))
    assert line.winner == winner
    assert [trial.id for trial in line.paired.best] == [best]


def test_distances_are_compared_by_what_each_clip_adds_to_their_difference():
    """The linearised difference, worked out anew from the shipped records."""
    found = find("dit", "linear_flow", SHIPPED)
    lines = compare("dit", "linear_flow", found, metrics=["kernel"]).configurations[-1].lines
    sums: dict[str, float] = {}
    (pair,) = (p for p in found.pairs if p.a.body.suite.name == "video_distance")
    for sign, source in ((1, pair.a), (-1, pair.b)):
        rows = pq.read_table(source.path.with_suffix(".parquet")).to_pylist()
        for row in rows:
            share = sign * row["kernel.influence"] / len(rows)
            sums[row["cluster"]] = sums.get(row["cluster"], 0.0) + share
    error = np.sqrt(len(sums) / (len(sums) - 1) * sum(value**2 for value in sums.values()))
    line, paired = lines[0], lines[0].paired
    assert paired.kind == "influence"
    assert paired.difference == pytest.approx(line.a.value - line.b.value)
    assert paired.high - paired.low == pytest.approx(2 * oracle.norm.ppf(0.975) * error)
    assert paired.p == pytest.approx(2 * oracle.norm.sf(abs(paired.difference) / error))
    assert line.winner == "a"


def test_only_trials_that_both_answered_are_compared(root, add):
    add("one", {"psnr": [1.0, 2.0, 3.0, 9.0]}, trials=["a", "b", "c", "d"])
    add("two", {"psnr": [1.0, 1.0, 1.0]}, trials=["a", "b", "c"])
    paired = only(compared(root)).paired
    assert (paired.n, paired.only_a, paired.only_b, paired.difference) == (3, 1, 0, 1.0)


# --- what cannot be compared ----------------------------------------------------------------------


def test_other_protocols_are_refused_with_the_keys_that_differ(root, add, capsys):
    add("one", {"psnr": [1.0, 2.0]})
    add("two", {"psnr": [1.0, 2.0]}, protocol={"context": 6, "clips": {"fps": 8.0}, "limit": 3})
    words = ["compare", "one", "two", "--records", str(root)]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "protocol.context: 4 | 6" in said
    assert "protocol.limit: not there | 3" in said
    assert "fps" not in said


def test_suites_of_one_side_only_are_told(root, add):
    add("one", {"psnr": [1.0, 2.0]})
    add("two", {"psnr": [1.0, 2.0]})
    add("one", {"psnr": [1.0, 2.0]}, suite="alone")
    assert compared(root).unmatched == (
        "alone@1 on worlds-quick: one has a record, two has none of this suite",
    )


def test_without_rows_the_scores_stand_but_nothing_is_tested(root, add):
    add("one", {"psnr": [1.0, 2.0]}, rows=False)
    add("two", {"psnr": [1.0, 1.0]})
    line = only(compared(root))
    assert (line.paired, line.difference, line.winner) == (None, 0.5, None)
    assert line.reason.startswith("A: its rows file")


def test_rows_whose_mean_is_not_the_score_are_not_tested(root, add):
    add("one", {"psnr": [1.0, 2.0]}, changes={"value": 1.7})
    add("two", {"psnr": [1.0, 1.0]})
    assert "not the mean of its rows" in only(compared(root)).reason


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_record_without_scores_gives_its_reason(root, add, status, capsys):
    add("one", {"psnr": [1.0, 2.0]})
    add("two", status=status, reason="it can't be asked")
    line = only(compared(root))
    assert (line.difference, line.reason) == (None, f"B: {status}: it can't be asked")
    assert cli.main(["compare", "one", "two", "--records", str(root)]) == 0
    assert f"{status}: it can't be asked" in capsys.readouterr().out


def test_altered_rows_and_contradicting_scenes_are_refused(root, add):
    path = add("one", {"psnr": [1.0, 2.0]})
    add("two", {"psnr": [1.0, 1.0]}, clusters=["x", "y"])
    with pytest.raises(RecordError, match="different clusters"):
        compared(root)
    path.with_suffix(".parquet").write_bytes(b"other")
    with pytest.raises(RecordError, match="not those the record was made from"):
        compared(root)


def test_two_revisions_are_told_apart_by_name(root, add):
    add("one", {"psnr": [1.0, 2.0]})
    paths = [add("two", {"psnr": [1.0, float(v)]}, version=v) for v in (1, 2)]
    with pytest.raises(UsageError, match="has two records"):
        compared(root)
    word = f"two@{paths[1].parts[-3]}"
    assert only(compared(root, "one", word)).difference == 0.0
    assert only(compared(root, str(paths[0].parents[1]), str(paths[1]))).difference == -0.5


@pytest.mark.parametrize("words", [["nobody", "two"], ["one", "gone.json"], ["one@ffff", "two"]])
def test_unknown_sides_and_metrics_are_usage_errors(root, add, words, capsys):
    add("one", {"psnr": [1.0, 2.0]})
    add("two", {"psnr": [1.0, 2.0]})
    assert cli.main(["compare", *words, "--records", str(root)]) == 2
    assert cli.main(["compare", "one", "two", "--records", str(root), "--metric", "pnsr"]) == 2
    assert "did you mean 'psnr'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["compare", "gate"])
def test_help_imports_nothing_heavy_and_the_answer_no_torch(root, add, command):
    add("one", {"psnr": [1.0, 2.0]})
    add("two", {"psnr": [1.0, 2.0]})
    words = [command, "one", "two", "--records", str(root)]
    words += ["--max-regression", "1"] if command == "gate" else []
    code = (
        "import sys; from worldbench.cli import main\n"
        f"try: main([{command!r}, '--help'])\n"
        "except SystemExit: pass\n"
        "first = {'torch', 'numpy', 'pyarrow', 'rich', 'jinja2'} & set(sys.modules)\n"
        f"done = main({words!r}); print(sorted(first), done, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0 False"


# --- renderings -----------------------------------------------------------------------------------


def test_hostile_words_are_inert_everywhere(root, add, capsys, tmp_path):
    rows = {"trials": [f"{HOSTILE}1", f"{HOSTILE}2"], "clusters": [HOSTILE, "s"]}
    add("one", {HOSTILE: [1.0, 2.0]}, changes={"unit": HOSTILE}, **rows)
    add("two", {HOSTILE: [3.0, 1.0]}, changes={"unit": HOSTILE}, **rows)
    add("one", {"psnr": [1.0, 2.0]}, suite="later")
    add("two", suite="later", status="failed", reason=HOSTILE)
    comparison = compared(root)
    render.show(comparison)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    page = render.as_html(comparison)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    lines = render.as_markdown(comparison).splitlines()
    assert not [line for line in lines if line.startswith("# ") and "head" in line]
    assert not re.search(r"<script|(?<!\\)`|(?<!\\)\]\(", "\n".join(lines))
    tables = [line for line in lines if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in tables} == {11, 7}


def test_json_holds_the_numbers_as_measured(root, add, capsys, noise):
    add("one", {"psnr": noise.normal(size=9)})
    add("two", {"psnr": noise.normal(size=9)})
    assert cli.main(["compare", "one", "two", "--records", str(root), "--json"]) == 0
    line = json.loads(capsys.readouterr().out)["configurations"][0]["lines"][0]
    expected = only(compared(root))
    assert line["difference"] == expected.difference
    assert line["paired"]["p"] == expected.paired.p


def test_the_page_is_written_and_the_answer_printed(root, add, capsys, tmp_path):
    add("one", {"psnr": [1.0, 2.0, 3.0]})
    add("two", {"psnr": [2.0, 2.0, 2.0]})
    page = tmp_path / "page.html"
    words = ["compare", "one", "two", "--records", str(root), "--markdown", "--html", str(page)]
    assert cli.main(words) == 0
    assert capsys.readouterr().out.startswith("# one against two\n\n## motion@1")
    assert "one against two" in page.read_text(encoding="utf-8")
