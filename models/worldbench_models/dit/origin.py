"""Where a network comes from: a weight file, or chance."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from worldbench.errors import DataError
from worldbench_models.blocks import SIZES, Size
from worldbench_models.dit.network import DiT, parameters
from worldbench_models.dit.options import known_size
from worldbench_models.dit.pixels import ASPECT
from worldbench_models.patches import FPS, FRAMES, PATCH, RESOLUTION
from worldbench_models.weights import Weights, file_name, fill, load_weights, read_header, shipped
from worldbench_models.weights_header import Description, shown, within

RANDOM = "random"
"""What ``weights`` says where chance is wanted."""

_WIDEST, _DEEPEST = 2**16, 2**10
_SHORTEST = 2 * PATCH[0]  # a window holds a past and a future
_EVEN = ("width", "head")  # channels are turned in pairs, at least one for each of three axes


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
        told = read_header(path, model="dit")
        self.sha256, self.facts = told.sha256, _facts(path, told)

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
        self.seed = seed
        shape = SIZES[known_size(size)]
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
        name = file_name("dit", known_size(size))
        return WeightFile(shipped(name, model="dit", size=size))
    try:
        path = Path(weights).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"cannot read the weights {weights}",
            seen=error,
            accepted="a path, of a user that exists",
            fix="correct adapter.weights=PATH",
        ) from error
    return WeightFile(path)


def _untrained(size: Size) -> DiT:
    with torch.random.fork_rng(devices=[]):  # what it draws is replaced: leave no trace of it
        network = DiT(size)
    return network.eval().requires_grad_(False)


def _facts(path: Path, told: Description) -> Facts:
    header = told.header
    height, width = header["resolution"]
    long = max(height, width) > ASPECT * min(height, width)
    if not _usable(header["shape"]) or header["frames"] < _SHORTEST or long:
        names = ", ".join(field.name for field in fields(Size))
        raise DataError(
            f"the header of the weights {path} describes no DiT",
            seen=f"shape {shown(header['shape'])}, frames {header['frames']}, "
            f"resolution {header['resolution']}",
            accepted=f"shape: {names}, positive integers up to {_WIDEST} (depth {_DEEPEST}), "
            f"{' and '.join(_EVEN)} even and at least 6; frames: at least {_SHORTEST}; "
            f"resolution: at most {ASPECT}:1",
            fix="write the file again with this release",
        )
    size = Size(**header["shape"])
    # Counted without memory for them: a header may promise more than any machine has.
    count = parameters(size)
    if count != told.values:
        raise DataError(
            f"the weights in {path} do not fit the network their header describes",
            seen=f"{told.values} values",
            accepted=f"the {count} parameters of a DiT of {size}",
            fix="write the file again with this release",
        )
    return Facts(
        (told.sha256,),
        size,
        header["frames"],
        float(header["fps"]),
        (height, width),
        header["training_data"],
        header["training_compute"],
        header["licence"],
    )


def _usable(shape: dict[str, object]) -> bool:
    if shape.keys() != {field.name for field in fields(Size)}:
        return False
    if not all(within(number, 1, _WIDEST) for number in shape.values()):
        return False
    return within(shape["depth"], 1, _DEEPEST) and all(
        within(shape[name], 6, _WIDEST, 2) for name in _EVEN
    )
