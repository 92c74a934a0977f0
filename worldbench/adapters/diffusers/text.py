"""What pipelines are told in words, mostly nothing: an empty prompt has embeddings of its own.

They are computed once and kept in the cache, by a text encoder that is gone again before anything
else is loaded; or they come as a file, and no text encoder is needed.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from worldbench.adapters.diffusers.description import Description, Embeddings, TextRule
from worldbench.adapters.diffusers.loading import library, load_transformer, out_of_memory, quiet
from worldbench.cache import cache_folder, cache_lock
from worldbench.errors import DataError, EnvironmentFault, UsageError
from worldbench.record import file_digest, write_atomic
from worldbench.schema import digest

_VERSION = 1
"""Raised when a prompt's embeddings become others."""

EMBEDS, MASK = "prompt_embeds", "prompt_attention_mask"


class Texts:
    """Embeds prompts for a pipeline.

    Args:
        description: Of the pipeline.
        file: A safetensors file with the empty prompt's ``prompt_embeds`` (and, for pipelines
            with a mask, ``prompt_attention_mask``); None if the folder's text encoder is to be
            asked.

    Raises:
        UsageError: If there is no such file.
        DataError: If the pipeline reads texts, and there is neither file nor text encoder.
    """

    def __init__(self, description: Description, file: str | None) -> None:
        self._description, self._folder = description, description.folder
        self._file = None if file is None else Path(file).expanduser()
        if self._file is not None and not self._file.is_file():
            raise UsageError(
                "there is no such file of embeddings",
                seen=self._file,
                accepted=f"a safetensors file with {EMBEDS} of the empty prompt",
                fix="adapter.embeddings=FILE, or null where the folder has a text encoder",
            )
        self._rule = description.text
        if self._rule is not None and self._file is None:
            self._require_encoder(self._rule)

    def _require_encoder(self, rule: TextRule) -> None:
        if self._folder.class_of("text_encoder") is None:
            raise DataError(
                f"this {self._folder.pipeline} has no text encoder, and no embeddings are given",
                seen=self._folder.path,
                accepted="a text_encoder and tokenizer, or the empty prompt's embeddings",
                fix=f"adapter.embeddings=FILE, a safetensors file with {EMBEDS}",
            )
        self._folder.require("text_encoder", (rule.encoder,))

    @cached_property
    def revision(self) -> str:
        """Digest of what embeds: the file or the text encoder."""
        if self._rule is None:
            return ""
        if self._file is not None:
            return file_digest(self._file)
        words = sorted(file for file in (self._folder.path / "tokenizer").glob("*"))
        return digest(
            [
                _VERSION,
                self._rule.length,
                self._folder.revision(["text_encoder"]),
                [[file.name, file_digest(file)] for file in words if file.is_file()],
            ]
        )

    def embedded(self, prompt: str) -> Embeddings:
        """Returns the embeddings of one prompt, float32 on the CPU; none if it reads no texts.

        Raises:
            ValueError: If there is a prompt and nothing that could read it.
            DataError: If the file, the text encoder or the tokenizer does not load or fit.
            EnvironmentFault: If something is not installed or the memory is too small.
        """
        if self._rule is None:
            if prompt:
                raise ValueError(f"{self._folder.pipeline} reads no prompts, got {prompt!r}")
            return {}
        if self._file is not None:
            if prompt:
                raise ValueError(
                    "adapter.embeddings are of the empty prompt, and the text encoder is not "
                    f"asked then; got the prompt {prompt!r}"
                )
            return self._checked(_loaded(self._file), self._rule, self._file)
        name = digest([self.revision, prompt])
        path = cache_folder("diffusers") / f"{name}.safetensors"
        with cache_lock(path):
            if not path.is_file():
                write_atomic(path, save(self._encoded(prompt, self._rule)))
        return self._checked(_loaded(path), self._rule, path)

    def _checked(self, found: Embeddings, rule: TextRule, file: Path) -> Embeddings:
        wanted = {EMBEDS, MASK} if rule.masked else {EMBEDS}
        shape = tuple(found[EMBEDS].shape) if EMBEDS in found else None
        if (
            set(found) != wanted
            or shape is None
            or len(shape) != 3
            or shape[::2] != (1, rule.width)
        ):
            raise DataError(
                "the embeddings do not fit the pipeline",
                seen=f"{ {name: tuple(value.shape) for name, value in found.items()} } in {file}",
                accepted=f"{', '.join(sorted(wanted))}, the embeddings 1 × tokens × {rule.width}",
                fix="embeddings that the pipeline's own text encoder made",
            )
        return found

    def _encoded(self, prompt: str, rule: TextRule) -> Embeddings:
        if rule.cleaned:
            _require_ftfy(self._folder.pipeline)
        with out_of_memory("embedding a prompt"), quiet(), torch.no_grad():
            pipeline: Any = getattr(library(), self._description.pipeline)
            encoder = load_transformer(self._folder, "text_encoder", rule.encoder)
            reader = pipeline(
                tokenizer=self._tokenizer(),
                text_encoder=encoder,
                transformer=None,
                vae=None,
                scheduler=None,
            )
            embeds, *rest = reader.encode_prompt(
                prompt, do_classifier_free_guidance=False, max_sequence_length=rule.length
            )
        told = {EMBEDS: embeds, **({MASK: rest[0]} if rule.masked else {})}
        return {name: value.contiguous() for name, value in told.items()}

    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        folder = self._folder.path / "tokenizer"
        try:
            return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except Exception as error:  # fails in as many ways as there are tokenizers
            raise DataError(
                "the tokenizer does not load",
                seen=f"{folder}: {type(error).__name__}",
                accepted="what save_pretrained of transformers wrote",
                fix="fetch it again; `pip install sentencepiece` if all that there is is "
                "spiece.model",
            ) from error


def _loaded(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"cannot read the embeddings {file}",
            seen=error,
            accepted="a whole safetensors file",
            fix="delete it, or give another adapter.embeddings",
        ) from error


def _require_ftfy(pipeline: str) -> None:
    try:
        import ftfy  # noqa: F401 - the pipeline cleans prompts with it, empty ones too
    except ImportError as error:
        raise EnvironmentFault(
            f"{pipeline} cleans prompts with the package ftfy, which is not installed",
            accepted="ftfy, or adapter.embeddings=FILE for the empty prompt",
            fix="pip install ftfy",
        ) from error
