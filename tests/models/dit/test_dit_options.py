from pathlib import Path
from typing import Any

import pytest

from worldbench.errors import UsageError
from worldbench_models.dit.adapter import DiTAdapter


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sampler_steps", 0),
        ("sampler_steps", True),
        ("draws", 0),
        ("draws", True),
        ("samples", 0),
        ("samples", True),
        ("seed", -1),
        ("noise", -0.1),
        ("noise", float("nan")),
        ("levels", []),
        ("levels", [0.0, 0.5]),
        ("levels", [1.0]),
        ("levels", [0.5, 0.5]),
        ("layer", "block9"),
        ("layer", ""),
        ("size", "xxl"),
    ],
)
def test_options_out_of_range_are_refused_by_name(
    option: str, value: object, checkpoint: Path
) -> None:
    told: dict[str, Any] = {option: value}
    with pytest.raises(UsageError, match=rf"adapter\.{option}"):
        DiTAdapter(weights=str(checkpoint), **told)


@pytest.mark.parametrize("weights", [None, "random"])
def test_an_unknown_size_is_told_with_those_there_are(weights: str | None) -> None:
    with pytest.raises(UsageError, match="accepted: l, m, s, xs") as caught:
        DiTAdapter(weights=weights, size="xxl")
    assert "train" not in str(caught.value)
