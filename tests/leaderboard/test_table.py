import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats as scipy_stats

from worldbench.errors import RecordError, UsageError
from worldbench.leaderboard import Board, Cell, Section, build, render, stale, write
from worldbench.leaderboard.scales import target


def section_of(board: Board, suite: str = "video_distance") -> Section:
    return next(section for section in board.sections if section.suite == suite)


def cell_of(board: Board, adapter: str, metric: str, suite: str = "video_distance") -> Cell:
    section = section_of(board, suite)
    index = [column.name for column in section.columns].index(metric)
    return next(row for row in section.rows if row.adapter == adapter).cells[index]


def test_importing_the_leaderboard_does_not_import_torch():
    code = "import sys, worldbench.leaderboard; assert 'torch' not in sys.modules"
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_a_missing_records_folder_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="records folder"):
        build(tmp_path / "nowhere")


def test_an_empty_folder_gives_an_empty_board(tmp_path):
    board = build(tmp_path)
    assert board.sections == ()
    assert b"No records yet" in render(board)["site/index.html"]


def test_records_share_a_section_only_under_the_same_protocol(tree):
    tree.measured("copy_last")
    tree.protocol = {"context": 8, "horizon": 12}
    tree.measured("linear_flow")
    assert len(build(tree.root).sections) == 2


def test_columns_are_headline_first_and_other_factors_are_breakdowns(records):
    section = section_of(build(records))
    assert [c.label for c in section.columns] == ["frechet[effnetlite0-dt-pca64]", "psnr", "ssim"]
    assert [c.label for c in section.breakdowns] == ["psnr (tier = hard)"]


def test_rows_run_from_ceiling_by_rank_to_what_was_not_measured(records):
    rows = section_of(build(records)).rows
    assert [row.adapter for row in rows] == [
        "real_future",
        "linear_flow",
        "copy_last",
        "context_mean",
        "broken_dit",
        "small_jepa",
    ]
    assert [row.role for row in rows[:3]] == ["ceiling", "", "floor"]


def test_ranks_agree_with_a_paired_test_and_ties_share_a_rank(tree, make_rows):
    for name in ("copy_last", "linear_flow", "context_mean"):
        tree.measured(name)
    board = build(tree.root)
    means = {}
    for name in ("copy_last", "linear_flow", "context_mean"):
        table = make_rows(name)
        scenes: dict[str, list[float]] = {}
        for cluster, value in zip(table["cluster"], table["psnr"], strict=True):
            if value is not None:
                scenes.setdefault(cluster, []).append(value)
        means[name] = np.array([np.mean(values) for values in scenes.values()])
    # An independent oracle: paired t-tests of scene means. Six tests are the whole family here.
    expected = {
        name: 1
        + sum(
            scipy_stats.ttest_rel(rival, own, alternative="greater").pvalue < 0.025 / 6
            for other, rival in means.items()
            if other != name
        )
        for name, own in means.items()
    }
    assert {name: cell_of(board, name, "psnr").rank for name in means} == expected
    assert expected["linear_flow"] == 1
    assert cell_of(board, "copy_last", "frechet").rank == 2
    assert cell_of(board, "context_mean", "frechet").rank == 2


def test_a_shrinking_advantage_stops_being_a_better_rank(tree, make_rows, make_result):
    base = make_rows("copy_last")
    noise = np.random.default_rng(3).normal(size=len(base["psnr"]))
    ranks = []
    for step, advantage in enumerate((2.0, 0.5, 0.0)):
        tree.protocol = {"step": step}
        for name, gain in (("plain", 0.0), ("better", advantage)):
            table = dict(base)
            table["psnr"] = [
                None if value is None else value + (gain + 0.3 * n if name == "better" else 0)
                for value, n in zip(base["psnr"], noise - noise.mean(), strict=True)
            ]
            values = [value for value in table["psnr"] if value is not None]
            score = make_result("psnr", math.fsum(values) / len(values), 0.4, headline=True)
            tree.add(tree.card(name), (score,), table)
    board = build(tree.root)
    for section in sorted(board.sections, key=lambda s: s.protocol["step"]):
        ranks.append({row.adapter: row.cells[0].rank for row in section.rows}["plain"])
    assert ranks == [2, 2, 1]


def test_influence_ranks_weigh_rows_as_the_estimate_does(tree, make_result):
    # Two samples per trial and one reference, so neither trials nor roles count the same as rows.
    rng = np.random.default_rng(5)
    psi = {name: rng.normal(scale=3.0, size=(60, 3)) for name in ("one", "two")}
    contributions = (psi["one"] - psi["two"]).sum(axis=1) / 180
    error = math.sqrt(60 / 59 * np.sum((contributions - contributions.mean()) ** 2))
    for name in psi:
        table = {
            "trial": [f"t{i}" for i in range(60) for _ in range(3)],
            "cluster": [f"c{i}" for i in range(60) for _ in range(3)],
            "role": ["rollout", "rollout", "reference"] * 60,
            "kernel.influence": psi[name].ravel().tolist(),
        }
        for errors in (2.4, 1.8):
            tree.protocol = {"errors": errors}
            value = 10.0 + (errors * error if name == "two" else 0.0)
            score = make_result("kernel", value, 0.5, higher_is_better=False, headline=True)
            tree.add(tree.card(name), (score,), table)
    ranks = {
        section.protocol["errors"]: {row.adapter: row.cells[0].rank for row in section.rows}
        for section in build(tree.root).sections
    }
    # Two-sided p are .016 and .072; Holm doubles the smaller one. A standard error wrong by the
    # 3 : 2 of rows to trials and roles would move one of the two across α.
    assert ranks == {2.4: {"one": 1, "two": 2}, 1.8: {"one": 1, "two": 1}}


def test_oracles_are_never_ranked(records):
    cell = cell_of(build(records), "real_future", "psnr")
    assert cell.rank is None
    assert cell.no_rank is None


def test_skill_is_zero_at_the_floor_one_at_the_ceiling_and_linear_between(records):
    board = build(records)
    assert cell_of(board, "copy_last", "frechet").skill == 0.0
    assert cell_of(board, "real_future", "frechet").skill == 1.0
    assert cell_of(board, "linear_flow", "frechet").skill == pytest.approx((14 - 6) / (14 - 1.2))
    assert cell_of(board, "context_mean", "frechet").skill < 0.0


def test_accuracies_are_placed_between_one_half_and_one(records):
    assert cell_of(build(records), "small_jepa", "pair_accuracy", "permanence").skill == 0.5


def test_metrics_without_a_ceiling_have_no_skill_and_say_so(records):
    section = section_of(build(records))
    assert cell_of(build(records), "linear_flow", "psnr").skill is None
    assert section.columns[1].no_skill == "this metric has no ceiling"


def test_a_suite_from_outside_tells_floors_ceilings_and_targets(tree, make_result):
    tree.protocol["scales"] = {
        "arrow_accuracy": {"floor": 0.5, "ceiling": 1.0},
        "gap": {"floor": ["still", "copy_last"], "ceiling": "oracle"},
        "psnr": {"no_skill": "here it is a <control>", "target": 30.0},
    }
    told = {"copy_last": (0.5, 8.0), "still": (0.5, 6.0), "real_future": (1.0, 1.0)}
    for name, (arrow, gap) in {**told, "model": (0.75, 2.0)}.items():
        metrics = (
            make_result("arrow_accuracy", arrow, 0.01, headline=True),
            make_result("gap", gap, 0.01, higher_is_better=False),
            make_result("psnr", 20.0),
            make_result("nameless", 1.0),
        )
        tree.add(tree.card(name), metrics, suite="arrow")
    board = build(tree.root)
    columns = {column.name: column for column in section_of(board, "arrow").columns}
    assert cell_of(board, "model", "arrow_accuracy", "arrow").skill == 0.5
    assert columns["gap"].floor is not None
    assert columns["gap"].floor.source == "still"  # the best of the floors
    assert cell_of(board, "model", "gap", "arrow").skill == pytest.approx((6 - 2) / (6 - 1))
    assert target(columns["psnr"]) == 30.0
    assert columns["psnr"].no_skill == "here it is a <control>"
    assert columns["nameless"].no_skill == "no floor and ceiling are declared for this metric"
    pages = [page.decode() for name, page in render(board).items() if not name.endswith(".json")]
    assert any("here it is a &lt;control&gt;" in page for page in pages)
    assert not any("<control>" in page for page in pages)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"ceiling": 1.0}, "this metric has no floor"),
        ({"floor": [], "ceiling": 1.0}, "this metric has no floor"),
        ({"floor": ["still"], "ceiling": 1.0}, "no floor: still has no value here"),
        ({"floor": 0.0, "ceiling": 5e-324}, "too close to divide by"),
    ],
)
def test_a_suite_that_tells_half_a_scale_is_told_what_is_missing(tree, make_result, told, reason):
    tree.protocol["scales"] = {"accuracy": told}
    tree.add(tree.card("model"), (make_result("accuracy", 0.5, headline=True),))
    board = build(tree.root)
    assert reason in str(section_of(board).columns[0].no_skill)
    assert cell_of(board, "model", "accuracy").skill is None
    assert render(board)


@pytest.mark.parametrize("unit", ["", "%"])
@pytest.mark.parametrize(
    "ends",
    [
        (0.0, 0.0, 5e-324),
        (5e-324, 0.0, 1e-323),
        (-1e100, -1e100, 1e100),
        (1e100, 1e100, 1e100),
        (1.0, 1.0, 1.0000000000000002),
    ],
)
def test_numbers_at_the_limits_are_shown(tree, make_result, ends, unit):
    tree.protocol["scales"] = {"accuracy": {"floor": -1e100, "ceiling": 1e100}}
    value, low, high = ends
    given = {"low": low, "high": high, "unit": unit}
    metrics = [make_result("accuracy", value, None, headline=True, **given)]
    metrics += [make_result("other", value, None, headline=True, **given)]
    for level in (0, 5e-324, 1e-323, 2**64 - 1, 2**64 - 2, 1e100):
        factors = {"level": level}
        metrics.append(make_result("other", value, None, factors=factors, **given))
    for neighbour in range(3):
        factors = {"near": 2**60 + neighbour}
        metrics.append(make_result("other", value, None, factors=factors, **given))
    for name in ("model", "another"):
        cost = make_result("gflops", 5e-324, None, unit="GFLOP", higher_is_better=False)
        tree.add(tree.card(name, parameters=2**64 - 1), (*metrics, cost), suite="probe")
    assert render(build(tree.root))


@pytest.mark.parametrize(
    ("floor", "half", "reason"),
    [
        (1.5, 0.4, "standard errors"),
        (5.0, None, "standard error"),
        (0.5, 0.01, "worse than the floor"),
    ],
)
def test_skill_is_undefined_with_the_reason(tree, make_result, floor, half, reason):
    for name, value in (("copy_last", floor), ("real_future", 1.2), ("model", 3.0)):
        score = make_result("frechet", value, half, higher_is_better=False, headline=True)
        tree.add(tree.card(name), (score,))
    column = section_of(build(tree.root)).columns[0]
    assert cell_of(build(tree.root), "model", "frechet").skill is None
    assert column.no_skill is not None
    assert reason in column.no_skill


def test_a_missing_ceiling_is_named(tree):
    tree.measured("copy_last")
    assert "real future was not measured" in str(section_of(build(tree.root)).columns[0].no_skill)


def test_failed_and_skipped_records_say_why_in_every_cell(records):
    rows = {row.adapter: row for row in section_of(build(records)).rows}
    assert {cell.status for cell in rows["broken_dit"].cells} == {"failed"}
    assert {cell.reason for cell in rows["small_jepa"].cells} == {
        "it predicts latents and has no read-out to pixels"
    }
    assert all(cell.value is None for cell in rows["broken_dit"].cells)


def test_a_metric_that_a_record_lacks_is_not_run(tree, make_result):
    tree.measured("copy_last")
    tree.add(tree.card("model"), (make_result("psnr", 21.0, 0.4, unit="dB", headline=True),))
    cell = cell_of(build(tree.root), "model", "frechet")
    assert (cell.status, cell.value) == ("not run", None)


def test_coverage_counts_measured_headline_cells_over_all_sections(records):
    coverage = {e.name: (e.measured, e.possible) for e in build(records).adapters}
    assert coverage["linear_flow"] == (2, 3)
    assert coverage["small_jepa"] == (1, 3)
    assert coverage["broken_dit"] == (0, 3)


def test_both_revisions_of_an_adapter_are_shown(tree):
    tree.measured("linear_flow", version=1)
    tree.measured("linear_flow", version=2)
    rows = section_of(build(tree.root)).rows
    assert len({row.revision for row in rows}) == 2
    assert [row.cells[0].rank for row in rows] == [1, 1]


def test_two_records_for_the_same_question_are_refused(tree):
    tree.measured("linear_flow")
    tree.measured("linear_flow", salt="other metric versions")
    with pytest.raises(RecordError, match="same question"):
        build(tree.root)


def test_records_that_disagree_on_a_direction_are_refused(tree, make_result):
    tree.measured("copy_last")
    tree.add(tree.card("model"), (make_result("psnr", 21.0, unit="%", headline=True),))
    with pytest.raises(RecordError, match="disagree on psnr"):
        build(tree.root)


def test_operators_of_different_schools_share_a_headline_column(tree, make_result):
    for name, operator in (("dit", "denoising_error"), ("jepa", "latent_error")):
        score = make_result("pair_accuracy", 0.7, headline=True, factors={"operator": operator})
        tree.add(tree.card(name), (score,))
    section = section_of(build(tree.root))
    assert [column.label for column in section.columns] == ["pair_accuracy"]
    assert {row.cells[0].qualifier for row in section.rows} == {
        "operator = denoising_error",
        "operator = latent_error",
    }


def test_two_headline_operators_in_one_record_have_a_column_each(tree, make_result, make_rows):
    scores = tuple(
        make_result("psnr", value, headline=True, factors={"operator": operator})
        for operator, value in (("one", 0.7), ("two", 0.8))
    )
    for name in ("copy_last", "linear_flow"):
        tree.add(tree.card(name), scores, make_rows(name))
    section = section_of(build(tree.root))
    assert [c.label for c in section.columns] == ["psnr (operator = one)", "psnr (operator = two)"]
    assert all("apart" in str(cell.no_rank) for row in section.rows for cell in row.cells)


def test_rows_that_changed_after_the_run_are_refused(tree, make_rows):
    path = tree.measured("copy_last")
    pq.write_table(pa.table(make_rows("linear_flow")), path.with_suffix(".parquet"))
    with pytest.raises(RecordError, match="not those the record was made from"):
        build(tree.root)


def test_rows_outside_the_records_folder_are_refused(tree, make_result):
    tree.add(
        tree.card("model"), (make_result("psnr", 1.0, headline=True),), trials="../../x.parquet"
    )
    with pytest.raises(RecordError, match="outside its folder"):
        build(tree.root)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(b"PAR1 not really"), "cannot be read"),
        (lambda path: pq.write_table(pa.table({"trial": ["a"]}), path), "no column 'cluster'"),
    ],
)
def test_unusable_rows_cost_the_rank_and_say_why(tree, make_provenance, damage, reason):
    tree.measured("linear_flow")
    tree.measured("context_mean")
    path = tree.measured("copy_last")
    record = json.loads(path.read_text())
    record["provenance"]["trials_sha256"] = None
    path.write_text(json.dumps(record))
    damage(path.with_suffix(".parquet"))
    board = build(tree.root)
    cell = cell_of(board, "copy_last", "psnr")
    assert cell.rank is None
    assert reason in str(cell.no_rank)
    assert cell_of(board, "linear_flow", "psnr").rank == 1


def test_scores_beyond_every_limit_cost_the_rank(tree, make_result):
    table = {"trial": ["a", "b"], "cluster": ["c", "d"], "role": ["rollout"] * 2}
    for name in ("model", "another"):
        score = make_result("psnr", 1.0, headline=True)
        tree.add(tree.card(name), (score,), table | {"psnr": [1.7e308, 1.7e308]})
    board = build(tree.root)
    assert "its rows hold a psnr beyond ±1e+100" in str(cell_of(board, "model", "psnr").no_rank)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "text"])
def test_scores_that_are_not_numbers_cost_the_rank(tree, make_result, value):
    table = {"trial": ["a"], "cluster": ["c"], "role": ["rollout"], "psnr": [value]}
    tree.add(tree.card("model"), (make_result("psnr", 1.0, headline=True),), table)
    assert "not a finite number" in str(cell_of(build(tree.root), "model", "psnr").no_rank)


def test_rows_that_disagree_on_a_cluster_are_refused(tree, make_result):
    for name, cluster in (("one", "c"), ("two", "d")):
        table = {"trial": ["a"], "cluster": [cluster], "role": ["rollout"], "psnr": [1.0]}
        tree.add(tree.card(name), (make_result("psnr", 1.0, headline=True),), table)
    with pytest.raises(RecordError, match="disagree on the cluster"):
        build(tree.root)


def test_adapters_without_shared_trials_are_not_ranked(tree, make_result):
    for name in ("one", "two"):
        table = {"trial": [name], "cluster": ["c"], "role": ["rollout"], "psnr": [1.0]}
        tree.add(tree.card(name), (make_result("psnr", 1.0, headline=True),), table)
    board = build(tree.root)
    assert "shares no comparable trials" in str(cell_of(board, "one", "psnr").no_rank)


def test_rendering_depends_on_bodies_alone(tree, make_provenance, tmp_path):
    boards = []
    names = ["copy_last", "linear_flow", "real_future"]
    for turn, order in enumerate((names, names[::-1])):
        tree.root = tmp_path / f"turn{turn}"
        for name in order:
            tree.measured(name, record=make_provenance(started=f"turn {turn}", device=f"d{turn}"))
        boards.append(render(build(tree.root)))
    assert boards[0] == boards[1]


def test_rendering_does_not_depend_on_hash_seed_time_zone_or_locale(records):
    code = (
        "import sys, hashlib, pathlib; from worldbench.leaderboard import build, render;"
        "r = render(build(pathlib.Path(sys.argv[1])));"
        "print([hashlib.sha256(v).hexdigest() for v in r.values()])"
    )
    root = Path(__file__).parents[2]
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(records)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(root), **environment},
        ).stdout
        for environment in (
            {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
            {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"},
        )
    }
    assert len(outputs) == 1


def test_json_keeps_numbers_as_measured(records):
    board = build(records)
    data = json.loads(render(board)["leaderboard.json"])
    section = next(s for s in data["sections"] if s["suite"] == "video_distance")
    shown = {row["adapter"]: row["cells"][1]["value"] for row in section["rows"]}
    assert shown["linear_flow"] == cell_of(board, "linear_flow", "psnr").value
    assert shown["broken_dit"] is None


def test_a_board_of_records_is_not_replaced_by_one_of_none(records, tmp_path):
    empty, out = tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    for _ in range(2):
        write(build(empty), out)
    assert stale(build(empty), out) == ""
    write(build(records), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for replace in (write, stale):
        with pytest.raises(UsageError, match="no records to make the board") as caught:
            replace(build(empty), out)
        assert caught.value.seen == empty
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_written_files_are_up_to_date_until_something_changes(records, tmp_path):
    board, out = build(records), tmp_path / "out"
    assert stale(board, out).count("missing: ") == len(render(board))
    write(board, out)
    assert stale(board, out) == ""
    for name in render(board):
        path = out / name
        path.write_text(path.read_text(encoding="utf-8").replace("linear_flow", "edited"))
    difference = stale(board, out)
    assert "edited" in difference
    assert "+++ the records" in difference


@pytest.mark.parametrize("page", ["site/index.html", "site/duel.html", "leaderboard.md"])
def test_one_edited_page_is_found(records, tmp_path, page):
    board = build(records)
    write(board, tmp_path)
    path = tmp_path / page
    path.write_text(path.read_text(encoding="utf-8").replace("worldbench", "mine"), "utf-8")
    assert stale(board, tmp_path).startswith(f"--- {path}\n")


def test_a_page_of_another_board_is_told_and_removed(records, tmp_path):
    board = build(records)
    write(board, tmp_path)
    old = tmp_path / "site" / "models" / "gone-0123.html"
    old.write_text("old")
    assert stale(board, tmp_path) == f"not of these records: {old}\n"
    write(board, tmp_path)
    assert not old.exists()
    assert stale(board, tmp_path) == ""


def test_a_changed_page_is_told_in_few_lines(records, tmp_path):
    board = build(records)
    write(board, tmp_path)
    page = tmp_path / "site" / "index.html"
    page.write_text("\n".join(f"other {i}" for i in range(1000)))
    assert 0 < len(stale(board, tmp_path).splitlines()) <= 20


@pytest.mark.parametrize("first", ["aa", "zz"])
def test_what_was_not_measured_need_not_name_its_unit(tree, make_result, first):
    skipped = make_result("speed", None, status="skipped", reason="cannot be read", n=0)
    tree.add(tree.card(first), (skipped, make_result("top1", 0.5, headline=True)))
    tree.add(tree.card("mm"), (make_result("speed", 3.0, unit="m/s"),))
    (section,) = build(tree.root).sections
    assert [c.unit for c in section.columns if c.name == "speed"] == ["m/s"]
