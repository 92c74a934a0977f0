"""What the files of a V-JEPA 2 can be, and what is said of those that are none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from vjepa2_files import clips, saved_vjepa2

from worldbench import cli
from worldbench.adapters import hub
from worldbench.adapters.vjepa2 import VJEPA2
from worldbench.errors import DataError, EnvironmentFault, UsageError, WorldbenchError

transformers = pytest.importorskip("transformers")
huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_vjepa2(tmp_path_factory.mktemp("vjepa2"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def without(folder: Path, part: str) -> None:
    """Removes the weights whose names hold a part."""
    file = folder / "model.safetensors"
    kept = {name: value for name, value in load_file(file).items() if part not in name}
    save_file(kept, file, metadata={"format": "pt"})


def told(error: WorldbenchError) -> bool:
    return None not in (error.seen, error.accepted, error.fix)


def configure(folder: Path, **options: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | options))


def test_whatever_changes_answers_changes_the_revision_and_names_do_not(
    whole: Path, tmp_path: Path
) -> None:
    usual = VJEPA2(str(whole)).card.revision
    assert VJEPA2(str(whole), name="other", fps=None).card.revision == usual
    others = [
        VJEPA2(str(saved_vjepa2(tmp_path / "seed", seed=1))),
        VJEPA2(str(whole), framing="native"),
        VJEPA2(str(whole), frames=12),
        VJEPA2(str(whole), mask_token=0),
    ]
    assert len({usual} | {each.card.revision for each in others}) == 5


def test_the_mask_token_is_a_trained_one(whole: Path, tmp_path: Path) -> None:
    context = clips(1, 4)
    model = transformers.VJEPA2Model.from_pretrained(whole).eval()
    foreseen = VJEPA2(str(whole), mask_token=0).predict(context, 4).tokens
    with torch.no_grad():
        tokens = model.predictor.embeddings.mask_tokens
        tokens[1] = tokens[0].clone()
    model.save_pretrained(tmp_path / "moved")
    moved = VJEPA2(str(tmp_path / "moved")).predict(context, 4).tokens
    assert torch.equal(foreseen, moved)
    assert not torch.allclose(foreseen, VJEPA2(str(whole)).predict(context, 4).tokens, atol=1e-3)
    last = VJEPA2(str(saved_vjepa2(tmp_path / "last", trained=(3,))))
    assert last.card.revision == VJEPA2(str(tmp_path / "last"), mask_token=3).card.revision


def test_a_mask_token_that_nobody_trained_is_refused(whole: Path, tmp_path: Path) -> None:
    for index in (2, 9):
        with pytest.raises(UsageError, match=r"adapter\.mask_token was not trained") as caught:
            VJEPA2(str(whole), mask_token=index)
        assert caught.value.accepted == "0, 1"
    with pytest.raises(UsageError, match=r"adapter\.mask_token is not a usable number"):
        VJEPA2(str(whole), mask_token=True)
    with pytest.raises(DataError, match="no mask token of this V-JEPA was trained") as none:
        VJEPA2(str(saved_vjepa2(tmp_path / "none", trained=())))
    assert told(none.value)


@pytest.mark.parametrize(
    ("option", "value"), [("framing", "square"), ("frames", 2), ("frames", 7), ("frames", True)]
)
def test_options_out_of_range_are_refused_by_name(option: str, value: Any, whole: Path) -> None:
    with pytest.raises(UsageError, match=rf"adapter\.{option}") as caught:
        VJEPA2(str(whole), **{option: value})
    assert told(caught.value)


def test_a_wrong_folder_is_a_usage_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "adapter=vjepa2", f"adapter.weights={tmp_path / 'nowhere'}"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "there is no vjepa2 model" in said
    assert "adapter.weights=FOLDER; or a hub id OWNER/NAME" in said
    configure(folder, model_type="videomae")
    with pytest.raises(UsageError, match="this is no vjepa2 model") as caught:
        VJEPA2(str(folder))
    assert told(caught.value)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    file = tmp_path / "vitl.pt"
    torch.save({"encoder": {}}, file)
    for weights in (folder, file):
        with pytest.raises(UsageError, match="are a pickle, which could run code") as caught:
            VJEPA2(str(weights))
        assert told(caught.value)


@pytest.mark.parametrize("part", ["encoder", "predictor"])
def test_a_part_that_is_missing_is_named(part: str, folder: Path) -> None:
    without(folder, f"{part}.")
    with pytest.raises(DataError, match=f"this V-JEPA has no {part}") as caught:
        VJEPA2(str(folder))
    assert told(caught.value)


def test_a_weight_that_is_missing_is_not_made_up(folder: Path) -> None:
    without(folder, "predictor.layer.1.mlp.fc1")
    adapter = VJEPA2(str(folder))
    with pytest.raises(DataError, match="lacks weights") as caught:
        adapter.encode(clips(1, 4))
    assert "2 missing" in str(caught.value.seen)
    assert told(caught.value)


def test_damaged_files_are_told(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot read the weights") as caught:
        VJEPA2(str(folder))
    assert told(caught.value)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(DataError, match=r"config\.json does not read"):
        VJEPA2(str(folder))


@pytest.mark.parametrize(
    "options",
    [{"crop_size": 40}, {"frames_per_clip": 2}, {"tubelet_size": 0}, {"patch_size": [16, 16]}],
)
def test_a_configuration_of_no_network_is_told(options: dict[str, Any], folder: Path) -> None:
    configure(folder, **options)
    with pytest.raises(DataError, match=r"config\.json describes no V-JEPA") as caught:
        VJEPA2(str(folder))
    assert told(caught.value)


# --- the hub --------------------------------------------------------------------------------------


def test_what_the_hub_gave_before_is_found_without_a_network(whole: Path, offline: Path) -> None:
    commit = "0" * 40
    snapshot = offline / "models--some--vjepa2" / "snapshots" / commit
    shutil.copytree(whole, snapshot)
    refs = offline / "models--some--vjepa2" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    for revision in (None, commit):
        adapter = VJEPA2("some/vjepa2", revision=revision)
        assert adapter.card.revision == VJEPA2(str(whole)).card.revision
        assert adapter.card.source == "https://huggingface.co/some/vjepa2"
    assert adapter.predict(clips(1, 4), 4).tokens.shape == (1, 2, 2, 2, 24)


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_way_out_is_told() -> None:
    adapter = VJEPA2("some/vjepa2")  # nothing is asked of the hub yet
    with pytest.raises(EnvironmentFault, match="the hub cannot be reached") as caught:
        _ = adapter.card
    assert told(caught.value)
    assert "HF_HUB_OFFLINE is set" in str(caught.value.seen)
    assert "`hf download some/vjepa2`" in str(caught.value.fix)


def test_the_machine_being_in_the_way_is_no_broken_promise(offline: Path) -> None:
    # In another process: until Python 3.12 these tests' type checks run into the error themselves.
    words = ["check", "adapter=vjepa2", "adapter.weights=some/vjepa2"]
    environment = os.environ | {"HF_HUB_CACHE": str(offline)}
    done = subprocess.run(
        [sys.executable, "-m", "worldbench.cli", *words],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: the model 'some/vjepa2' is not on this machine")


def test_a_repository_that_does_not_exist_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def absent(name: str, **_: object) -> str:
        raise huggingface_hub.errors.HFValidationError(f"no {name}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    with pytest.raises(UsageError, match="neither this folder nor the hub has") as caught:
        hub.fetched("some/vjepa2", None)
    assert told(caught.value)


def test_only_names_that_are_no_path_are_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hub.is_hub_id("facebook/vjepa2-vitl-fpc64-256")
    assert not any(hub.is_hub_id(name) for name in ("vjepa2", "./a/b", "/a/b", "~/a", "a/b/c"))
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert not hub.is_hub_id("models/mine")
