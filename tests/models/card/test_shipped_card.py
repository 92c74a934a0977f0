import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import worldbench_models
from worldbench.compose import compose, instantiate
from worldbench.record import file_digest
from worldbench_models.card.curves import curves
from worldbench_models.card.page import page
from worldbench_models.card.run import read_run
from worldbench_models.gates.features import Features, Pooled, Readout, feature_gates
from worldbench_models.gates.foresight import Foresight, Skill, foresight_gates
from worldbench_models.gates.presence import Accuracy, presence_gates
from worldbench_models.gates.report import read_report
from worldbench_models.gates.rollouts import Rollouts

CARDS = Path(worldbench_models.__file__).parent / "cards"
WEIGHTS = Path(worldbench_models.__file__).parent / "weights"
NO_ROLLOUTS = Rollouts(
    (), 4, np.zeros((0, 16, 8, 8, 3), np.uint8), np.zeros((0, 3, 12, 8, 8, 3), np.uint8)
)


NAMES = sorted(path.parent.name for path in CARDS.glob("*/run"))


def test_all_weights_that_ship_have_a_card() -> None:
    digests = json.loads((WEIGHTS / "digests.json").read_text())
    assert [f"{name}.safetensors" for name in NAMES] == sorted(digests)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_what_its_run_gives(name: str) -> None:
    card = CARDS / name
    run = read_run(card / "run")
    sheet = card / "sheet.jpg"
    if run.report.rollouts_sha256 is None:
        assert not sheet.exists()
    else:  # The rollouts themselves are not kept, but the sheet made of them is.
        assert sheet.stat().st_size > 10_000
        run = replace(run, rollouts=NO_ROLLOUTS)
    kept = card / "run" / "notes.md"
    notes = kept.read_text(encoding="utf-8") if kept.exists() else None
    assert (card / "README.md").read_text(encoding="utf-8") == page(run, notes=notes)
    assert (card / "curves.svg").read_text(encoding="utf-8") == curves(run)


@pytest.mark.parametrize("name", NAMES)
def test_the_gates_were_measured_on_the_weights_that_ship(name: str) -> None:
    model, size = name.split("-")
    report = read_report(CARDS / name / "run")
    assert report.weights_sha256 == file_digest(WEIGHTS / f"{name}.safetensors")
    adapter = instantiate("adapter", compose([f"adapter={model}", f"adapter.size={size}"]).adapter)
    assert report.adapter["revision"] == adapter.card.revision


@pytest.mark.parametrize("name", NAMES)
def test_the_presence_gates_are_what_its_accuracies_give(name: str) -> None:
    report = read_report(CARDS / name / "run")
    found = {
        who: {condition: Accuracy(**one) for condition, one in by.items()}
        for who, by in report.measured["presence"].items()
    }
    for gate in presence_gates(found["model"], found["twin"]):
        assert gate in report.gates


@pytest.mark.parametrize("name", NAMES)
def test_the_gates_of_latents_are_what_was_measured_of_them(name: str) -> None:
    report = read_report(CARDS / name / "run")
    kept = report.measured
    gates = []
    if "foresight" in kept:
        gates += foresight_gates(_foresight(kept["foresight"]))
    if "features" in kept:
        gates += feature_gates(_features(kept["features"]))
    assert bool(gates) == (name.split("-")[0] == "jepa")
    for gate in gates:
        assert gate in report.gates


def _foresight(kept: dict[str, Any]) -> Foresight:
    skill = {
        baseline: {at: None if one is None else Skill(**one) for at, one in by.items()}
        for baseline, by in kept["skill"].items()
    }
    return Foresight(kept["clips"], kept["fit"], skill, tuple(kept["illegal"]))


def _features(kept: dict[str, Any]) -> Features:
    lists = ("columns", "penalty")
    readouts = {
        what: {
            who: Readout(**one | {name: tuple(one[name]) for name in lists})
            for who, one in by.items()
        }
        for what, by in kept["readouts"].items()
    }
    pooled = {who: Pooled(**one) for who, one in kept["pooled"].items()}
    return Features(pooled, kept["motion_clips"], readouts)


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_the_weights_that_ship(name: str) -> None:
    summary = json.loads((CARDS / name / "run" / "summary.json").read_text())
    digests = json.loads((WEIGHTS / "digests.json").read_text())
    assert summary["weights_sha256"] == digests[f"{name}.safetensors"]
