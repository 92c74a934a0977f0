"""A video diffusion pipeline as an adapter: it generates and is surprised."""

from collections.abc import Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench import operators
from worldbench.adapter import NoiseBank
from worldbench.adapters.asked import checked_clips
from worldbench.adapters.diffusers.denoising import denoising_curve
from worldbench.adapters.diffusers.description import Asked
from worldbench.adapters.diffusers.frames import completed
from worldbench.adapters.diffusers.identity import Identity
from worldbench.adapters.diffusers.options import checked
from worldbench.adapters.diffusers.player import Player
from worldbench.batches import resized
from worldbench.errors import DataError
from worldbench.schema import AdapterCard, seed_of


class Diffusers:
    """A pipeline of diffusers continues clips, and is surprised by what came.

    Which pipeline it is, its folder tells. It is called as its authors call it, clip by clip, with
    a generator for every rollout. Pipelines that make a picture move are shown the last frame of
    the context; those that continue clips are shown all of it, the first frame twice, since their
    first latent step is of one frame. They make the shortest clips that they can and that hold the
    future; what comes after it is cut off.

    A local folder is looked at when the adapter is made; a repository of the hub is fetched when
    its card is first read. Weights are loaded on the first question. ``adapter.dtype`` alone
    decides on the precision: autocast is off.

    Args:
        weights: A folder that ``save_pretrained`` wrote, or the id of a hub repository.
        name: The name shown on the board.
        revision: Commit, tag or branch of the repository; None is its main branch.
        variant: Of the weight files, e.g. ``fp16``; None is those without a variant.
        steps: Denoising steps of a rollout.
        guidance: Scale of the guidance; None is the pipeline's usual one.
        dtype: ``bf16``, ``fp16`` or ``fp32``.
        offload: ``none``, ``model`` or ``sequential``: where components wait for their turn.
        size: Height and width that clips are resized to, and rollouts back; None takes clips as
            they are.
        frames: The longest clip, what is shown and the future; None is that of the clips that the
            pipeline was made for.
        fps: Frames per second of its clips, for the card; None is the pipeline's usual.
        prompt: What all rollouts are told; empty for nothing.
        embeddings: A safetensors file with the embeddings of the empty prompt, for folders
            without a text encoder.
        levels: Shares of noise at which the denoising error is taken.
        draws: Pairs ±ε of noise per level.
        samples: Rollouts that ``sample_distance`` compares with the clip.
        licence: Of the weights, for the card.

    Raises:
        UsageError: If an option is out of range, there is no such pipeline, or weights are pickles.
        DataError: If its files do not read or a component is missing.
    """

    def __init__(
        self,
        weights: str,
        name: str = "diffusers",
        revision: str | None = None,
        variant: str | None = None,
        steps: int = 25,
        guidance: float | None = None,
        dtype: str = "bf16",
        offload: str = "none",
        size: Sequence[int] | None = None,
        frames: int | None = None,
        fps: float | None = None,
        prompt: str = "",
        embeddings: str | None = None,
        levels: Sequence[float] = (0.3, 0.5, 0.7, 0.9),
        draws: int = 1,
        samples: int = 1,
        licence: str | None = None,
    ) -> None:
        options = checked(
            steps=steps,
            guidance=guidance,
            dtype=dtype,
            offload=offload,
            size=size,
            prompt=prompt,
            levels=levels,
            draws=draws,
            samples=samples,
        )
        self._shown_as = (name, fps, licence)
        self._identity = Identity(str(weights), revision, variant, frames, embeddings, options)
        self._player = Player(self._identity)
        if not self._identity.remote:
            _ = self.card  # tells of a wrong folder before data are looked at

    @cached_property
    def card(self) -> AdapterCard:
        """Who it is and which clips it takes; that of a hub repository fetches it.

        Raises:
            EnvironmentFault: If the repository is not on this machine and the hub not in reach.
        """
        return self._identity.card(*self._shown_as)

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
        """Samples rollouts one by one; sample k of a seed is the same however many are asked for.

        Args:
            context: A legal context, values in [0, 1].
            horizon: Frames to foresee.
            samples: Rollouts per context.
            seeds: One per context.
            actions: Change nothing.
            prompt: What each rollout is told; None is ``adapter.prompt`` for all.

        Raises:
            ValueError: If the context is not legal or of no usable size, seeds or prompts do not
                match it, or nothing is asked for.
            DataError: If context and future are longer than the longest clip.
            ContractError: If the pipeline returns another number of frames than it should.
            EnvironmentFault: If something is not installed or the memory is too small.
        """
        context = checked_clips(context)
        if horizon < 1 or samples < 1:
            raise ValueError(f"horizon and samples must be ≥ 1, got {horizon} and {samples}")
        if len(seeds) != len(context):
            raise ValueError(f"{len(context)} contexts but {len(seeds)} seeds")
        prompts = [self._identity.options.prompt] * len(context) if prompt is None else list(prompt)
        if len(prompts) != len(context):
            raise ValueError(f"{len(context)} contexts but {len(prompts)} prompts")
        keys = [[seed_of("diffusers", seed, k) for k in range(samples)] for seed in seeds]
        return self._rollouts(context, horizon, prompts, keys)

    def _rollouts(
        self,
        context: Float[Tensor, "b c 3 h w"],
        horizon: int,
        prompts: Sequence[str],
        keys: Sequence[Sequence[int]],
    ) -> Float[Tensor, "b s t 3 h w"]:
        self._require_lengths(context.shape[1], horizon)
        shown = self._identity.description.shown(self._sized(context))
        made = self._player.rollouts(shown, horizon, prompts, keys)
        size = (context.shape[-2], context.shape[-1])
        return resized(made.flatten(0, 1), size).reshape(*made.shape[:4], *size)

    def surprise(
        self,
        video: Float[Tensor, "b t 3 h w"],
        context: int,
        *,
        operator: str,
        noise: NoiseBank,
    ) -> Float[Tensor, "b steps"]:
        """Returns how little was expected what came after the context, per latent step; float64.

        Operators: ``denoising_error``, the mean over levels of :meth:`denoising_curve`, where the
        pipeline's convention is known; ``sample_distance``, of rollouts to the clip
        (:func:`worldbench.operators.sample_distance`), seeded by the suite's noise.

        Raises:
            ValueError: If context, size or operator is not legal, or nothing comes after the
                context.
            DataError: If the clip is longer than the longest.
        """
        known = self.card.operators
        if operator not in known:
            raise ValueError(f"no operator {operator!r}; there are {', '.join(known)}")
        if operator == "denoising_error":
            return self.denoising_curve(video, context, noise).mean(dim=1)
        video, options = checked_clips(video), self._identity.options
        past, future = video[:, :context], video[:, context:]
        drawn = [noise.draw((2,), level=0.0, index=k, sign=1) for k in range(options.samples)]
        keys = [
            [seed_of("sample_distance", *map(float, each[i])) for each in drawn]
            for i in range(len(video))
        ]
        prompts = [options.prompt] * len(video)
        rollouts = self._rollouts(past, future.shape[1], prompts, keys)
        return operators.sample_distance(rollouts, future, self.card.temporal_stride)

    def denoising_curve(
        self, video: Float[Tensor, "b t 3 h w"], context: int, noise: NoiseBank
    ) -> Float[Tensor, "b levels steps"]:
        """Returns the error of x̂ at each of ``levels`` and each future latent step; float64.

        Futures are encoded behind the frames shown, so that the latents of a step have seen the
        frames before it. The last frame is repeated until the last step is whole. Nothing but
        the prompt, and no guidance, is told to the network beside what it is shown.

        Raises:
            ValueError: If the context or the size is not legal, nothing comes after it, or the
                pipeline's convention is not computed with here.
            DataError: If the clip is longer than the longest.
        """
        video, about = checked_clips(video), self._identity.description
        self._require_lengths(context, video.shape[1] - context)
        video = self._sized(video)
        past, future = about.shown(video[:, :context]), video[:, context:]
        shown, steps = past.shape[1], -(-future.shape[1] // about.stride)
        clips = completed(torch.cat([past, future], dim=1), shown + steps * about.stride)
        options = self._identity.options
        text = self._player.told(options.prompt, clips.device)
        fresh = noise.draw((3, *clips.shape[-2:]), level=0.0, index=0, sign=1).to(clips)
        with self._player.asking(clips.device) as pipe:
            denoisers = [
                about.denoiser(pipe, clip, Asked(clip[:shown], len(clip), text, 1.0), own)
                for clip, own in zip(clips, fresh, strict=True)
            ]
            return denoising_curve(denoisers, options.levels, options.draws, noise)

    def _sized(self, video: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b t 3 h2 w2"]:
        """Returns clips of a size that the pipeline makes."""
        size, about = self._identity.options.size, self._identity.description
        if size is not None:
            return resized(video, size)
        height, width = video.shape[-2:]
        if height % about.multiple or width % about.multiple:
            raise ValueError(
                f"clips of {height} × {width} are not of a size that {about.pipeline} makes: "
                f"multiples of {about.multiple}; render them so, or choose adapter.size=[H,W] to "
                "resize them"
            )
        return video

    def _require_lengths(self, context: int, horizon: int) -> None:
        card, about = self.card, self._identity.description
        if not card.legal_context(context):
            most = "" if card.max_context is None else f" and at most {card.max_context}"
            raise ValueError(
                f"{card.name} needs a context of at least {card.min_context}{most} frames, a "
                f"multiple of {card.temporal_stride}; got {context}"
            )
        if horizon < 1:
            raise ValueError(f"horizon must be ≥ 1, got {horizon}: nothing comes after the context")
        shown, longest = about.count(context), self._identity.longest
        if about.whole(context, horizon) > longest:
            raise DataError(
                f"{about.pipeline} makes no clips that hold this future",
                seen=f"{shown} frames shown and {horizon} to foresee",
                accepted=about.lengths(longest),
                fix=f"a shorter horizon, or adapter.frames={about.whole(context, horizon)}: longer "
                "clips than it was made for",
            )
