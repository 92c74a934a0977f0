import json

import pytest

from worldbench_models.gates import Gate, judged, seen, unmeasured
from worldbench_models.gates.gate import eye_gate, mfu_gate


@pytest.mark.parametrize(
    ("direction", "value", "status"),
    [
        ("at least", 0.5, "passed"),
        ("at least", 0.4999, "failed"),
        ("at most", 0.5, "passed"),
        ("at most", 0.5001, "failed"),
        ("below", 0.5, "failed"),
        ("below", 0.4999, "passed"),
    ],
)
def test_a_value_is_held_against_its_threshold(direction: str, value: float, status: str) -> None:
    assert judged("a", "b", value, direction, 0.5).status == status


def test_a_gate_cannot_claim_what_its_value_does_not_show() -> None:
    with pytest.raises(ValueError, match="not passed"):
        Gate("a", "b", "at least", 0.95, 0.9, "passed")
    with pytest.raises(ValueError, match="needs a reason"):
        Gate("a", "b", "at least", 0.95, None, "not measured")
    with pytest.raises(ValueError, match="nan"):
        Gate("a", "b", "at most", 0.95, float("nan"), "failed")


def test_the_eye_is_not_measured_until_somebody_has_looked() -> None:
    assert eye_gate().status == "not measured"
    assert eye_gate(passed=False, text="the red ball melts").status == "failed"
    assert seen("a", "b", passed=True, text="all kept").reason == "all kept"


def test_unknown_mfu_is_not_measured_and_says_why() -> None:
    gate = mfu_gate(None, "the peak is unknown")
    assert (gate.status, gate.value, gate.reason) == ("not measured", None, "the peak is unknown")
    assert mfu_gate(0.29, "").status == "failed"
    assert mfu_gate(0.30, "").status == "passed"


def test_gates_survive_json() -> None:
    for gate in (judged("a", "b", 1.0, "below", 2.0), unmeasured("c", "d", "at most", None, "e")):
        assert Gate(**json.loads(json.dumps(gate.to_dict()))) == gate
