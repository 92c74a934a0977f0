import json
import shlex
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldbench.errors import DataError, UsageError
from worldbench.record import file_digest
from worldbench_models.card.__main__ import main, write_card
from worldbench_models.card.plot import Line, Panel, draw
from worldbench_models.card.sheet import BYTES
from worldbench_models.card.words import words_of
from worldbench_models.gates.gate import eye_gate, judged, mfu_gate
from worldbench_models.gates.report import Report, read_report
from worldbench_models.gates.rollouts import Rollouts
from worldbench_models.weights import FOLDER

SUMMARY = {
    "model": "dit",
    "size": "s",
    "parameters": 7654321,
    "settings": {"batch": 256, "optimiser": {"name": "muon", "rate": 0.0012}},
    "steps": 40,
    "clips_seen": 10240,
    "unique_clips": 5120,
    "flops_per_clip": 9.87e9,
    "training_flops": 3.03e14,
    "seconds": {"clips": 31.4, "training": 3719.0, "heldout": 130.2},
    "mfu": 0.314,
    "device": "NVIDIA H100 <80GB>",
    "processes": 1,
    "data": {"spec": {"family": "train_random", "frames": 16}, "digest": "d" * 64},
    "packages": {"torch": "2.13.0"},
    "python": "3.11.9",
    "commit": "abc123",
    "dirty": True,
    "weights_sha256": "e" * 64,
    "final": {},
}


def _forecast() -> dict[str, object]:
    three = {"model": [0.1] * 12, "linear_flow": [0.2] * 12, "copy_last": [0.3] * 12}
    ratio = {"value": [0.5123] * 12, "low": [0.4] * 12, "high": [0.6] * 12}
    return {
        "clips": 256,
        "drawn": 640,
        "samples": 8,
        "moving": [0.05] * 12,
        "error": three,
        "energy": three,
        "to_linear_flow": ratio,
        "to_copy_last": ratio,
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    heldout = {"denoising": {"0.1": 2.0, "0.5": 0.7}, "rollout": [0.01, 0.02]}
    lines: list[dict[str, object]] = []
    for step in range(500):
        lines.append({"step": step, "loss": 3 / (step + 1) + 0.2, "clips_per_second": 4000 + step})
        if step % 100 == 99:
            lines.append({"step": step, "heldout": {**heldout, "copy_last": [0.02, 0.05]}})
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    one = {"value": 0.9625, "standard_error": 0.012, "n": 240, "skipped": 3, "ties": None}
    one["levels"] = {"0.1": 0.9}
    gates = (
        judged("presence, occluded", "quads", 0.9625, "at least", 0.95, note="n = 240"),
        judged("error, last future frame", "a | b", 0.61, "at most", 0.5),
        eye_gate(),
        mfu_gate(None, "the peak is unknown"),
    )
    measured = {"forecast": _forecast(), "presence": {"model": {"occluded": one}}}
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (6, 16, 2, 2, 3), dtype=np.uint8).repeat(32, 2).repeat(32, 3)
    samples = np.stack([truth[:, 4:]] * 3, axis=1)
    report = Report({"name": "dit"}, gates, measured, weights_sha256="e" * 64)
    _store(folder, report, Rollouts(tuple(f"scene {i}" for i in range(6)), 4, truth, samples))
    return folder


def _store(folder: Path, report: Report, rollouts: Rollouts) -> None:
    rollouts.save(folder / "rollouts.npz")
    replace(report, rollouts_sha256=file_digest(folder / "rollouts.npz")).write(folder)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    one, other = (_bytes(write_card(run, tmp_path / name)) for name in ("one", "other"))
    assert one == other
    assert sorted(one) == ["README.md", "curves.svg", "sheet.jpg"]


def test_the_card_tells_every_gate_with_its_status_and_number(run: Path, tmp_path: Path) -> None:
    text = (write_card(run, tmp_path / "out") / "README.md").read_text()
    assert "1 passed, 1 failed, 2 not measured." in text
    rows = {line.split(" | ")[0][2:]: line for line in text.splitlines() if "**" in line}
    assert "**passed** | 0.963 | at least 0.95" in rows["presence, occluded"]
    assert "**failed** | 0.610 | at most 0.5" in rows["error, last future frame"]
    assert "**not measured** | – | at least 0.3 | the peak is unknown" in rows["MFU of training"]
    assert "nobody has looked" in rows["rollouts to the eye"]
    assert "What was tried for the gates that failed has not been written down." in text


def test_the_card_tells_the_run_in_its_own_numbers(run: Path, tmp_path: Path) -> None:
    text = (write_card(run, tmp_path / "out") / "README.md").read_text()
    expected = ["7,654,321", "10,240", "5,120", "9.87 GFLOP", "303 TFLOP", "1 h 1 min 59 s"]
    expected += ["2 min 10 s", "31.4 s", "4,250 clips/s", "31.4%", "H100 &lt;80GB>", "muon"]
    expected += ["0.512 [0.400, 0.600]", "0.963 ± 0.012", "abc123, with uncommitted changes"]
    expected += ["e" * 64, "d" * 64, "family train_random", "a \\| b"]
    assert [part for part in expected if part not in text] == []


def test_tables_have_as_many_cells_in_every_row(run: Path, tmp_path: Path) -> None:
    text = (write_card(run, tmp_path / "out") / "README.md").read_text()
    for block in text.split("\n\n"):
        if block.startswith("| "):
            counts = {line.replace("\\|", "").count("|") for line in block.splitlines()}
            assert len(counts) == 1, block


def test_notes_are_taken_over_as_they_stand(run: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("- tried **rate** 8e-4\n- tried others\n")
    text = (write_card(run, tmp_path / "out", notes=notes) / "README.md").read_text()
    assert "What was tried:\n\n- tried **rate** 8e-4\n- tried others\n" in text
    assert "has not been written down" not in text
    with pytest.raises(DataError, match="notes"):
        write_card(run, tmp_path / "out", notes=tmp_path / "none.txt")


def test_the_eye_is_set_once_and_stays(run: Path, tmp_path: Path) -> None:
    options = [str(run), "--out", str(tmp_path / "out")]
    assert main([*options, "--eye", "passed", "--looked", "six clips: all shapes kept"]) == 0
    first = _bytes(tmp_path / "out")
    assert b"**passed** | \xe2\x80\x93 | by eye | six clips: all shapes kept" in first["README.md"]
    assert main(options) == 0
    assert _bytes(tmp_path / "out") == first
    with pytest.raises(SystemExit):
        main([*options, "--eye", "passed"])


def test_curves_are_well_formed_and_drawn_inside_the_picture(run: Path, tmp_path: Path) -> None:
    root = ET.fromstring((write_card(run, tmp_path / "out") / "curves.svg").read_text())
    space = "{http://www.w3.org/2000/svg}"
    texts = {str(element.text) for element in root.iter(f"{space}text")}
    assert {"Training loss", "level 0.1", "level 0.5", "dit-s", "copy_last"} <= texts
    width = float(root.attrib["width"])
    for line in root.iter(f"{space}polyline"):
        places = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
        assert len(places) <= 250
        assert all(0 <= x <= width and 0 <= y <= 280 for x, y in places)
    assert len(list(root.iter(f"{space}g"))) == 3 + 1 + 2 + 2


def test_a_line_goes_where_its_values_are() -> None:
    text = draw(
        [Panel("t <&>", "x", "y", (Line("a", ((0.0, 1.0), (1.0, 10.0), (2.0, 100.0))),), True)]
    )
    points = next(ET.fromstring(text).iter("{http://www.w3.org/2000/svg}polyline")).attrib["points"]
    (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in points.split())
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y2


@pytest.mark.parametrize("value", [0.0, -3.0, 5.0])
def test_a_line_of_one_value_is_drawn(value: float) -> None:
    ET.fromstring(draw([Panel("t", "x", "y", (Line("a", ((1.0, value),)),), True)]))


def test_the_sheet_is_small_and_shows_what_was_stored(run: Path, tmp_path: Path) -> None:
    path = write_card(run, tmp_path / "out") / "sheet.jpg"
    assert path.stat().st_size <= BYTES
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    stored = Rollouts.load(run / "rollouts.npz")
    first = stored.truth[0, 0].repeat(2, 0).repeat(2, 1)
    shown = picture[44 : 44 + 128, 156 : 156 + 128]
    assert np.abs(shown - first).mean() < 12
    assert np.abs(shown - first[::-1]).mean() > 40


def test_a_sheet_of_mere_noise_is_drawn_smaller(run: Path, tmp_path: Path) -> None:
    stored = Rollouts.load(run / "rollouts.npz")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, stored.samples.shape, dtype=np.uint8)
    shown = Rollouts(stored.titles, 4, noise[:, :, :1].repeat(16, 2)[:, 0], noise)
    _store(run, read_report(run), shown)
    path = write_card(run, tmp_path / "out") / "sheet.jpg"
    assert path.stat().st_size <= BYTES
    assert cv2.imread(str(path)).shape[0] < 2000


def test_a_run_without_rollouts_has_a_card_without_a_sheet(run: Path, tmp_path: Path) -> None:
    (run / "rollouts.npz").unlink()
    out = write_card(run, tmp_path / "out")
    assert sorted(_bytes(out)) == ["README.md", "curves.svg"]
    assert "sheet.jpg" not in (out / "README.md").read_text()


@pytest.mark.parametrize("name", ["log.jsonl", "summary.json", "gates.json"])
def test_what_is_missing_or_broken_is_named(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).write_text("{")
    assert main([str(run), "--out", str(tmp_path / "out")]) == 3
    (run / name).unlink()
    assert main([str(run), "--out", str(tmp_path / "out")]) == 3
    assert name in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_gates_of_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    report = read_report(run)
    for digest in ("f" * 64, None):
        replace(report, weights_sha256=digest).write(run)
        with pytest.raises(DataError, match="other weights") as caught:
            write_card(run, tmp_path / "out")
        assert caught.value.fix == f"python -m worldbench_models.gates {run}"
    report.write(run)
    write_card(run, tmp_path / "out")


def test_rollouts_that_the_gates_did_not_make_are_refused(run: Path, tmp_path: Path) -> None:
    report, stored = read_report(run), Rollouts.load(run / "rollouts.npz")
    Rollouts(stored.titles, 4, stored.truth, 255 - stored.samples).save(run / "rollouts.npz")
    with pytest.raises(DataError, match=r"rollouts\.npz .* other weights"):
        write_card(run, tmp_path / "out")
    replace(report, rollouts_sha256=None).write(run)
    with pytest.raises(DataError, match=r"rollouts\.npz .* other weights"):
        write_card(run, tmp_path / "out")


def _use(run: Path, tmp_path: Path, **fields: object) -> str:
    summary = SUMMARY | fields
    (run / "summary.json").write_text(json.dumps(summary))
    replace(read_report(run), weights_sha256=str(summary["weights_sha256"])).write(run)
    text = (write_card(run, tmp_path / "out") / "README.md").read_text()
    return text.partition("## Use")[2].partition("## Gates")[0]


def test_the_card_says_how_to_load_its_own_weights(run: Path, tmp_path: Path) -> None:
    own = _use(run, tmp_path, size="l", settings={"seed": 3})
    path = "adapter.weights=runs/dit-l-3/dit-l.safetensors"
    assert f"worldbench check adapter=dit {path}\n" in own
    assert f'compose(["adapter=dit", "{path}"])' in own
    again = _use(run, tmp_path)  # of a size that ships, but these weights do not
    assert "worldbench run adapter=dit adapter.weights=runs/dit-s-0/dit-s.safetensors" in again
    shipped = json.loads((FOLDER / "digests.json").read_text())["dit-s.safetensors"]
    use = _use(run, tmp_path, weights_sha256=shipped)
    assert "worldbench check adapter=dit\n" in use
    assert 'compose(["adapter=dit"])' in use


def test_words_are_quoted_where_a_shell_would_split_them() -> None:
    load = words_of("dit", ["adapter=dit", "adapter.weights=a b"]).load
    line = next(line for line in load.splitlines() if line.startswith("worldbench check"))
    assert shlex.split(line) == ["worldbench", "check", "adapter=dit", "adapter.weights=a b"]


def test_mfu_that_was_not_measured_has_the_reason_of_its_gate(run: Path, tmp_path: Path) -> None:
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "mfu": None}))
    text = (write_card(run, tmp_path / "out") / "README.md").read_text()
    assert "| MFU (median) | not measured: the peak is unknown |" in text


def test_other_broken_runs_are_named_too(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        write_card(tmp_path / "none")
    (run / "rollouts.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="cannot read rollouts"):
        Rollouts.load(run / "rollouts.npz")
    (run / "rollouts.npz").unlink()
    (run / "summary.json").write_text(json.dumps({**SUMMARY, "model": "unheard_of"}))
    with pytest.raises(UsageError, match="unheard_of"):
        write_card(run, tmp_path / "out")
    del (summary := dict(SUMMARY))["mfu"]
    (run / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match="without mfu"):
        write_card(run, tmp_path / "out")
