from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worldbench.errors import UsageError
from worldbench_models import options

CHECKS: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
    "draws": (lambda v: options.count("draws", v), [0, -1, 2.5, 2.0, True, "2", None]),
    "seed": (options.checked_seed, [-1, 2**63, 10**30, 0.5, True, "0", None]),
    "noise": (
        lambda v: options.share("noise", v),
        [-0.1, 1.1, float("nan"), float("inf"), 10**400, True, "0.3", None, [0.3]],
    ),
    "levels": (
        options.noise_levels,
        [
            [],
            (),
            None,
            [[0.5]],
            [10**400],
            [0.0],
            [1],
            [0.5, 0.5],
            [0.5, True],
            [0.5, float("nan")],
            ["0.5"],
            "0.5",
            0.5,
        ],
    ),
    "size": (options.known_size, ["xxl", "S", "", None, 3, ["s"]]),
    "weights": (options.weights_name, [3, True, ["x"], Path("x")]),
}


@pytest.mark.parametrize(
    ("option", "value"), [(name, v) for name, (_, values) in CHECKS.items() for v in values]
)
def test_a_value_of_another_type_or_range_is_refused_with_the_way_out(
    option: str, value: object
) -> None:
    with pytest.raises(UsageError, match=rf"adapter\.{option}") as caught:
        CHECKS[option][0](value)
    assert caught.value.accepted
    assert f"adapter.{option}=" in str(caught.value.fix)
    assert value is None or str(value)[:20] in str(caught.value)


def test_values_in_range_are_taken_as_they_are() -> None:
    assert options.count("draws", 3) == 3
    assert options.checked_seed(0) == 0
    assert [options.share("noise", v) for v in (0, 0.3, 1)] == [0.0, 0.3, 1.0]
    assert options.noise_levels([0.7, 0.1]) == (0.7, 0.1)
    assert options.known_size("xs") == "xs"
    assert options.weights_name(None) is None
    assert options.weights_name("random") == "random"
