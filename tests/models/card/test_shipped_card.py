import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import worldbench_models
from worldbench.compose import compose, instantiate
from worldbench.record import file_digest
from worldbench_models.card.curves import curves
from worldbench_models.card.page import page
from worldbench_models.card.run import read_run
from worldbench_models.gates.presence import Accuracy, presence_gates
from worldbench_models.gates.report import read_report
from worldbench_models.gates.rollouts import Rollouts

CARDS = Path(worldbench_models.__file__).parent / "cards"
WEIGHTS = Path(worldbench_models.__file__).parent / "weights"


@pytest.mark.parametrize("name", ["dit-s"])
def test_the_card_is_what_its_run_gives(name: str) -> None:
    card = CARDS / name
    # The rollouts themselves are not kept, but the sheet made of them is.
    shown = Rollouts(
        (), 4, np.zeros((0, 16, 8, 8, 3), np.uint8), np.zeros((0, 3, 12, 8, 8, 3), np.uint8)
    )
    run = replace(read_run(card / "run"), rollouts=shown)
    notes = (card / "run" / "notes.md").read_text(encoding="utf-8")
    assert (card / "README.md").read_text(encoding="utf-8") == page(run, notes=notes)
    assert (card / "curves.svg").read_text(encoding="utf-8") == curves(run)
    assert (card / "sheet.jpg").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["dit-s"])
def test_the_gates_were_measured_on_the_weights_that_ship(name: str) -> None:
    model, size = name.split("-")
    report = read_report(CARDS / name / "run")
    assert report.weights_sha256 == file_digest(WEIGHTS / f"{name}.safetensors")
    adapter = instantiate("adapter", compose([f"adapter={model}", f"adapter.size={size}"]).adapter)
    assert report.adapter["revision"] == adapter.card.revision


@pytest.mark.parametrize("name", ["dit-s"])
def test_the_presence_gates_are_what_its_accuracies_give(name: str) -> None:
    report = read_report(CARDS / name / "run")
    found = {
        who: {condition: Accuracy(**one) for condition, one in by.items()}
        for who, by in report.measured["presence"].items()
    }
    for gate in presence_gates(found["model"], found["twin"]):
        assert gate in report.gates


@pytest.mark.parametrize("name", ["dit-s"])
def test_the_card_is_of_the_weights_that_ship(name: str) -> None:
    summary = json.loads((CARDS / name / "run" / "summary.json").read_text())
    digests = json.loads((WEIGHTS / "digests.json").read_text())
    assert summary["weights_sha256"] == digests[f"{name}.safetensors"]
