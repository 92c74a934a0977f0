"""Weight files: safetensors in bf16 with a JSON header that says what they are.

Nothing is ever unpickled. Files that ship lie in ``weights/`` beside this module, where
``digests.json`` holds their SHA-256.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from worldbench.errors import DataError
from worldbench.record import file_digest, write_atomic

FOLDER = Path(__file__).parent / "weights"
"""Where shipped files lie."""

_KEY = "worldbench"
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "size": str,
    "shape": dict,
    "frames": int,
    "fps": (float, int),
    "resolution": list,
    "training_data": str,
    "training_compute": str,
    "licence": str,
}
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OURS = "a .safetensors file that `worldbench train` wrote"


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weight file holds.

    Attributes:
        state: Parameters by name, float32.
        header: What they are: model, size, shape, frames, fps, resolution, training_data,
            training_compute, licence.
        sha256: Of the file.
    """

    state: dict[str, Float[Tensor, "..."]]
    header: dict[str, Any]
    sha256: str


def save_weights(path: Path, state: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Writes weights atomically; equal weights and headers give equal bytes.

    Args:
        path: The file, ``.safetensors``.
        state: Parameters by name; floats are stored as bf16.
        header: See :class:`Weights`.

    Raises:
        DataError: If the header is not complete, or a value is not finite.
        EnvironmentFault: If the file cannot be written.
    """
    # The text is the only key: safetensors keeps several in no fixed order.
    text = json.dumps(dict(header), sort_keys=True, allow_nan=False)
    _checked_header(path, json.loads(text))
    tensors = {
        name: (value.to(torch.bfloat16) if value.is_floating_point() else value)
        .detach()
        .cpu()
        .contiguous()
        for name, value in sorted(state.items())
    }
    _require_finite(path, tensors)
    write_atomic(path, save(tensors, {_KEY: text}))


def load_weights(path: Path, *, model: str) -> Weights:
    """Reads a weight file.

    Args:
        path: The file.
        model: The model it must be of, e.g. ``"dit"``.

    Raises:
        DataError: If it is missing, cut short, no safetensors, of another model, or holds values
            that are not finite.
    """
    content = _content(path, model)
    header = _header(path, content, model)
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise _broken(path, str(error)) from error
    _require_finite(path, tensors)
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    return Weights(state, header, hashlib.sha256(content).hexdigest())


def read_header(path: Path, *, model: str) -> tuple[dict[str, Any], str]:
    """Returns a weight file's header and SHA-256, without making tensors of it.

    Raises:
        DataError: If it is missing, cut short, no safetensors, or of another model.
    """
    content = _content(path, model)
    return _header(path, content, model), hashlib.sha256(content).hexdigest()


def fill(network: nn.Module, weights: Weights, path: Path) -> None:
    """Gives a network its weights.

    Raises:
        DataError: If names or shapes differ.
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
            fix=f"write the file again with this release: {_train(weights.header['model'])}",
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
            fix=f"{_train(model, size)}, then adapter.weights=PATH; or adapter={model}_random",
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
    except OSError as error:
        raise DataError(
            f"cannot read the weights {path}",
            seen=error.strerror,
            accepted=_OURS,
            fix=f"correct adapter.weights=PATH, or make them: {_train(model)}",
        ) from error
    if content.startswith(_PICKLES):
        raise DataError(
            f"{path} is a pickle, which may run code when it is read; it was not",
            accepted=_OURS,
            fix="give the .safetensors file that lies beside the run's checkpoint.pt, or convert "
            "the weights with worldbench_models.weights.save_weights",
        )
    if not content:
        raise _broken(path, "an empty file")
    return content


def _header(path: Path, content: bytes, model: str) -> dict[str, Any]:
    # A file is the length of its table (8 bytes), the table in JSON, and the values.
    try:
        (length,) = struct.unpack("<Q", content[:8])
        table = json.loads(content[8 : 8 + length])
        end = max(entry["data_offsets"][1] for name, entry in table.items() if name[0] != "_")
    except (struct.error, ValueError, OverflowError, LookupError, TypeError, AttributeError):
        raise _broken(path, f"{len(content)} bytes that hold no safetensors table") from None
    if len(content) != 8 + length + end:
        raise _broken(path, f"{len(content)} bytes where the table says {8 + length + end}")
    try:
        header = json.loads(table["__metadata__"][_KEY])
    except (LookupError, ValueError, TypeError) as error:
        raise DataError(
            f"the safetensors file {path} does not say what it is",
            accepted=f"{_OURS}; its metadata holds {_KEY!r}",
            fix=f"write it with worldbench_models.weights.save_weights, or {_train(model)}",
        ) from error
    _checked_header(path, header)
    if header["model"] != model:
        raise DataError(
            f"the weights in {path} are of another model",
            seen=header["model"],
            accepted=model,
            fix=f"adapter={header['model']}, or weights of {model}: {_train(model)}",
        )
    return dict(header)


def _checked_header(path: Path, header: object) -> None:
    fields = header if isinstance(header, dict) else {}
    wrong = sorted(k for k, kind in _FIELDS.items() if not isinstance(fields.get(k), kind))
    if wrong:
        raise DataError(
            f"the header of the weights {path} is not complete",
            seen=", ".join(f"{k}: {fields.get(k)!r}" for k in wrong),
            accepted=f"all of {', '.join(_FIELDS)}, as worldbench_models.weights says",
            fix="write the file again with this release",
        )


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


def _broken(path: Path, seen: str) -> DataError:
    return DataError(
        f"the weight file {path} is cut short or no safetensors",
        seen=seen,
        accepted=_OURS,
        fix="copy or download it again",
    )


def _train(model: str, size: str = "s") -> str:
    return f"worldbench train model={model} size={size}"
