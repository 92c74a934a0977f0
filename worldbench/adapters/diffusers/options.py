"""What can be chosen of a pipeline, checked before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from worldbench.errors import UsageError
from worldbench.options import at_least, one_of

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
OFFLOADS = ("none", "model", "sequential")


@dataclass(frozen=True)
class Options:
    """The options of an adapter, those of the folder and of the card apart.

    Attributes:
        steps: Denoising steps of a rollout.
        guidance: Scale of the guidance; None is what the pipeline takes by default.
        dtype: Precision of the weights and of all arithmetic, one of :data:`DTYPES`.
        offload: Where components wait that are not at work, one of :data:`OFFLOADS`.
        size: Height and width that clips are resized to; None leaves them as they are.
        prompt: The text that all rollouts are told; empty for none.
        levels: Shares of noise at which the denoising error is taken, in (0, 1).
        draws: Pairs ±ε of noise per level.
        samples: Rollouts that ``sample_distance`` compares with the clip.
    """

    steps: int
    guidance: float | None
    dtype: str
    offload: str
    size: tuple[int, int] | None
    prompt: str
    levels: tuple[float, ...]
    draws: int
    samples: int

    @property
    def precision(self) -> torch.dtype:
        """The type that ``dtype`` names."""
        return DTYPES[self.dtype]

    def told(self) -> list[object]:
        """Returns all that changes answers, for the revision."""
        size = None if self.size is None else list(self.size)
        asked = [self.steps, self.guidance, self.dtype, size, self.prompt]
        return [*asked, list(self.levels), self.draws, self.samples]


def checked(
    *,
    steps: object,
    guidance: object,
    dtype: object,
    offload: object,
    size: object,
    prompt: object,
    levels: object,
    draws: object,
    samples: object,
) -> Options:
    """Returns the options.

    Raises:
        UsageError: If one is out of range or of another type; it names the option.
    """
    if guidance is not None:
        guidance = _number("adapter.guidance", guidance, 1.0)
    if not isinstance(prompt, str):
        raise _refused("adapter.prompt", prompt, "a text", "adapter.prompt=''")
    return Options(
        steps=at_least("adapter.steps", steps, 1),
        guidance=guidance,
        dtype=one_of("adapter.dtype", dtype, tuple(DTYPES)),
        offload=one_of("adapter.offload", offload, OFFLOADS),
        size=_size(size),
        prompt=prompt,
        levels=_levels(levels),
        draws=at_least("adapter.draws", draws, 1),
        samples=at_least("adapter.samples", samples, 1),
    )


def _number(option: str, value: object, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= least:
        raise _refused(option, value, f"a number of at least {least:g}", f"{option}=null")
    return float(value)


def _size(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    accepted, fix = "height and width in pixels, or null", "adapter.size=[480,832]"
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise _refused("adapter.size", value, accepted, fix)
    height, width = (at_least("adapter.size", side, 1) for side in value)
    return height, width


def _levels(values: object) -> tuple[float, ...]:
    levels = tuple(values) if isinstance(values, Sequence) else ()
    # No bool or text lies in (0, 1).
    good = [v for v in levels if isinstance(v, int | float) and 0 < v < 1]
    if not good or len(good) != len(levels) or len(set(good)) != len(good):
        accepted = "one or more different shares of noise in (0, 1)"
        raise _refused("adapter.levels", values, accepted, "adapter.levels=[0.5]")
    return tuple(float(level) for level in good)


def _refused(option: str, seen: object, accepted: str, fix: str) -> UsageError:
    return UsageError(f"{option} is not usable", seen=seen, accepted=accepted, fix=fix)
