import numpy as np
import pytest
import torch
from gate_adapters import Surprised, Tiny, constant, frame_difference

from worldbench.adapter import NoiseBank
from worldbench.errors import ContractError
from worldbench.schema import AdapterCard
from worldbench.stats import pair_score
from worldbench.suites.surprise import last_context
from worldbench_models.gates import Gate
from worldbench_models.gates.presence import (
    Accuracy,
    fair_coin,
    measure_presence,
    outcome,
    presence_gates,
)
from worldbench_models.gates.quads import MatchedQuad, presence_quads


@pytest.fixture(scope="module")
def quads() -> list[MatchedQuad]:
    return presence_quads(6, workers=1)


def oracle(quads: list[MatchedQuad], condition: str, sign: float = 1.0) -> Surprised:
    """Knows every true clip, and is surprised by the distance to the nearest one."""
    rgb = np.concatenate([np.stack(quad.condition(condition).videos) for quad in quads])
    truth = torch.from_numpy(rgb).permute(0, 1, 4, 2, 3).float() / 255

    def score(video: torch.Tensor, context: int, noise: NoiseBank) -> torch.Tensor:
        apart = torch.cdist(video.flatten(1), truth.flatten(1)).amin(dim=1)
        return sign * apart[:, None]

    return Surprised(score)


@pytest.mark.parametrize("condition", ["occluded", "visible"])
def test_an_oracle_is_always_right_and_its_opposite_never(
    quads: list[MatchedQuad], condition: str
) -> None:
    assert measure_presence(oracle(quads, condition), quads, condition, batch=4).value == 1.0
    assert measure_presence(oracle(quads, condition, -1.0), quads, condition).value == 0.0


def test_noise_for_an_answer_and_its_opposite_add_up_to_one(quads: list[MatchedQuad]) -> None:
    def guess(sign: float) -> Surprised:
        def score(video: torch.Tensor, context: int, noise: NoiseBank) -> torch.Tensor:
            sums = video.double().sum(dim=(1, 2, 3, 4)) * 1e4
            return sign * torch.sin(sums)[:, None]

        return Surprised(score)

    one, other = (measure_presence(guess(sign), quads, "visible").value for sign in (1.0, -1.0))
    assert one is not None
    assert other == pytest.approx(1 - one)


@pytest.mark.parametrize("condition", ["occluded", "visible"])
def test_a_constant_is_at_chance(quads: list[MatchedQuad], condition: str) -> None:
    found = measure_presence(Surprised(constant), quads, condition)
    assert (found.value, found.standard_error, found.n, found.ties) == (0.5, 0.0, 6, 6)


def test_change_between_frames_tells_only_what_is_in_plain_sight(quads: list[MatchedQuad]) -> None:
    scorer = Surprised(frame_difference)
    assert measure_presence(scorer, quads, "occluded").value == 0.5
    assert measure_presence(scorer, quads, "visible").value == 1.0


@pytest.mark.slow
def test_many_quads_show_more_of_either_clip_equally_often() -> None:
    many = presence_quads(40)
    assert len({quad.name for quad in many}) == 40
    scorer = Surprised(frame_difference)
    assert measure_presence(scorer, many, "occluded").value == 0.5
    assert measure_presence(scorer, many, "visible").value == 1.0


def test_batches_change_nothing(quads: list[MatchedQuad]) -> None:
    def score(video: torch.Tensor, context: int, noise: NoiseBank) -> torch.Tensor:
        drawn = noise.draw(tuple(video.shape[1:]), level=0.5, index=0, sign=1)
        return (video - drawn).abs().double().mean(dim=(2, 3, 4))[:, context:]

    one, other = (
        measure_presence(Surprised(score), quads, "visible", batch=batch) for batch in (1, 4)
    )
    assert one == other


def test_the_clips_of_a_quad_share_their_noise(quads: list[MatchedQuad]) -> None:
    drawn: list[torch.Tensor] = []

    def score(video: torch.Tensor, context: int, noise: NoiseBank) -> torch.Tensor:
        plus, minus = (noise.draw((5,), level=0.3, index=1, sign=sign) for sign in (1, -1))
        assert torch.equal(plus, -minus)
        drawn.extend(plus.view(-1, 4, 5))
        return torch.ones(len(video), 1)

    measure_presence(Surprised(score), quads, "occluded", batch=2)
    assert len(drawn) == 6
    for each in drawn:
        assert torch.equal(each, each[:1].expand(4, 5))
    assert len({tuple(each[0].tolist()) for each in drawn}) == 6


def test_the_context_is_the_latest_legal_one_in_the_run() -> None:
    def card(**options: int) -> AdapterCard:
        return AdapterCard(name="a", revision="b", family="generative", **options)

    assert last_context(card(temporal_stride=2), 5, 9, 16) == 8
    assert last_context(card(temporal_stride=4), 5, 8, 16) == 8
    assert last_context(card(temporal_stride=4), 5, 7, 16) is None
    assert last_context(card(temporal_stride=4, max_context=4), 3, 9, 16) == 4
    assert last_context(card(), 12, 16, 16) == 15


def test_quads_without_a_legal_context_are_skipped_and_counted(quads: list[MatchedQuad]) -> None:
    found = measure_presence(Surprised(constant, stride=16), quads, "occluded")
    assert found == Accuracy(None, None, 0, 6, ties=0)
    gates = presence_gates({"occluded": found, "visible": found}, None)
    assert {gate.status for gate in gates} == {"not measured"}


def test_the_outcome_agrees_with_the_pair_rule_of_the_suites() -> None:
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-7):
        for _ in range(50):
            each = 5 + scale * rng.standard_normal((4, 6))
            assert outcome(each) == pair_score(each[2:], each[:2])
    assert outcome(np.zeros((4, 3))) == 0.5


def test_the_curve_is_scored_level_by_level(quads: list[MatchedQuad]) -> None:
    found = measure_presence(Tiny("tiny"), quads, "visible")
    assert found.levels == {"0.1": 1.0, "0.5": 0.5}
    assert measure_presence(Surprised(constant), quads, "visible").levels is None


def test_surprises_that_are_not_finite_are_refused(quads: list[MatchedQuad]) -> None:
    broken = Surprised(lambda video, context, noise: torch.full((len(video), 2), torch.nan))
    with pytest.raises(ContractError, match="finite"):
        measure_presence(broken, quads, "occluded")


def _found(value: float, error: float = 0.01, ties: int | None = None) -> Accuracy:
    return Accuracy(value, error, 240, 0, ties=ties)


_MODEL = {"occluded": _found(0.95), "visible": _found(0.97)}


def _of_twin(accuracy: Accuracy) -> Gate:
    return presence_gates(_MODEL, {"occluded": accuracy, "visible": _found(0.9)})[2]


def test_gates_open_at_their_bounds() -> None:
    gates = presence_gates(_MODEL, {"occluded": _found(0.529), "visible": _found(0.5)})
    assert [gate.status for gate in gates] == ["passed", "failed", "passed"]


def test_the_twin_may_be_off_by_three_errors_and_at_least_those_of_a_fair_coin() -> None:
    throws = np.random.default_rng(0).integers(0, 2, (20_000, 240)).mean(axis=1)
    assert fair_coin(240) == pytest.approx(throws.std(), rel=0.02)
    assert _of_twin(_found(0.5 + 2.9 * fair_coin(240))).status == "passed"
    failed = _of_twin(_found(0.5 - 3.1 * fair_coin(240)))
    assert failed.status == "failed"
    assert failed.value == pytest.approx(3.1 * fair_coin(240))
    assert _of_twin(_found(0.62, error=0.05)).threshold == pytest.approx(0.15)


def test_the_gate_of_the_twin_says_when_every_quad_ties() -> None:
    gate = _of_twin(_found(0.5, 0.0, ties=240))
    assert gate.threshold == pytest.approx(3 * fair_coin(240))
    assert "all 240 quads tie" in str(gate.note)
    for ties in (239, None):
        assert "tie:" not in str(_of_twin(_found(0.5, 0.001, ties)).note)
    assert "239 ties" in str(_of_twin(_found(0.5, 0.001, 239)).note)


def test_ties_follow_from_value_and_error(quads: list[MatchedQuad]) -> None:
    def score(video: torch.Tensor, context: int, noise: NoiseBank) -> torch.Tensor:
        sums = video.double().sum(dim=(1, 2, 3, 4)) * 1e4
        return torch.sin(sums).round()[:, None]

    found = measure_presence(Surprised(score), quads, "visible")
    assert found.value is not None
    assert found.standard_error is not None
    squares = found.n * (found.n - 1) * found.standard_error**2 + found.n * found.value**2
    assert found.ties == pytest.approx(4 * (found.n * found.value - squares))
    assert 0 < found.ties < 6
