"""Tiny random V-JEPA 2s, saved as transformers saves them; nothing here reaches a network."""

from pathlib import Path

import torch
from torch import Tensor

SIDE, FRAMES = 32, 16
"""Of a tiny network, whose grid is 2 × 2."""


def saved_vjepa2(
    folder: Path, *, seed: int = 0, head: bool = False, trained: tuple[int, ...] = (0, 1)
) -> Path:
    """Writes a model whose mask tokens are zero but for those trained; returns the folder."""
    import transformers

    torch.manual_seed(seed)
    config = transformers.VJEPA2Config(
        crop_size=SIDE,
        frames_per_clip=FRAMES,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        mlp_ratio=2,
        pred_hidden_size=24,
        pred_num_hidden_layers=2,
        pred_num_attention_heads=2,
        pred_num_mask_tokens=4,
        num_pooler_layers=1,
        # Larger than usual, so that what attention does can be told from rounding.
        initializer_range=0.3,
    )
    name = "VJEPA2ForVideoClassification" if head else "VJEPA2Model"
    model = getattr(transformers, name)(config)
    tokens = (model.vjepa2 if head else model).predictor.embeddings.mask_tokens
    with torch.no_grad():
        for index in trained:
            tokens[index] = torch.randn(tokens.shape[1:])
    model.save_pretrained(folder)
    return folder


def clips(count: int, frames: int, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
    """Returns the same random clips on every call."""
    return torch.rand(count, frames, 3, *size, generator=torch.Generator().manual_seed(5))
