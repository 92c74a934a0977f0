"""A pipeline at work: loaded on the first question, asked clip by clip."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldbench.adapters.diffusers.description import Asked, Embeddings
from worldbench.adapters.diffusers.identity import Identity
from worldbench.adapters.diffusers.loading import load_pipeline, out_of_memory, quiet
from worldbench.adapters.diffusers.text import EMBEDS
from worldbench.errors import ContractError


class Player:
    """Asks a pipeline.

    Args:
        identity: Which one.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._pipes: dict[torch.device, Any] = {}
        self._embedded: dict[str, Embeddings] = {}

    @contextmanager
    def asking(self, device: torch.device) -> Iterator[Any]:
        """Gives the pipeline, loaded, with its own precision and nothing said by its library.

        Raises:
            EnvironmentFault: If something is not installed or the memory is too small.
            DataError: If a component does not load.
        """
        pipe = self._pipe(device)
        with (
            out_of_memory("asking the pipeline"),
            quiet(),
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            yield pipe

    def _pipe(self, device: torch.device) -> Any:
        if device not in self._pipes:
            options = self._identity.options
            # Suites ask in inference mode, whose tensors would be of no use outside it.
            with torch.inference_mode(False):
                self._pipes[device] = load_pipeline(
                    self._identity.description,
                    options.precision,
                    offload=options.offload,
                    device=device,
                )
        return self._pipes[device]

    def told(self, prompt: str, device: torch.device) -> Embeddings:
        """Returns the embeddings of a prompt as the pipeline takes them.

        Raises:
            ValueError: If there is a prompt and nothing that could read it.
        """
        if prompt not in self._embedded:
            with torch.inference_mode(False):
                self._embedded[prompt] = self._identity.texts.embedded(prompt)
        found = {name: value.to(device) for name, value in self._embedded[prompt].items()}
        if EMBEDS in found:
            found[EMBEDS] = found[EMBEDS].to(self._identity.options.precision)
        return found

    def rollouts(
        self,
        shown: Float[Tensor, "b f 3 h w"],
        horizon: int,
        prompts: Sequence[str],
        keys: Sequence[Sequence[int]],
    ) -> Float[Tensor, "b s t 3 h w"]:
        """Makes rollouts one by one, so that none depends on how many there are.

        Args:
            shown: The frames that the pipeline is shown.
            horizon: Frames wanted after them.
            prompts: One per clip.
            keys: Seeds of each clip's rollouts.

        Raises:
            ContractError: If the pipeline returns another number of frames than it should.
        """
        told = [self.told(prompt, shown.device) for prompt in prompts]
        found = []
        with self.asking(shown.device) as pipe:
            for clip, text, prompt, seeds in zip(shown, told, prompts, keys, strict=True):
                asked = self._asked(clip, horizon, text, prompt)
                found.append(torch.stack([self._made(pipe, asked, seed) for seed in seeds]))
        return torch.stack(found)[:, :, :horizon]

    def _asked(
        self, clip: Float[Tensor, "t 3 h w"], horizon: int, text: Embeddings, prompt: str
    ) -> Asked:
        about, longest = self._identity.description, self._identity.longest
        frames = about.length(len(clip) + horizon, longest)
        guidance = self._identity.guidance(prompt)
        if about.text is not None and guidance > 1:
            nothing = self.told("", clip.device)
            text = text | {f"negative_{name}": value for name, value in nothing.items()}
        return Asked(clip, frames, text, guidance)

    def _made(self, pipe: Any, asked: Asked, seed: int) -> Float[Tensor, "t 3 h w"]:
        """Returns everything that the pipeline makes after what it is shown, in [0, 1]."""
        about = self._identity.description
        # On the CPU, so that the noise is the same on every device.
        generator = torch.Generator().manual_seed(seed)
        made: Tensor
        (made,) = pipe(
            **about.arguments(pipe, asked),
            num_inference_steps=self._identity.options.steps,
            generator=generator,
            output_type="pt",
        ).frames
        wanted = about.returned(len(asked.shown), asked.frames)
        if len(made) != wanted:
            raise ContractError(
                f"{about.pipeline} returned another number of frames than it was asked for",
                seen=f"{len(made)} frames",
                accepted=f"{wanted}, for clips of {asked.frames}",
                fix="a version of diffusers that worldbench was tested with: 0.42",
            )
        return made[about.surplus(len(asked.shown)) :].to(asked.shown)
