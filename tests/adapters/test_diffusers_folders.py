"""What the folder of a pipeline can be, and what is said of those that are none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_files import clips, saved_once, saved_pipeline
from safetensors.torch import load_file, save_file

from worldbench import cli
from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.adapters.diffusers.options import checked
from worldbench.errors import DataError, EnvironmentFault, UsageError, WorldbenchError

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
huggingface_hub = pytest.importorskip("huggingface_hub")

WEIGHTS = "diffusion_pytorch_model.safetensors"
ASKED: dict[str, Any] = {"samples": 1, "seeds": [0]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_once("wan", tmp_path_factory)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


def told(error: WorldbenchError) -> bool:
    return None not in (error.seen, error.accepted, error.fix)


def configure(file: Path, **options: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | options))


def adapter_of(folder: Path, **options: Any) -> Diffusers:
    settings: dict[str, Any] = {"dtype": "fp32", "steps": 1}
    return Diffusers(str(folder), **(settings | options))


def test_whatever_changes_answers_changes_the_revision_and_names_do_not(
    whole: Path, folder: Path
) -> None:
    usual = adapter_of(whole).card.revision
    again = adapter_of(folder, name="other", fps=3.0, licence="mine", offload="model")
    assert again.card.revision == usual
    assert (again.card.name, again.card.fps, again.card.licence) == ("other", 3.0, "mine")
    options: list[dict[str, Any]] = [
        {"steps": 2},
        {"dtype": "bf16"},
        {"size": [32, 32]},
        {"frames": 9},
        {"prompt": "a"},
        {"prompt": "a", "guidance": 2.0},
        {"levels": [0.5]},
        {"draws": 2},
        {"samples": 2},
    ]
    seen = {adapter_of(whole, **each).card.revision for each in options} | {usual}
    for file in (
        folder / "scheduler" / "scheduler_config.json",
        folder / "vae" / "config.json",
        folder / "image_processor" / "preprocessor_config.json",
    ):
        configure(file, note="changed")
        seen.add(adapter_of(folder).card.revision)
    for part in ("transformer", "vae"):
        weights = load_file(folder / part / WEIGHTS)
        next(iter(weights.values())).add_(1)
        save_file(weights, folder / part / WEIGHTS, metadata={"format": "pt"})
        seen.add(adapter_of(folder).card.revision)
    assert len(seen) == len(options) + 1 + 3 + 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("steps", 0),
        ("guidance", 0.5),
        ("dtype", "float64"),
        ("offload", "disk"),
        ("size", [32]),
        ("size", [30, 32]),
        ("frames", 10),
        ("frames", 1),
        ("levels", []),
        ("levels", [0.5, 0.5]),
        ("levels", [0.0]),
        ("draws", 0),
        ("samples", True),
        ("embeddings", "nowhere.safetensors"),
        ("variant", "fp16"),
    ],
)
def test_options_out_of_range_are_refused_by_name(option: str, value: Any, whole: Path) -> None:
    with pytest.raises(UsageError) as caught:
        adapter_of(whole, **{option: value})
    assert told(caught.value)
    assert f"adapter.{option}" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("guidance", True),
        ("size", "32"),
        ("size", 32),
        ("prompt", 3),
        ("levels", "a"),
        ("levels", ["a"]),
        ("levels", 0.5),
        ("levels", [True]),
    ],
)
def test_options_of_another_type_are_refused_by_name(option: str, value: Any) -> None:
    usual = {"steps": 1, "guidance": None, "dtype": "bf16", "offload": "none", "size": None}
    more = {"prompt": "", "levels": [0.5], "draws": 1, "samples": 1}
    assert checked(**usual, **more).levels == (0.5,)
    with pytest.raises(UsageError, match=rf"adapter\.{option}") as caught:
        checked(**(usual | more | {option: value}))
    assert told(caught.value)


@pytest.mark.parametrize(
    ("name", "frames", "fix"), [("wan", 10, 9), ("ltx", 20, 17), ("cogvideox", 13, 9)]
)
def test_a_length_that_a_pipeline_would_silently_change_is_refused(
    name: str, frames: int, fix: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(UsageError, match="would silently make others") as caught:
        adapter_of(saved_once(name, tmp_path_factory), frames=frames)
    assert told(caught.value)
    assert caught.value.fix == f"adapter.frames={fix}"


def test_options_without_effect_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UsageError, match=r"adapter\.guidance has no effect") as caught:
        adapter_of(saved_once("wan", tmp_path_factory), guidance=5.0)
    assert told(caught.value)
    with pytest.raises(UsageError, match="reads no prompts") as none:
        adapter_of(saved_once("svd", tmp_path_factory), prompt="a dog")
    assert told(none.value)
    assert (
        "guidance 2.5" in adapter_of(saved_once("svd", tmp_path_factory), guidance=2.5).card.summary
    )


def test_a_wrong_folder_is_a_usage_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["check", "adapter=diffusers", f"adapter.weights={tmp_path / 'nowhere'}"]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert "there is no diffusers pipeline" in said
    assert "adapter.weights=FOLDER; or a hub id OWNER/NAME" in said
    with pytest.raises(UsageError, match="there is no diffusers pipeline"):
        adapter_of(folder / "transformer")
    configure(folder / "model_index.json", _class_name="WanImageToVideoPipelin")
    with pytest.raises(UsageError, match="did you mean 'WanImageToVideoPipeline'") as caught:
        adapter_of(folder)
    assert "LTXConditionPipeline" in str(caught.value.accepted)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(DataError, match=r"model_index\.json does not read") as broken:
        adapter_of(folder)
    assert told(broken.value)
    (folder / "model_index.json").write_text("[]")
    with pytest.raises(DataError, match="no JSON object"):
        adapter_of(folder)


@pytest.mark.parametrize("part", ["transformer", "vae", "image_encoder", "text_encoder"])
def test_a_component_that_is_missing_is_named(part: str, folder: Path) -> None:
    for file in (folder / part).glob("*.safetensors"):
        file.unlink()
    with pytest.raises(DataError, match=f"this WanImageToVideoPipeline has no {part}") as caught:
        adapter_of(folder)
    assert told(caught.value)
    shutil.rmtree(folder / part)
    with pytest.raises(DataError, match=f"has no {part}"):
        adapter_of(folder)


def test_a_component_that_the_index_does_not_name_is_missed_if_it_is_needed(folder: Path) -> None:
    configure(folder / "model_index.json", vae=[None, None])
    with pytest.raises(DataError, match="has no vae"):
        adapter_of(folder)


def test_a_component_of_another_class_is_refused(folder: Path) -> None:
    configure(folder / "model_index.json", transformer=["my_code", "MyTransformer"])
    with pytest.raises(UsageError, match="of a class that is not known here") as caught:
        adapter_of(folder)
    assert (caught.value.seen, caught.value.accepted) == ("MyTransformer", "WanTransformer3DModel")


@pytest.mark.parametrize("part", ["transformer", "vae", "image_encoder", "text_encoder"])
def test_a_pickle_is_never_opened(part: str, folder: Path) -> None:
    for file in (folder / part).glob("*.safetensors"):
        file.unlink()
    name = "pytorch_model.bin" if "encoder" in part else "diffusion_pytorch_model.bin"
    (folder / part / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(UsageError, match=f"the {part} are a pickle, which could run") as caught:
        adapter_of(folder)
    assert told(caught.value)
    assert name in str(caught.value.seen)


def test_a_variant_is_taken_where_it_is_asked_for(folder: Path, whole: Path) -> None:
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    with pytest.raises(UsageError, match="no weights of this variant") as caught:
        adapter_of(folder)
    assert (caught.value.accepted, caught.value.fix) == ("fp16", "adapter.variant=fp16")
    context = clips(1, 4)
    found = adapter_of(folder, variant="fp16").generate(context, 4, **ASKED)
    assert torch.equal(found, adapter_of(whole).generate(context, 4, **ASKED))


@pytest.mark.parametrize("part", ["transformer", "vae", "image_encoder"])
def test_weights_that_are_missing_are_not_made_up(part: str, folder: Path) -> None:
    (file,) = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    removed = next(name for name in weights if name.endswith("bias"))
    del weights[removed]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(DataError, match="lacks weights") as caught:
        adapter_of(folder).generate(clips(1, 4), 4, **ASKED)
    assert told(caught.value)
    assert f"the first {removed}" in str(caught.value.seen)


def test_damaged_files_are_told_of(folder: Path) -> None:
    file = folder / "vae" / WEIGHTS
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot read the weights") as caught:
        adapter_of(folder)
    assert told(caught.value)


def test_weights_of_another_shape_do_not_load(folder: Path) -> None:
    configure(folder / "vae" / "config.json", base_dim=6)
    with pytest.raises(DataError, match="the vae does not load") as caught:
        adapter_of(folder).generate(clips(1, 4), 4, **ASKED)
    assert told(caught.value)


@pytest.mark.parametrize(
    ("name", "file", "options", "match"),
    [
        ("wan", "scheduler/scheduler_config.json", {"prediction_type": "epsilon"}, "convention"),
        ("svd", "scheduler/scheduler_config.json", {"timestep_type": "discrete"}, "convention"),
        ("ltx", "scheduler/scheduler_config.json", {"use_dynamic_shifting": True}, "convention"),
        ("skyreels", "transformer/config.json", {"num_frame_per_block": 5}, "in blocks"),
    ],
)
def test_conventions_that_are_not_computed_with_are_refused(
    name: str, file: str, options: dict[str, Any], match: str, tmp_path: Path
) -> None:
    folder = saved_pipeline(name, tmp_path / name)
    configure(folder / file, **options)
    with pytest.raises(DataError, match=match) as caught:
        adapter_of(folder)
    assert told(caught.value)


def test_a_wan_that_reads_texts_is_taken_if_it_can_be_shown_a_frame(tmp_path: Path) -> None:
    folder = saved_pipeline("wan_tokens", tmp_path / "model")
    usual = adapter_of(folder).card
    configure(folder / "model_index.json", _class_name="WanPipeline")
    card = adapter_of(folder).card
    assert (card.frames, card.fps, card.parameters) == (121, 24.0, usual.parameters)
    assert adapter_of(folder).generate(clips(1, 4), 4, **ASKED).shape[2] == 4
    configure(folder / "model_index.json", expand_timesteps=False)
    with pytest.raises(DataError, match="cannot be shown a frame") as caught:
        adapter_of(folder)
    assert told(caught.value)


def test_offloading_needs_a_device_to_offload_from(whole: Path) -> None:
    with pytest.raises(EnvironmentFault, match="nothing to offload from") as caught:
        adapter_of(whole, offload="model").generate(clips(1, 4), 4, **ASKED)
    assert told(caught.value)


def test_a_missing_library_gives_the_install_line(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = adapter_of(whole)  # its files can be read without it
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(EnvironmentFault, match="needs the packages diffusers") as caught:
        adapter.generate(clips(1, 4), 4, **ASKED)
    assert caught.value.fix == "pip install 'worldbench-suite[diffusion]'"


def test_what_the_hub_gave_before_is_found_without_a_network(whole: Path, offline: Path) -> None:
    commit = "0" * 40
    shutil.copytree(whole, offline / "models--some--wan" / "snapshots" / commit)
    refs = offline / "models--some--wan" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)
    settings: dict[str, Any] = {"dtype": "fp32", "steps": 1}
    adapter = Diffusers("some/wan", **settings)
    assert adapter.card.revision == adapter_of(whole).card.revision
    assert adapter.card.source == "https://huggingface.co/some/wan"
    assert adapter.generate(clips(1, 4), 4, **ASKED).shape[2] == 4


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_way_out_is_told() -> None:
    adapter = Diffusers("some/wan")  # nothing is asked of the hub yet
    with pytest.raises(EnvironmentFault, match="the hub cannot be reached") as caught:
        _ = adapter.card
    assert told(caught.value)
    assert "HF_HUB_OFFLINE is set" in str(caught.value.seen)


def test_of_a_repository_only_components_are_fetched(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fnmatch

    wanted: list[str] = []

    def fetch(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        wanted.extend(allow_patterns)
        return str(whole)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    _ = Diffusers("some/wan").card

    def fetched(file: str) -> bool:
        return any(fnmatch.fnmatch(file, pattern) for pattern in wanted)

    for file in whole.rglob("*"):
        if file.is_file():
            assert fetched(str(file.relative_to(whole))), file
    assert fetched("transformer/diffusion_pytorch_model-00001-of-00004.safetensors")
    for file in (
        "svd_xt.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "run.py",
    ):
        assert not fetched(file), file


def test_neither_import_nor_making_one_loads_libraries_or_reaches_a_network(
    whole: Path, tmp_path: Path
) -> None:
    code = f"""
import socket, sys
def refuse(*a, **k): raise AssertionError("the network was asked for")
socket.socket.connect = refuse
from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.adapters.diffusers.options import checked
Diffusers("some/repository")
print(Diffusers({str(whole)!r}).card.parameters)
print(sorted({{"diffusers", "transformers", "accelerate"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HOME": str(tmp_path)},
        check=True,
    )
    parameters, modules = done.stdout.splitlines()
    assert int(parameters) > 0
    assert modules == "[]"
