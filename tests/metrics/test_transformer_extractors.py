"""Tiny random models, saved as transformers saves them; nothing here reaches a network."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformer_folders import FRAMES, MODELS, saved

from worldbench.errors import DataError, EnvironmentFault, UsageError
from worldbench.metrics import transformer_extractors
from worldbench.metrics.extractors import VideoExtractor, weighted_card, weighted_extractor
from worldbench.metrics.transformer_extractors import TransformerFeatures, model_folder

transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")
VARIANTS = [("videomae", False), ("videomae", True), ("vjepa2", False), ("vjepa2", True)]
VARIANTS += [("dinov2", False)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[tuple[str, bool], Path]:
    root = tmp_path_factory.mktemp("models")
    return {(kind, head): saved(root, kind, head) for kind, head in VARIANTS}


def video(kind: str, count: int = 2, size: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, FRAMES[kind], 3, size, size, generator=generator)


def prepared(kind: str, clips: Tensor) -> Tensor:
    side = {"videomae": 32, "vjepa2": 32, "dinov2": 28}[kind]
    frames = functional.interpolate(
        clips.flatten(0, 1), (side, side), mode="bilinear", antialias=True
    )
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return ((frames - mean) / std).unflatten(0, clips.shape[:2])


@pytest.mark.parametrize(("kind", "head"), VARIANTS)
def test_features_are_what_the_model_itself_pools(folders, kind, head):
    folder = folders[kind, head]
    extractor = weighted_extractor(kind, folder, None, CPU)
    assert isinstance(extractor, VideoExtractor)
    base = MODELS[kind][0]
    name = f"{base}ForVideoClassification" if head else f"{base}Model"
    model = getattr(transformers, name).from_pretrained(folder).eval()
    clips = prepared(kind, video(kind))
    with torch.inference_mode():
        if kind == "dinov2":
            frames = model(pixel_values=clips.flatten(0, 1)).pooler_output.unflatten(0, (2, 3))
            change = (frames[:, 1:] - frames[:, :-1]).abs().mean(dim=1)
            expected = torch.cat([frames.mean(dim=1), change], dim=1)
        elif head:  # what goes into the classifier
            seen: list[Tensor] = []
            model.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
            model(clips)
            (expected,) = seen
        else:
            options = {"skip_predictor": True} if kind == "vjepa2" else {}
            expected = model(clips, **options).last_hidden_state.mean(dim=1)
    found = extractor(video(kind))
    assert found.dtype == torch.float64
    assert found.shape == (2, extractor.card.dim)
    torch.testing.assert_close(found.float(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_cards_tell_weights_and_pooling_apart_without_loading_them(folders, kind, tmp_path):
    card, rule = weighted_card(kind, folders[kind, False], None)
    again, _ = weighted_card(kind, folders[kind, False], None)
    other, _ = weighted_card(kind, saved(tmp_path, kind, seed=1), None)
    assert card == again
    assert card.digest != other.digest
    assert card.label.startswith(f"{kind}-")
    rule.check(card.label, FRAMES[kind])
    if (kind, True) in folders:
        pooled, _ = weighted_card(kind, folders[kind, True], None)
        assert pooled.preprocessing != card.preprocessing


def test_other_numbers_of_frames_are_refused(folders):
    extractor = weighted_extractor("videomae", folders["videomae", False], None, CPU)
    with pytest.raises(UsageError, match="exactly 4 frames"):
        extractor(video("vjepa2"))
    extractor = weighted_extractor("vjepa2", folders["vjepa2", False], None, CPU)
    with pytest.raises(UsageError, match="a multiple of 2"):
        extractor(video("dinov2"))


def test_what_is_no_model_folder_says_what_would_be(folders, tmp_path):
    with pytest.raises(UsageError, match="vjepa2 needs its weights") as caught:
        model_folder("vjepa2", None)
    assert "--weights FOLDER, or suite.weights=FOLDER" in str(caught.value)
    with pytest.raises(UsageError, match="there is no vjepa2 model"):
        model_folder("vjepa2", tmp_path)
    with pytest.raises(UsageError, match="this is no vjepa2 model") as caught:
        model_folder("vjepa2", folders["videomae", False])
    assert "'videomae'" in str(caught.value)
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="does not read"):
        model_folder("vjepa2", tmp_path)


def test_weights_that_do_not_load_are_told(folders, tmp_path):
    config = json.loads((folders["dinov2", False] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(DataError, match="the dinov2 model does not load"):
        TransformerFeatures(model_folder("dinov2", tmp_path), CPU)


def test_weights_that_are_missing_are_not_made_up_unless_nobody_asks_for_them(folders, tmp_path):
    whole = folders["vjepa2", False]
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes())
    weights = load_file(whole / "model.safetensors")

    def features(missing: str) -> Tensor:
        kept = {name: each for name, each in weights.items() if not name.startswith(missing)}
        save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
        return TransformerFeatures(model_folder("vjepa2", tmp_path), CPU)(video("vjepa2"))

    known = TransformerFeatures(model_folder("vjepa2", whole), CPU)(video("vjepa2"))
    assert torch.equal(features("predictor."), known)
    with pytest.raises(DataError, match="the vjepa2 model lacks weights"):
        features("encoder.layer.1.mlp.")


def test_a_missing_package_names_the_extra(folders, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    folder = model_folder("vjepa2", folders["vjepa2", False])
    with pytest.raises(EnvironmentFault, match="needs the package transformers") as caught:
        transformer_extractors.TransformerFeatures(folder, CPU)
    assert "worldbench-suite[jepa]" in str(caught.value)
