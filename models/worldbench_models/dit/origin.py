"""Where a network comes from: a weight file, or chance."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from worldbench.errors import DataError, unknown_name
from worldbench_models.blocks import SIZES, Size
from worldbench_models.dit.network import DiT
from worldbench_models.patches import FPS, FRAMES, RESOLUTION
from worldbench_models.weights import Weights, fill, load_weights, read_header, shipped

RANDOM = "random"
"""What ``weights`` says where chance is wanted."""


@dataclass(frozen=True)
class Facts:
    """What a card tells of a network.

    Attributes:
        key: What the revision is a digest of: equal keys, equal networks.
        size: Width, depth, head and hidden channels.
        frames: Frames of the clips it was made for.
        fps: Their rate.
        resolution: Their height and width.
        training_data: What it was trained on, None if it was not.
        training_compute: How long, None if it was not.
        licence: Of the weights.
    """

    key: tuple[str, ...]
    size: Size
    frames: int
    fps: float
    resolution: tuple[int, int]
    training_data: str | None
    training_compute: str | None
    licence: str


class WeightFile:
    """Trained weights.

    Args:
        path: A file of :mod:`worldbench_models.weights`.

    Raises:
        DataError: If it cannot be read or is not of a DiT.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        header, self.sha256 = read_header(path, model="dit")
        self.facts = _facts(path, header, self.sha256)

    def network(self) -> DiT:
        """Reads the weights.

        Raises:
            DataError: If they do not fit, are not finite, or the file has changed meanwhile.
        """
        weights: Weights = load_weights(self.path, model="dit")
        if weights.sha256 != self.sha256:
            raise DataError(
                f"the weights {self.path} changed while they were in use",
                seen=f"sha256 {weights.sha256}",
                accepted=f"sha256 {self.sha256}, as on the card",
                fix="start again, with a file that nobody is writing",
            )
        network = _untrained(self.facts.size)
        fill(network, weights, self.path)
        return network


class Chance:
    """Random weights: the floor of everything that a trained network is asked.

    All matrices are normal of variance 1/inputs, also those that training starts at zero: as it is
    before training, the network would answer zero to everything, which tells nothing about its
    form. Biases are zero.

    Args:
        size: Name of a size.
        seed: Of the weights.

    Raises:
        UsageError: If there is no such size.
    """

    def __init__(self, size: str, seed: int) -> None:
        if size not in SIZES:
            raise unknown_name("size", size, SIZES, fix="adapter.size=s")
        self.seed = seed
        shape = SIZES[size]
        key = (RANDOM, repr(shape), str(seed))
        self.facts = Facts(key, shape, FRAMES, FPS, RESOLUTION, None, None, "Apache-2.0")

    def network(self) -> DiT:
        """Draws the weights, in the order of their names; nobody else's generator is touched."""
        network = _untrained(self.facts.size)
        generator = torch.Generator().manual_seed(self.seed)
        for _, parameter in sorted(network.named_parameters()):
            if parameter.dim() == 2:
                spread = parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=spread, generator=generator)
            else:
                nn.init.zeros_(parameter)
        return network


Origin = WeightFile | Chance
"""Tells the facts of a network, and makes it on the CPU."""


def origin(weights: str | None, *, size: str, seed: int) -> Origin:
    """Finds what an adapter's options name.

    Args:
        weights: A path, ``random``, or None for those that are shipped.
        size: Of shipped or random weights; a file tells its own.
        seed: Of random weights.

    Raises:
        UsageError: If there is no such size.
        DataError: If the weights cannot be read.
    """
    if weights == RANDOM:
        return Chance(size, seed)
    if weights is None:
        return WeightFile(shipped(f"dit-{size}.safetensors", model="dit", size=size))
    return WeightFile(Path(weights).expanduser())


def _untrained(size: Size) -> DiT:
    with torch.random.fork_rng(devices=[]):  # what it draws is replaced: leave no trace of it
        network = DiT(size)
    return network.eval().requires_grad_(False)


def _facts(path: Path, header: Mapping[str, Any], sha256: str) -> Facts:
    try:
        size = Size(**{name: int(value) for name, value in header["shape"].items()})
        height, width = (int(side) for side in header["resolution"])
    except (TypeError, ValueError) as error:
        names = ", ".join(field.name for field in fields(Size))
        raise DataError(
            f"the header of the weights {path} describes no DiT",
            seen=f"shape {header['shape']}, resolution {header['resolution']}",
            accepted=f"shape: {names}; resolution: [height, width]",
            fix="write the file again with this release",
        ) from error
    return Facts(
        (sha256,),
        size,
        int(header["frames"]),
        float(header["fps"]),
        (height, width),
        header["training_data"],
        header["training_compute"],
        header["licence"],
    )
