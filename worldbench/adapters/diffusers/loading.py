"""Loading a pipeline, and what may be missing on a machine for it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from worldbench.adapters.diffusers.description import Description
from worldbench.adapters.diffusers.folder import PipelineFolder
from worldbench.errors import DataError, EnvironmentFault
from worldbench.flops import converting
from worldbench.saved_models import SavedModel, load_saved

_SAVED_AGAIN = "save or fetch the whole pipeline again"


def library() -> Any:
    """Returns the module diffusers.

    Raises:
        EnvironmentFault: If it or transformers is not installed.
    """
    try:
        import diffusers
        import transformers  # noqa: F401 - the pipelines are not there without it
    except ImportError as error:
        raise EnvironmentFault(
            "the adapter diffusers needs the packages diffusers and transformers",
            seen=error,
            accepted="diffusers 0.42 or newer",
            fix="pip install 'worldbench-suite[diffusion]'",
        ) from error
    return diffusers


def load_pipeline(
    description: Description, precision: torch.dtype, *, offload: str, device: torch.device
) -> Any:
    """Loads a pipeline without what reads texts, ready on a device.

    Args:
        description: Of its folder.
        precision: Of its networks, but for those that are kept in full.
        offload: ``none``, ``model`` or ``sequential``.
        device: Where it computes.

    Raises:
        EnvironmentFault: If something is not installed, offloading is not possible here, or the
            memory is too small.
        DataError: If a component does not load or lacks weights.
    """
    diffusers, folder = library(), description.folder
    _require_offloading(offload, device)
    with out_of_memory("loading the pipeline"), quiet():
        networks = {part: _network(description, part, precision) for part in description.parts}
        text = {} if description.text is None else {"text_encoder": None, "tokenizer": None}
        try:
            pipe = getattr(diffusers, description.pipeline).from_pretrained(
                str(folder.path), local_files_only=True, **networks, **text
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"the pipeline {description.pipeline} does not load",
                seen=f"{folder.path}: {type(error).__name__}: {_first_line(error)}",
                accepted="what save_pretrained of diffusers wrote",
                fix=_SAVED_AGAIN,
            ) from error
        pipe.set_progress_bar_config(disable=True)
        if (processor := getattr(pipe, "feature_extractor", None)) is not None:
            # It scales the colours of one picture, in NumPy.
            processor.preprocess = converting()(processor.preprocess)
        if offload == "none":
            pipe.to(device)
        elif offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.enable_sequential_cpu_offload(device=device)
    return pipe


def _network(description: Description, part: str, precision: torch.dtype) -> torch.nn.Module:
    folder, name = description.folder, description.folder.class_of(part)
    kind = torch.float32 if part in description.in_full else precision
    if part == "image_encoder":
        return load_transformer(folder, part, str(name)).to(kind)
    try:
        model, found = getattr(library(), str(name)).from_pretrained(
            str(folder.path),
            subfolder=part,
            local_files_only=True,
            use_safetensors=True,
            variant=folder.variant,
            dtype=kind,
            output_loading_info=True,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # damaged files fail in any way that a reader can
        raise DataError(
            f"the {part} does not load",
            seen=f"{folder.path / part}: {type(error).__name__}: {_first_line(error)}",
            accepted="what save_pretrained of diffusers wrote",
            fix=_SAVED_AGAIN,
        ) from error
    _require_all(folder, part, sorted(found["missing_keys"]))
    network: torch.nn.Module = model.eval().requires_grad_(False)
    return network


def load_transformer(folder: PipelineFolder, part: str, name: str) -> torch.nn.Module:
    """Loads a component that is a model of transformers, in float32 on the CPU.

    Raises:
        DataError: If it does not load or lacks weights.
    """
    saved = SavedModel(folder.path / part, part.replace("_", " "))
    return load_saved(saved, name, needed_by="the adapter diffusers", variant=folder.variant)


def _require_all(folder: PipelineFolder, part: str, missing: list[str]) -> None:
    # What a file lacks is filled with random numbers by diffusers, and would be scored as such.
    if missing:
        raise DataError(
            f"the {part} lacks weights",
            seen=f"{len(missing)} missing in {folder.path / part}, the first {missing[0]}",
            accepted=f"all weights of a {folder.class_of(part)}",
            fix=_SAVED_AGAIN,
        )


def _require_offloading(offload: str, device: torch.device) -> None:
    if offload == "none":
        return
    if device.type == "cpu":
        raise EnvironmentFault(
            "there is nothing to offload from: the run is on a CPU",
            seen=f"adapter.offload={offload}",
            accepted="device=cuda, or no offloading",
            fix="adapter.offload=none",
        )
    try:
        import accelerate  # noqa: F401 - diffusers needs it for this
    except ImportError as error:
        raise EnvironmentFault(
            "offloading needs the package accelerate",
            seen=f"adapter.offload={offload}",
            accepted="accelerate, or no offloading",
            fix="pip install accelerate, or adapter.offload=none",
        ) from error


@contextmanager
def out_of_memory(doing: str) -> Iterator[None]:
    """Tells what to do if the memory does not suffice.

    Raises:
        EnvironmentFault: If it does not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # The CPU allocator raises a plain RuntimeError.
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and (
            "can't allocate memory" not in str(error)
        ):
            raise
        raise EnvironmentFault(
            f"out of memory while {doing}, with one clip at once",
            seen=_first_line(error),
            accepted="a device with room for the pipeline and one clip",
            fix="adapter.offload=model, adapter.dtype=bf16, a smaller adapter.size or "
            "adapter.frames, or another device=",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries from bars and notes of their own; what matters is told as an error."""
    import transformers

    books = (library().utils.logging, transformers.utils.logging)
    levels = [book.get_verbosity() for book in books]
    bars = [
        transformers.utils.logging.is_progress_bar_enabled(),
        getattr(books[0], "is_progress_bar_enabled", lambda: True)(),
    ]
    for book in books:
        book.set_verbosity(logging.CRITICAL)
        book.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Those of the libraries about each other, which a user can do nothing about.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for book, level, shown in zip(books, levels, reversed(bars), strict=True):
            book.set_verbosity(level)
            if shown:
                book.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
