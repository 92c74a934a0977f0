"""``worldbench run suite=probe`` on folders of real files, verified, on a board, with its plots."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from worldbench import cli
from worldbench import record as records
from worldbench.suites.show import confusion

OPTIONS = [
    *("suite=probe", "device=cpu", "num_workers=0", "batch_size=3"),
    *("suite.epochs=1", "suite.least_steps=2", "suite.few_splits=2", "suite.few_shares=[0.5]"),
]


@pytest.mark.usefixtures("clean_process")
def test_probes_of_a_folder_become_records_that_verify_and_a_board(
    small_data: Path, small_train: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [
        *("data=class_folders", f"data.root={small_data}", f"data.train={{root: {small_train}}}"),
        *("data.size=[32,32]", "data.segments=2"),
    ]
    root = tmp_path / "records"
    sides = (16, 32, 64)
    for side in sides:
        options = [f"adapter.side={side}", f"adapter.name=pixels{side}", f"records={root}"]
        assert cli.main(["run", "adapter=pixels", *options, *OPTIONS, *data]) == 0
    paths = sorted(root.glob("*/*/*/*.json"))
    assert len(paths) == len(sides)
    body = records.read(paths[0]).body
    assert body.status == "ok"
    assert body.suite.data.clips == 16
    headline = body.headline
    assert headline is not None
    assert (headline.name, headline.n) == ("top1", 8)
    rows = pq.read_table(paths[0].with_suffix(".parquet")).to_pylist()
    assert {row["role"] for row in rows} == {"rollout", "probe", "grid", "confusion"}

    capsys.readouterr()
    assert cli.main(["verify", str(paths[0])]) == 0
    assert cli.main(["verify", str(paths[0]), "--limit", "2"]) == 0
    said = capsys.readouterr().out
    assert "verified: 161 rows agree" in said
    assert said.count("verified: 19 metrics agree") == 2, "run again, and of its own rows"
    # What is fitted moves a little between machines; by as much a record may differ, not by more.
    moved = headline.value + (0.015 if headline.value < 0.5 else -0.015)
    for value, code in ((moved, 0), (2 * moved - headline.value, 1)):
        told = json.loads(paths[0].read_text())
        told["body"]["metrics"][0]["value"] = value
        altered = paths[0].with_name("altered.json")
        altered.write_text(json.dumps(told))
        assert cli.main(["verify", str(altered)]) == code
        # Of its own rows a record is made without a fit, on any machine alike.
        assert cli.main(["verify", str(altered), "--limit", "2"]) == 1
        altered.unlink()

    out = tmp_path / "board"
    assert cli.main(["leaderboard", "--records", str(root), "--out", str(out)]) == 0
    page = (out / "site" / "index.html").read_text()
    assert "top1 (probe = attentive)" in page

    assert confusion.main([str(tmp_path / "figures"), str(paths[0])]) == 0
    (drawn,) = (tmp_path / "figures").glob("pixels16-*.svg")
    told = ElementTree.parse(drawn).getroot()
    said = [element.text for element in told.iter() if element.tag.endswith("text")]
    assert {"left", "right"} <= set(said)
    assert sum(int(word) for word in said if word and word.isdecimal()) == 8


@pytest.mark.usefixtures("clean_process")
def test_who_encodes_nothing_is_skipped(
    small_data: Path, small_train: Path, tmp_path: Path
) -> None:
    data = [
        *("data=class_folders", f"data.root={small_data}", f"data.train={{root: {small_train}}}"),
        f"records={tmp_path / 'records'}",
    ]
    assert cli.main(["run", "adapter=copy_last", *OPTIONS, *data]) == 0
    (path,) = (tmp_path / "records").glob("*/*/*/*.json")
    body = records.read(path).body
    assert body.status == "skipped"
    assert "encodes" in str(body.reason)
    assert confusion.main([str(tmp_path / "figures"), str(path)]) == 1
