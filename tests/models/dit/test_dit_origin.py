import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from worldbench.conformance.clips import moving_clips
from worldbench.errors import DataError
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.weights import load_weights, save_weights


def _altered(checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """Copies a weight file, its header changed."""
    weights, path = load_weights(checkpoint, model="dit"), folder / "x.safetensors"
    save_file(weights.state, path, {"worldbench": json.dumps({**weights.header, **changes})})
    return path


def _shape(checkpoint: Path, **changes: Any) -> dict[str, Any]:
    return {**load_weights(checkpoint, model="dit").header["shape"], **changes}


def test_a_file_that_is_missing_or_of_another_model_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="worldbench train model=dit"):
        DiTAdapter(weights=str(tmp_path / "none.safetensors"))
    with pytest.raises(DataError, match="cannot read the weights"):
        DiTAdapter(weights="~nobody-of-this-name/x.safetensors")
    with pytest.raises(DataError, match="of another model"):
        DiTAdapter(weights=str(_altered(checkpoint, tmp_path, model="jepa")))


@pytest.mark.parametrize("name", ["width", "depth", "heads", "head", "hidden"])
@pytest.mark.parametrize(
    "value", [0, -1, True, 2.0, "many", None, [], 10**30, float("nan"), {"a": {"a": {}}}]
)
def test_a_shape_out_of_range_is_no_dit(
    name: str, value: object, checkpoint: Path, tmp_path: Path
) -> None:
    path = _altered(checkpoint, tmp_path, shape=_shape(checkpoint, **{name: value}))
    with pytest.raises(DataError, match=rf"describes no DiT\n.*'{name}': "):
        DiTAdapter(weights=str(path))


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": {}},
        {"shape": {"width": 32}},
        {"shape": {"width": 32, "depth": 3, "heads": 3, "head": 16, "hidden": 40, "more": 1}},
        {"shape": {"width": 33, "depth": 3, "heads": 3, "head": 16, "hidden": 40}},
        {"shape": {"width": 32, "depth": 3, "heads": 3, "head": 15, "hidden": 40}},
        {"shape": {"width": 32, "depth": 3, "heads": 12, "head": 4, "hidden": 40}},
        {"frames": 2},
        {"resolution": [64, 320]},
    ],
)
def test_a_network_that_could_not_run_is_no_dit(
    changes: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="describes no DiT"):
        DiTAdapter(weights=str(_altered(checkpoint, tmp_path, **changes)))


@pytest.mark.parametrize(
    "changes", [{"depth": 4}, {"depth": 2}, {"width": 2**16, "hidden": 2**16}, {"heads": 2**16}]
)
def test_a_shape_of_other_than_the_values_in_the_file_is_refused_before_it_is_made(
    changes: dict[str, int], checkpoint: Path, tmp_path: Path
) -> None:
    path = _altered(checkpoint, tmp_path, shape=_shape(checkpoint, **changes))
    with pytest.raises(DataError, match=r"do not fit.*\n.*113376 values\n"):
        DiTAdapter(weights=str(path))


def test_values_under_other_names_are_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    weights, path = load_weights(checkpoint, model="dit"), tmp_path / "x.safetensors"
    weights.state["blocks.3.table"] = weights.state.pop("blocks.2.table")
    save_weights(path, weights.state, weights.header)
    adapter = DiTAdapter(weights=str(path))
    with pytest.raises(DataError, match=r"do not fit.*\n.*blocks\.2\.table: missing"):
        adapter.encode(moving_clips(1, 4, (32, 32)))


def test_a_file_that_changes_after_the_card_was_shown_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    adapter = DiTAdapter(weights=str(path))
    weights = load_weights(path, model="dit")
    weights.state["patch_in.bias"][0] += 1
    save_weights(path, weights.state, weights.header)
    with pytest.raises(DataError, match="changed while they were in use"):
        adapter.encode(moving_clips(1, 4, (32, 32)))


def test_what_is_published_has_the_revision_that_records_name() -> None:
    assert DiTAdapter().card.revision.startswith("81f601dbf02d")
    twin = DiTAdapter(name="dit_random", weights="random")
    assert twin.card.revision.startswith("44063aa9f2c3")
