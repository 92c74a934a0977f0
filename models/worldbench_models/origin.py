"""Where a network comes from: a weight file, or chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from worldbench.errors import DataError
from worldbench_models.blocks import Size
from worldbench_models.options import known_size
from worldbench_models.patches import FPS, FRAMES, PATCH, RESOLUTION
from worldbench_models.pixels import ASPECT
from worldbench_models.weights import Weights, file_name, fill, load_weights, read_header, shipped
from worldbench_models.weights_header import Description, shown, within

RANDOM = "random"
"""What ``weights`` says where chance is wanted."""

_WIDEST, _DEEPEST = 2**16, 2**10
_SHORTEST = 2 * PATCH[0]  # a window holds a past and a future
_EVEN = ("width", "head")  # channels are turned in pairs, at least one for each of three axes
_NAMES = tuple(field.name for field in fields(Size))

SIZE_WORDS = (
    f"{', '.join(_NAMES)}, positive integers up to {_WIDEST} (depth {_DEEPEST}), "
    f"{' and '.join(_EVEN)} even and at least 6"
)
"""What :func:`read_size` takes."""

Shape = TypeVar("Shape")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Model(Generic[Shape, Network]):
    """What sets the networks of one model apart.

    Attributes:
        name: As headers, files and commands have it.
        network: Makes an untrained network of a shape.
        shapes: By size.
        parameters: Counts those of a shape, without memory for them.
        read_shape: Makes a shape of a header's, None if it is none.
        shape_words: What ``read_shape`` takes.
    """

    name: str
    network: type[Network]
    shapes: Mapping[str, Shape]
    parameters: Callable[[Shape], int]
    read_shape: Callable[[Mapping[str, object]], Shape | None]
    shape_words: str

    def untrained(self, shape: Shape) -> Network:
        """Makes a network whose weights are to be replaced; no generator is left touched."""
        make: Callable[[Shape], Network] = self.network
        with torch.random.fork_rng(devices=[]):
            network = make(shape)
        return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Facts(Generic[Shape]):
    """What a card tells of a network.

    Attributes:
        key: What the revision is a digest of: equal keys, equal networks.
        shape: What the network is made by.
        parameters: How many it has.
        frames: Frames of the clips it was made for.
        fps: Their rate.
        resolution: Their height and width.
        training_data: What it was trained on, None if it was not.
        training_compute: How long, None if it was not.
        licence: Of the weights.
    """

    key: tuple[str, ...]
    shape: Shape
    parameters: int
    frames: int
    fps: float
    resolution: tuple[int, int]
    training_data: str | None
    training_compute: str | None
    licence: str

    def on_card(self) -> dict[str, Any]:
        """Returns the fields of a :class:`~worldbench.schema.AdapterCard` that they fill."""
        return {
            "parameters": self.parameters,
            "fps": self.fps,
            "size": self.resolution,
            "frames": self.frames,
            "temporal_stride": PATCH[0],
            "min_context": PATCH[0],
            "training_data": self.training_data,
            "training_compute": self.training_compute,
            "licence": self.licence,
            "source": "worldbench_models, the reference models of worldbench",
        }


class WeightFile(Generic[Shape, Network]):
    """Trained weights.

    Args:
        model: The model they must be of.
        path: A file of :mod:`worldbench_models.weights`.

    Raises:
        DataError: If it cannot be read or is not of this model.
    """

    def __init__(self, model: Model[Shape, Network], path: Path) -> None:
        self.model, self.path = model, path
        told = read_header(path, model=model.name)
        self.sha256, self.facts = told.sha256, _facts(model, path, told)

    def network(self) -> Network:
        """Reads the weights.

        Raises:
            DataError: If they do not fit, are not finite, or the file has changed meanwhile.
        """
        weights: Weights = load_weights(self.path, model=self.model.name)
        if weights.sha256 != self.sha256:
            raise DataError(
                f"the weights {self.path} changed while they were in use",
                seen=f"sha256 {weights.sha256}",
                accepted=f"sha256 {self.sha256}, as on the card",
                fix="start again, with a file that nobody is writing",
            )
        network = self.model.untrained(self.facts.shape)
        fill(network, weights, self.path)
        return network


class Chance(Generic[Shape, Network]):
    """Random weights: the floor of everything that a trained network is asked.

    All matrices are normal of variance 1/inputs, also those that training starts at zero: as it is
    before training, a network may answer zero to everything, which tells nothing about its
    form. Biases are zero.

    Args:
        model: The model.
        size: Name of a size.
        seed: Of the weights.

    Raises:
        UsageError: If there is no such size.
    """

    def __init__(self, model: Model[Shape, Network], size: str, seed: int) -> None:
        self.model, self.seed = model, seed
        shape = model.shapes[known_size(size)]
        key = (RANDOM, repr(shape), str(seed))
        count = model.parameters(shape)
        self.facts = Facts(key, shape, count, FRAMES, FPS, RESOLUTION, None, None, "Apache-2.0")

    def network(self) -> Network:
        """Draws the weights, in the order of their names; nobody else's generator is touched."""
        network = self.model.untrained(self.facts.shape)
        generator = torch.Generator().manual_seed(self.seed)
        for _, parameter in sorted(network.named_parameters()):
            if parameter.dim() == 2:
                spread = parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=spread, generator=generator)
            else:
                nn.init.zeros_(parameter)
        return network


Origin = WeightFile[Shape, Network] | Chance[Shape, Network]
"""Tells the facts of a network, and makes it on the CPU."""


def origin(
    model: Model[Shape, Network], weights: str | None, *, size: str, seed: int
) -> Origin[Shape, Network]:
    """Finds what an adapter's options name.

    Args:
        model: The adapter's.
        weights: A path, ``random``, or None for those that are shipped.
        size: Of shipped or random weights; a file tells its own.
        seed: Of random weights.

    Raises:
        UsageError: If there is no such size.
        DataError: If the weights cannot be read.
    """
    if weights == RANDOM:
        return Chance(model, size, seed)
    if weights is None:
        name = file_name(model.name, known_size(size))
        return WeightFile(model, shipped(name, model=model.name, size=size))
    try:
        path = Path(weights).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"cannot read the weights {weights}",
            seen=error,
            accepted="a path, of a user that exists",
            fix="correct adapter.weights=PATH",
        ) from error
    return WeightFile(model, path)


def read_size(fields: object) -> Size | None:
    """Makes a size of a header's, None if it is none or a network of it could not run."""
    if not isinstance(fields, dict) or fields.keys() != set(_NAMES):
        return None
    if not all(within(number, 1, _WIDEST) for number in fields.values()):
        return None
    even = all(within(fields[name], 6, _WIDEST, 2) for name in _EVEN)
    return Size(**fields) if even and within(fields["depth"], 1, _DEEPEST) else None


def _facts(model: Model[Shape, Network], path: Path, told: Description) -> Facts[Shape]:
    header, title = told.header, model.network.__name__
    height, width = header["resolution"]
    shape = model.read_shape(header["shape"])
    long = max(height, width) > ASPECT * min(height, width)
    if shape is None or header["frames"] < _SHORTEST or long:
        raise DataError(
            f"the header of the weights {path} describes no {title}",
            seen=f"shape {shown(header['shape'])}, frames {header['frames']}, "
            f"resolution {header['resolution']}",
            accepted=f"shape: {model.shape_words}; frames: at least {_SHORTEST}; "
            f"resolution: at most {ASPECT}:1",
            fix="write the file again with this release",
        )
    # Counted without memory for them: a header may promise more than any machine has.
    count = model.parameters(shape)
    if count != told.values:
        raise DataError(
            f"the weights in {path} do not fit the network their header describes",
            seen=f"{told.values} values",
            accepted=f"the {count} parameters of a {title} of {shape}",
            fix="write the file again with this release",
        )
    return Facts(
        (told.sha256,),
        shape,
        count,
        header["frames"],
        float(header["fps"]),
        (height, width),
        header["training_data"],
        header["training_compute"],
        header["licence"],
    )
