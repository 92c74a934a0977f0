import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from worldbench.errors import DataError
from worldbench_models.weights import load_weights, read_header, save_weights

HEADER: dict[str, Any] = {
    "model": "dit",
    "size": "s",
    "shape": {"width": 4},
    "frames": 16,
    "fps": 8,
    "resolution": [64, 128],
    "training_data": "worlds",
    "training_compute": "1 PFLOP",
    "licence": "Apache-2.0",
}
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dit-s.safetensors"


def _entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}}


def _content(table: str, values: bytes = bytes(4)) -> bytes:
    return struct.pack("<Q", len(table.encode())) + table.encode() + values


def _refused(path: Path, match: str) -> None:
    for read in (read_header, load_weights):
        with pytest.raises(DataError, match=match):
            read(path, model="dit")


@pytest.mark.parametrize(
    "table",
    [
        DEEP,
        f'{{"a": {DEEP}}}',
        f'{{"a": {"9" * 5000}}}',
        json.dumps({}),
        json.dumps({"a": 3}),
        json.dumps({"__metadata__": {"worldbench": 3}, **_entry()}),
        *(
            json.dumps(_entry(**changes))
            for changes in (
                {"data_offsets": ["0", "4"]},
                {"data_offsets": [0.0, 4.0]},
                {"data_offsets": [True, 4]},
                {"data_offsets": [0]},
                {"data_offsets": None},
                {"data_offsets": [0, 2**70]},
                {"data_offsets": [-4, 4]},
                {"data_offsets": [0, 8]},
                {"shape": [2]},
                {"shape": [-1]},
                {"shape": [2**40, 2**40]},
                {"shape": "1"},
                {"dtype": "F31"},
                {"dtype": "F8_E4M3", "shape": [4]},
                {"dtype": "F4", "shape": [8]},
            )
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(path: Path, table: str) -> None:
    path.write_bytes(_content(table))
    _refused(path, "cut short or no safetensors")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (DEEP, "does not say what it is"),
        (f'{{"shape": {DEEP}}}', "does not say what it is"),
        ("[" * 500 + "]" * 500, "not complete"),
        ("9" * 5000, "does not say what it is"),
        ("not JSON", "does not say what it is"),
        ("[]", "not complete"),
        ("null", "not complete"),
        ('"dit"', "not complete"),
    ],
)
def test_a_header_that_is_no_object_is_refused(path: Path, text: str, match: str) -> None:
    save_file({"a": torch.zeros(3)}, path, {"worldbench": text})
    _refused(path, match)


WRONG: dict[str, list[Any]] = {
    "frames": [0, 1, 7, -2, 1026, 10**30, 16.0, "16", True, None],
    "fps": [0, -1, float("nan"), float("inf"), 1e300, 10**400, "8", True, None],
    "resolution": [
        None,
        {},
        [64, 1032],
        [64, 10**30],
        [0, 0],
        [60, 60],
        [-64, 64],
        [64],
        [64, 64, 3],
        [64.0, 64],
        [True, 8],
        64,
        "64",
    ],
    "shape": [None, [], "s", 3],
    "training_data": [None, 3, "\ud800", "a\x1b[2J", "x" * 10**6],
    "licence": [None, [[[[[[[[[[]]]]]]]]]]],
    "model": [None, 3, []],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, each in WRONG.items() for v in each])
def test_a_field_out_of_range_is_neither_written_nor_read(
    path: Path, field: str, value: object
) -> None:
    header = {**HEADER, field: value}
    with pytest.raises(DataError, match=rf"not usable\n.*{field}: .*\n.*accepted: {field}: "):
        save_weights(path, {"a": torch.zeros(3)}, header)
    save_file({"a": torch.zeros(3)}, path, {"worldbench": json.dumps(header)})
    _refused(path, rf"not usable\n.*{field}: .*\n.*accepted: {field}: ")


def test_the_message_about_a_header_is_short_whatever_it_holds(path: Path) -> None:
    with pytest.raises(DataError) as caught:
        save_weights(path, {"a": torch.zeros(3)}, {**HEADER, "fps": ["x" * 10**5] * 10})
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_usual_kinds_of_values_are_read_and_counted(path: Path, dtype: torch.dtype) -> None:
    state = {"a": torch.ones(2, 3, dtype=dtype), "b": torch.ones((), dtype=dtype)}
    save_file(state, path, {"worldbench": json.dumps(HEADER)})
    assert read_header(path, model="dit").values == 7
    assert float(load_weights(path, model="dit").state["a"].sum()) == 6
