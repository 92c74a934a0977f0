import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from worldbench.conformance.clips import moving_clips
from worldbench.errors import DataError
from worldbench_models.dit.adapter import DiTAdapter
from worldbench_models.dit.network import DiT
from worldbench_models.jepa.adapter import JEPAAdapter
from worldbench_models.jepa.network import JEPA, SHAPES, parameters
from worldbench_models.jepa.origin import MODEL
from worldbench_models.origin import Chance
from worldbench_models.weights import load_weights, save_weights


def _altered(checkpoint: Path, folder: Path, **changes: Any) -> Path:
    """Copies a weight file, its header changed."""
    weights, path = load_weights(checkpoint, model="jepa"), folder / "x.safetensors"
    save_file(weights.state, path, {"worldbench": json.dumps({**weights.header, **changes})})
    return path


def _shape(checkpoint: Path, part: str, **changes: Any) -> dict[str, Any]:
    shape = load_weights(checkpoint, model="jepa").header["shape"]
    return {**shape, part: {**shape[part], **changes}}


def test_weights_of_the_other_school_are_refused_with_the_adapter_to_use(
    checkpoint: Path, tmp_path: Path, random_network: Any
) -> None:
    with pytest.raises(DataError, match=r"of another model\n.*jepa\n.*dit\n.*adapter=jepa"):
        DiTAdapter(weights=str(checkpoint))
    size, path = random_network().shape.encoder, tmp_path / "dit-tiny.safetensors"
    header = load_weights(checkpoint, model="jepa").header
    save_weights(path, DiT(size).state_dict(), {**header, "model": "dit", "shape": vars(size)})
    assert DiTAdapter(weights=str(path)).card.frames == 8
    with pytest.raises(DataError, match=r"of another model\n.*dit\n.*jepa\n.*adapter=dit"):
        JEPAAdapter(weights=str(path))
    with pytest.raises(DataError, match="describes no JEPA"):  # even where it says it was one
        JEPAAdapter(weights=str(_altered(checkpoint, tmp_path, shape=vars(size))))


def test_a_file_that_is_missing_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="worldbench train model=jepa"):
        JEPAAdapter(weights=str(tmp_path / "none.safetensors"))


@pytest.mark.parametrize("part", ["encoder", "predictor"])
@pytest.mark.parametrize("name", ["width", "depth", "heads", "head", "hidden"])
@pytest.mark.parametrize("value", [0, True, 2.0, None, 10**30, {"a": {}}])
def test_a_shape_out_of_range_is_no_jepa(
    part: str, name: str, value: object, checkpoint: Path, tmp_path: Path
) -> None:
    path = _altered(checkpoint, tmp_path, shape=_shape(checkpoint, part, **{name: value}))
    with pytest.raises(DataError, match=rf"describes no JEPA\n.*'{part}': ") as caught:
        JEPAAdapter(weights=str(path))
    assert "encoder and predictor" in str(caught.value.accepted)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"encoder": {"width": 32, "depth": 3, "heads": 3, "head": 16, "hidden": 40}},
        {"encoder": None, "predictor": [1]},
    ],
)
def test_a_shape_without_both_parts_is_no_jepa(
    shape: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="describes no JEPA"):
        JEPAAdapter(weights=str(_altered(checkpoint, tmp_path, shape=shape)))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("encoder", {"width": 33}),
        ("encoder", {"head": 18}),  # the predictor's heads have 16 channels
        ("predictor", {"head": 4, "heads": 12}),
        ("predictor", {"width": 4}),
        ("predictor", {"more": 1}),
    ],
)
def test_a_network_that_could_not_run_is_no_jepa(
    part: str, changes: dict[str, int], checkpoint: Path, tmp_path: Path
) -> None:
    path = _altered(checkpoint, tmp_path, shape=_shape(checkpoint, part, **changes))
    with pytest.raises(DataError, match="describes no JEPA"):
        JEPAAdapter(weights=str(path))


@pytest.mark.parametrize("changes", [{"frames": 2}, {"resolution": [64, 320]}])
def test_clips_that_hold_no_future_or_are_too_long_are_no_jepas(
    changes: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="describes no JEPA"):
        JEPAAdapter(weights=str(_altered(checkpoint, tmp_path, **changes)))


@pytest.mark.parametrize("part", ["encoder", "predictor"])
@pytest.mark.parametrize("changes", [{"depth": 4}, {"width": 2**16}, {"heads": 2**16}])
def test_a_shape_of_other_than_the_values_in_the_file_is_refused_before_it_is_made(
    part: str, changes: dict[str, int], checkpoint: Path, tmp_path: Path, random_network: Any
) -> None:
    path = _altered(checkpoint, tmp_path, shape=_shape(checkpoint, part, **changes))
    count = sum(parameter.numel() for parameter in random_network().parameters())
    with pytest.raises(DataError, match=rf"do not fit.*\n.*{count} values\n"):
        JEPAAdapter(weights=str(path))


def test_values_under_other_names_are_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    weights, path = load_weights(checkpoint, model="jepa"), tmp_path / "x.safetensors"
    weights.state["predictor.mask"] = weights.state.pop("predictor.masked")
    save_weights(path, weights.state, weights.header)
    adapter = JEPAAdapter(weights=str(path))
    with pytest.raises(DataError, match=r"do not fit.*\n.*predictor\.mask: "):
        adapter.encode(moving_clips(1, 4, (32, 32)))


def test_weights_that_are_not_finite_are_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    weights, path = load_weights(checkpoint, model="jepa"), tmp_path / "x.safetensors"
    weights.state["predictor.latent_out.bias"][3] = float("nan")
    save_file(weights.state, path, {"worldbench": json.dumps(weights.header)})
    with pytest.raises(DataError, match=r"not finite\n.*1 of 32 in predictor\.latent_out\.bias"):
        JEPAAdapter(weights=str(path)).encode(moving_clips(1, 4, (32, 32)))


def test_a_file_that_changes_after_the_card_was_shown_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(checkpoint.read_bytes())
    adapter = JEPAAdapter(weights=str(path))
    weights = load_weights(path, model="jepa")
    weights.state["encoder.patch_in.bias"][0] += 1
    save_weights(path, weights.state, weights.header)
    with pytest.raises(DataError, match="changed while they were in use"):
        adapter.encode(moving_clips(1, 4, (32, 32)))


def test_chance_draws_every_matrix_and_mask_token_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, same, other = (Chance(MODEL, "xs", seed).network() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert isinstance(first, JEPA)
    assert sum(p.numel() for p in first.parameters()) == parameters(SHAPES["xs"])
    for (name, value), again, another in zip(
        first.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(value, again)
        assert torch.equal(value, another) == (value.dim() == 1), name
        if value.dim() == 2:
            assert float(value.std()) == pytest.approx(value.shape[1] ** -0.5, rel=0.15), name
        else:
            assert not value.any(), name
