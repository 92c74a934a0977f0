"""What one quad says and what many say together, on numbers and clips that need no worlds."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from worldbench.schema import MetricResult, Trial
from worldbench.suite import Row
from worldbench.suites.means import mean_of
from worldbench.suites.quad_scores import outcomes, trivial_outcomes
from worldbench.suites.quad_summary import QuadRows, single_clip_auroc
from worldbench.suites.quad_trials import CLIPS, LONG, SHORT, Cut, quad_clips, tier
from worldbench.trivial_scorers import SCORERS

HEADLINE = {"violation": "presence", "condition": "occluded"}


def row(**columns: Any) -> Row:
    return {"trial": "t", "cluster": "c", "role": "rollout", "operator": "error", **columns}


# One quad


@pytest.mark.parametrize(
    ("a", "p", "one", "two", "expected"),
    [
        ([1, 1], [1, 1], [2, 1], [1, 1], 1.0),
        ([1, 1], [1, 1], [1, 1], [0, 1], 0.0),
        ([1, 2], [3, 4], [4, 3], [2, 1], 0.5),  # the same steps in other places
        ([0, 0], [0, 0], [0, 0], [0, 0], 0.5),
        ([-1, -1], [-1, -1], [-1, 0], [-1, -1], 1.0),
        ([1, 1], [1, 1], [1 + 1e-7, 1], [1, 1], 0.5),  # a millionth of the mean is a tie
        ([1, 1], [1, 1], [1 + 1e-5, 1], [1, 1], 1.0),
        ([0, 9], [0, 0], [5, 0], [5, 0], 1.0),  # 10 against 9, though no step is above 9
    ],
)
def test_the_sum_over_both_impossible_clips_decides(a, p, one, two, expected):
    found = outcomes(np.array([a, p, one, two], dtype=np.float64))
    assert found["outcome"] == expected
    assert [found[f"mean_{clip}"] for clip in CLIPS] == [np.mean(x) for x in (a, p, one, two)]


def test_the_largest_step_decides_for_the_maximum():
    found = outcomes(np.array([[0.0, 9.0], [0.0, 0.0], [5.0, 0.0], [5.0, 0.0]]))
    assert (found["outcome"], found["outcome_max"]) == (1.0, 1.0)
    found = outcomes(np.array([[0.0, 9.0], [0.0, 2.0], [5.0, 5.0], [5.0, 5.0]]))
    assert (found["outcome"], found["outcome_max"]) == (1.0, 0.0)


def test_shared_prefixes_are_compared_one_by_one():
    """I1 has A's context, in which the target goes in, and lets it vanish; I2 lets it appear."""
    found = outcomes(np.array([[1.0], [3.0], [2.0], [1.0]]))
    assert (found["vanish"], found["appear"], found["outcome"]) == (1.0, 0.0, 0.0)
    found = outcomes(np.array([[1.0], [3.0], [1.0], [4.0]]))
    assert (found["vanish"], found["appear"], found["outcome"]) == (0.5, 1.0, 1.0)


def test_swapping_possible_and_impossible_turns_every_outcome_round():
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-7):
        for _ in range(50):
            each = 5 + scale * rng.standard_normal((4, 3))
            one, other = outcomes(each), outcomes(each[[2, 3, 0, 1]])
            for name in ("outcome", "outcome_max", "vanish", "appear"):
                assert other[name] == 1 - one[name]


def test_the_order_of_steps_does_not_matter():
    each = np.random.default_rng(1).standard_normal((4, 6)) * 10.0 ** np.arange(6)
    assert outcomes(each)["outcome"] == outcomes(each[:, ::-1])["outcome"]


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(broken: float):
    with pytest.raises(ValueError, match="finite"):
        outcomes(np.array([[1.0], [broken], [1.0], [1.0]]))


def accuracies(surprise: np.ndarray, sigmas: Sequence[float]) -> list[float]:
    """Accuracy over quads, with noise of each size on every surprise."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(surprise.shape)
    return [float(np.mean([outcomes(q)["outcome"] for q in surprise + s * noise])) for s in sigmas]


def test_an_oracle_falls_from_one_to_one_half_as_its_surprise_gets_noisier():
    quads, steps = 500, 2
    surprise = np.zeros((quads, 4, steps))
    surprise[:, 2:] = 1.0
    sigmas = [0.0, 1.0, 3.0, 1000.0]
    found = accuracies(surprise, sigmas)
    assert found == sorted(found, reverse=True)
    assert found[0] == 1.0
    # Eight numbers of standard deviation σ against a difference of four.
    for sigma, accuracy in zip(sigmas[1:], found[1:], strict=True):
        z = 2 * steps / (sigma * (4 * steps) ** 0.5)
        expected = 0.5 * (1 + math.erf(z / 2**0.5))
        assert accuracy == pytest.approx(expected, abs=4 * 0.5 / quads**0.5)
    assert accuracies(-surprise, [0.0]) == [0.0]


# Clips


def pair(frames: int = 10, start: int = 4, stop: int = 8) -> Tensor:
    """Two clips of noise, identical in a run."""
    clips = torch.rand(2, frames, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    clips[1, start:stop] = clips[0, start:stop]
    return clips


def frames_of(clips: Tensor) -> Counter[bytes]:
    return Counter(frame.numpy().tobytes() for clip in clips for frame in clip)


def steps_of(clips: Tensor) -> Counter[tuple[bytes, ...]]:
    return Counter(
        tuple(frame.numpy().tobytes() for frame in clip[t : t + 2])
        for clip in clips
        for t in range(len(clip) - 1)
    )


@pytest.mark.parametrize("context", range(4, 9))
def test_impossible_clips_are_made_of_the_frames_of_possible_ones(context: int):
    clips = quad_clips(pair(), Cut(context, 10 - context))
    assert clips.shape == (4, 10, 3, 8, 8)
    assert torch.equal(clips[:2], pair())
    assert frames_of(clips[2:]) == frames_of(clips[:2])
    assert frames_of(clips[2:, context:]) == frames_of(clips[:2, context:])
    assert steps_of(clips[2:]) == steps_of(clips[:2])
    assert torch.equal(clips[2, :context], clips[0, :context])
    assert torch.equal(clips[2, context:], clips[1, context:])
    assert torch.equal(clips[3, :context], clips[1, :context])
    assert torch.equal(clips[3, context:], clips[0, context:])


def test_where_in_the_run_a_quad_is_cut_makes_no_difference():
    each = [quad_clips(pair(), Cut(context, 10 - context)) for context in range(4, 9)]
    assert all(torch.equal(clips, each[0]) for clips in each)
    outside = quad_clips(pair(), Cut(3, 7))
    assert steps_of(outside[2:]) != steps_of(outside[:2])


def test_what_is_not_looked_at_is_left_out():
    clips = quad_clips(pair(), Cut(6, 2))
    assert torch.equal(clips, quad_clips(pair(), Cut(6, 4))[:, :8])
    assert torch.equal(clips[0], pair()[0, :8])


# Trivial scorers


def flat(*levels: float) -> Tensor:
    """A clip of plain grey frames."""
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 8, 8).clone()


def test_trivial_scorers_say_what_their_names_say():
    context, future = flat(0.2, 0.6), flat(0.5, 0.9)
    said = {name: scorer(context, future) for name, scorer in SCORERS.items()}
    pixels = 3 * 64
    assert said["constant"] == SCORERS["constant"](future, context)
    assert said["frame_difference"] == pytest.approx(pixels * (0.1 + 0.4), rel=1e-5)
    assert said["pixel_variance"] == pytest.approx(0.04, rel=1e-5)
    for name, level in (
        ("mean_of_context", 0.4),
        ("max_of_context", 0.6),
        ("first_of_context", 0.2),
        ("last_of_context", 0.6),
    ):
        expected = pixels * ((0.5 - level) ** 2 + (0.9 - level) ** 2)
        assert said[name] == pytest.approx(expected, rel=1e-4), name
    assert said["blurred_mean_of_context"] == pytest.approx(pixels * (0.7 - 0.4) ** 2, rel=1e-4)
    # Of eight levels 1 and 4 against 4 and 7, half of the pixels each.
    assert said["colours_of_context"] == pytest.approx(2 * 0.25)


def test_motion_on_the_side_on_which_there_was_some_is_no_surprise():
    def moving(*columns: int) -> Tensor:
        clip = torch.zeros(len(columns), 3, 8, 8)
        for frame, column in zip(clip, columns, strict=True):
            frame[:, 3, column] = 1
        return clip

    left, right, still = moving(0, 1, 2), moving(7, 6, 5), moving(0, 0, 0)
    scorer = SCORERS["side_of_motion"]
    same, other = scorer(left, left), scorer(left, right)
    assert same == pytest.approx(0, abs=1e-9)
    assert other > scorer(left, still) > same
    assert scorer(right, left) == pytest.approx(other)


def test_bags_do_not_see_what_they_throw_away():
    context = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    future = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    shuffled = context[[2, 0, 3, 1]]
    for name in ("mean_of_context", "max_of_context", "blurred_mean_of_context"):
        assert SCORERS[name](shuffled, future) == pytest.approx(SCORERS[name](context, future))
    turned = context.flip(-1)
    assert SCORERS["colours_of_context"](turned, future) == pytest.approx(
        SCORERS["colours_of_context"](context, future)
    )
    assert SCORERS["colours_of_context"](context, context.flip(-2)) == 0


def by_hand(scorer: Any, clips: Tensor, context: int) -> float:
    says = [scorer(clip[:context], clip[context:]) for clip in clips]
    foils, truth = says[2] + says[3], says[0] + says[1]
    tie = abs(foils - truth) <= 1e-6 * (abs(foils) + abs(truth)) / 2
    return 0.5 if tie else float(foils > truth)


def test_trivial_outcomes_are_those_of_each_scorer_by_itself():
    clips = quad_clips(pair(), Cut(6, 4))
    found = trivial_outcomes(clips, 6)
    assert found.keys() == {f"trivial_{name}" for name in SCORERS}
    for name, scorer in SCORERS.items():
        assert found[f"trivial_{name}"] == by_hand(scorer, clips, 6)
    for name in ("constant", "frame_difference", "pixel_variance", "last_of_context"):
        assert found[f"trivial_{name}"] == 0.5
    seen = pair()
    seen[0, 7] = 0  # the last context frame of A is no longer P's
    assert trivial_outcomes(quad_clips(seen, Cut(8, 2)), 8)["trivial_frame_difference"] != 0.5


def test_the_future_alone_is_held_against_shared_prefixes():
    # In A nothing goes on moving; in P everything does.
    a, p = flat(0.1, 0.5, 0.5, 0.5), flat(0.9, 0.5, 0.1, 0.9)
    clips = quad_clips(torch.stack([a, p]), Cut(2, 2))
    found = trivial_outcomes(clips, 2, prefixes=True)
    # I1 has A's context and P's lively future: "vanish" looks odd by itself, "appear" does not.
    assert (found["future_only_vanish"], found["future_only_appear"]) == (1.0, 0.0)
    assert "future_only_vanish" not in trivial_outcomes(clips, 2)


# Many quads


def quads_of(means: np.ndarray, clusters: Sequence[str] | None = None) -> list[Row]:
    names = clusters or [f"c{i}" for i in range(len(means))]
    return [
        row(
            cluster=cluster,
            **{f"mean_{clip}": float(v) for clip, v in zip(CLIPS, each, strict=True)},
        )
        for cluster, each in zip(names, means, strict=True)
    ]


@pytest.mark.parametrize("levels", [3, 10, 1_000_000])
@pytest.mark.parametrize("shift", [-0.5, 0.0, 1.0])
def test_single_clips_are_told_apart_as_another_implementation_says(levels: int, shift: float):
    rng = np.random.default_rng(levels)
    means = rng.standard_normal((60, 4))
    means[:, 2:] += shift
    means = np.round(means * levels / 6) / levels * 6  # few levels: many ties
    found = single_clip_auroc(quads_of(means), {"operator": "error"})
    truth = np.tile([0, 0, 1, 1], 60)
    assert found.value == pytest.approx(roc_auc_score(truth, means.ravel()), abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert (found.n, found.clusters, found.factors) == (60, 60, {"operator": "error"})


def test_what_is_perfectly_told_apart_has_no_error():
    means = np.tile([0.0, 1.0, 2.0, 3.0], (5, 1))
    perfect = single_clip_auroc(quads_of(means), {})
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low is not None
    assert perfect.low < 0.9  # a few quads do not prove it
    assert single_clip_auroc(quads_of(-means), {}).value == 0.0
    assert single_clip_auroc(quads_of(np.ones((5, 4))), {}).value == 0.5


@pytest.mark.slow
def test_the_interval_of_single_clips_covers_as_often_as_it_says():
    """Normal surprises of unit spread, one apart, with a level that each scene has of its own."""
    rng, inside, draws = np.random.default_rng(0), 0, 400
    truth = 0.5 * (1 + math.erf(1 / (2 * 1.5) ** 0.5 / 2**0.5))
    for _ in range(draws):
        means = rng.standard_normal((60, 4)) + rng.normal(0, 0.5**0.5, (60, 1))
        means[:, 2:] += 1
        found = single_clip_auroc(quads_of(means), {})
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / draws <= 0.98, inside


def test_scenes_that_say_the_same_twice_count_once():
    means = np.random.default_rng(3).standard_normal((40, 4))
    means[:, 2:] += 0.5
    one = single_clip_auroc(quads_of(means), {})
    names = [f"c{i}" for i in range(40)] * 2
    two = single_clip_auroc(quads_of(np.concatenate([means, means]), names), {})
    assert two.value == pytest.approx(one.value)
    assert two.clusters == 40
    assert two.high is not None
    assert one.high is not None
    assert two.value is not None
    assert one.value is not None
    assert two.high - two.value == pytest.approx(one.high - one.value, rel=0.05)


def test_a_mean_over_nothing_is_skipped_with_the_reason():
    none = mean_of("m", [], lambda row: 1.0, {"a": 1})
    assert (none.status, none.value) == ("skipped", None)
    assert none.reason == "no trial of this kind was asked"
    empty = mean_of("m", [row(x=None)], lambda row: row["x"], {}, headline=True, better=False)
    assert (empty.status, empty.headline, empty.higher_is_better) == ("skipped", True, False)
    assert empty.reason == "no trial has such a value"


def test_a_mean_is_over_the_rows_that_have_a_value():
    rows = [row(cluster=f"c{i // 2}", x=x) for i, x in enumerate([0.0, 1.0, None, 1.0, 1.0, None])]
    found = mean_of("m", rows, lambda row: row["x"], {"a": 1}, unit="frames", bounded=False)
    assert (found.value, found.n, found.clusters, found.unit) == (0.75, 4, 3, "frames")
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.75 <= found.high


def summary(levels: Mapping[str, Sequence[Any]]) -> tuple[QuadRows, int]:
    """Quads of every combination of levels; those of the first level of each factor are right."""
    rows, trials = [], {}
    names = list(levels)
    for i, chosen in enumerate(product(*levels.values())):
        factors = dict(zip(names, chosen, strict=True))
        right = all(factors[name] == levels[name][0] for name in names)
        trials[f"t{i}"] = Trial(f"t{i}", f"c{i}", (), factors)
        told = {f"trivial_{name}": 0.5 for name in SCORERS}
        told |= {f"future_only_{name}": 0.5 for name in ("vanish", "appear")}
        told |= outcomes(np.array([[0.0], [0.0], [float(right)], [0.0]]))
        rows.append(row(trial=f"t{i}", cluster=f"c{i}", **told))
    return QuadRows(rows, trials, "pair_accuracy", HEADLINE, "error"), len(rows)


def found(metrics: Sequence[MetricResult], name: str, **factors: Any) -> MetricResult:
    (metric,) = [m for m in metrics if m.name == name and m.factors == factors]
    return metric


def test_every_factor_violation_and_condition_has_its_line():
    quads, _ = summary(
        {
            "violation": ["presence", "colour"],
            "condition": ["occluded", "visible", "both_possible"],
            "hidden": [12, 4, 100],
        }
    )
    metrics = quads.accuracies(["hidden", "camera"])
    told = {**HEADLINE, "operator": "error"}
    headline = found(metrics, "pair_accuracy", **told)
    assert metrics[0] == headline
    assert (headline.value, headline.n, headline.headline) == (pytest.approx(2 / 3), 3, True)
    parts = [found(metrics, "pair_accuracy", **told, hidden=level) for level in (4, 12, 100)]
    assert [m.value for m in parts] == [0.5, 1.0, 0.5]
    assert metrics[1:4] == parts  # by size
    others = [m for m in metrics if m.factors.get("violation") == "colour"]
    assert {m.factors["condition"] for m in others} == {"occluded", "visible", "both_possible"}
    assert sum(m.headline for m in metrics) == 1
    assert len(metrics) == 1 + 3 + 5
    controls = quads.controls()
    assert found(controls, "tied").value == pytest.approx(2 / 3)
    assert found(controls, "visible_control").n == 3
    assert found(controls, "both_possible_control").n == 6


def test_metrics_without_their_trials_are_skipped_not_zero():
    quads, _ = summary({"violation": ["colour"], "condition": ["occluded"]})
    metrics = [*quads.accuracies([]), *quads.controls(), *quads.operators()]
    missing = {m.name for m in metrics if m.status == "skipped"}
    assert missing == {"pair_accuracy", "visible_control", "both_possible_control", "tied"}
    assert all(m.value is None for m in metrics if m.status == "skipped")
    assert (
        found(
            quads.trivial(),
            "trivial_accuracy",
            violation="colour",
            condition="occluded",
            scorer="constant",
        ).value
        == 0.5
    )


# Tiers


EASY = {
    "hidden": 8,
    "camera": "still",
    "lookalike": False,
    "distractors": 1,
    "occluders": 1,
    "distribution": "in",
}
HAZARDS = {
    "camera": {"camera": "jittered"},
    "moving": {"camera": "moving"},
    "lookalike": {"lookalike": True},
    "occluders": {"occluders": 2},
    "out": {"distribution": "out"},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "easy"),
        *[([name], "easy") for name in HAZARDS],
        (["camera", "lookalike"], "hard"),
        (["moving", "occluders"], "hard"),
        (["lookalike", "out"], "hard"),
        (["occluders", "out"], "hard"),
        (list(HAZARDS), "hard"),
    ],
)
def test_two_hazards_make_a_scene_hard(changes: list[str], expected: str):
    factors = EASY.copy()
    for name in changes:
        factors |= HAZARDS[name]
    assert tier(factors) == expected
    assert tier({**factors, "hidden": SHORT - 1}) == expected
    assert tier({**factors, "hidden": SHORT}) == LONG


def test_look_alikes_are_a_hazard_only_where_there_are_any():
    factors = {**EASY, "lookalike": True, "occluders": 2}
    assert tier(factors) == "hard"
    assert tier({**factors, "distractors": 0}) == "easy"


def test_factors_that_a_family_lacks_are_no_hazard():
    assert tier({}) == "easy"
    assert tier({"camera": "moving", "distribution": "out"}) == "hard"
