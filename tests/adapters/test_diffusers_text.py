"""What pipelines are told in words, and how they do without a text encoder."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers_files import TEXT_WIDTH, clips, saved_once, saved_pipeline
from safetensors.torch import save_file

from worldbench.adapters.diffusers.adapter import Diffusers
from worldbench.adapters.diffusers.loading import quiet
from worldbench.errors import DataError, EnvironmentFault, UsageError
from worldbench.schema import seed_of

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

ASKED: dict[str, Any] = {"samples": 1, "seeds": [7]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No embeddings are there from before."""
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_once("wan_experts", tmp_path_factory)


def adapter_of(folder: Path, **options: Any) -> Diffusers:
    settings: dict[str, Any] = {"dtype": "fp32", "steps": 1}
    return Diffusers(str(folder), **(settings | options))


def without_encoder(folder: Path) -> Path:
    """Takes the text encoder away from a pipeline, as who embeds once for all does."""
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder": [None, None], "tokenizer": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def embeddings_of(folder: Path, prompt: str, file: Path, *, masked: bool = False) -> Path:
    """Embeds a prompt with the pipeline as it is, and writes what comes of it."""
    index = json.loads((folder / "model_index.json").read_text())
    with quiet(), torch.no_grad():
        pipe = getattr(diffusers, index["_class_name"]).from_pretrained(folder)
        length = {"max_sequence_length": 256 if masked else 512}
        embeds, *rest = pipe.encode_prompt(prompt, do_classifier_free_guidance=False, **length)
    made = {"prompt_embeds": embeds, **({"prompt_attention_mask": rest[0]} if masked else {})}
    save_file({name: value.contiguous() for name, value in made.items()}, file)
    return file


@pytest.mark.parametrize("name", ["wan_experts", "ltx"])
def test_embeddings_from_a_file_do_the_same_without_a_text_encoder(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    usual, context = saved_once(name, tmp_path_factory), clips(1, 8)
    file = embeddings_of(usual, "", tmp_path / "empty.safetensors", masked=name == "ltx")
    bare = without_encoder(Path(shutil.copytree(usual, tmp_path / "bare")))
    adapter = adapter_of(bare, embeddings=str(file))
    found = adapter.generate(context, 4, **ASKED)
    assert torch.equal(found, adapter_of(usual).generate(context, 4, **ASKED))
    with pytest.raises(DataError, match="no text encoder, and no embeddings are given") as caught:
        adapter_of(bare)
    assert "adapter.embeddings=FILE" in str(caught.value.fix)
    with pytest.raises(ValueError, match="of the empty prompt"):
        adapter.generate(context, 4, prompt=["a"], **ASKED)


@pytest.mark.parametrize(
    "content",
    [
        {"prompt_embeds": torch.zeros(1, 512, TEXT_WIDTH + 1)},
        {"prompt_embeds": torch.zeros(512, TEXT_WIDTH)},
        {"embeds": torch.zeros(1, 512, TEXT_WIDTH)},
        None,
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    content: dict[str, Any] | None, whole: Path, tmp_path: Path
) -> None:
    file = tmp_path / "empty.safetensors"
    file.write_bytes(b"none")
    if content is not None:
        save_file(content, file)
    with pytest.raises(DataError, match="embeddings") as caught:
        adapter_of(whole, embeddings=str(file)).generate(clips(1, 4), 4, **ASKED)
    assert None not in (caught.value.seen, caught.value.accepted, caught.value.fix)


def test_the_empty_prompt_is_embedded_once_and_kept(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = adapter_of(whole).generate(clips(1, 4), 4, **ASKED)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the text encoder was loaded again")

    monkeypatch.setattr(transformers.UMT5EncoderModel, "from_pretrained", refused)
    again = adapter_of(whole).generate(clips(1, 4), 4, **ASKED)
    assert torch.equal(again, found)
    with pytest.raises((AssertionError, DataError)):
        adapter_of(whole).generate(clips(1, 4), 4, prompt=["a"], **ASKED)


def test_prompts_are_told_and_guide(whole: Path) -> None:
    from PIL import Image

    context = clips(2, 4)
    adapter = adapter_of(whole, guidance=3.0, prompt="a b")
    assert "guidance 3," in adapter.card.summary
    asked: dict[str, Any] = {"samples": 1, "seeds": [7, 7]}
    told = adapter.generate(context, 4, **asked)
    mixed = adapter.generate(context, 4, prompt=["a b", ""], **asked)
    plain = adapter_of(whole).generate(context, 4, **asked)
    assert torch.equal(mixed[0], told[0])
    assert torch.equal(mixed[1], plain[1])
    assert not torch.equal(plain[0], told[0])
    pixels = (context[0, -1].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    with quiet(), torch.no_grad():
        pipe = diffusers.WanImageToVideoPipeline.from_pretrained(whole)
        pipe.set_progress_bar_config(disable=True)
        whole_clip = pipe(
            Image.fromarray(pixels),
            "a b",
            "",
            32,
            32,
            5,
            1,
            3.0,
            generator=torch.Generator().manual_seed(seed_of("diffusers", 7, 0)),
            output_type="pt",
        ).frames[0]
    torch.testing.assert_close(told[0, 0], whole_clip[1:], rtol=0, atol=2e-6)


def test_a_pipeline_that_reads_nothing_refuses_prompts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    adapter = adapter_of(saved_once("svd", tmp_path_factory))
    with pytest.raises(ValueError, match="reads no prompts"):
        adapter.generate(clips(1, 2), 4, prompt=["a"], **ASKED)


def test_without_ftfy_the_install_line_is_told(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(EnvironmentFault, match="cleans prompts with the package ftfy") as caught:
        adapter_of(whole).generate(clips(1, 4), 4, **ASKED)
    assert caught.value.fix == "pip install ftfy"
    assert "adapter.embeddings=FILE" in str(caught.value.accepted)


def test_without_ftfy_a_pipeline_that_does_not_clean_prompts_works(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    adapter = adapter_of(saved_once("cogvideox", tmp_path_factory))
    assert adapter.generate(clips(1, 4), 4, **ASKED).shape[2] == 4


def test_a_tokenizer_that_does_not_load_is_told_of(tmp_path: Path) -> None:
    folder = saved_pipeline("wan_tokens", tmp_path / "model")
    (folder / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="the tokenizer does not load") as caught:
        adapter_of(folder).generate(clips(1, 4), 4, **ASKED)
    assert "sentencepiece" in str(caught.value.fix)


def test_another_text_encoder_is_another_revision(whole: Path, tmp_path: Path) -> None:
    usual = adapter_of(whole).card.revision
    file = embeddings_of(whole, "", tmp_path / "empty.safetensors")
    assert adapter_of(whole, embeddings=str(file)).card.revision != usual
    with pytest.raises(UsageError, match="no such file of embeddings"):
        adapter_of(whole, embeddings=str(tmp_path / "nowhere"))
