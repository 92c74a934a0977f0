"""Random weights; where published ones lie, WORLDBENCH_I3D=FILE holds us to known answers."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from i3d_files import Holds, hub_names, pytorch_names, random_state
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from worldbench.errors import DataError, UsageError
from worldbench.metrics import i3d, i3d_weights
from worldbench.metrics.frechet import frechet_distance
from worldbench.metrics.i3d import HEAD, I3D, LEAST_FRAMES, MIXED
from worldbench.metrics.i3d_extractor import I3DLogits, i3d_card
from worldbench.metrics.i3d_weights import find_weights, read_state
from worldbench.metrics.presets import PRESETS
from worldbench.metrics.torchscript import is_torchscript, torchscript_tensors

CPU = torch.device("cpu")
POOLS = {"Mixed_4b": ((3, 3, 3), (2, 2, 2)), "Mixed_5b": ((2, 2, 2), (2, 2, 2))}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state()


@pytest.fixture(scope="module")
def network(state: dict[str, Tensor]) -> I3D:
    return I3D(state)


def clips(frames: int, count: int = 1, seed: int = 0) -> Tensor:
    shape = (count, 3, frames, i3d.SIDE, i3d.SIDE)
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1


def padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """TensorFlow's SAME padding, written out."""
    sides: list[int] = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        out = (size + s - 1) // s
        total = max((out - 1) * s + k - size, 0)
        sides += [total // 2, total - total // 2]
    return functional.pad(x, sides)


def by_hand(state: dict[str, Tensor], x: Tensor, epsilon: float = 1e-3) -> Tensor:
    """The paper's network, unit by unit, in the order of its figure."""

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        y = padded(x, weight.shape[2:], (stride,) * 3)
        y = functional.conv3d(y, weight, stride=stride)
        moments = (state[f"{name}.mean"], state[f"{name}.variance"])
        affine = {"weight": state[f"{name}.scale"], "bias": state[f"{name}.bias"]}
        return functional.relu(functional.batch_norm(y, *moments, **affine, eps=epsilon))

    def pool(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        return functional.max_pool3d(padded(x, kernel, stride), kernel, stride)

    x = pool(unit(x, "Conv3d_1a_7x7", 2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
    x = pool(x, (1, 3, 3), (1, 2, 2))
    for name in MIXED:
        if name in POOLS:
            x = pool(x, *POOLS[name])
        second = unit(unit(x, f"{name}.1a"), f"{name}.1b")
        third = unit(unit(x, f"{name}.2a"), f"{name}.2b")
        fourth = unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.3")
        x = torch.cat([unit(x, f"{name}.0"), second, third, fourth], dim=1)
    x = functional.avg_pool3d(x, (2, 7, 7), 1)
    x = functional.conv3d(x, state[f"{HEAD}.weight"], state[f"{HEAD}.bias"])
    return x.flatten(2).mean(dim=2)


@pytest.mark.parametrize("frames", [LEAST_FRAMES, pytest.param(12, marks=pytest.mark.slow)])
def test_the_network_is_the_papers(state, network, frames):
    x = clips(frames)
    with torch.inference_mode():
        expected, found = by_hand(state, x), network(x)
    assert found.shape == (1, 400)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("frames", [13, 16, 30])
def test_the_network_agrees_with_the_port_that_cd_fvd_ships(state, frames, tmp_path):
    ports = pytest.importorskip("cdfvd.third_party.i3d.pytorch_i3d")
    port = ports.InceptionI3d(400).eval()
    missing = port.load_state_dict(pytorch_names(state), strict=False)
    assert all("num_batches_tracked" in key for key in missing.missing_keys)
    assert not missing.unexpected_keys
    x = clips(frames)
    with torch.inference_mode():
        torch.testing.assert_close(I3D(state, 1e-5)(x), port(x), atol=1e-4, rtol=1e-5)


def test_clips_that_are_too_short_or_small_are_refused(network):
    with pytest.raises(ValueError, match="at least 9 frames"):
        network(clips(8))
    with pytest.raises(ValueError, match="224×224"):
        network(clips(9)[..., :112])


# --- weight files ---------------------------------------------------------------------------------


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


def test_state_dicts_of_the_pytorch_port_are_read(state, tmp_path):
    torch.save(pytorch_names(state), tmp_path / "rgb_imagenet.pt")
    torch.save({"state_dict": pytorch_names(state), "epoch": 3}, tmp_path / "checkpoint.pt")
    for file in tmp_path.iterdir():
        assert same(read_state(file), state)


def test_a_torchscript_archive_is_read_without_running_it(state, tmp_path):
    path = tmp_path / "i3d_torchscript.pt"
    plain = {name: t for name, t in state.items() if not name.endswith(".scale")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is on its way out
        torch.jit.script(Holds(hub_names(state))).save(str(path))
    assert is_torchscript(path)
    assert same(read_state(path), plain)


def test_safetensors_are_read_under_either_names(state, tmp_path):
    save_file(state, tmp_path / "own.safetensors")
    save_file(pytorch_names(state), tmp_path / "ported.safetensors")
    for file in tmp_path.iterdir():
        assert same(read_state(file), state)


def test_a_file_is_converted_once(state, tmp_path, monkeypatch):
    torch.save(pytorch_names(random_state(5)), tmp_path / "weights.pt")
    weights = find_weights(tmp_path / "weights.pt")
    first = weights.network()
    monkeypatch.setattr(i3d_weights, "read_state", lambda path: pytest.fail("read twice"))
    again = find_weights(tmp_path / "weights.pt").network()
    assert torch.equal(first.head.weight, again.head.weight)


class _Harm:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return os.system, ("true",)


def test_an_archive_that_names_code_is_refused(tmp_path):
    path = tmp_path / "harm.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("harm/data.pkl", pickle.dumps(_Harm(), protocol=2))
        archive.writestr("harm/constants.pkl", b"")
    with pytest.raises(pickle.UnpicklingError, match="neither a tensor nor a plain value"):
        torchscript_tensors(path)
    with pytest.raises(DataError, match="does not read"):
        read_state(path)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(_Harm(), 2)])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_is_no_weight_file_says_what_would_be(tmp_path, content, suffix):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="does not read") as caught:
        read_state(path)
    assert "i3d_torchscript.pt" in str(caught.value)
    assert "weights_only=False" not in str(caught.value)


def test_another_network_is_told_by_what_it_lacks(state, tmp_path):
    names = pytorch_names(state)
    del names["Mixed_4c.b1a.bn.running_mean"]
    names["logits.conv3d.weight"] = names["logits.conv3d.weight"][:157]
    torch.save(names, tmp_path / "charades.pt")
    with pytest.raises(DataError, match="no I3D of 400 classes") as caught:
        read_state(tmp_path / "charades.pt")
    assert "no Mixed_4c.1a.mean" in str(caught.value)
    assert "Logits.weight is (157, 1024, 1, 1, 1)" in str(caught.value)


def test_without_a_file_there_is_no_other_network(tmp_path):
    for path in (None, "", tmp_path / "nothing.pt", tmp_path):
        with pytest.raises(UsageError, match="I3D") as caught:
            find_weights(path)
        assert "--weights FILE, or suite.weights=FILE" in str(caught.value)


# --- the extractor --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(tmp_path_factory, state):
    path = tmp_path_factory.mktemp("weights") / "i3d.safetensors"
    save_file(state, path)
    return find_weights(path)


def test_features_are_logits_of_framed_clips_whatever_the_batch(weights, network):
    extractor = I3DLogits(weights, PRESETS["styleganv"], CPU)
    video = torch.rand(2, 9, 3, 40, 48, generator=torch.Generator().manual_seed(2))
    frames = functional.interpolate(video.flatten(0, 1), (224, 224), mode="bilinear")
    expected = network(2 * frames.unflatten(0, (2, 9)).transpose(1, 2) - 1).double()
    found = extractor(video)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(extractor(video[1:]), found[1:], atol=1e-4, rtol=1e-5)
    with pytest.raises(UsageError, match="9 frames or more"):
        extractor(video[:, :8])


def test_unknown_weights_and_presets_bring_themselves_into_the_name(weights, monkeypatch):
    cards = {name: i3d_card(weights, PRESETS[name]) for name in ("styleganv", "cdfvd_i3d")}
    assert cards["styleganv"].label == f"i3d-styleganv-{weights.sha256[:8]}"
    assert cards["styleganv"].digest != cards["cdfvd_i3d"].digest
    monkeypatch.setitem(i3d_weights.PUBLISHED, weights.sha256, "published")
    assert i3d_card(weights, PRESETS["styleganv"]).label == "i3d-styleganv"


@pytest.mark.slow
def test_known_answers_of_the_published_weights():
    path = os.environ.get("WORLDBENCH_I3D")
    if path is None or not Path(path).is_file():
        pytest.skip("WORLDBENCH_I3D does not name i3d_torchscript.pt")
    extractor = I3DLogits(find_weights(path), PRESETS["styleganv"], CPU)
    known = {10: 569.2296, 13: 146.3664, 15: 133.7031, 16: 152.9175, 30: 151.2565}
    for frames, value in known.items():
        zeros, ones = (
            extractor(torch.full((1, frames, 3, 64, 64), level)).expand(8, -1)
            for level in (0.0, 1.0)
        )
        assert frechet_distance(zeros, ones) == pytest.approx(value, rel=1e-4)
