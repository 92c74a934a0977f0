"""Training checkpoints of facebookresearch/jepa and vjepa2, rewritten once as safetensors.

A V-JEPA 2 is kept as transformers saves it, a V-JEPA 1 under its own names. Such a file is a pickle
of ``{encoder, predictor, target_encoder, …}``. It is opened with ``weights_only``, so that nothing
in it runs, and the copy that everything is read from afterwards lies in the cache. The copy takes
``target_encoder``, the average that gave the targets in training.
"""

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldbench.adapters.vjepa1_checkpoint import additive
from worldbench.adapters.vjepa_untold import Untold, depth_of, heads_of, refused
from worldbench.cache import cache_folder, cache_lock
from worldbench.record import file_digest, write_atomic
from worldbench.schema import digest

_VERSION = 1
_PARTS = ("target_encoder", "predictor")
_ZIP = b"PK\x03\x04"
_GLOBAL = re.compile(r"GLOBAL (\S+)")  # what a refused pickle would call
_HEADS = {1024: 16, 1280: 16, 1408: 22}  # of ViT-L, H and g, as hubconf.py makes them
_SIDE, _FRAMES, _PREDICTOR_HEADS = 256, 64, 12  # of a V-JEPA 2, where nobody says otherwise
_TOKENS = 10  # mask tokens of every V-JEPA 2
_BLOCK = re.compile(r"(?:predictor_)?blocks\.(\d+)\.(.+)")
_NAMES = {
    "patch_embed.": "encoder.embeddings.patch_embeddings.",
    "norm.": "encoder.layernorm.",
    "predictor_embed.": "predictor.embeddings.predictor_embeddings.",
    "predictor_norm.": "predictor.layernorm.",
    "predictor_proj.": "predictor.proj.",
}


def converted(file: Path, untold: Untold) -> Path:
    """Returns the folder of the rewritten model; writes it the first time.

    Raises:
        DataError: If the file does not read or is no such checkpoint.
        EnvironmentFault: If the cache cannot be written.
    """
    key = digest([_VERSION, file_digest(file), repr(untold)])[:32]
    folder = cache_folder("vjepa", key)
    with cache_lock(folder / "model"):
        if not (folder / "config.json").is_file():
            from safetensors.torch import save_file

            weights, config = _rewritten(file, untold)
            save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
            # Last, since a folder with it counts as whole.
            write_atomic(folder / "config.json", json.dumps(config, sort_keys=True).encode())
    return folder


def _rewritten(file: Path, untold: Untold) -> tuple[dict[str, Tensor], dict[str, Any]]:
    parts = {part: _plain(state) for part, state in _read(file).items()}
    encoder, predictor = (parts[part] for part in _PARTS)
    tokens = [predictor.pop(f"mask_tokens.{i}", None) for i in range(len(predictor))]
    masks = [token for token in tokens if token is not None]
    if "pos_embed" in encoder and len(masks) < _TOKENS and not untold.rotary:
        return additive(encoder, predictor, masks, file, untold)
    # What is added to tokens where positions are not rotated; those of V-JEPA 2 are left over.
    encoder.pop("pos_embed", None)
    predictor.pop("predictor_pos_embed", None)
    weights = _renamed(encoder, "encoder", file) | _renamed(predictor, "predictor", file)
    try:
        weights["predictor.embeddings.mask_tokens"] = torch.stack(masks)
        return weights, _config(weights, untold)
    except (KeyError, RuntimeError, IndexError) as error:
        raise refused("this is no whole V-JEPA 2", f"{file}: without {error}") from error


def _read(file: Path) -> dict[str, Mapping[str, Tensor]]:
    found = _loaded(file)
    names = sorted(map(str, found)) if isinstance(found, dict) else [type(found).__name__]
    if not set(_PARTS) <= set(names):
        raise refused(
            "this is no checkpoint of a V-JEPA: a part is missing", f"{', '.join(names)} in {file}"
        )
    for part in _PARTS:
        if (wrong := _no_weights(found[part])) is not None:
            what = "this is no checkpoint of a V-JEPA: a part is not weights by name"
            raise refused(what, f"{part}{wrong} in {file}")
    return {part: found[part] for part in _PARTS}


def _loaded(file: Path) -> Any:
    with file.open("rb") as opened:
        is_zip = opened.read(len(_ZIP)) == _ZIP
    try:
        # Only zip files can be mapped; older ones are read whole.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # bytes that are no pickle fail in any way
        code = _GLOBAL.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if code is None:
            seen = f"{file}: {type(error).__name__}"
            what = "the checkpoint does not read: it is cut short, or no file of torch.save"
            raise refused(what, seen) from error
        raise refused(
            "the checkpoint does not read without running code",
            f"{file}: {code[1]}",
            fix="where you trust it, keep the weights alone: "
            f"torch.save({{part: old[part] for part in {_PARTS}}}, FILE)",
        ) from error


def _no_weights(part: object) -> str | None:
    """Says what a part is, or holds, instead of tensors by name."""
    if not isinstance(part, Mapping):
        return f": {type(part).__name__}"
    for name, value in part.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            return f"[{name!r}]: {type(value).__name__}"
    return None


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes off what training in parallel put before the names."""
    return {re.sub(r"^(module\.|backbone\.)+", "", name): each for name, each in state.items()}


def _renamed(state: Mapping[str, Tensor], part: str, file: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, value in state.items():
        block = _BLOCK.fullmatch(name)
        known = next((old for old in _NAMES if name.startswith(old)), None)
        if block is not None:
            rest = block[2].replace("attn.", "attention.")
            weights |= _unfused(f"{part}.layer.{block[1]}.{rest}", value)
        elif known is not None:
            weights[_NAMES[known] + name.removeprefix(known)] = value.contiguous()
        else:
            raise refused("a weight of no V-JEPA 2", f"{name} in the {part} of {file}")
    return weights


def _unfused(name: str, value: Tensor) -> dict[str, Tensor]:
    if ".qkv." not in name:
        return {name: value.contiguous()}
    # A copy of each third: safetensors keeps no views.
    thirds = zip(("query", "key", "value"), value.chunk(3), strict=True)
    return {name.replace("qkv", third): part.clone() for third, part in thirds}


def _config(weights: Mapping[str, Tensor], untold: Untold) -> dict[str, Any]:
    """Reads the rest of the network's form off its weights."""
    patches = weights["encoder.embeddings.patch_embeddings.proj.weight"]
    width, inner = patches.shape[0], weights["encoder.layer.0.mlp.fc1.weight"].shape[0]
    small = weights["predictor.layer.0.mlp.fc1.weight"]
    heads = heads_of(untold.heads, _HEADS, width)
    return {
        "model_type": "vjepa2",
        "architectures": ["VJEPA2Model"],
        "crop_size": untold.side or _SIDE,
        "frames_per_clip": untold.frames or _FRAMES,
        "patch_size": patches.shape[-1],
        "tubelet_size": patches.shape[2],
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": depth_of(weights, "encoder"),
        "mlp_ratio": _ratio(inner, width),
        "pred_hidden_size": small.shape[1],
        "pred_num_attention_heads": untold.predictor_heads or _PREDICTOR_HEADS,
        "pred_num_hidden_layers": depth_of(weights, "predictor"),
        "pred_mlp_ratio": _ratio(small.shape[0], small.shape[1]),
        "pred_num_mask_tokens": len(weights["predictor.embeddings.mask_tokens"]),
    }


def _ratio(inner: int, width: int) -> float:
    # transformers takes int(width · ratio), which must not fall short by rounding.
    ratio = inner / width
    return ratio if int(width * ratio) == inner else (inner + 0.5) / width
