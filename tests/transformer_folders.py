"""Tiny random models of transformers, saved as it saves them."""

from pathlib import Path

import pytest
import torch

transformers = pytest.importorskip("transformers")

TINY = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2}
MODELS = {
    "videomae": ("VideoMAE", {"image_size": 32, "num_frames": 4, "intermediate_size": 48}),
    "vjepa2": ("VJEPA2", {"crop_size": 32, "pred_hidden_size": 24, "pred_num_hidden_layers": 1}),
    "dinov2": ("Dinov2", {"image_size": 28, "patch_size": 14}),
}
FRAMES = {"videomae": 4, "vjepa2": 6, "dinov2": 3}


def saved(root: Path, kind: str, classifies: bool = False, seed: int = 0) -> Path:
    """Writes a tiny model of a kind and returns its folder."""
    base, options = MODELS[kind]
    options = {**TINY, **options}
    if kind == "vjepa2":
        options |= {"pred_num_attention_heads": 2, "num_pooler_layers": 1}
    torch.manual_seed(seed)
    config = getattr(transformers, f"{base}Config")(**options)
    name = f"{base}ForVideoClassification" if classifies else f"{base}Model"
    folder = root / f"{kind}-{classifies}-{seed}"
    getattr(transformers, name)(config).save_pretrained(folder)
    return folder
