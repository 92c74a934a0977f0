"""Weight files: safetensors in bf16 with a JSON header that says what they are.

Nothing is ever unpickled. Files that ship lie in ``weights/`` beside this module, where
``digests.json`` holds their SHA-256.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from worldbench.errors import DataError
from worldbench.record import file_digest, write_atomic
from worldbench_models.weights_header import (
    KEY,
    OURS,
    Description,
    broken,
    checked_header,
    described,
    train,
)

FOLDER = Path(__file__).parent / "weights"
"""Where shipped files lie."""

_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def file_name(model: str, size: str) -> str:
    """Returns what weights of a model in a size are called, shipped ones and those of a run."""
    return f"{model}-{size}.safetensors"


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weight file holds.

    Attributes:
        state: Values by name; floats are float32.
        header: What they are, as :class:`~worldbench_models.weights_header.Description` says.
        sha256: Of the file.
    """

    state: dict[str, Tensor]
    header: dict[str, Any]
    sha256: str


def save_weights(path: Path, state: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Writes weights atomically; equal weights and headers give equal bytes.

    Args:
        path: The file, ``.safetensors``.
        state: Parameters by name; floats are stored as bf16.
        header: See :class:`Weights`.

    Raises:
        DataError: If the header is not complete or not usable, or a value is not finite.
        EnvironmentFault: If the file cannot be written.
    """
    checked_header(path, json.loads(json.dumps(dict(header))))
    # The text is the only key: safetensors keeps several in no fixed order.
    text = json.dumps(dict(header), sort_keys=True, allow_nan=False)
    tensors = {
        name: (value.to(torch.bfloat16) if value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for name, value in sorted(state.items())
    }
    _require_finite(path, tensors)
    write_atomic(path, save(tensors, {KEY: text}))


def load_weights(path: Path, *, model: str) -> Weights:
    """Reads a weight file.

    Args:
        path: The file.
        model: The model it must be of, e.g. ``"dit"``.

    Raises:
        DataError: If it is missing, cut short, no safetensors, of another model, or holds values
            that are not finite; or if its header is not usable.
    """
    content = _content(path, model)
    told = described(path, content, model)
    try:
        tensors = load(content)
    except (SafetensorError, LookupError, ValueError, RuntimeError) as error:
        raise broken(path, str(error)) from error
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    _require_finite(path, state)
    return Weights(state, told.header, told.sha256)


def read_header(path: Path, *, model: str) -> Description:
    """Returns what a weight file says of itself, without making tensors of it.

    Raises:
        DataError: If it is missing, cut short, no safetensors, of another model, or its header is
            not usable.
    """
    return described(path, _content(path, model), model)


def fill(network: nn.Module, weights: Weights, path: Path) -> None:
    """Gives a network its weights.

    Raises:
        DataError: If names or shapes differ, or values are no floats: whole numbers are of another
            scale, which the file does not tell.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in weights.state.items()}
    if wanted != given:
        names = sorted(n for n in wanted.keys() | given.keys() if wanted.get(n) != given.get(n))
        first = names[0]
        raise DataError(
            f"the weights in {path} do not fit the network their header describes",
            seen=f"{first}: {given.get(first, 'missing')}, and {len(names) - 1} more",
            accepted=f"{first}: {wanted.get(first, 'no such parameter')}",
            fix=f"write the file again with this release: {train(weights.header['model'])}",
        )
    raw = [name for name, value in weights.state.items() if not value.is_floating_point()]
    if raw:
        raise DataError(
            f"the weights in {path} are not all floats",
            seen=f"{raw[0]}: {weights.state[raw[0]].dtype}, and {len(raw) - 1} more",
            accepted="safetensors of floats, as worldbench_models.weights.save_weights writes them",
            fix="write the file from weights that are not quantised: "
            + train(weights.header["model"]),
        )
    network.load_state_dict(weights.state)


def shipped(name: str, *, model: str, size: str) -> Path:
    """Returns the path of a shipped weight file whose digest is as published.

    Args:
        name: The file's name.
        model: For the message: what would train such weights.
        size: Likewise.

    Raises:
        DataError: If this release ships no such file, or the file is missing or altered.
    """
    digests: dict[str, str] = json.loads((FOLDER / "digests.json").read_text(encoding="utf-8"))
    path = FOLDER / name
    if name not in digests:
        raise DataError(
            f"no weights called {name} are shipped with this release",
            accepted=", ".join(sorted(digests)) or "a path to weights of your own",
            fix=f"{train(model, size)}, then adapter.weights=PATH; or adapter={model}_random",
        )
    seen = file_digest(path) if path.is_file() else None
    if seen != digests[name]:
        raise DataError(
            f"the shipped weight file {path} is not the published one",
            seen=f"sha256 {seen}" if seen else "no such file",
            accepted=f"sha256 {digests[name]}",
            fix="pip install --force-reinstall worldbench-suite",
        )
    return path


def _content(path: Path, model: str) -> bytes:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # the latter of a path that no file could have
        raise DataError(
            f"cannot read the weights {path}",
            seen=error.strerror if isinstance(error, OSError) else error,
            accepted=OURS,
            fix=f"correct adapter.weights=PATH, or make them: {train(model)}",
        ) from error
    if content.startswith(_PICKLES):
        raise DataError(
            f"{path} is a pickle, which may run code when it is read; it was not",
            accepted=OURS,
            fix="give the .safetensors file that lies beside the run's checkpoint.pt, or convert "
            "the weights with worldbench_models.weights.save_weights",
        )
    if not content:
        raise broken(path, "an empty file")
    return content


def _require_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        broken = int((~torch.isfinite(value)).sum())
        if broken:
            raise DataError(
                f"the weights {path} hold values that are not finite",
                seen=f"{broken} of {value.numel()} in {name}",
                accepted="finite values",
                fix="the training diverged: look at log.jsonl, lower the learning rate",
            )
