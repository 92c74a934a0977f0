"""An adapter is asked for no more than its card says that it can do."""

from typing import Any

import pytest
from sound_adapters import Latent, Sound, Stacked, failures
from torch import Tensor

from worldbench.adapter import Latents
from worldbench.conformance import check

CARD = "card names its capabilities"


class ShortClips(Stacked):
    """Knows clips of so many frames, and refuses longer ones."""

    def __init__(self, frames: int) -> None:
        super().__init__(frames=frames, max_context=frames - 2)

    def encode(self, video: Tensor, **options: Any) -> Latents:
        self.fit(video.shape[1])
        return super().encode(video, **options)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        self.fit(context.shape[1] + horizon)
        return super().predict(context, horizon)

    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        self.fit(video.shape[1])
        return super().surprise(video, context, **options)

    def fit(self, frames: int) -> None:
        if frames > (self.card.frames or 0):
            raise ValueError(f"no place for frame {frames}")


class ShortRollouts(Sound):
    def __init__(self, frames: int, **card: Any) -> None:
        super().__init__(frames=frames, **card)

    def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
        if context.shape[1] + horizon > (self.card.frames or 0):
            raise ValueError("too long")
        return super().generate(context, horizon, **options)


@pytest.mark.parametrize("frames", [4, 6, 8, 10, 12, 16])
def test_short_clips_are_no_defect(frames: int) -> None:
    assert failures(ShortClips(frames)) == []
    assert failures(ShortRollouts(frames)) == []


def test_horizons_that_do_not_fit_are_told() -> None:
    undecided = {each.name: each.detail for each in check(ShortRollouts(9)) if each.passed is None}
    told = "card.frames = 9, 4 of them context: too long"
    assert undecided == {"generate: horizon of 12 frames": told}
    undecided = {each.name: each.detail for each in check(ShortClips(8)) if each.passed is None}
    told = "card.frames = 8, 4 of them context: no place for frame 12"
    assert undecided == {"predict: horizon of 8 frames": told}
    assert not [each for each in check(ShortRollouts(16)) if each.passed is None]


def test_models_that_go_on_are_asked_for_more_than_their_clips() -> None:
    class StopsShort(Sound):
        def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
            return super().generate(context, min(horizon, 10), **options)

    name = "generate: horizon of 12 frames"
    assert {each.name: each.passed for each in check(Sound(frames=8))}[name] is True
    assert failures(StopsShort(frames=8)) == [name]


def test_latent_steps_that_are_begun_need_their_frames() -> None:
    class Blockwise(ShortRollouts):
        """Makes whole latent steps of four frames, as a video codec does."""

        def generate(self, context: Tensor, horizon: int, **options: Any) -> Tensor:
            whole = super().generate(context, -(-horizon // 4) * 4, **options)
            return whole[:, :, :horizon]

    assert failures(Blockwise(9, temporal_stride=4, min_context=4)) == []


@pytest.mark.parametrize("least", [65, 100])
def test_long_contexts_are_legal(least: int) -> None:
    assert failures(Sound(min_context=least, size=(16, 16))) == []
    assert failures(Latent(min_context=least, size=(16, 16))) == []


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"min_context": 5, "max_context": 4}, "no context is legal"),
        ({"min_context": 9, "max_context": 11, "temporal_stride": 4}, "no context is legal"),
        ({"min_context": 8, "frames": 8}, "leaves a latent step of future in card.frames"),
    ],
)
def test_a_card_that_allows_no_question_is_one_failed_check(
    card: dict[str, Any], said: str
) -> None:
    (outcome,) = check(Sound(**card))
    assert (outcome.name, outcome.passed) == (CARD, False)
    assert said in outcome.detail
