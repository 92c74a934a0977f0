"""The contracts between suites and models: what an adapter can be asked.

An adapter implements the capabilities it can; a suite states which it accepts; a pair that does not
fit becomes a ``skipped`` record. Video at the boundary is float32 in [0, 1], RGB, ``b t c h w``.
Adapters resize and normalise themselves and never draw noise of their own: seeds and noise banks
come from the suite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from worldbench.schema import AdapterCard, Trial


@dataclass(frozen=True)
class Latents:
    """A grid of latent tokens, ``temporal_stride`` frames per step.

    Of one adapter, ``h'``, ``w'``, ``d`` and stride depend on the clips' size alone: the same for
    what is encoded and what is predicted.

    Attributes:
        tokens: Features, ``b t' h' w' d``, finite float.
        temporal_stride: Frames that one latent step stands for.
    """

    tokens: Float[Tensor, "b t h w d"]
    temporal_stride: int


@runtime_checkable
class NoiseBank(Protocol):
    """The suite's noise for a batch, shared by all clips of a trial so that differences cancel it.

    The suite binds it to the trials of the batch, so an adapter need not know them.
    """

    def draw(
        self, shape: tuple[int, ...], *, level: float, index: int, sign: int
    ) -> Float[Tensor, "b ..."]:
        """Returns standard normal noise ``b *shape``, keyed by (trial id, level, index, sign)."""
        ...


@runtime_checkable
class Adapter(Protocol):
    """What every adapter has: its identity."""

    @property
    def card(self) -> AdapterCard:
        """Who it is and which clips it takes."""
        ...


@runtime_checkable
class Encodes(Protocol):
    """Maps a video to latents, each clip by itself.

    The latents of its default layer are the adapter's own space: what probes read, and what an
    adapter that predicts answers in.
    """

    def encode(
        self,
        video: Float[Tensor, "b t 3 h w"],
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        """Returns the latents of every latent step of the video, from its first frame on.

        Args:
            video: Clips, values in [0, 1]; a suffix of a clip is a clip like any other.
            layer: Where latents are taken; None is the default layer, of one space for good.
            noise: Share of noise in the clips, where the adapter has such a thing.
            seed: Of that noise.
        """
        ...


@runtime_checkable
class Layered(Protocol):
    """Names the layers at which ``encode`` gives latents; for probes, which look at several."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Their names, from the first to the last."""
        ...


@runtime_checkable
class EncodesNoisy(Protocol):
    """Takes clips with noise in ``encode``."""

    @property
    def noise_range(self) -> tuple[float, float]:
        """The least and the largest share of noise, in [0, 1]."""
        ...


@runtime_checkable
class EncodesLayers(Protocol):
    """Gives the latents of several layers for the price of the deepest.

    An adapter without it is asked for one layer at a time; the answers are the same.
    """

    def encode_layers(
        self,
        video: Float[Tensor, "b t 3 h w"],
        layers: Sequence[str],
        *,
        noise: float | None = None,
        seed: int = 0,
    ) -> dict[str, Latents]:
        """Returns by layer what ``encode`` gives there."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """Foresees latents from context pixels alone, in the space of its own ``encode``.

    What is foreseen stands for the future encoded alone, at the default layer: ``predict(video[:,
    :C], H)`` is the expectation of ``encode(video[:, C:C + H])``, of the same grid, width and
    temporal stride. Latents of a clip that includes its context are another space, in which the
    future has seen the past. Read-outs fitted on ``encode`` are applied to predictions by this.
    """

    def predict(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        *,
        actions: Tensor | None = None,
    ) -> Latents:
        """Returns predicted latents of the next ``horizon`` frames.

        Args:
            context: A legal context, values in [0, 1].
            horizon: Frames to foresee; one latent step per temporal stride of them.
            actions: What is done meanwhile, for adapters that are conditioned on it.
        """
        ...


@runtime_checkable
class Generates(Protocol):
    """Foresees pixels from context pixels."""

    def generate(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        *,
        samples: int,
        seeds: Sequence[int],
        actions: Tensor | None = None,
        prompt: Sequence[str] | None = None,
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Returns ``samples`` rollouts of exactly ``horizon`` future frames, in [0, 1].

        Item i of a stochastic adapter draws from ``seeds[i]`` alone, so results do not depend on
        how trials are batched. There is one seed per item of the batch, in [0, 2^60).
        """
        ...


@runtime_checkable
class Surprises(Protocol):
    """Says how little it expected what came after the context."""

    def surprise(
        self,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        *,
        operator: str,
        noise: NoiseBank,
    ) -> Float[Tensor, "b steps"]:
        """Returns one value per future latent step, higher = less expected."""
        ...


@runtime_checkable
class Replays(Protocol):
    """Answers by trial instead of from pixels: rollouts made elsewhere, or the real future.

    No model implements this: it is told which trial it answers and shown the true future, whose
    shape says which frames are wanted. Suites treat the answer as they treat ``generate``'s.
    """

    def require(self, trials: Sequence[Trial], samples: int) -> None:
        """Makes sure, before the first batch, that every trial can be answered.

        Raises:
            DataError: With the list of what is missing.
        """
        ...

    def replay(
        self,
        trials: Sequence[Trial],
        future: Float[Tensor, "b t 3 h w"],
        *,
        fps: float,
        samples: int,
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Returns the stored rollouts of these trials at the future's length, fps and size."""
        ...


CAPABILITIES: dict[str, type[Any]] = {
    "encodes": Encodes,
    "predicts": Predicts,
    "generates": Generates,
    "surprises": Surprises,
    "replays": Replays,
}


def capabilities(adapter: object) -> tuple[str, ...]:
    """Names the capabilities an object implements."""
    return tuple(name for name, kind in CAPABILITIES.items() if isinstance(adapter, kind))
