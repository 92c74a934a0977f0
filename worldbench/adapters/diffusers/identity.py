"""Which pipeline it is, and what its files and options say of it before it is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from worldbench import operators
from worldbench.adapters.diffusers.description import Description
from worldbench.adapters.diffusers.folder import PipelineFolder
from worldbench.adapters.diffusers.options import Options
from worldbench.adapters.diffusers.pipelines import description_of
from worldbench.adapters.diffusers.text import Texts
from worldbench.adapters.hub import fetched, is_hub_id
from worldbench.errors import UsageError
from worldbench.schema import AdapterCard, digest

_VERSION = 1
"""Raised when the same weights and options give other answers than before."""

_WANTED = ("model_index.json", "*/*.json", "*/*.model", "*/*.txt")
"""What of a repository is fetched beside the weights of its components."""


@dataclass(frozen=True)
class Identity:
    """A pipeline by its files and options.

    Attributes:
        weights: Its folder, or the id of a hub repository.
        revision: Commit, tag or branch of the repository.
        variant: Of its weight files.
        frames: The longest clip wanted; None is that of the clips that it was made for.
        embeddings: A file with the empty prompt's embeddings; None asks the text encoder.
        options: Of how it is asked.
    """

    weights: str
    revision: str | None
    variant: str | None
    frames: int | None
    embeddings: str | None
    options: Options

    @property
    def remote(self) -> bool:
        """Whether the files are a hub repository's."""
        return is_hub_id(self.weights)

    @cached_property
    def folder(self) -> PipelineFolder:
        """Its folder; that of a hub repository is fetched.

        Raises:
            EnvironmentFault: If the repository is not on this machine and the hub not in reach.
        """
        if not self.remote:
            return PipelineFolder(Path(self.weights).expanduser(), self.variant)
        kind = "" if self.variant is None else f".{self.variant}"
        weights = [
            f"*/{stem}{kind}{part}.safetensors"
            for stem in ("diffusion_pytorch_model", "model")
            for part in ("", "-?????-of-?????")
        ]
        found = fetched(self.weights, self.revision, wanted=[*_WANTED, *weights])
        return PipelineFolder(found, self.variant)

    @cached_property
    def description(self) -> Description:
        """What is known of its pipeline.

        Raises:
            UsageError: If there is no pipeline or an option does not fit it.
            DataError: If a component is missing.
        """
        about = description_of(self.folder)
        _require_effect(about, self.options)
        return about

    @cached_property
    def texts(self) -> Texts:
        """What embeds its prompts."""
        return Texts(self.description, self.embeddings)

    @cached_property
    def longest(self) -> int:
        """Frames of the longest clip."""
        return self.description.longest(self.frames)

    def guidance(self, prompt: str) -> float:
        """Returns the guidance of a rollout: none where both its sides are told the same."""
        if self.description.text is not None and not prompt:
            return 1.0
        asked = self.options.guidance
        return self.description.guidance if asked is None else asked

    def card(self, name: str, fps: float | None, licence: str | None) -> AdapterCard:
        """Returns the card; name, frame rate and licence do not come from the files.

        Raises:
            EnvironmentFault: If the repository is not on this machine and the hub not in reach.
            UsageError: If the folder or an option cannot be used.
            DataError: If a component is missing or does not read.
        """
        about, options = self.description, self.options
        told = [options.told(), self.longest, self.texts.revision]
        weights = self.folder.revision(about.parts)
        local = "a local folder of diffusers"
        return AdapterCard(
            name=name,
            revision=digest(["diffusers", _VERSION, operators.VERSION, weights, told]),
            family="generative",
            summary=self._summary(),
            capabilities=("generates", "surprises"),
            operators=about.operators,
            parameters=self.folder.parameters(about.parts),
            fps=about.fps if fps is None else fps,
            size=options.size,
            frames=self.longest,
            temporal_stride=about.stride,
            min_context=about.stride,
            max_context=self.longest - 1 - about.stride if about.keeps_prefix else None,
            stochastic=True,
            licence=licence,
            source=f"https://huggingface.co/{self.weights}" if self.remote else local,
        )

    def _summary(self) -> str:
        about, options = self.description, self.options
        size = "" if options.size is None else "; clips resized to {}×{}".format(*options.size)
        return (
            f"{about.pipeline}: {about.conditions}; makes {about.lengths(self.longest)}, "
            f"and cuts off what comes after the future; {options.steps} steps, "
            f"guidance {self.guidance(options.prompt):g}, {options.dtype}{size}"
        )


def _require_effect(about: Description, options: Options) -> None:
    """Refuses options that the pipeline cannot follow, or that would change nothing.

    Raises:
        UsageError: If there is one.
    """
    if options.size is not None and any(side % about.multiple for side in options.size):
        height, width = (max(round(side / about.multiple), 1) for side in options.size)
        raise UsageError(
            f"adapter.size: {about.pipeline} makes no clips of this size",
            seen="{} × {}".format(*options.size),
            accepted=f"multiples of {about.multiple}",
            fix=f"adapter.size=[{height * about.multiple},{width * about.multiple}]",
        )
    if about.text is None and options.prompt:
        raise UsageError(
            f"adapter.prompt: {about.pipeline} reads no prompts",
            seen=repr(options.prompt),
            accepted="no prompt",
            fix="adapter.prompt=''",
        )
    if about.text is not None and not options.prompt and options.guidance not in (None, 1.0):
        raise UsageError(
            "adapter.guidance has no effect without a prompt: both its sides are told nothing",
            seen=f"{options.guidance:g}",
            accepted="a prompt, or no guidance",
            fix="adapter.guidance=null",
        )
