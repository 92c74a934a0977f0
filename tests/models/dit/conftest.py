"""Tiny diffusion transformers whose weights are random and not zero."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worldbench_models.blocks import Size
from worldbench_models.dit.network import DiT
from worldbench_models.weights import save_weights

TINY = Size(width=32, depth=3, heads=3, head=16, hidden=40)


def _random_network(size: Size = TINY, seed: int = 0) -> DiT:
    network = DiT(size)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., DiT]:
    """Function (size=, seed=) → a network all of whose parameters are random."""
    return _random_network


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of a tiny untrained DiT for clips of 8 frames of 32 × 32."""
    path = tmp_path_factory.mktemp("weights") / "dit-tiny.safetensors"
    header: dict[str, Any] = {
        "model": "dit",
        "size": "tiny",
        "shape": vars(TINY),
        "frames": 8,
        "fps": 8.0,
        "resolution": [32, 32],
        "training_data": "nothing",
        "training_compute": "none",
        "licence": "Apache-2.0",
    }
    save_weights(path, _random_network().state_dict(), header)
    return path
