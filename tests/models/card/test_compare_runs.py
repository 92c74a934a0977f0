import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from card_runs import HELDOUT, SUMMARY, write_jepa, write_run

from worldbench.errors import DataError, UsageError
from worldbench_models.card.compare import comparison, main
from worldbench_models.gates.gate import eye_gate, judged, mfu_gate


def _cells(text: str) -> dict[str, list[str]]:
    rows = [line.strip().strip("|").split(" | ") for line in text.splitlines()]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def _seeded(seed: int) -> dict[str, Any]:
    return {"settings": {**SUMMARY["settings"], "seed": seed}}  # type: ignore[dict-item]


def _seed(tmp_path: Path, seed: int, rank: float, **more: Any) -> Path:
    heldout = [{**HELDOUT, "rank_me": 1.0}, {**HELDOUT, "rank_me": rank}]
    return write_run(tmp_path / f"seed{seed}", heldout=heldout, **_seeded(seed), **more)


def test_two_models_have_the_ratio_of_what_they_took(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", model="dit", parameters=2_000_000, training_flops=5.0e13)
    two = write_run(tmp_path / "two", parameters=2_100_000, training_flops=4.0e13)
    cells = _cells(comparison([one, two]))
    assert cells["what"] == ["dit-xs", "jepa-xs", "ratio, second to first"]
    assert cells["parameters"] == ["2,000,000", "2,100,000", f"{2.1 / 2:.3f}"]
    assert cells["training in all, counted"] == ["50 TFLOP", "40 TFLOP", "0.800"]
    assert cells["forward per clip, counted"] == ["3 GFLOP", "3 GFLOP", "1.000"]
    assert cells["unique clips"][:2] == ["4,096"] * 2
    assert cells["wall time, training"] == ["60.0 s", "60.0 s", ""]
    assert cells["MFU"] == ["27.0%", "27.0%", ""]


def test_seeds_have_their_mean_and_sample_standard_deviation(tmp_path: Path) -> None:
    ranks, speeds = [31.0, 44.0, 39.5], [0.25, 0.27, 0.32]
    runs = [
        _seed(tmp_path, seed, rank, mfu=speed)
        for seed, (rank, speed) in enumerate(zip(ranks, speeds, strict=True))
    ]
    cells = _cells(comparison(runs))
    assert cells["what"] == [
        *(f"jepa-xs, seed {seed}" for seed in range(3)),
        "jepa-xs, mean ± standard deviation of 3 seeds",
    ]
    assert cells["held-out: RankMe"] == [
        *("31.0", "44.0", "39.5"),
        f"{np.mean(ranks):.1f} ± {np.std(ranks, ddof=1):.2f}",
    ]
    assert cells["MFU"][3] == f"{np.mean(speeds):.1%} ± {np.std(speeds, ddof=1):.1%}"
    assert cells["parameters"][3] == "1,900,000"  # no spread where all are alike
    assert cells["held-out: skill after 12 frames, against a copy"][0] == "-0.250"


def test_seeds_of_two_models_keep_their_columns_apart(tmp_path: Path) -> None:
    runs = [_seed(tmp_path, 0, 30.0), _seed(tmp_path, 1, 40.0)]
    runs.insert(1, write_run(tmp_path / "dit", model="dit", heldout=[{"rollout": [0.5, 1, 0.25]}]))
    cells = _cells(comparison(runs))
    assert [name.split(",")[0] for name in cells["what"]] == ["jepa-xs"] * 3 + ["dit-xs"]
    assert cells["held-out: RankMe"] == ["30.0", "40.0", "35.0 ± 7.07", "– (not watched of dit)"]
    assert cells["held-out: rollout error, future frame 3"] == [
        *["– (not watched of jepa)"] * 3,
        "0.250",
    ]
    assert "held-out: rollout error, future frame 2" not in cells


@pytest.mark.parametrize(
    "other",
    [{"steps": 80}, {"batch_size": 64}, {"model": {"collapse": "sigreg"}}, {"seed": 0}],
)
def test_what_differs_in_more_than_its_seed_is_no_seed(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    one = write_run(tmp_path / "one", **_seeded(0))
    settings = {**_seeded(1)["settings"], **other}
    two = write_run(tmp_path / "two", settings=settings)
    head = _cells(comparison([one, two]))["what"]
    assert not any("mean ±" in name for name in head)
    assert head[0] != head[1]


def test_arms_are_named_by_the_setting_that_sets_them_apart(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one")
    settings = {**SUMMARY["settings"], "model": {"collapse": "sigreg"}}  # type: ignore[dict-item]
    two = write_run(tmp_path / "two", settings=settings)
    head = _cells(comparison([one, two]))["what"]
    assert head[:2] == ["jepa-xs, collapse ema", "jepa-xs, collapse sigreg"]


def test_other_clips_set_runs_apart(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one")
    data = {"spec": {}, "digest": "a" * 64}
    two = write_run(tmp_path / "two", data=data, **_seeded(1))
    head = _cells(comparison([one, two]))["what"]
    assert head == [
        f"jepa-xs, data {'d' * 24}, seed 0",
        f"jepa-xs, data {'a' * 24}, seed 1",
        "ratio, second to first",
    ]


def test_a_gate_without_a_number_says_why(tmp_path: Path) -> None:
    gates = [
        judged("error", "of frames", 0.651, "at most", 0.5),
        eye_gate(passed=False, text="a ball vanishes"),
        mfu_gate(None, "the peak is unknown"),
    ]
    dit = write_run(tmp_path / "dit", model="dit", gates=gates)
    bare = write_run(tmp_path / "bare", model="dit", size="s")
    cells = _cells(comparison([dit, write_jepa(tmp_path / "jepa"), bare]))
    unmeasured = "– (its gates were not measured)"
    failed = "0.651 **failed** (at most 0.5)"
    assert cells["gate: error"] == [failed, "– (no gate of jepa)", unmeasured]
    assert cells["gate: rollouts to the eye"][0] == "**failed** by eye"
    assert cells["gate: MFU of training"] == [
        "– (the peak is unknown)",
        "0.270 **passed** (at least 0.25)",
        unmeasured,
    ]
    assert cells["gate: RankMe of pooled latents"][1] == "4.000 **passed** (at least 3)"
    skill = cells["gate: prediction skill against a copy"]
    assert skill[:2] == ["– (no gate of dit)", "– (the adapter takes no context of 12 frames)"]


def test_gates_of_seeds_tell_how_many_passed_or_how_many_were_measured(tmp_path: Path) -> None:
    values = (0.40, 0.55, 0.57)
    runs = [
        _seed(tmp_path, seed, 40.0, gates=[judged("skill", "w", value, "at least", 0.5)])
        for seed, value in enumerate(values)
    ]
    told = f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}; 2 of 3 passed"
    assert _cells(comparison(runs))["gate: skill"][3] == told
    (runs[1] / "gates.json").unlink()
    cells = _cells(comparison(runs))["gate: skill"]
    assert cells[1] == "– (its gates were not measured)"
    assert cells[3] == "– (of 2 of 3 seeds only)"


def test_names_cannot_leave_their_cells(tmp_path: Path) -> None:
    name = "a | b\n<script>"
    gate = judged(name, "w", 0.5, "at most", 1.0)
    one = write_run(tmp_path / "one", gates=[gate], heldout=[{name: 1.0}], device="x|y")
    text = comparison([one, write_run(tmp_path / "two", model="x|<y>")])
    assert "<" not in text
    counts = {line.replace("\\|", "").count("|") for line in text.splitlines()}
    assert len(counts) == 1
    assert "gate: a \\| b &lt;script>" in text
    assert "x\\|&lt;y>-xs" in text


def test_held_out_numbers_are_left_out_if_asked(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, model=name) for name in ("dit", "jepa")]
    assert "held-out" in comparison(runs)
    assert "held-out" not in comparison(runs, heldout=False)


def test_a_folder_that_is_no_run_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    for wrong in ("none", "empty"):
        assert main([str(run), str(tmp_path / wrong)]) == DataError.exit_code
        said = capsys.readouterr()
        assert f"cannot read the run folder {tmp_path / wrong}" in said.err
        assert said.out == ""
    (run / "gates.json").write_text("{}")
    with pytest.raises(DataError, match="cannot read the gates"):
        comparison([run, write_run(tmp_path / "other")])


def test_gates_of_other_weights_do_not_compare(tmp_path: Path) -> None:
    run = write_jepa(tmp_path / "run")
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**summary, "weights_sha256": "f" * 64}))
    with pytest.raises(DataError, match="other weights"):
        comparison([run, write_run(tmp_path / "other")])


def test_one_run_and_a_run_twice_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(UsageError, match="nothing to compare"):
        comparison([run])
    with pytest.raises(DataError, match="is the run of"):
        comparison([run, write_run(tmp_path / "other"), run])


def test_the_command_prints_or_writes_the_same_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(write_run(tmp_path / name, model=name)) for name in ("dit", "jepa")]
    assert main(runs) == 0
    printed = capsys.readouterr().out
    assert main([*runs, "--out", str(tmp_path / "table.md")]) == 0
    assert printed.strip() == (tmp_path / "table.md").read_text().strip()
