"""Tiny JEPAs whose weights are random and not zero."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from worldbench_models.blocks import Size
from worldbench_models.jepa.network import JEPA, Shape
from worldbench_models.weights import fill, load_weights, save_weights

TINY = Shape(Size(32, 3, 3, 16, 40), Size(24, 2, 2, 16, 32))


def _random_network(shape: Shape = TINY, seed: int = 0) -> JEPA:
    network = JEPA(shape)
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def random_network() -> Callable[..., JEPA]:
    """Function (shape=, seed=) → a network all of whose parameters are random."""
    return _random_network


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weight file of a tiny untrained JEPA for clips of 8 frames of 32 × 32."""
    path = tmp_path_factory.mktemp("weights") / "jepa-tiny.safetensors"
    header: dict[str, Any] = {
        "model": "jepa",
        "size": "tiny",
        "shape": {"encoder": vars(TINY.encoder), "predictor": vars(TINY.predictor)},
        "frames": 8,
        "fps": 8.0,
        "resolution": [32, 32],
        "training_data": "nothing",
        "training_compute": "none",
        "licence": "Apache-2.0",
    }
    save_weights(path, _random_network().state_dict(), header)
    return path


@pytest.fixture(scope="module")
def network(checkpoint: Path, random_network: Callable[..., JEPA]) -> JEPA:
    """The network of the checkpoint itself."""
    network = random_network(seed=1)
    fill(network, load_weights(checkpoint, model="jepa"), checkpoint)
    return network
