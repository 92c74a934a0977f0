"""A pipeline as diffusers saves it: ``model_index.json`` and one folder per component.

What is read here loads no network, runs no code of a folder and opens no pickle.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from worldbench.errors import DataError, UsageError
from worldbench.record import file_digest
from worldbench.saved_models import open_weights
from worldbench.schema import digest

_WEIGHTS = re.compile(r"(?:diffusion_pytorch_model|model)(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")
_SETTINGS = ("scheduler", "image_processor", "feature_extractor")
"""Components without weights that change answers."""
_ACCEPTED = "a folder with model_index.json and its components, as save_pretrained writes it"
_FIX = "pipeline.save_pretrained(FOLDER), then adapter.weights=FOLDER; or a hub id OWNER/NAME"


@dataclass(frozen=True)
class PipelineFolder:
    """A local folder of a pipeline.

    Attributes:
        path: The folder.
        variant: Which weight files are meant where there are several, e.g. ``fp16`` for
            ``model.fp16.safetensors``; None is those without a variant in their names.
    """

    path: Path
    variant: str | None = None

    @cached_property
    def index(self) -> dict[str, Any]:
        """The content of ``model_index.json``.

        Raises:
            UsageError: If there is no such file.
            DataError: If it does not read.
        """
        if not (self.path / "model_index.json").is_file():
            raise UsageError(
                "there is no diffusers pipeline", seen=self.path, accepted=_ACCEPTED, fix=_FIX
            )
        return _read_json(self.path / "model_index.json")

    @property
    def pipeline(self) -> str:
        """The name of the pipeline's class."""
        return str(self.index.get("_class_name"))

    def class_of(self, part: str) -> str | None:
        """Returns the class of a component, or None if the pipeline has none."""
        entry = self.index.get(part)
        return str(entry[1]) if isinstance(entry, list) and len(entry) == 2 and entry[1] else None

    def config(self, part: str) -> dict[str, Any]:
        """Returns the configuration of a component.

        Raises:
            DataError: If there is none or it does not read.
        """
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        if not (self.path / part / name).is_file():
            raise self._lacks(part, f"no {name} in {self.path / part}")
        return _read_json(self.path / part / name)

    def weights(self, part: str) -> list[Path]:
        """Returns the weight files of a component, by name.

        Raises:
            UsageError: If its weights are pickles, or there are only those of other variants.
            DataError: If it has none.
        """
        folder = self.path / part
        named = {file: _WEIGHTS.fullmatch(file.name) for file in sorted(folder.glob("*"))}
        variants = {file: match[1] for file, match in named.items() if match is not None}
        found = [file for file, variant in variants.items() if variant == self.variant]
        if found:
            return found
        if variants:
            there = sorted({variant or "null" for variant in variants.values()})
            raise UsageError(
                f"the {part} has no weights of this variant",
                seen=f"adapter.variant={self.variant or 'null'}, {folder}",
                accepted=", ".join(there),
                fix=f"adapter.variant={there[0]}",
            )
        pickles = sorted(file.name for kind in _PICKLES for file in folder.glob(kind))
        if pickles:
            raise UsageError(
                f"the weights of the {part} are a pickle, which could run code: not opened",
                seen=f"{', '.join(pickles)} in {folder}",
                accepted="*.safetensors",
                fix="load it once with diffusers where you trust it, then "
                "pipeline.save_pretrained(FOLDER, safe_serialization=True)",
            )
        raise self._lacks(part, f"no *.safetensors in {folder}")

    def require(self, part: str, classes: Iterable[str]) -> None:
        """Makes sure that a component is of a known class and has configuration and weights.

        Raises:
            UsageError: If it is of another class, or its weights are pickles.
            DataError: If it is missing.
        """
        known, seen = tuple(classes), self.class_of(part)
        if seen is None:
            raise self._lacks(part, f"model_index.json of {self.path} names none")
        if seen not in known:
            raise UsageError(
                f"the {part} of this {self.pipeline} is of a class that is not known here",
                seen=seen,
                accepted=", ".join(known),
                fix="another checkpoint of this pipeline",
            )
        self.config(part)
        self.weights(part)

    def parameters(self, parts: Iterable[str]) -> int:
        """Counts the parameters of components by the headers of their files, buffers included.

        Raises:
            DataError: If a file does not read.
        """
        return sum(_parameters(file) for part in parts for file in self.weights(part))

    def revision(self, parts: Iterable[str]) -> str:
        """Returns the digest of components, and of those of the folder that have no weights."""
        weights = {part: [file_digest(file) for file in self.weights(part)] for part in parts}
        settings = [part for part in _SETTINGS if self.class_of(part) is not None]
        configs = {
            part: [
                _read_json(self.path / part / name)
                for name in _CONFIGS
                if (self.path / part / name).is_file()
            ]
            for part in [*weights, *settings]
        }
        return digest([self.pipeline, weights, configs])

    def _lacks(self, part: str, seen: str) -> DataError:
        return DataError(
            f"this {self.pipeline} has no {part}",
            seen=seen,
            accepted=_ACCEPTED,
            fix="save or fetch the whole pipeline again",
        )


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file.name} does not read", seen=f"{file}: {error}", accepted=_ACCEPTED, fix=_FIX
        ) from error
    if not isinstance(content, dict):
        raise DataError(
            f"{file.name} is no JSON object",
            seen=f"{type(content).__name__} in {file}",
            accepted=_ACCEPTED,
            fix=_FIX,
        )
    return content


def _parameters(file: Path) -> int:
    with open_weights(file) as stream:
        return sum(prod(stream.get_slice(name).get_shape()) for name in stream.keys())  # noqa: SIM118
