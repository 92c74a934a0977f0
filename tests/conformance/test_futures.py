"""State that is carried from one question to the next is a leak, however it was filled."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from sound_adapters import Latent, Sound, Stacked, failures
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.conformance import check

PREDICT, GENERATE = "predict: no temporal leak", "generate: no temporal leak"


class Carries(Stacked):
    """Keeps what one question showed it, and predicts that once, where the shape fits.

    Args:
        question: Which one fills its memory.
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question, self.kept = question, torch.zeros(0)

    def keep(self, question: str, tokens: Tensor) -> None:
        if question == self.question:
            self.kept = tokens

    def encode(self, video: Tensor, **options: Any) -> Latents:
        found = super().encode(video, **options)
        self.keep("encode", found.tokens)
        return found

    def encode_layers(
        self, video: Tensor, layers: Sequence[str], **options: Any
    ) -> dict[str, Latents]:
        found = super().encode_layers(video, layers)
        self.keep("encode_layers", next(iter(found.values())).tokens)
        return found

    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        value = super().surprise(video, context, **options)
        self.keep(options["operator"], Latent.encode(self, video[:, context:]).tokens)
        return value

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        found = super().predict(context, horizon)
        kept, self.kept = self.fitting(found.tokens.shape), torch.zeros(0)
        self.keep("predict", Latent.encode(self, context).tokens)
        return found if kept is None else Latents(kept, 2)

    def fitting(self, shape: tuple[int, ...]) -> Tensor | None:
        return self.kept if self.kept.shape == shape else None


class CarriesTheEnd(Carries):
    """Takes the future off the end of longer clips."""

    def fitting(self, shape: tuple[int, ...]) -> Tensor | None:
        longer = self.kept.dim() == 5 and self.kept.shape[1] > shape[1]
        end = self.kept[:, -shape[1] :] if longer else self.kept
        return end if longer and end.shape == shape else None


class GoesOn(Carries):
    """A recurrent state that nobody resets, of which the next context is only a part."""

    def fitting(self, shape: tuple[int, ...]) -> Tensor | None:
        return self.kept.mean().expand(shape) if self.kept.numel() else None


@pytest.mark.parametrize(
    ("adapter", "question"),
    [
        (Carries, "encode"),
        (CarriesTheEnd, "encode"),
        (Carries, "encode_layers"),
        (Carries, "latent_error"),
        (Carries, "denoising_error"),
    ],
)
def test_predictions_from_what_another_question_kept_are_found(
    adapter: Callable[[str], Carries], question: str
) -> None:
    assert failures(adapter(question)) == [PREDICT]


def test_the_question_that_showed_the_future_is_named() -> None:
    (found,) = [each for each in check(Carries("denoising_error")) if each.passed is False]
    assert "a temporal leak, once surprise[denoising_error] has seen it" in found.detail


def test_a_state_that_goes_on_is_found() -> None:
    assert PREDICT in failures(GoesOn("encode"))
    assert PREDICT in failures(GoesOn("predict"))


class LooksUp(Latent):
    """Finds contexts in clips that it has encoded; of several, the first."""

    def __init__(self) -> None:
        super().__init__()
        self.met: list[Tensor] = []

    def encode(self, video: Tensor, **options: Any) -> Latents:
        self.met.append(video.clone())
        return super().encode(video)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        self.refuse(c := context.shape[1])
        for clips in self.met:
            known = clips[:, :c]
            if clips.shape[1] >= c + horizon and torch.equal(known, context):
                return Latent.encode(self, clips[:, c : c + horizon])
        return super().predict(context, horizon)


def test_a_memory_that_never_changes_its_mind_is_found() -> None:
    assert failures(LooksUp()) == [PREDICT]


class Both(Latent):
    """Encodes and generates; what was encoded last shows in the rollout."""

    def __init__(self, reset: bool) -> None:
        super().__init__(capabilities=("encodes", "generates", "predicts", "surprises"))
        self.reset, self.last = reset, torch.zeros(1)

    def encode(self, video: Tensor, **options: Any) -> Latents:
        self.last = video[:, -1].mean(dim=(1, 2, 3))
        return super().encode(video)

    def generate(
        self, context: Tensor, horizon: int, *, samples: int, seeds: Sequence[int], **options: Any
    ) -> Tensor:
        self.refuse(context.shape[1])
        if self.reset:
            self.encode(context)
        still = context[:, None, -1:].repeat(1, samples, horizon, 1, 1, 1)
        return 0.5 * still + 0.5 * self.last.mean() * (len(self.last) == 1)


def test_rollouts_from_what_was_encoded_before_are_found() -> None:
    assert GENERATE in failures(Both(reset=False))


class Resets(Latent):
    """Keeps encodings of the clip at hand, as a cache that starts afresh with every question."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Latents] = {}

    def encode(self, video: Tensor, **options: Any) -> Latents:
        self.kept = {video.shape[1]: super().encode(video)}
        return self.kept[video.shape[1]]

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        self.refuse(context.shape[1])
        self.kept = {}
        self.encode(context)
        last = self.kept[context.shape[1]].tokens[:, -1:]
        return Latents(last.expand(-1, horizon // 2, -1, -1, -1).clone(), 2)


class Caches(Latent):
    """Keeps encodings by their content."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[bytes, Latents] = {}

    def encode(self, video: Tensor, **options: Any) -> Latents:
        key = video.numpy().tobytes()
        if key not in self.kept:
            self.kept[key] = super().encode(video)
        return self.kept[key]


@pytest.mark.parametrize("adapter", [Resets, Caches, Stacked, Sound])
def test_state_that_tells_nothing_of_the_future_is_no_leak(adapter: type) -> None:
    assert failures(adapter()) == []
