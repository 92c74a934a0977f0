"""The video DiT as an adapter: it encodes, generates and is surprised."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import Latents, NoiseBank
from worldbench.adapters.asked import checked_clips
from worldbench.options import one_of
from worldbench.schema import AdapterCard, digest
from worldbench_models import options
from worldbench_models.blocks import Size
from worldbench_models.dit.estimator import Estimator
from worldbench_models.dit.flow import noised
from worldbench_models.dit.noise import drawn, rollout_noise
from worldbench_models.dit.origin import MODEL
from worldbench_models.dit.sampler import DrawNoise, rollout
from worldbench_models.dit.surprise import Denoising
from worldbench_models.origin import RANDOM, Facts, origin
from worldbench_models.patches import PATCH
from worldbench_models.pixels import to_patches, to_video
from worldbench_models.questions import depth_at, layers_of, require_legal, with_future

OPERATORS = ("denoising_error", "history_contrast", "sample_distance")

_VERSION = 1
"""Raised when the same weights and options give other answers than before, but for rounding."""

_STRIDE = PATCH[0]


class DiTAdapter:
    """A diffusion transformer over pixels, with trained weights or, as its own floor, random ones.

    Clips of another size than its own are resized, the short side to its own and the other to the
    nearest whole patch, and rollouts are resized back. An odd last frame counts twice. Clips
    that are no finite floats in [0, 1], or are longer or taller than 4:1, are a ValueError.

    Args:
        name: The name shown on the board.
        weights: A weight file; ``random``; or None for those shipped in ``size``.
        size: Of shipped or random weights; a file tells its own.
        seed: Of random weights.
        layer: Where latents are taken by default; None is the block at two thirds of the depth.
        noise: Share of noise σ = 1 − t in a clip that is encoded, by default.
        sampler_steps: Evaluations of the network per window of a rollout.
        levels: Noise levels t at which the denoising error is taken.
        draws: Pairs ±ε of noise per level.
        samples: Rollouts that ``sample_distance`` compares with the clip.

    Raises:
        UsageError: If an option is out of range or of another type.
        DataError: If the weights cannot be read.
    """

    noise_range = (0.0, 1.0)
    """Shares of noise that :meth:`encode` takes."""

    def __init__(
        self,
        name: str = "dit",
        weights: str | None = None,
        size: str = "s",
        seed: int = 0,
        layer: str | None = None,
        noise: float = 0.3,
        sampler_steps: int = 20,
        levels: Sequence[float] = (0.1, 0.3, 0.5, 0.7),
        draws: int = 1,
        samples: int = 4,
    ) -> None:
        self.levels, self.noise = options.noise_levels(levels), options.share("noise", noise)
        self.sampler_steps = options.count("sampler_steps", sampler_steps)
        self.draws, self.samples = options.count("draws", draws), options.count("samples", samples)
        options.known_size(size)
        named, seed = options.weights_name(weights), options.checked_seed(seed)
        source = origin(MODEL, named, size=size, seed=seed)
        facts = source.facts
        self._length, self._side = facts.frames // _STRIDE, min(facts.resolution)
        self.layers = layers_of(facts.shape.depth)
        usual = self.layers[round(2 / 3 * facts.shape.depth) - 1]
        self.layer = usual if layer is None else one_of("adapter.layer", layer, self.layers)
        self.card = self._card(name, facts, trained=weights != RANDOM)
        self._estimate = Estimator(source)
        self._denoising = Denoising(self._estimate, self.levels, self.draws, self._length)

    def _card(self, name: str, facts: Facts[Size], *, trained: bool) -> AdapterCard:
        told = [self.layer, self.noise, self.sampler_steps, self.levels, self.draws]
        return AdapterCard(
            name=name,
            revision=digest(["dit", _VERSION, operators.VERSION, facts.key, told, self.samples]),
            family="generative",
            summary="pixel-space video diffusion transformer, "
            + ("trained on the procedural worlds" if trained else "random weights")
            + f"; Euler, {self.sampler_steps} steps",
            capabilities=("encodes", "generates", "surprises"),
            operators=OPERATORS,
            stochastic=True,
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
        """Returns the tokens after a block, given a clip with noise over all of it.

        Args:
            video: Clips.
            layer: One of ``layers``.
            noise: Share of noise σ = 1 − t, in [0, 1].
            seed: Of the noise, which all clips of the batch share.

        Raises:
            ValueError: If layer or noise does not exist.
        """
        layer = self.layer if layer is None else layer
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
        noise = self.noise if noise is None else noise
        if not 0 <= noise <= 1:
            raise ValueError(f"noise must be in [0, 1], got {noise}")
        clean = to_patches(video, self._side)
        fresh = drawn(tuple(clean.shape[1:]), seed).to(clean.device)
        levels = clean.new_full(clean.shape[:2], 1 - noise)
        noisy = noised(clean, fresh.expand_as(clean), levels)
        found = self._estimate.features(noisy, levels, depths).unbind(dim=1)
        return {
            layer: Latents(tokens, _STRIDE) for layer, tokens in zip(layers, found, strict=True)
        }

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
        """Samples rollouts; sample k of a trial is the same however many are asked for.

        Actions and prompt change nothing.

        Raises:
            ValueError: If the context is not legal, seeds do not match it, or nothing is asked for.
        """
        context = checked_clips(context)
        require_legal(self.card, context.shape[1])
        if horizon < 1 or samples < 1:
            raise ValueError(f"horizon and samples must be ≥ 1, got {horizon} and {samples}")
        if len(seeds) != len(context):
            raise ValueError(f"{len(context)} contexts but {len(seeds)} seeds")
        draw = rollout_noise(seeds, samples, context.device)
        patches = to_patches(context, self._side).repeat_interleave(samples, dim=0)
        future = self._rollout(patches, horizon, draw)
        video = to_video(future, horizon, (context.shape[-2], context.shape[-1]))
        return video.reshape(len(context), samples, *video.shape[1:])

    def surprise(
        self,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        *,
        operator: str,
        noise: NoiseBank,
    ) -> Float[Tensor, "b steps"]:
        """Returns how little was expected what comes after the context, per latent step.

        Operators: ``denoising_error``, the mean over levels of :meth:`denoising_curve`;
        ``history_contrast``, that minus what it is with the past noised away (only for clips that
        share a prefix); ``sample_distance``, of rollouts to the clip
        (:func:`worldbench.operators.sample_distance`).

        Raises:
            ValueError: If context or operator is not legal, or nothing comes after the context.
        """
        video = with_future(self.card, video, context)
        if operator == "denoising_error":
            return self.denoising_curve(video, context, noise).mean(dim=1)
        if operator == "history_contrast":
            patches = to_patches(video, self._side)
            return self._denoising.contrast(patches, context // _STRIDE, noise).mean(dim=1)
        if operator == "sample_distance":
            return self._sample_distance(video, context, noise)
        raise ValueError(f"no operator {operator!r}; there are {', '.join(OPERATORS)}")

    def denoising_curve(
        self, video: Float[Tensor, "b t 3 h w"], context: int, noise: NoiseBank
    ) -> Float[Tensor, "b levels steps"]:
        """Returns the denoising error at each of ``levels`` and each future latent step.

        Raises:
            ValueError: If the context is not legal, or nothing comes after it.
        """
        video = with_future(self.card, video, context)
        return self._denoising.curve(to_patches(video, self._side), context // _STRIDE, noise)

    def _sample_distance(
        self, video: Float[Tensor, "b t 3 h w"], context: int, noise: NoiseBank
    ) -> Float[Tensor, "b steps"]:
        patches, future = to_patches(video[:, :context], self._side), video[:, context:]
        size = (video.shape[-2], video.shape[-1])
        rollouts = []
        for k in range(self.samples):

            def draw(window: int, shape: tuple[int, int, int, int], k: int = k) -> Tensor:
                index = window * self.samples + k
                return noise.draw(shape, level=0.0, index=index, sign=1).to(video)

            foreseen = self._rollout(patches, future.shape[1], draw)
            rollouts.append(to_video(foreseen, future.shape[1], size))
        return operators.sample_distance(torch.stack(rollouts, dim=1), future, _STRIDE)

    def _rollout(
        self, context: Float[Tensor, "b c h w p"], horizon: int, draw: DrawNoise
    ) -> Float[Tensor, "b f h w p"]:
        return rollout(
            self._estimate,
            context,
            math.ceil(horizon / _STRIDE),
            draw=draw,
            length=self._length,
            steps=self.sampler_steps,
        )
