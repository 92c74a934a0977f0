"""What is refused of a contribution, one sentence per test."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tracked_runs import METRICS, a_record

from worldbench import cli
from worldbench import record as records
from worldbench.foreign import foreign_targets
from worldbench.remeasure import remeasure
from worldbench.schema import MetricResult, Record

OURS = Path(__file__).parents[1] / "reports" / "records"
Said = pytest.CaptureFixture[str]


def contribute(
    root: Path,
    *metrics: MetricResult,
    name: str = "mine",
    revision: str = "r" * 64,
    seed: int = 0,
) -> Path:
    """Writes a record with its rows where it belongs; returns its path."""
    made = a_record(*(metrics or METRICS))
    card = made.body.adapter.model_copy(update={"name": name, "revision": revision})
    suite = made.body.suite.model_copy(update={"protocol": {"horizon": 8, "seed": seed}})
    key = records.record_key(
        *(card.revision, suite.name, suite.version, suite.metric_versions),
        *(suite.data.digest, suite.protocol),
    )
    path = records.record_path(root, card, suite.name, suite.version, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = path.with_suffix(".parquet")
    pq.write_table(pa.table({"trial": ["t"], "cluster": ["c"], "role": ["rollout"]}), rows)
    body = made.body.model_copy(
        update={"adapter": card, "suite": suite, "key": key, "trials": rows.name}
    )
    sha256 = records.file_digest(rows)
    provenance = made.provenance.model_copy(update={"trials_sha256": sha256})
    records.write(path, Record(body=body, provenance=provenance))
    return path


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def with_rows(path: Path, columns: dict[str, list]) -> None:
    """Gives a record other rows, as somebody would who forges it well."""
    rows = path.with_suffix(".parquet")
    pq.write_table(pa.table(columns), rows)
    sha256 = records.file_digest(rows)
    edit(path, lambda content: content["provenance"].update(trials_sha256=sha256))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "records"


@pytest.fixture
def mine(root: Path) -> Path:
    return contribute(root)


def refused(capsys: Said, *words: object) -> str:
    assert cli.main(["validate", *map(str, words)]) == 1
    return capsys.readouterr().out


def accepted(capsys: Said, *words: object) -> None:
    assert cli.main(["validate", *map(str, words)]) == 0
    assert "everything holds" in capsys.readouterr().out


def test_a_record_as_a_run_writes_it_is_accepted(root: Path, mine: Path, capsys: Said) -> None:
    accepted(capsys, root)
    accepted(capsys, mine)


def test_the_records_of_this_repository_are_accepted(capsys: Said) -> None:
    accepted(capsys, OURS)


def test_what_is_no_json_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    mine.write_text("{")
    assert "cannot read record" in refused(capsys, root)


def test_a_record_that_nobody_can_read_hides_no_other_problem(
    root: Path, mine: Path, capsys: Said
) -> None:
    for name, content in {"deep": "[" * 100_000, "long": "1" * 5000, "nan": "[NaN]"}.items():
        contribute(root, name=name).write_text(content)
    edit(mine, lambda content: content["body"]["metrics"][0].update(value=99.0))
    said = refused(capsys, root)
    assert said.count("cannot read record") == 3
    assert "the value of psnr lies outside of its interval" in said
    assert "4 records checked: 4 problems" in said


def test_another_schema_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    edit(mine, lambda content: content.update(schema=99))
    assert "unknown schema version" in refused(capsys, root)


def test_a_field_that_the_schema_does_not_know_is_refused(
    root: Path, mine: Path, capsys: Said
) -> None:
    edit(mine, lambda content: content["body"].update(rank=1))
    assert "is not valid" in refused(capsys, root)


def test_a_place_that_the_body_does_not_say_is_refused(
    root: Path, mine: Path, capsys: Said
) -> None:
    moved = shutil.copytree(root / "mine", root / "yours")
    shutil.rmtree(root / "mine")
    assert "it should stand at mine/" in refused(capsys, root)
    assert moved.is_dir()


def test_a_record_deeper_than_a_board_looks_for_it_is_refused(
    root: Path, mine: Path, capsys: Said
) -> None:
    hidden = contribute(root / "extra", seed=1)
    said = refused(capsys, root)
    assert f"{hidden}: no board reads it: it stands in the records folder {root / 'extra'}" in said
    assert "2 records checked: 1 problems" in said
    accepted(capsys, root / "extra")


def test_a_record_higher_than_a_board_looks_for_it_is_refused(
    root: Path, mine: Path, capsys: Said
) -> None:
    # The folder of the records stands for its adapter, of which this folder alone holds records.
    high = contribute(root.parent, name=root.name, seed=1)
    assert f"{high}: no board reads it: it stands in the" in refused(capsys, root)
    shutil.rmtree(root / "mine")
    accepted(capsys, root)


def test_an_adapters_folder_is_checked_by_itself(root: Path, mine: Path, capsys: Said) -> None:
    accepted(capsys, root / "mine")
    accepted(capsys, mine.parent)


def test_what_no_board_can_show_is_told_of_its_record(root: Path, capsys: Said) -> None:
    decibels = METRICS[0].model_copy(update={"unit": "dB"})
    for i, name in enumerate("abcde"):
        contribute(root, decibels if name == "c" else METRICS[0], name=name, revision=f"{i}" * 64)
    said = refused(capsys, root)
    assert "5 records checked: 1 problems" in said
    (told,) = (line for line in said.splitlines() if "no board can show it" in line)
    assert told.startswith(str(root / "c"))
    assert "records of video_distance@1 disagree on psnr" in told


def test_whatever_breaks_a_board_is_told_of_its_record(
    root: Path, mine: Path, capsys: Said
) -> None:
    # Surprises of quads are summed on a page, and so must be numbers.
    words = {name: ["many"] for name in ("mean_A", "mean_P", "mean_I1", "mean_I2", "operator")}
    place = {"trial": ["t"], "cluster": ["c"], "role": ["rollout"], "psnr": [21.5]}
    broken = contribute(root, METRICS[0].model_copy(update={"headline": True}), seed=1)
    with_rows(broken, place | words)
    said = refused(capsys, root)
    assert f"{broken}: no board can show it: TypeError" in said
    assert "2 records checked: 1 problems" in said


def test_an_edited_identity_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    edit(mine, lambda content: content["body"]["suite"]["protocol"].update(horizon=4))
    assert "what it says of itself gives" in refused(capsys, root)


@pytest.mark.parametrize("status", ["ok", "skipped"])
def test_a_measured_record_of_no_known_revision_is_refused(
    root: Path, mine: Path, status: str, capsys: Said
) -> None:
    card = records.read(mine).body.adapter.model_copy(update={"revision": records.UNRESOLVED})
    path = records.record_path(root, card, "video_distance", "1", records.read(mine).body.key)
    path.parent.mkdir(parents=True)
    for suffix in (".json", ".parquet"):
        mine.with_suffix(suffix).rename(path.with_suffix(suffix))
    told = {"status": status, "reason": None if status == "ok" else "no reason"}
    edit(path, lambda content: content["body"]["adapter"].update(revision=records.UNRESOLVED))
    edit(path, lambda content: content["body"].update(told))
    if status != "ok":
        path.with_suffix(".parquet").unlink()
        edit(path, lambda content: content["body"].update(trials=None, metrics=[]))
    assert f"it is {status}, but does not say of what" in refused(capsys, root)
    edit(path, lambda content: content["body"].update(status="failed", reason="no such file"))
    if status != "ok":
        accepted(capsys, root)


def test_a_mean_that_its_rows_do_not_give_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    place = {"trial": ["a", "b"], "cluster": ["a", "b"], "role": ["rollout"] * 2}
    with_rows(mine, {**place, "psnr": [21.0, 22.0]})
    accepted(capsys, root)
    with_rows(mine, {**place, "psnr": [20.0, 21.0]})
    assert "psnr: recorded 21.5, its rows give 20.5" in refused(capsys, root)
    with_rows(mine, {**place, "psnr": ["many", "more"]})
    assert "psnr: its rows hold no numbers" in refused(capsys, root)


def test_rows_that_are_missing_are_refused(root: Path, mine: Path, capsys: Said) -> None:
    mine.with_suffix(".parquet").unlink()
    assert "its rows are missing" in refused(capsys, root)


def test_rows_that_were_altered_are_refused(root: Path, mine: Path, capsys: Said) -> None:
    rows = mine.with_suffix(".parquet")
    rows.write_bytes(rows.read_bytes() + b"\n")
    assert "its rows are not those that it was made from" in refused(capsys, root)


def test_rows_that_no_trial_owns_are_refused(root: Path, mine: Path, capsys: Said) -> None:
    rows = mine.with_suffix(".parquet")
    pq.write_table(pa.table({"psnr": [1.0]}), rows)
    sha256 = records.file_digest(rows)
    edit(mine, lambda content: content["provenance"].update(trials_sha256=sha256))
    assert "its rows have no column trial" in refused(capsys, root)


def test_rows_of_another_record_are_refused(root: Path, mine: Path, capsys: Said) -> None:
    edit(mine, lambda content: content["body"].update(trials="../../etc/passwd"))
    assert f"its rows should be {mine.stem}.parquet" in refused(capsys, root)


def test_the_same_metric_twice_is_refused(root: Path, capsys: Said) -> None:
    contribute(root, *METRICS, METRICS[0])
    assert "it holds the metric psnr twice" in refused(capsys, root)


def test_a_value_outside_of_its_interval_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    edit(mine, lambda content: content["body"]["metrics"][0].update(value=99.0))
    assert "the value of psnr lies outside of its interval" in refused(capsys, root)


def test_two_records_of_one_question_and_model_are_refused(root: Path, capsys: Said) -> None:
    contribute(root)
    contribute(root, name="alias")
    assert "it has the key of" in refused(capsys, root)


def test_a_file_that_belongs_to_no_record_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    (mine.parent / "weights.bin").write_bytes(b"x")
    (mine.parent / "orphan.parquet").write_bytes(b"x")
    said = refused(capsys, root)
    assert said.count("it belongs to no record") == 2


def test_a_file_far_from_every_record_is_refused(root: Path, mine: Path, capsys: Said) -> None:
    (root / "tools").mkdir()
    (root / "tools" / "run.sh").write_text("true")
    (root / "mine" / "link.json").symlink_to(mine)
    unfinished = mine.with_suffix(".parts")
    unfinished.mkdir()
    (unfinished / "00000000.parquet").write_bytes(b"x")
    mine.with_suffix(".lock").write_bytes(b"")
    said = refused(capsys, root)
    for stranger in (root / "tools" / "run.sh", root / "mine" / "link.json", unfinished):
        assert f"{stranger}: it belongs to no record" in said
    assert said.count("it belongs to no record") == 3
    mine.with_suffix(".lock").write_bytes(b"something")
    assert refused(capsys, root).count("it belongs to no record") == 4


def test_text_that_steers_a_terminal_is_refused_and_not_repeated(root: Path, capsys: Said) -> None:
    contribute(root, METRICS[0].model_copy(update={"reason": "\x1b[2J\u202egood"}))
    said = refused(capsys, root)
    assert "cannot be printed" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_a_replaced_record_that_says_the_same_is_accepted(
    root: Path, mine: Path, tmp_path: Path, capsys: Said
) -> None:
    base = shutil.copytree(root, tmp_path / "base")
    edit(mine, lambda content: content["body"]["metrics"][0].update(value=21.5 * 1.004))
    accepted(capsys, root, "--baseline", base)


def test_a_replaced_record_that_says_something_else_is_refused(
    root: Path, mine: Path, tmp_path: Path, capsys: Said
) -> None:
    base = shutil.copytree(root, tmp_path / "base")
    edit(mine, lambda content: content["body"]["metrics"][0].update(value=22.0))
    said = refused(capsys, root, "--baseline", base)
    assert "it replaces a record of the same model and question, but psnr is 22.0" in said


def test_a_new_question_replaces_nothing(
    root: Path, mine: Path, tmp_path: Path, capsys: Said
) -> None:
    base = shutil.copytree(root, tmp_path / "base")
    contribute(root, METRICS[0].model_copy(update={"value": 22.0}), seed=1)
    accepted(capsys, root, "--baseline", base)


def test_nothing_to_check_is_a_usage_error(tmp_path: Path, capsys: Said) -> None:
    assert cli.main(["validate", str(tmp_path)]) == 2
    assert cli.main(["validate", str(tmp_path / "nowhere")]) == 2


@pytest.mark.parametrize("words", [("--limit", "0"), ("--verify", "-1")])
def test_a_number_out_of_range_is_a_usage_error(
    root: Path, mine: Path, words: tuple[str, str], capsys: Said
) -> None:
    assert cli.main(["validate", str(root), *words]) == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.usefixtures("clean_process")
def test_a_headline_with_factors_that_its_rows_do_not_give_is_refused(root: Path) -> None:
    (source,) = (
        path
        for path in (OURS / "copy_last").glob("*/permanence@*/*.json")
        if records.read(path).body.suite.data.name == "permanence_quick"
    )
    path = root / source.relative_to(OURS)
    shutil.copytree(source.parent, path.parent)
    assert remeasure([path], 0, 1).wrong == ()

    def flatter(content: dict) -> None:
        (headline,) = (m for m in content["body"]["metrics"] if m["headline"])
        headline.update(value=0.99, low=0.95, high=1.0)

    edit(path, flatter)
    ((wrong, what),) = remeasure([path], 0, 1).wrong
    assert wrong == path
    assert "value: recorded 0.99, now 0.5" in what

    shutil.copy(source, path)
    rows = pq.read_table(path.with_suffix(".parquet")).to_pylist()
    fewer = [row for row in rows if row["trial"] != rows[0]["trial"]]
    with_rows(path, pa.Table.from_pylist(fewer).to_pydict())
    ((_, what),) = remeasure([path], 0, 1).wrong
    assert f"its rows are not of the trials asked: {rows[0]['trial']}" in what


@pytest.mark.parametrize(
    "config",
    [
        {"adapter": {"_target_": "os.system", "command": "touch ran"}},
        {"adapter": {"options": [{"_target_": "worldbench.record.os.system"}]}},
        {"data": {"_target_": "worldbench.record.write_atomic"}},
        {"data": {"_target_": ["os", "system"]}},
        {"adapter": "${oc.decode:'{_target_: os.system}'}"},
    ],
)
def test_a_record_that_would_run_something_else_is_refused_and_not_run(
    root: Path, mine: Path, config: dict, capsys: Said
) -> None:
    edit(mine, lambda content: content["provenance"].update(config=config))
    assert "it would run what is not installed with us" in refused(capsys, root, "--verify", 1)
    assert foreign_targets({"_target_": "worldbench.adapters.still.CopyLast"}) == []
    assert foreign_targets({"_target_": "worldbench_models.jepa.adapter.JEPAAdapter"}) == []


@pytest.mark.usefixtures("clean_process")
def test_a_sample_is_measured_again(small_data: Path, tmp_path: Path, capsys: Said) -> None:
    root, base = tmp_path / "records", tmp_path / "base"
    words = ["suite=cost", "suite.quads=1", "data=folder", f"data.root={small_data}"]
    words += ["data.frames=16", "data.size=[16,16]", "num_workers=0", "device=cpu"]
    assert cli.main(["run", *words, "adapter=copy_last", f"records={root}"]) == 0
    accepted(capsys, root, "--verify", 1)
    ((path, _),) = records.read_all(root)

    told = path.read_text()
    edit(path, lambda content: content["provenance"]["config"]["data"].update(root="/gone"))
    assert cli.main(["validate", str(root), "--verify", "1"]) == 0
    said = capsys.readouterr().out
    assert f"{path}: could not be measured here: " in said
    assert f"{path}: its metrics could not be checked here: " in said
    assert "1 records checked: everything holds; 1 could not be measured here" in said
    path.write_text(told)

    rows = pq.read_table(path.with_suffix(".parquet"))
    flattered = pa.array([None if v is None else v + 1.0 for v in rows["gflops"].to_pylist()])
    at = rows.column_names.index("gflops")
    pq.write_table(rows.set_column(at, "gflops", flattered), path.with_suffix(".parquet"))
    sha256 = records.file_digest(path.with_suffix(".parquet"))
    edit(path, lambda content: content["provenance"].update(trials_sha256=sha256))
    accepted(capsys, root)
    assert "does not verify" in refused(capsys, root, "--verify", 1)
    # What stood there before is not asked again.
    shutil.copytree(root, base)
    accepted(capsys, root, "--verify", 1, "--baseline", base)
