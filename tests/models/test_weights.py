import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from worldbench.errors import DataError
from worldbench_models import weights
from worldbench_models.weights import fill, load_weights, read_header, save_weights, shipped

HEADER: dict[str, Any] = {
    "model": "dit",
    "size": "s",
    "shape": {"width": 4},
    "frames": 16,
    "fps": 8.0,
    "resolution": [64, 64],
    "training_data": "worlds",
    "training_compute": "1 PFLOP",
    "licence": "Apache-2.0",
}


def _state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"b": torch.randn(3, generator=generator), "a": torch.randn(4, 3, generator=generator)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dit-s.safetensors"
    save_weights(path, _state(), HEADER)
    return path


def test_what_was_saved_is_loaded_in_float32_after_rounding_to_bf16(path: Path) -> None:
    loaded = load_weights(path, model="dit")
    assert loaded.header == HEADER
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    told = read_header(path, model="dit")
    assert (told.header, told.values, told.sha256) == (HEADER, 15, loaded.sha256)
    for name, value in _state().items():
        assert loaded.state[name].dtype == torch.float32
        assert torch.equal(loaded.state[name], value.bfloat16().float())


def test_equal_weights_give_equal_bytes_in_any_order(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    backwards = dict(reversed(HEADER.items()))
    save_weights(again, dict(reversed(_state().items())), backwards)
    assert again.read_bytes() == path.read_bytes()
    assert path.stat().st_size < 2 * 15 + 800


def test_a_network_takes_its_weights(path: Path) -> None:
    network = torch.nn.Linear(3, 4)
    network.a, network.b = network.weight, torch.nn.Parameter(torch.zeros(3))
    del network.weight, network.bias
    fill(network, load_weights(path, model="dit"), path)
    assert torch.equal(network.b, _state()["b"].bfloat16().float())


@pytest.mark.parametrize("network", [torch.nn.Linear(3, 4), torch.nn.Linear(3, 4, bias=False)])
def test_weights_of_other_names_are_refused_by_name(path: Path, network: torch.nn.Module) -> None:
    with pytest.raises(DataError, match=r"do not fit.*\n.*a: \(4, 3\)"):
        fill(network, load_weights(path, model="dit"), path)


@pytest.mark.parametrize("kind", [torch.int8, torch.int64, torch.bool])
def test_whole_numbers_are_no_weights(kind: torch.dtype, path: Path) -> None:
    save_weights(path, {"weight": torch.ones(2, 3, dtype=kind), "bias": torch.ones(2)}, HEADER)
    network = torch.nn.Linear(3, 2)
    before = network.weight.clone()
    with pytest.raises(DataError, match="not all floats") as caught:
        fill(network, load_weights(path, model="dit"), path)
    assert f"weight: {kind}" in str(caught.value.seen)
    assert None not in (caught.value.accepted, caught.value.fix)
    assert torch.equal(network.weight, before)


def test_a_missing_file_is_told_with_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file") as caught:
        load_weights(tmp_path / "none.safetensors", model="dit")
    assert "worldbench train model=dit" in str(caught.value)
    with pytest.raises(DataError, match="Is a directory"):
        read_header(tmp_path, model="dit")


@pytest.mark.parametrize("kept", [0, 5, 8, 100, -1])
def test_a_file_cut_short_is_refused(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    for read in (read_header, load_weights):
        with pytest.raises(DataError, match="cut short or no safetensors"):
            read(path, model="dit")


@pytest.mark.parametrize(
    "content",
    [b"hello" * 100, b"\xff" * 100, b"\x02" + bytes(7) + b"{}", b"\x02" + bytes(7) + b"[]"],
)
def test_a_file_that_is_no_safetensors_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="cut short or no safetensors"):
        read_header(path, model="dit")


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("the pickle was read",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_read(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"x": _Bomb()}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match="may run code"):
        load_weights(path, model="dit")


def test_weights_of_another_model_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match="of another model") as caught:
        read_header(path, model="jepa")
    assert "adapter=dit" in str(caught.value)


def test_safetensors_without_our_header_are_refused(path: Path) -> None:
    save_file(_state(), path)
    with pytest.raises(DataError, match="does not say what it is"):
        read_header(path, model="dit")


def test_a_header_that_lacks_a_field_is_neither_written_nor_read(path: Path) -> None:
    lacking = {k: v for k, v in HEADER.items() if k != "fps"}
    with pytest.raises(DataError, match="fps: None"):
        save_weights(path, _state(), lacking)
    save_file(_state(), path, {"worldbench": json.dumps(lacking)})
    with pytest.raises(DataError, match="fps: None"):
        load_weights(path, model="dit")


def test_values_that_are_not_finite_are_neither_written_nor_read(path: Path) -> None:
    broken = _state()
    broken["a"][1, 2] = float("nan")
    with pytest.raises(DataError, match="1 of 12 in a"):
        save_weights(path, broken, HEADER)
    save_file(broken, path, {"worldbench": json.dumps(HEADER)})
    with pytest.raises(DataError, match="1 of 12 in a"):
        load_weights(path, model="dit")


def test_values_too_large_for_float32_are_not_read(path: Path) -> None:
    save_file(
        {"a": torch.tensor([1e300], dtype=torch.float64)}, path, {"worldbench": json.dumps(HEADER)}
    )
    with pytest.raises(DataError, match="1 of 1 in a"):
        load_weights(path, model="dit")


@pytest.mark.parametrize("name", ["no\0file", "x" * 5000])
def test_a_path_that_no_file_could_have_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot read the weights"):
        load_weights(Path(name), model="dit")


def test_shipped_files_are_those_that_were_published(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "FOLDER", path.parent)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    (path.parent / "digests.json").write_text(json.dumps(digests))
    assert shipped(path.name, model="dit", size="s") == path
    with pytest.raises(DataError, match="worldbench train model=dit size=m"):
        shipped("dit-m.safetensors", model="dit", size="m")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match="force-reinstall"):
        shipped(path.name, model="dit", size="s")
    path.unlink()
    with pytest.raises(DataError, match="no such file"):
        shipped(path.name, model="dit", size="s")


def test_every_shipped_file_has_its_digest_and_is_small() -> None:
    digests = json.loads((weights.FOLDER / "digests.json").read_text())
    assert {p.name for p in weights.FOLDER.glob("*.safetensors")} == set(digests)
    for name in digests:
        path = shipped(name, model="dit", size="s")
        assert path.stat().st_size <= 16 * 2**20
