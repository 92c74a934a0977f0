"""The JEPA as an adapter: it encodes, predicts and is surprised."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from worldbench.adapter import Latents, NoiseBank
from worldbench.adapters.asked import checked_clips
from worldbench.schema import AdapterCard, digest
from worldbench_models import options
from worldbench_models.jepa.estimator import Estimator
from worldbench_models.jepa.network import Shape, normed
from worldbench_models.jepa.origin import MODEL
from worldbench_models.jepa.surprise import latent_error
from worldbench_models.origin import RANDOM, Facts, origin
from worldbench_models.patches import PATCH
from worldbench_models.pixels import to_patches
from worldbench_models.questions import depth_at, layers_of, require_legal, with_future

OPERATORS = ("latent_error", "latent_error_fullclip")

_VERSION = 1
"""Raised when the same weights and options give other answers than before."""

_STRIDE = PATCH[0]


class JEPAAdapter:
    """A joint-embedding predictor, with trained weights or, as its own floor, random ones.

    What ``predict`` foresees of a context of C frames is ``encode(video[:, C:])``, the future
    encoded alone, at the last layer, which is the default one. So a read-out that is fitted on
    ``encode`` of real futures applies to ``predict`` as it is: that is the way from its rollouts to
    pixels, states and distances. Latents are layer-normed without gain, and they tell how long the
    stretch is that they were encoded in: the shipped weights have learnt contexts of 2, 4 … 14
    frames of 16-frame clips, and foresee that remainder. Other lengths are answered, and worse.

    Clips of another size than its own are resized, the short side to its own and the other to the
    nearest whole patch. An odd last frame counts twice. Clips that are no finite floats in [0, 1],
    or are longer or taller than 4:1, are a ValueError.

    Args:
        name: The name shown on the board.
        weights: A weight file; ``random``; or None for those shipped in ``size``.
        size: Of shipped or random weights; a file tells its own.
        seed: Of random weights.

    Raises:
        UsageError: If an option is out of range or of another type.
        DataError: If the weights cannot be read.
    """

    def __init__(
        self,
        name: str = "jepa",
        weights: str | None = None,
        size: str = "s",
        seed: int = 0,
    ) -> None:
        options.known_size(size)
        named, seed = options.weights_name(weights), options.checked_seed(seed)
        source = origin(MODEL, named, size=size, seed=seed)
        self._side = min(source.facts.resolution)
        self.layers = layers_of(source.facts.shape.encoder.depth)
        self.card = self._card(name, source.facts, trained=weights != RANDOM)
        self._network = Estimator(source)

    def _card(self, name: str, facts: Facts[Shape], *, trained: bool) -> AdapterCard:
        return AdapterCard(
            name=name,
            revision=digest(["jepa", _VERSION, facts.key]),
            family="predictive",
            summary="video joint-embedding predictive architecture, "
            + ("trained on the procedural worlds" if trained else "random weights"),
            capabilities=("encodes", "predicts", "surprises"),
            operators=OPERATORS,
            stochastic=False,
            **facts.on_card(),
        )

    def encode(
        self,
        video: Float[Tensor, "b t 3 h w"],
        *,
        layer: str | None = None,
        noise: float | None = None,
        seed: int = 0,
    ) -> Latents:
        """Returns the tokens after a block of the encoder, each of mean 0 and variance 1.

        Clips longer than those of its training are encoded in parts
        (:meth:`~worldbench_models.jepa.estimator.Estimator.encode`).

        Args:
            video: Clips.
            layer: One of ``layers``; the last if None, and what ``predict`` foresees is there.
            noise: None or 0: nothing here was trained on noisy clips.
            seed: Changes nothing.

        Raises:
            ValueError: If layer or noise does not exist.
        """
        layer = self.layers[-1] if layer is None else layer
        return self.encode_layers(video, (layer,), noise=noise, seed=seed)[layer]

    def encode_layers(
        self,
        video: Float[Tensor, "b t 3 h w"],
        layers: Sequence[str],
        *,
        noise: float | None = None,
        seed: int = 0,
    ) -> dict[str, Latents]:
        """Returns what :meth:`encode` gives at several layers, in one pass.

        Raises:
            ValueError: If a layer or the noise does not exist.
        """
        video = checked_clips(video)
        depths = [depth_at(layer, self.layers) for layer in layers]
        if noise not in (None, 0):
            raise ValueError(f"{self.card.name} knows no noise levels: None or 0, got {noise}")
        found = self._network.encode_at(to_patches(video, self._side), depths).unbind(dim=1)
        return {
            layer: Latents(tokens, _STRIDE) for layer, tokens in zip(layers, found, strict=True)
        }

    def predict(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        *,
        actions: Tensor | None = None,
    ) -> Latents:
        """Foresees the latents of the next frames, encoded alone, and normed as those are.

        Beyond a window, predictions take the place of what was seen. (Surprise compares what the
        predictor says as it says it, as in training.)

        Args:
            context: Clips; of long ones only the last frames are seen.
            horizon: Frames; there is one latent step for each two, also where the last has one.
            actions: Change nothing.

        Raises:
            ValueError: If the context is not legal or nothing is asked for.
        """
        context = checked_clips(context)
        require_legal(self.card, context.shape[1])
        if horizon < 1:
            raise ValueError(f"horizon must be ≥ 1, got {horizon}")
        patches = to_patches(context, self._side)
        foreseen = self._network.rollout(patches, math.ceil(horizon / _STRIDE))
        return Latents(normed(foreseen), _STRIDE)

    def surprise(
        self,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        *,
        operator: str,
        noise: NoiseBank,
    ) -> Float[Tensor, "b steps"]:
        """Returns how little was expected what comes after the context, per latent step; float64.

        Operators: ``latent_error``, of predictions to the future encoded alone;
        ``latent_error_fullclip``, to the future within the whole clip encoded, as published, for
        comparison only: its targets have seen the context
        (:func:`~worldbench_models.jepa.surprise.latent_error`). No noise is drawn.

        Raises:
            ValueError: If context or operator is not legal, or nothing comes after the context.
        """
        video = with_future(self.card, video, context)
        if operator not in OPERATORS:
            raise ValueError(f"no operator {operator!r}; there are {', '.join(OPERATORS)}")
        patches = to_patches(video, self._side)
        fullclip = operator == "latent_error_fullclip"
        return latent_error(self._network, patches, context // _STRIDE, fullclip=fullclip)
