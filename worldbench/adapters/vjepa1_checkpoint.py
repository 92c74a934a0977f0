"""Weights of a V-JEPA 1, which tell all of their network's form but its heads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from worldbench.adapters.vjepa1_network import built
from worldbench.adapters.vjepa1_positions import recognised
from worldbench.adapters.vjepa_untold import Untold, depth_of, heads_of, refused

_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}
"""Heads by width of the encoders of facebookresearch/jepa; a predictor has as many."""


_PUBLISHED = {
    (1024, 24, 224): "ViT-L/16",
    (1280, 32, 224): "ViT-H/16",
    (1280, 32, 384): "ViT-H/16-384",
}
"""By width, depth and side"""


def published(config: Mapping[str, Any]) -> str | None:
    """Returns which of the sizes that facebookresearch/jepa offers a form is, if it is one."""
    form = (config["hidden_size"], config["num_hidden_layers"], config["crop_size"])
    return _PUBLISHED.get(form)


def additive(
    encoder: dict[str, Tensor],
    predictor: dict[str, Tensor],
    masks: list[Tensor],
    file: Path,
    untold: Untold,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the weights of a V-JEPA 1 under their names, and its form.

    Args:
        encoder: Weights of the averaged encoder, without what training in parallel put before.
        predictor: Those of the predictor, but for its mask tokens.
        masks: The mask tokens.
        file: Where they come from, for messages.
        untold: What the user says; where the file tells, it must agree.

    Raises:
        DataError: If they are not all the weights of one network.
    """
    if not masks:
        raise refused("this V-JEPA 1 has no mask tokens: it cannot predict", file)
    try:
        weights = {f"encoder.{name}": value.contiguous() for name, value in encoder.items()}
        weights |= {f"predictor.{name}": value.contiguous() for name, value in predictor.items()}
        weights["predictor.mask_tokens"] = torch.stack(masks)
        config = _config(weights, file, untold)
    except (KeyError, RuntimeError, IndexError) as error:
        raise refused("this is no whole V-JEPA 1", f"{file}: without {error}") from error
    with torch.device("meta"):
        wanted = built(config).state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        one, two = (state[name].shape if name in state else None for state in (wanted, weights))
        if one != two:
            seen = f"{name} in {file}: {two and tuple(two)}, not {one and tuple(one)}"
            raise refused("this is no whole V-JEPA 1", seen)
    return weights, config


def _config(weights: Mapping[str, Tensor], file: Path, untold: Untold) -> dict[str, Any]:
    patches, table = weights["encoder.patch_embed.proj.weight"], weights["encoder.pos_embed"][0]
    places = recognised(table)
    if places is None:
        raise refused(
            "the positions in this checkpoint are those of no V-JEPA 1",
            f"pos_embed {tuple(table.shape)} and few mask tokens in {file}",
            fix="adapter.rotary=true if it is a V-JEPA 2, which leaves them unused",
        )
    width, stride, patch = patches.shape[0], patches.shape[2], patches.shape[-1]
    side, frames = places.side * patch, places.steps * stride
    _agree("side", untold.side, side)
    _agree("training_frames", untold.frames, frames)
    heads = heads_of(untold.heads, _HEADS, width)
    small = weights["predictor.predictor_blocks.0.mlp.fc1.weight"]
    return {
        "model_type": "vjepa",
        "crop_size": side,
        "frames_per_clip": frames,
        "patch_size": patch,
        "tubelet_size": stride,
        "uniform_power": places.uniform,
        "hidden_size": width,
        "intermediate_size": weights["encoder.blocks.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": depth_of(weights, "encoder"),
        "num_attention_heads": heads,
        "pred_hidden_size": small.shape[1],
        "pred_intermediate_size": small.shape[0],
        "pred_num_hidden_layers": depth_of(weights, "predictor"),
        "pred_num_attention_heads": heads_of(
            untold.predictor_heads or heads, {}, small.shape[1], of="predictor"
        ),
        "pred_num_mask_tokens": len(weights["predictor.mask_tokens"]),
    }


def _agree(option: str, said: int | None, told: int) -> None:
    if said not in (None, told):
        raise refused(
            f"adapter.{option} is not that of this V-JEPA 1",
            f"{said}; its positions are for {told}",
            fix=f"adapter.{option}={told}, or null: the file tells",
        )
