"""What the files of a V-JEPA tell before any network is made of them."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from worldbench.errors import DataError, UsageError
from worldbench.options import at_least
from worldbench.saved_models import SavedModel, open_weights

_PARTS = ("encoder.", "predictor.")
_MASK_TOKENS = ("predictor.embeddings.mask_tokens", "predictor.mask_tokens")
"""As transformers names them, and as a V-JEPA 1 is kept."""

_USUAL_TOKEN = 1
"""The token of the largest masks in training, which transformers always takes."""


@dataclass(frozen=True)
class Facts:
    """What a V-JEPA is made by.

    Attributes:
        saved: Its folder.
        side: Height and width of its clips, in pixels.
        patch: Pixels of a token's side.
        stride: Frames of a latent step.
        frames: Frames of the clips it was trained on last.
        depth: Blocks of its encoder.
        parameters: Of encoder and predictor.
        trained: Whether each of the predictor's mask tokens was trained: is not zero.
    """

    saved: SavedModel
    side: int
    patch: int
    stride: int
    frames: int
    depth: int
    parameters: int
    trained: tuple[bool, ...]

    @property
    def grid(self) -> int:
        """Tokens of a side."""
        return self.side // self.patch

    def mask_token(self, wanted: object) -> int:
        """Returns the mask token that stands for what is to be predicted.

        The network comes with several, one for each kind of mask in training, and those of kinds
        that there were not stay zero. An untrained one predicts something, and nothing says so.

        Args:
            wanted: Its index; None is the usual one, or the first trained one if that is not.

        Raises:
            UsageError: If the one wanted does not exist or was not trained.
            DataError: If none was trained.
        """
        good = [i for i, is_trained in enumerate(self.trained) if is_trained]
        if not good:
            raise DataError(
                "no mask token of this V-JEPA was trained: it cannot predict",
                seen=f"{len(self.trained)} mask tokens in {self.saved.path}, all zero",
                accepted="a model whose predictor was trained",
                fix="take a whole checkpoint, with the predictor it was trained with",
            )
        if wanted is None:
            return _USUAL_TOKEN if _USUAL_TOKEN in good else good[0]
        index = at_least("adapter.mask_token", wanted, 0)
        if index not in good:
            raise UsageError(
                "adapter.mask_token was not trained",
                seen=index,
                accepted=", ".join(map(str, good)),
                fix=f"adapter.mask_token={good[0]}, or null for the usual one",
            )
        return index

    def longest(self, wanted: object) -> int:
        """Returns how many frames a context and its future may have together.

        Args:
            wanted: That number; None is that of its training.

        Raises:
            UsageError: If it is no whole latent steps, at least one of each.
        """
        frames = self.frames if wanted is None else at_least("adapter.frames", wanted, 1)
        if frames < 2 * self.stride or frames % self.stride:
            raise UsageError(
                "adapter.frames holds no context and future of whole latent steps",
                seen=frames,
                accepted=f"a multiple of {self.stride}, at least {2 * self.stride}",
                fix=f"adapter.frames={max(self.frames // self.stride, 2) * self.stride}",
            )
        return frames


def read_facts(saved: SavedModel) -> Facts:
    """Reads the configuration and the headers of the weight files; loads no network.

    Raises:
        DataError: If they do not read, describe no network or lack a part of it.
    """
    files = _Weights(saved)
    for part in _PARTS:
        if not any(name.startswith(part) for name in files.shapes):
            raise DataError(
                f"this V-JEPA has no {part.rstrip('.')}",
                seen=f"{len(files.shapes)} weights in {saved.path}, none named {part}…",
                accepted="encoder and predictor, as VJEPA2Model.save_pretrained writes them",
                fix="save or fetch the whole model, not its encoder or head alone",
            )
    side, patch = _whole(saved, "crop_size", 256), _whole(saved, "patch_size", 16)
    stride, frames = _whole(saved, "tubelet_size", 2), _whole(saved, "frames_per_clip", 64)
    if side % patch or frames < 2 * stride:
        raise DataError(
            "config.json describes no V-JEPA that could predict",
            seen=f"crop_size {side}, patch_size {patch}, frames_per_clip {frames}, "
            f"tubelet_size {stride}",
            accepted="a crop of whole patches, and clips of two tubelets or more",
            fix="correct config.json",
        )
    return Facts(
        saved=saved,
        side=side,
        patch=patch,
        stride=stride,
        frames=frames,
        depth=_whole(saved, "num_hidden_layers", 24),
        parameters=sum(
            prod(shape)
            for name, shape in files.shapes.items()
            if name.startswith(_PARTS) and not name.endswith("pos_embed")  # a formula, not trained
        ),
        trained=files.trained_mask_tokens(),
    )


def _whole(saved: SavedModel, name: str, usual: int) -> int:
    # save_pretrained may leave out what is as usual.
    value = saved.config.get(name, usual)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DataError(
            f"config.json describes no V-JEPA: {name} is not a usable number",
            seen=f"{value!r} in {saved.path}",
            accepted="an integer of at least 1",
            fix="correct config.json",
        )
    return value


class _Weights:
    """Names and shapes of the weights of a folder, those of a classifier's backbone included.

    Raises:
        DataError: If a file does not read.
    """

    def __init__(self, saved: SavedModel) -> None:
        self._where: dict[str, tuple[Path, str]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for file in saved.weight_files:
            with open_weights(file) as stream:
                for key in stream.keys():  # noqa: SIM118 - no dictionary
                    name = key.removeprefix("vjepa2.")
                    self._where[name] = (file, key)
                    self.shapes[name] = tuple(stream.get_slice(key).get_shape())

    def trained_mask_tokens(self) -> tuple[bool, ...]:
        """Says of each mask token whether it was trained."""
        known = [name for name in _MASK_TOKENS if name in self._where]
        if not known:
            return ()
        file, key = self._where[known[0]]
        with open_weights(file) as stream:
            tokens: torch.Tensor = stream.get_tensor(key)
        return tuple(bool(token.any()) for token in tokens)
