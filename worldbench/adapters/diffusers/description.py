"""What the adapter must know of a pipeline, for each of them in one small class."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.denoising import Denoiser
from worldbench.adapters.diffusers.folder import PipelineFolder
from worldbench.errors import DataError, UsageError
from worldbench.options import at_least

Networks = Mapping[str, tuple[str, ...]]
"""Components with weights and the classes that they may be of."""

Embeddings = dict[str, Tensor]
"""What a text encoder made of a prompt: ``prompt_embeds``, and ``prompt_attention_mask``."""


@dataclass(frozen=True)
class TextRule:
    """How a pipeline reads texts.

    Attributes:
        length: Tokens that every prompt is padded to.
        width: Channels of a token's embedding.
        encoder: Class of its text encoder.
        masked: Whether it tells which tokens are padding.
        cleaned: Whether it cleans prompts with the package ftfy.
    """

    length: int
    width: int
    encoder: str
    masked: bool = False
    cleaned: bool = False


@dataclass(frozen=True)
class Asked:
    """A question to a pipeline.

    Attributes:
        shown: The frames it is shown.
        frames: Frames of the clip that it makes, those it is shown included.
        text: The prompt, if it reads any.
        guidance: Scale of the guidance.
    """

    shown: Float[Tensor, "t 3 h w"]
    frames: int
    text: Embeddings
    guidance: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.shown.shape[-2], self.shown.shape[-1]


class Description(ABC):
    """A pipeline in words that the adapter understands.

    Args:
        folder: Where it is saved.

    Raises:
        UsageError: If a component is of a class that is not known, or its weights are pickles.
        DataError: If a component is missing, or the configurations do not fit this description.
    """

    pipeline: ClassVar[str]
    """The class of diffusers that is called."""
    saved_as: ClassVar[tuple[str, ...]]
    """The classes that ``model_index.json`` may name: their components are the same."""
    networks: ClassVar[Networks]
    """What it is made of, but for what reads texts."""
    optional: ClassVar[frozenset[str]] = frozenset()
    """Those networks that a checkpoint need not have."""
    in_full: ClassVar[frozenset[str]] = frozenset()
    """Those networks that are kept in fp32, as their authors advise."""
    keeps_prefix: ClassVar[bool]
    """Whether it is shown a stretch of frames rather than one."""
    guidance: ClassVar[float]
    """The usual guidance."""
    operators: ClassVar[tuple[str, ...]]
    """How it can be surprised."""

    frame_step: int
    """Clips have a multiple of so many frames plus one."""
    stride: int
    """Frames of a latent step."""
    multiple: int
    """Heights and widths are multiples of so many pixels."""
    trained: int
    """Frames of the clips that it was made for."""
    fps: float
    """Frames per second of those."""
    text: TextRule | None = None
    """How it reads texts, if it does."""

    def __init__(self, folder: PipelineFolder) -> None:
        self.folder = folder
        for part, classes in self.networks.items():
            if part not in self.optional or folder.class_of(part) is not None:
                folder.require(part, classes)
        self.parts = tuple(part for part in self.networks if folder.class_of(part) is not None)
        self._read()

    @abstractmethod
    def _read(self) -> None:
        """Sets what follows from the configurations."""

    @abstractmethod
    def arguments(self, pipe: Any, asked: Asked) -> dict[str, Any]:
        """Returns what the pipeline is called with, steps and generator apart."""

    def denoiser(
        self,
        pipe: Any,
        clip: Float[Tensor, "t 3 h w"],
        asked: Asked,
        noise: Float[Tensor, "3 h w"],
    ) -> Denoiser:
        """Returns the network asked about one clip, under the condition that it generates under.

        Args:
            pipe: The pipeline.
            clip: The frames shown and those that came after.
            asked: The question.
            noise: Standard normal noise for pipelines that put noise on what they are shown.

        Raises:
            ValueError: If its convention is not computed with here.
        """
        raise ValueError(f"{self.pipeline} has no denoising error: only {self.operators}")

    @property
    def conditions(self) -> str:
        """Says what of the context it sees, for the card."""
        if not self.keeps_prefix:
            return "conditions on the first frame only: the last of the context"
        return "conditions on the whole context, whose first frame it is shown twice"

    def lengths(self, longest: int) -> str:
        """Says how long its clips can be."""
        return f"clips of {self.frame_step}k+1 frames, at most {longest}"

    def shown(self, context: Float[Tensor, "b c 3 h w"]) -> Float[Tensor, "b f 3 h w"]:
        """Returns the frames of a context that it is shown.

        The first latent step of a clip is one frame, and the others are whole. So that the future
        begins with a step, either one frame is shown, the last, or all of whole steps and the
        first one twice.
        """
        if self.keeps_prefix:
            return torch.cat([context[:, :1], context], dim=1)
        return context[:, -1:]

    def count(self, context: int) -> int:
        """Returns how many frames it is shown of a context of so many."""
        return context + 1 if self.keeps_prefix else 1

    def length(self, frames: int, longest: int) -> int:
        """Returns how long a clip must be made to hold so many frames."""
        return -(-(frames - 1) // self.frame_step) * self.frame_step + 1

    def whole(self, context: int, horizon: int) -> int:
        """Returns the shortest clip that could hold what is shown of a context and its future."""
        frames = self.count(context) + horizon
        return -(-(frames - 1) // self.frame_step) * self.frame_step + 1

    def surplus(self, shown: int) -> int:
        """Returns how many frames of what the pipeline returns come before the future."""
        return shown

    def returned(self, shown: int, frames: int) -> int:
        """Returns how many frames the pipeline returns when asked for a clip of so many."""
        return frames

    def longest(self, wanted: object) -> int:
        """Returns how many frames a clip may have.

        Args:
            wanted: That number; None is that of the clips that the pipeline was made for.

        Raises:
            UsageError: If the pipeline makes no clips of so many frames. It would make others and
                not say so.
        """
        if wanted is None:
            return self.trained
        frames = at_least("adapter.frames", wanted, self.frame_step + 1)
        if (frames - 1) % self.frame_step:
            less = (frames - 1) // self.frame_step * self.frame_step + 1
            raise UsageError(
                f"adapter.frames: {self.pipeline} makes no clips of so many frames, and would "
                "silently make others",
                seen=frames,
                accepted=f"{self.frame_step}k+1 frames",
                fix=f"adapter.frames={less}",
            )
        return frames


def require_scheduler(folder: PipelineFolder, **wanted: object) -> None:
    """Refuses schedulers whose convention is another than the one computed with.

    Raises:
        DataError: If a setting is another than wanted; what is not set is not looked at.
    """
    config = folder.config("scheduler")
    for name, value in wanted.items():
        if name in config and config[name] != value:
            raise DataError(
                f"the scheduler of this {folder.pipeline} follows another convention",
                seen=f"{name}={config[name]!r} in {folder.path / 'scheduler'}",
                accepted=f"{name}={value!r}",
                fix="the scheduler that the checkpoint was published with",
            )
