"""Every kind of illegal context has to be refused by every question."""

from typing import Any

import pytest
from sound_adapters import CARD, Latent, Sound, failures

from worldbench.conformance import check
from worldbench.schema import AdapterCard

GENERATE, PREDICT = "generate: illegal contexts refused", "predict: illegal contexts refused"
SURPRISE = "surprise[{}]: illegal contexts refused"
LEGAL: dict[str, Any] = {"min_context": 8, "max_context": 16, "temporal_stride": 4}
RULES = {
    "4 frames, less than card.min_context = 8": lambda c: c >= 8,
    "11 frames, no multiple of card.temporal_stride = 4": lambda c: c % 4 == 0,
    "20 frames, more than card.max_context = 16": lambda c: c <= 16,
}


class Lenient(Sound):
    """Looks at all rules but one."""

    def __init__(self, left_out: str, **card: Any) -> None:
        super().__init__(**{**LEGAL, **card})
        self.rules = [rule for name, rule in RULES.items() if name != left_out]

    def refuse(self, context: Any) -> None:
        if not all(rule(context.shape[1]) for rule in self.rules):
            raise ValueError("illegal")


def test_all_rules_together_are_enough() -> None:
    assert failures(Lenient("none")) == []


@pytest.mark.parametrize("rule", RULES)
def test_one_rule_left_out_is_found(rule: str) -> None:
    (found,) = [each for each in check(Lenient(rule)) if each.passed is False]
    assert found.name == GENERATE
    assert rule in found.detail


@pytest.mark.parametrize(
    ("card", "seen"),
    [
        ({"min_context": 2}, "1 frames, less than"),
        ({"temporal_stride": 2, "min_context": 2}, "1 frames, less than"),
        ({"min_context": 1, "max_context": 6}, "7 frames, more than"),
        ({"temporal_stride": 4, "min_context": 4, "max_context": 4}, "3 frames, less than"),
        ({"temporal_stride": 4, "min_context": 1, "max_context": 6}, "3 frames, no multiple"),
    ],
)
def test_contexts_of_any_card_are_tried(card: dict[str, Any], seen: str) -> None:
    class TakesAnything(Sound):
        def refuse(self, context: Any) -> None:
            pass

    (found,) = [each for each in check(TakesAnything(**card)) if each.passed is False]
    assert found.name == GENERATE
    assert seen in found.detail


class PredictsAnything(Latent):
    def predict(self, context: Any, horizon: int, **options: Any) -> Any:
        return Latent().predict(context[:, -2:], horizon)

    def surprise(self, video: Any, context: int, **options: Any) -> Any:
        return Latent().surprise(video, context // 2 * 2, **options)


class IsSurprisedByAnything(Latent):
    def surprise(self, video: Any, context: int, **options: Any) -> Any:
        start = max(2, context // 2 * 2)
        return Latent().surprise(video, start, **options)


def test_predictions_and_surprise_are_asked_as_well() -> None:
    odd = {"min_context": 4}
    assert failures(IsSurprisedByAnything(**odd)) == [
        SURPRISE.format("latent_error"),
        SURPRISE.format("denoising_error"),
    ]
    assert PREDICT in failures(PredictsAnything(**odd))


def test_a_card_without_illegal_contexts_says_so() -> None:
    card = AdapterCard(**CARD, capabilities=("generates",), stochastic=True)
    outcomes = {
        each.name: each for each in check(Sound(**card.model_dump(include={"min_context"})))
    }
    assert (outcomes[GENERATE].passed, outcomes[GENERATE].detail) == (
        None,
        "every context is legal",
    )
