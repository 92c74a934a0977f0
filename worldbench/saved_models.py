"""Models as transformers saves them: a folder with ``config.json`` and weights as safetensors.

Extractors and adapters find and load them here. Nothing is downloaded, no code of a folder runs and
no pickle is opened.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from worldbench.errors import DataError, EnvironmentFault, UsageError
from worldbench.record import file_digest
from worldbench.schema import digest

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True)
class SavedModel:
    """A local folder with a model of a known kind.

    Attributes:
        path: The folder.
        kind: Its ``model_type``, e.g. ``vjepa2``.
    """

    path: Path
    kind: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return dict(json.loads((self.path / "config.json").read_text(encoding="utf-8")))

    @cached_property
    def revision(self) -> str:
        """Digest of the configuration and of every weight file."""
        return digest([self.config, [file_digest(file) for file in self.weight_files]])

    @property
    def weight_files(self) -> list[Path]:
        """The safetensors files, by name."""
        return sorted(self.path.glob("*.safetensors"))


def require_saved(kind: str, path: str | Path | None, *, fix: str) -> SavedModel:
    """Checks that a folder holds a model of this kind; nothing else is looked for.

    Args:
        kind: The ``model_type`` that ``config.json`` must tell.
        path: The folder; None is an error that says what is needed.
        fix: What to do if it is none.

    Raises:
        UsageError: If no path is given, it is no folder of such a model, or its weights are
            pickles.
        DataError: If its ``config.json`` does not read.
    """
    accepted = f"a folder of a {kind} model with config.json and *.safetensors"
    folder = Path(path).expanduser() if path else None
    if folder is None:
        raise UsageError(
            f"{kind} needs its weights, which come with no package", accepted=accepted, fix=fix
        )
    found = SavedModel(folder, kind)
    if not (folder / "config.json").is_file() or not found.weight_files:
        _refuse_pickles(kind, folder, accepted)
        raise UsageError(f"there is no {kind} model", seen=folder, accepted=accepted, fix=fix)
    try:
        model_type = found.config.get("model_type")
    except (ValueError, TypeError, OSError) as error:
        raise DataError(
            "config.json does not read", seen=f"{folder}: {error}", accepted=accepted, fix=fix
        ) from error
    if model_type != kind:
        raise UsageError(
            f"this is no {kind} model",
            seen=f"model_type {model_type!r} in {folder}",
            accepted=accepted,
            fix="choose what fits the folder, or another folder",
        )
    return found


def _refuse_pickles(kind: str, folder: Path, accepted: str) -> None:
    pickles = [file.name for pattern in _PICKLES for file in folder.glob(pattern)]
    if folder.is_file() and any(folder.match(pattern) for pattern in _PICKLES):
        pickles = [folder.name]
    if pickles:
        raise UsageError(
            f"the weights of this {kind} model are a pickle, which could run code: not opened",
            seen=f"{', '.join(sorted(pickles))} in {folder.parent if folder.is_file() else folder}",
            accepted=accepted,
            fix="load it once with transformers where you trust it, then "
            "model.save_pretrained(FOLDER)",
        )


def open_weights(file: Path) -> Any:
    """Opens a safetensors file to read names, shapes and single weights of it; a context manager.

    Raises:
        DataError: If it is damaged or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"cannot read the weights {file}",
            seen=error,
            accepted="a whole safetensors file",
            fix="save or fetch it again",
        ) from error


def load_saved(
    saved: SavedModel,
    name: str,
    *,
    needed_by: str,
    spare: tuple[str, ...] = (),
    variant: str | None = None,
) -> torch.nn.Module:
    """Loads a model in float32 on the CPU, for evaluation.

    Args:
        saved: The folder.
        name: The class of transformers, e.g. ``VJEPA2Model``.
        needed_by: Who needs it, for the message.
        spare: Beginnings of the names of weights that may be missing, as nobody asks for them.
        variant: Of the weight files, e.g. ``fp16`` for ``model.fp16.safetensors``.

    Raises:
        EnvironmentFault: If transformers is not installed.
        DataError: If the weights do not load, or some are missing.
    """
    transformers = _transformers(needed_by)
    bars = transformers.utils.logging
    shown, told = bars.is_progress_bar_enabled(), bars.get_verbosity()
    bars.disable_progress_bar()  # a bar of its own would break the run's
    bars.set_verbosity_error()  # what is missing is told below
    try:
        model, found = getattr(transformers, name).from_pretrained(
            str(saved.path),
            local_files_only=True,
            use_safetensors=True,
            variant=variant,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # damaged files fail in any way that a reader can
        raise DataError(
            f"the {saved.kind} model does not load",
            seen=f"{saved.path}: {type(error).__name__}",
            accepted="what save_pretrained of transformers wrote",
            fix="save or fetch it again",
        ) from error
    finally:
        bars.set_verbosity(told)
        if shown:
            bars.enable_progress_bar()
    _require_all(saved, sorted(found["missing_keys"]), name, spare)
    evaluated: torch.nn.Module = model.eval().requires_grad_(False)
    return evaluated


def _transformers(needed_by: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise EnvironmentFault(
            f"{needed_by} needs the package transformers",
            accepted="transformers 4.57 or newer",
            fix="pip install 'worldbench-suite[jepa]'",
        ) from error
    return transformers


def _require_all(saved: SavedModel, missing: list[str], name: str, spare: tuple[str, ...]) -> None:
    # What a file lacks is filled with random numbers by transformers, and would be scored as such.
    gone = [key for key in missing if not key.startswith(spare)]
    if gone:
        raise DataError(
            f"the {saved.kind} model lacks weights",
            seen=f"{len(gone)} missing in {saved.path}, the first {gone[0]}",
            accepted=f"all weights of a {name}",
            fix="save or fetch the whole model again",
        )
