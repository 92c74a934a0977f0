"""The surprise half of ``permanence``, and what both halves share, through the suite."""

import json
import multiprocessing
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from quad_adapters import (
    Constant,
    CopiesLatents,
    Generator,
    Oracle,
    Surprised,
    card,
    change,
    constant,
    from_last,
    from_mean,
    hashed,
)
from quad_bench import (
    CPU,
    QUIET,
    SETTING,
    SUITE,
    asked,
    clips_of,
    few,
    first_of_its_kind,
    half_of_the_rows,
    measure,
    metric,
    part_of,
    quick,
    rows_of,
    scenes,
)
from torch import Tensor

import conf
from worldbench import trivial_scorers
from worldbench.adapter import Latents, NoiseBank
from worldbench.adapters.linear_flow import LinearFlow
from worldbench.adapters.still import CopyLast
from worldbench.cell import Cell, Question
from worldbench.data.real import VideoData
from worldbench.data.worlds.data import WorldData
from worldbench.errors import ContractError, UsageError
from worldbench.evaluate import evaluate
from worldbench.leaderboard.table import build
from worldbench.parts import read_rows
from worldbench.provenance import Stopwatch
from worldbench.schema import Record, Trial
from worldbench.suite import Batch, Row, Setting, Suite
from worldbench.suites.permanence import Permanence
from worldbench.suites.quad_trials import Cut, cut_of
from worldbench.suites.surprise import headline_operator, last_context, operators_of
from worldbench.tracking import NoTracker

HEADLINE = {"violation": "presence", "condition": "occluded", "operator": "denoising_error"}
VIOLATIONS = ("presence", "never_there", "shape", "colour", "speed", "count")
FAIR = ("constant", "frame_difference", "pixel_variance")
"""What looks at frames and at steps alone: never anything but a tie."""


def run(cell: Cell, **options: Any) -> Record:
    return evaluate(cell, tracker=NoTracker(), watch=Stopwatch(CPU, ["test"], {}), **options)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of who knows the future, and of who looks at changes."""
    root, data = tmp_path_factory.mktemp("records"), quick()
    question = Question.of(SUITE, data, SETTING)
    for adapter in (Oracle(data, SUITE.trials(data)), Surprised(change, "change")):
        assert run(Cell.identify(adapter, question, root)).body.status == "ok"
    return root


def read(root: Path, name: str) -> tuple[Record, list[Row]]:
    (path,) = root.glob(f"{name}/*/*/*.json")
    record = Record.model_validate_json(path.read_text())
    return record, read_rows(path.with_suffix(".parquet"))


@pytest.fixture(scope="module")
def simulator(records: Path) -> tuple[Record, list[Row]]:
    return read(records, "simulator")


@pytest.fixture(scope="module")
def differences(records: Path) -> tuple[Record, list[Row]]:
    return read(records, "change")


def outcomes(rows: Sequence[Row], name: str = "outcome") -> dict[str, float]:
    return {row["trial"]: row[name] for row in rows if row["role"] == "rollout"}


# What known scorers get


def test_who_knows_the_future_is_always_right(simulator):
    metrics = simulator[0].body.metrics
    headline = simulator[0].body.headline
    assert headline == metric(metrics, "pair_accuracy", **HEADLINE)
    assert (headline.value, headline.n, headline.clusters) == (1.0, 24, 24)
    assert headline.low is not None
    assert 0.8 < headline.low < 1 == headline.high
    assert metric(metrics, "visible_control").value == 1.0
    assert metric(metrics, "tied").value == 0.0
    for violation in VIOLATIONS[1:]:
        factors = {**HEADLINE, "violation": violation}
        assert metric(metrics, "pair_accuracy", **factors).value == 1.0
    assert metric(metrics, "max_accuracy", **HEADLINE).value == 1.0
    assert metric(metrics, "auroc", **HEADLINE).value == 1.0
    for prefix in ("vanish", "appear"):
        own = metric(metrics, "shared_prefix_accuracy", operator="denoising_error", prefix=prefix)
        assert own.value == 1.0


def test_where_both_futures_are_possible_who_knows_that_is_at_one_half(simulator):
    metrics = simulator[0].body.metrics
    foil = metric(metrics, "both_possible_control")
    assert (foil.value, foil.n) == (0.5, 6)


def test_changes_between_frames_tell_only_what_is_in_plain_sight(differences):
    record, rows = differences
    assert metric(record.body.metrics, "visible_control").value == 1.0
    assert record.body.headline is not None
    assert record.body.headline.value == 0.5
    assert metric(record.body.metrics, "tied").value == 1.0
    conditions = {trial.id: trial.factors["condition"] for trial in SUITE.trials(quick())}
    for trial, outcome in outcomes(rows).items():
        assert outcome == (1.0 if conditions[trial] == "visible" else 0.5)


@pytest.mark.parametrize("name", FAIR)
def test_scorers_of_frames_and_steps_tie_on_every_occluded_quad(differences, name: str):
    record, rows = differences
    hidden = {trial.id for trial in asked(SUITE.trials(quick()), condition="occluded")}
    assert len(hidden) == 24 + 5 * 4
    found = outcomes(rows, f"trivial_{name}")
    assert {found[trial] for trial in hidden} == {0.5}
    for violation in VIOLATIONS:
        told = {"violation": violation, "condition": "occluded", "scorer": name}
        assert metric(record.body.metrics, "trivial_accuracy", **told).value == 0.5


@pytest.mark.parametrize("name", sorted(trivial_scorers.SCORERS))
def test_bags_stand_beside_every_violation(differences, name: str):
    """Some win shape, colour or count, and nothing is claimed: they are shown."""
    for violation in VIOLATIONS:
        told = {"violation": violation, "condition": "occluded", "scorer": name}
        shown = metric(differences[0].body.metrics, "trivial_accuracy", **told)
        assert shown.n == (24 if violation == "presence" else 4)
        assert not shown.headline


def test_who_looks_at_the_future_alone_stands_beside_shared_prefixes(differences):
    record, rows = differences
    for prefix in ("vanish", "appear"):
        own, alone = (
            metric(record.body.metrics, "shared_prefix_accuracy", operator=operator, prefix=prefix)
            for operator in ("denoising_error", "future only")
        )
        assert own.value == alone.value  # it is the very scorer
        told = [row[f"future_only_{prefix}"] for row in rows]
        assert sum(value is not None for value in told) == 24


ZERO = [
    Surprised(constant, "constant"),
    Surprised(from_last, "from_last"),
    Surprised(from_last, "from_last_by_four", stride=4),
    CopiesLatents("copies"),
    CopiesLatents("copies_four", stride=4),
    Constant("says_nothing", stride=1),
]


@pytest.mark.parametrize("adapter", ZERO, ids=lambda adapter: adapter.card.name)
def test_without_a_memory_every_occluded_quad_ties(adapter):
    hidden = asked(SUITE.trials(few()), condition="occluded")
    hidden = [t for t in hidden if t.factors["violation"] != "presence" or first_of_its_kind(t.id)]
    assert {trial.factors["violation"] for trial in hidden} == set(VIOLATIONS)
    summary = measure(adapter, few(), hidden)
    assert set(outcomes(summary.rows).values()) == {0.5}
    assert metric(summary.metrics, "tied").value == 1.0
    (headline,) = [m for m in summary.metrics if m.headline]
    assert headline.value == 0.5
    expected = "latent_error" if "predicts" in adapter.card.capabilities else "denoising_error"
    assert headline.factors["operator"] == expected


@pytest.mark.parametrize("adapter", [CopyLast(), LinearFlow()], ids=lambda a: a.card.name)
def test_baselines_that_generate_tie_on_what_was_hidden(adapter):
    hidden = asked(SUITE.trials(few()), "presence", "occluded")[::3]
    summary = measure(adapter, few(), hidden)
    assert set(outcomes(summary.rows).values()) == {0.5}
    (headline,) = [m for m in summary.metrics if m.headline]
    assert headline.factors["operator"] == "sample_distance"


def test_who_remembers_the_mean_of_what_was_seen_breaks_ties():
    hidden = asked(SUITE.trials(few()), condition="occluded")
    tied = [row["outcome"] == 0.5 for row in rows_of(Surprised(from_mean), few(), hidden)]
    assert sum(tied) < len(hidden)  # the others come out where nothing had been


def swapped(adapter: Any, condition: str, most: int = 4) -> list[tuple[Row, Row]]:
    """Rows of some trials, and those of the same with impossible clips for possible ones."""
    data = few()

    def foils(trial: Trial, pair: Tensor) -> Tensor:
        cut = cut_of(adapter.card, trial, data.frames)
        assert cut is not None
        at = cut.context
        return torch.stack(
            [torch.cat([pair[0, :at], pair[1, at:]]), torch.cat([pair[1, :at], pair[0, at:]])]
        )

    trials = asked(SUITE.trials(data), None, condition)[:most]
    both = rows_of(adapter, data, trials), rows_of(adapter, data, trials, change=foils)
    return list(zip(*both, strict=True))


@pytest.mark.parametrize(
    ("adapter", "condition"),
    [
        (Surprised(hashed), "occluded"),
        (Surprised(hashed, stride=2), "visible"),
        (Surprised(from_mean), "occluded"),
        (Surprised(change), "visible"),
        (Surprised(constant), "occluded"),
        (CopiesLatents("copies"), "visible"),
    ],
)
def test_who_calls_possible_impossible_turns_every_outcome_round(adapter, condition: str):
    pairs = swapped(adapter, condition)
    assert len(pairs) == 4
    for one, other in pairs:
        names = [n for n in one if n.startswith(("outcome", "trivial_", "future_only_"))]
        assert len(names) >= 2 + len(trivial_scorers.SCORERS)
        for name in [*names, "vanish", "appear"]:
            assert other[name] == 1 - one[name], name
        for clip, foil in (("A", "I1"), ("P", "I2")):
            assert (other[f"mean_{clip}"], other[f"mean_{foil}"]) == (
                one[f"mean_{foil}"],
                one[f"mean_{clip}"],
            )


def test_an_arbitrary_scorer_and_its_mirror_image_add_up_to_one():
    pairs = swapped(Surprised(hashed), "occluded", most=9)
    outcomes = [one["outcome"] for one, _ in pairs]
    assert set(outcomes) == {0.0, 1.0}  # or the test of swapping would prove little
    assert sum(outcomes) + sum(other["outcome"] for _, other in pairs) == len(pairs)


@pytest.fixture(scope="module")
def headline() -> list[Row]:
    """Rows of the shipped headline quads and their controls, with all trivial scorers."""
    data = part_of(
        "permanence_quick",
        lambda quad: quad.violation == "presence" and "/train-" not in quad.id,
    )
    rows = rows_of(Surprised(change), data)
    assert len(rows) == 24 + 24 + 6
    return rows


@pytest.mark.parametrize("name", sorted(trivial_scorers.SCORERS))
def test_trivial_scorers_are_at_chance_on_the_shipped_headline(headline: list[Row], name: str):
    values = [row[f"trivial_{name}"] for row in headline if row["trial"].endswith("/occluded")]
    if name in FAIR:
        assert set(values) == {0.5}
    measured = float(np.mean(values))
    assert len(values) == 24
    assert abs(measured - 0.5) <= 3 * 0.5 / 24**0.5, measured


def test_changes_between_frames_see_every_shipped_control(headline: list[Row]):
    outcomes = [row["outcome"] for row in headline if row["trial"].endswith("/visible")]
    assert outcomes == [1.0] * 24


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_changes_between_frames_see_every_control_of_the_full_headline() -> None:
    data = part_of(
        "permanence_full",
        lambda quad: quad.condition == "visible" and quad.violation == "presence",
    )
    for stride in (1, 2):
        rows = rows_of(Surprised(change, stride=stride), data)
        plain = [row["outcome"] for row in rows if row["trial"].endswith("/visible")]
        assert plain == [1.0] * 150


# The same question, the same answer


def test_rows_depend_on_neither_batch_size_nor_order():
    adapter, data = Surprised(from_mean, stride=2), few()
    trials = QUIET.trials(data)[::2]
    assert len({(t.factors["violation"], t.factors["condition"]) for t in trials}) > 3
    expected = rows_of(adapter, data, trials, size=16)
    for size in (1, 3):
        assert rows_of(adapter, data, trials, size=size) == expected
    backwards = rows_of(adapter, data, trials[::-1], size=3)
    assert backwards[::-1] == expected
    scorer = QUIET.scorer(data, SETTING)
    assert scorer.summarise(expected).metrics == scorer.summarise(backwards[::-1]).metrics


@pytest.mark.parametrize(
    "adapter", [CopiesLatents("copies"), CopyLast()], ids=["latents", "pixels"]
)
def test_arithmetic_of_other_batches_differs_in_the_last_digits_alone(adapter):
    trials = asked(QUIET.trials(few()), "presence", "visible")[:2]
    together, alone = (rows_of(adapter, few(), trials, size=size) for size in (2, 1))
    for one, other in zip(together, alone, strict=True):
        assert one == {
            name: pytest.approx(value, rel=1e-5) if name.startswith("mean_") else value
            for name, value in other.items()
        }


@pytest.mark.slow
def test_two_processes_find_the_rows_of_one():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        halves = pool.map(half_of_the_rows, range(2))
    data = few()
    trials = QUIET.trials(data)
    found = {row["trial"]: row for half in halves for row in half}
    expected = rows_of(Surprised(from_last, stride=2), data, trials)
    assert [found[trial.id] for trial in trials] == expected


def test_what_an_adapter_does_to_its_clips_does_not_reach_the_truth():
    class Spoils(Surprised):
        def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
            found = super().surprise(video, context, **options)
            video.zero_()
            return found

    trials = asked(QUIET.trials(few()), "presence")[:3]
    sound, spoilt = (rows_of(kind(from_mean), few(), trials) for kind in (Surprised, Spoils))
    assert sound == spoilt


def test_the_clips_of_a_trial_share_their_noise_and_trials_do_not():
    drawn: list[Tensor] = []

    class Draws(Surprised):
        def surprise(self, video: Tensor, context: int, *, noise: NoiseBank, **told: Any) -> Tensor:
            plus, minus = (noise.draw((3,), level=0.4, index=0, sign=sign) for sign in (1, -1))
            assert torch.equal(plus, -minus)
            drawn.extend(plus.reshape(-1, 4, 3))
            return super().surprise(video, context, noise=noise, **told)

    trials = asked(QUIET.trials(few()), "presence", "occluded")
    rows_of(Draws(constant), few(), trials, size=5)
    assert len(drawn) == len(trials)
    assert all(torch.equal(each, each[:1].expand(4, 3)) for each in drawn)
    assert len({tuple(each[0].tolist()) for each in drawn}) == len(trials)


def test_each_context_is_rolled_out_once_with_the_seed_of_its_trial():
    adapter = Generator(lambda context, horizon: context[-1:].expand(horizon, -1, -1, -1))
    trials = asked(QUIET.trials(few()), "presence", "visible")[:2]
    rows_of(adapter, few(), trials, size=1)
    seeds = SETTING.seeds_for(trials)
    assert [(n, own) for n, _, own in adapter.asked] == [(2, (seed, seed)) for seed in seeds]


# Where a quad is cut


@pytest.mark.parametrize(
    ("start", "stop", "fields", "expected"),
    [
        (5, 9, {}, 9),
        (5, 9, {"temporal_stride": 2}, 8),
        (5, 9, {"temporal_stride": 4}, 8),
        (5, 9, {"temporal_stride": 8}, 8),
        (8, 15, {"temporal_stride": 8}, 8),
        (9, 15, {"temporal_stride": 8}, None),
        (5, 7, {"temporal_stride": 4}, None),
        (5, 9, {"max_context": 6}, 6),
        (5, 9, {"max_context": 4}, None),
        (5, 9, {"max_context": 7, "temporal_stride": 2}, 6),
        (5, 9, {"min_context": 9}, 9),
        (5, 9, {"min_context": 10}, None),
        (5, 9, {"min_context": 8, "max_context": 8}, 8),
        (4, 4, {"temporal_stride": 4}, 4),
        (20, 24, {}, 23),  # something must be left to foresee
        (20, 24, {"temporal_stride": 8}, None),
    ],
)
def test_the_context_is_the_largest_legal_one_in_the_run(start, stop, fields, expected):
    assert last_context(card("a", **fields), start, stop, 24) == expected


def test_the_context_is_that_of_a_search_over_all():
    for stride in (1, 2, 4, 8):
        for least, most in ((1, None), (6, None), (1, 12), (8, 16)):
            own = card("a", temporal_stride=stride, min_context=least, max_context=most)
            for start in range(2, 14):
                for stop in range(start + 4, 25):
                    legal = [c for c in range(start, min(stop, 23) + 1) if own.legal_context(c)]
                    assert last_context(own, start, stop, 24) == max(legal, default=None)


@pytest.mark.parametrize(
    ("start", "stop", "stride", "expected"),
    [
        (5, 14, 1, Cut(14, 6)),
        (5, 15, 2, Cut(14, 6)),  # 7 frames to 6 beyond the run: three whole steps
        (5, 14, 4, Cut(12, 8)),
        (5, 15, 4, Cut(12, 8)),
        (5, 12, 4, Cut(12, 4)),
        (5, 14, 8, Cut(8, 8)),
        (5, 20, 1, Cut(20, 4)),  # the clip ends
        (5, 20, 8, Cut(16, 8)),
        (5, 22, 4, Cut(20, 4)),
        (5, 10, 16, None),
        (12, 20, 16, Cut(16, 0)),
    ],
)
def test_the_future_is_whole_steps_to_six_frames_beyond_the_run(start, stop, stride, expected):
    trial = Trial("t", "c", ("a", "p"), {"start": start, "stop": stop})
    found = cut_of(card("a", temporal_stride=stride), trial, 24)
    assert found == (None if expected is not None and expected.horizon == 0 else expected)
    assert found is None or found.end <= 24


def test_trials_without_a_legal_context_are_skipped_and_counted():
    adapter = Surprised(change, min_context=15)
    trials = SUITE.trials(few())
    summary = measure(adapter, few())
    missed = {trial.id for trial in trials if int(trial.factors["stop"]) < 15}
    assert missed
    skipped = [row for row in summary.rows if row["role"] == "skipped"]
    assert {row["trial"] for row in skipped} == missed
    runs = {trial.id: f"[{trial.factors['start']}, {trial.factors['stop']}]" for trial in trials}
    for row in skipped:
        assert f"legal for surprised lies within {runs[row['trial']]}" in row["reason"]
    assert all("outcome" not in row for row in skipped)
    headline = asked(trials, "presence", "occluded")
    left = [trial for trial in headline if trial.id not in missed]
    assert 0 < len(left) < len(headline)
    counted = metric(summary.metrics, "asked", violation="presence", condition="occluded")
    assert counted.value == pytest.approx(len(left) / len(headline))
    assert (counted.n, counted.status) == (len(headline), "ok")
    (score,) = [m for m in summary.metrics if m.headline]
    assert (score.n, score.value) == (len(left), 0.5)


def test_an_adapter_that_can_be_asked_nothing_gets_a_reason_and_no_score():
    summary = measure(Surprised(change, min_context=23), few())
    (headline,) = summary.metrics
    assert headline.headline
    assert headline.status == "skipped"
    assert "no trial could be asked: no context that is legal" in str(headline.reason)
    assert {row["role"] for row in summary.rows} == {"skipped"}


# Which operator counts


@pytest.mark.parametrize(
    ("capabilities", "own", "expected"),
    [
        ("surprises", "denoising_error", ["denoising_error"]),
        ("surprises", "other denoising_error", ["denoising_error", "other"]),
        (
            "surprises",
            "latent_error_fullclip latent_error",
            ["latent_error", "latent_error_fullclip"],
        ),
        ("surprises generates", "denoising_error", ["denoising_error", "sample_distance"]),
        ("surprises generates", "other", ["sample_distance", "other"]),
        ("generates", "", ["sample_distance"]),
        ("generates", "denoising_error", ["sample_distance"]),  # said, but not surprised
        ("predicts encodes", "", ["latent_error"]),
        ("predicts encodes generates", "", ["latent_error", "sample_distance"]),
        ("predicts generates", "", ["sample_distance"]),
        (
            "surprises predicts encodes generates",
            "denoising_error",
            ["denoising_error", "sample_distance", "latent_error"],
        ),
    ],
)
def test_the_headline_operator_is_fixed(capabilities: str, own: str, expected: list[str]):
    told = card("a", *capabilities.split(), operators=tuple(own.split()))
    assert operators_of(told)[0] == expected[0]
    assert sorted(operators_of(told)) == sorted(expected)
    assert headline_operator(told) == expected[0]
    assert SUITE.unsupported(told) is None


@pytest.mark.parametrize(
    ("capabilities", "own"),
    [("", ""), ("encodes", ""), ("predicts", ""), ("surprises", ""), ("surprises", "other")],
)
def test_who_cannot_be_asked_is_told_why(capabilities: str, own: str, tmp_path: Path):
    adapter = Surprised(constant)
    adapter.card = card("a", *capabilities.split(), operators=tuple(own.split()))
    reason = SUITE.unsupported(adapter.card)
    assert reason is not None
    assert "denoising_error, latent_error, sample_distance" in reason
    assert f"a has: {capabilities or 'none'}; operators: {own or 'none'}" in reason
    record = run(Cell.identify(adapter, Question.of(SUITE, few(), SETTING), tmp_path))
    assert (record.body.status, record.body.reason) == ("skipped", reason)


def test_other_operators_are_asked_about_a_few_headline_quads():
    both = Surprised(from_mean, operators=("latent_error", "latent_error_fullclip"))
    suite = Permanence(rollouts=0, secondary=2)
    summary = measure(both, few(), suite=suite)
    roles = Counter((row["role"], row["operator"]) for row in summary.rows)
    assert roles == {
        ("rollout", "latent_error"): len(suite.trials(few())),
        ("surprise", "latent_error_fullclip"): 2,
    }
    wider = [row["trial"] for row in summary.rows if row["role"] == "surprise"]
    headline = [t.id for t in asked(suite.trials(few()), "presence", "occluded")]
    assert set(wider) < set(headline)
    more = measure(both, few(), suite=Permanence(rollouts=0, secondary=4))
    assert set(wider) < {row["trial"] for row in more.rows if row["role"] == "surprise"}
    second = metric(
        summary.metrics, "pair_accuracy", **{**HEADLINE, "operator": "latent_error_fullclip"}
    )
    assert (second.n, second.headline) == (2, False)
    assert metric(summary.metrics, "auroc", **second.factors).n == 2
    (first,) = [m for m in summary.metrics if m.headline]
    assert (first.factors["operator"], first.n) == ("latent_error", len(headline))


# Options and data


def test_a_few_controls_of_the_headline_are_asked_or_those_of_every_violation():
    data = WorldData("permanence_quick", workers=1)
    every, own, few, none = (Permanence(controls=n).trials(data) for n in ("all", 24, 8, 0))
    assert Counter((t.factors["violation"], t.factors["condition"]) for t in every) == {
        ("presence", "occluded"): 24,
        ("presence", "visible"): 24,
        ("presence", "both_possible"): 6,
        **{(v, c): 4 for v in VIOLATIONS[1:] for c in ("occluded", "visible")},
    }
    left_out = [trial for trial in every if trial not in own]
    assert {trial.factors["condition"] for trial in left_out} == {"visible"}
    assert len(left_out) == 5 * 4
    assert {trial.factors["violation"] for trial in left_out} == set(VIOLATIONS[1:])
    assert [t for t in own if t.factors["condition"] != "visible"] == none
    chosen = [trial for trial in few if trial not in none]
    assert {(t.factors["violation"], t.factors["condition"]) for t in chosen} == {
        ("presence", "visible")
    }
    assert len(chosen) == 8
    assert [trial for trial in own if trial in few] == few
    assert all("/train-" not in trial.id for trial in every)


def test_trials_tell_what_they_are():
    for trial in SUITE.trials(few()):
        factors = trial.factors
        assert factors["tier"] in ("easy", "hard", "long")
        assert 0 < factors["start"] < factors["stop"] <= few().frames
        assert len(trial.clips) == 2
        assert trial.cluster in trial.id


@pytest.mark.parametrize(
    "options",
    [
        {"samples": 0},
        {"rollouts": -1},
        {"secondary": -1},
        {"secondary": True},
        {"controls": "some"},
        {"controls": ""},
        {"controls": "headline"},
        {"controls": -1},
        {"controls": True},
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any]):
    (name,) = options
    with pytest.raises(UsageError, match=rf"suite\.{name}"):
        Permanence(**options)


def test_data_without_quads_is_refused(small_data: Path, monkeypatch: pytest.MonkeyPatch):
    folder = VideoData("small", str(small_data), frames=8, fps=15.0, size=(64, 64))
    without = part_of("permanence_quick", lambda quad: quad.cluster == scenes("presence-steady")[0])
    content = without.content
    object.__setattr__(content, "quads", ())
    for data in (folder, without):
        with pytest.raises(UsageError, match="matched quads") as caught:
            SUITE.trials(data)
        assert f"data={data.info.name}, which has none" in str(caught.value)
        assert "data=permanence_quick or data=permanence_full" in str(caught.value)
        assert "fix:      data=permanence_quick" in str(caught.value)


def test_the_protocol_tells_whatever_changes_scores():
    data = few()
    usual = SUITE.protocol(data)
    assert json.loads(json.dumps(usual)) == usual
    for options in ({"samples": 2}, {"rollouts": 1}, {"secondary": 1}, {"controls": 8}):
        assert Permanence(**options).protocol(data) == {**usual, **options}


def test_the_configuration_names_every_option():
    path = Path(conf.__path__[0], "suite", "permanence.yaml")
    options = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(options, dict)
    assert options.pop("_target_") == "worldbench.suites.permanence.Permanence"
    own = {k: v for k, v in options.items() if k not in ("defaults", "summary", "name")}
    suite = Permanence(**own)
    assert isinstance(suite, Suite)
    assert own.keys() == {"samples", "rollouts", "secondary", "controls"}
    assert {name: suite.protocol(few())[name] for name in own} == own


# Broken contracts


def says(value: object) -> Surprised:
    class Says(Surprised):
        def surprise(self, video: Tensor, context: int, **options: Any) -> Any:
            sound = super().surprise(video, context, **options)
            return value(sound) if callable(value) else value

    return Says(constant, "broken")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda sound: sound * torch.nan, "not finite"),
        (lambda sound: sound / 0, "not finite"),
        (lambda sound: sound[:, :-1], "wrong shape"),
        (lambda sound: sound[:1], "wrong shape"),
        (lambda sound: sound[..., None], "wrong shape"),
        (lambda sound: sound.numpy(), "wrong shape"),
        (None, "wrong shape"),
    ],
)
def test_surprises_that_break_the_contract_name_the_operator(value: object, said: str):
    trials = asked(QUIET.trials(few()), "presence")[:2]
    with pytest.raises(ContractError, match=said) as caught:
        rows_of(says(value), few(), trials)
    assert "adapter 'broken', call surprise(operator='denoising_error')" in str(caught.value)


@pytest.mark.parametrize(
    ("says", "said"),
    [
        (lambda context, horizon: context[-1:].expand(horizon, -1, -1, -1) * torch.nan, "finite"),
        (lambda context, horizon: context[-1:].expand(horizon + 1, -1, -1, -1), "frames"),
        (lambda context, horizon: context[-1:].expand(horizon, -1, -1, -1) + 2, "range"),
    ],
)
def test_rollouts_that_break_the_contract_are_named(says: Any, said: str):
    trials = asked(QUIET.trials(few()), "presence")[:1]
    with pytest.raises(ContractError, match=said) as caught:
        rows_of(Generator(says, "broken"), few(), trials)
    assert "adapter 'broken', call generate" in str(caught.value)


class NaNs(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens * torch.nan, 2)


class StepTooMany(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return super().predict(context, horizon + 2)


class EncodesNaNs(CopiesLatents):
    def encode(self, video: Tensor, **options: Any) -> Latents:
        return Latents(super().encode(video).tokens / 0, 2)

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return CopiesLatents("sound").predict(context, horizon)


class OtherWidth(CopiesLatents):
    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        return Latents(super().predict(context, horizon).tokens[..., :-1], 2)


class OtherGrid(CopiesLatents):
    """Foresees one token for the whole picture, which would stand for each of them."""

    def predict(self, context: Tensor, horizon: int, **options: Any) -> Latents:
        tokens = super().predict(context, horizon).tokens
        return Latents(tokens.mean(dim=(2, 3), keepdim=True), 2)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NaNs, "call predict: latents that are not finite"),
        (StepTooMany, "call predict: wrong shape"),
        (EncodesNaNs, "call encode: latents that are not finite"),
        (OtherWidth, "adapter 'broken'"),
        (OtherGrid, "adapter 'broken'"),
    ],
)
def test_latents_that_break_the_contract_are_named(kind: type[CopiesLatents], said: str):
    trials = asked(QUIET.trials(few()), "presence")[:1]
    with pytest.raises(ContractError) as caught:
        rows_of(kind("broken"), few(), trials)
    assert said in str(caught.value)


def test_who_names_sample_distance_without_generating_is_told():
    adapter = Surprised(constant, "broken", operators=("sample_distance",))
    with pytest.raises(ContractError, match="'broken' does not generate"):
        rows_of(adapter, few(), asked(QUIET.trials(few()), "presence")[:1])


# Records


class Killed(Surprised):
    """Is interrupted in one of its calls."""

    def __init__(self, at: int | None) -> None:
        super().__init__(from_mean, "killed", stride=2, revision="1")
        self.at = at

    def surprise(self, video: Tensor, context: int, **options: Any) -> Tensor:
        if len(self.asked) == self.at:
            raise KeyboardInterrupt
        return super().surprise(video, context, **options)


def test_a_killed_run_resumes_after_its_last_finished_batch(tmp_path: Path):
    suite = Permanence(rollouts=0, secondary=0)
    question = Question.of(suite, few(), Setting(CPU, batch_size=1, limit=5))

    def cell(at: int | None, root: str) -> Cell:
        return Cell.identify(Killed(at), question, tmp_path / root)

    undisturbed = run(cell(None, "undisturbed"))
    assert undisturbed.body.headline is not None
    with pytest.raises(KeyboardInterrupt):
        run(cell(3, "killed"))
    resumed = cell(None, "killed")
    assert run(resumed).body == undisturbed.body
    assert isinstance(resumed.adapter, Killed)
    assert len(resumed.adapter.asked) == 2
    files = [
        sorted((tmp_path / root).glob("*/*/*/*.parquet")) for root in ("undisturbed", "killed")
    ]
    assert read_rows(files[0][0]) == read_rows(files[1][0])
    again = cell(0, "killed")
    assert run(again).body == undisturbed.body  # nothing is asked again


def test_rows_hold_what_the_board_ranks_by(simulator):
    record, rows = simulator
    trials = {trial.id: trial for trial in SUITE.trials(quick())}
    assert [row["trial"] for row in rows] == list(trials)
    headline = {trial.id for trial in asked(trials.values(), "presence", "occluded")}
    for row in rows:
        assert (row["role"], row["operator"]) == ("rollout", "denoising_error")
        assert row["cluster"] == trials[row["trial"]].cluster
        counted = row["trial"] in headline
        assert row["pair_accuracy"] == (row["outcome"] if counted else None)
        assert (row["future_only_vanish"] is not None) == counted
        assert row["context"] == trials[row["trial"]].factors["stop"]
    assert record.body.suite.protocol["clips"]["frames"] == 24


def test_the_board_ranks_by_the_rows_and_shows_the_controls(records: Path):
    (section,) = build(records).sections
    columns = {column.name: i for i, column in enumerate(section.columns)}
    assert next(iter(columns)) == "pair_accuracy"
    assert {"visible_control", "both_possible_control", "tied", "rollout_skill"} <= set(columns)
    rows = {row.adapter: row.cells for row in section.rows}
    place = columns["pair_accuracy"]
    assert [rows[name][place].value for name in ("simulator", "change")] == [1.0, 0.5]
    assert [rows[name][place].rank for name in ("simulator", "change")] == [1, 2]
    for name, values in (
        ("visible_control", (1.0, 1.0)),
        ("both_possible_control", (0.5, 0.5)),
        ("tied", (0.0, 1.0)),
    ):
        found = tuple(rows[adapter][columns[name]].value for adapter in ("simulator", "change"))
        assert found == values
    skill = rows["simulator"][columns["rollout_skill"]]
    assert skill.status == "skipped"
    assert "there is no rollout to read" in str(skill.reason)
    told = {column.factors.get("tier") for column in section.breakdowns}
    assert {"easy", "long"} <= told


def test_breakdowns_add_up_to_the_headline(simulator, differences):
    for record, _ in (simulator, differences):
        for factor in ("tier", "hidden", "camera", "distribution", "lookalike", "distractors"):
            parts = [
                m
                for m in record.body.metrics
                if m.name == "pair_accuracy" and m.factors.keys() == {*HEADLINE, factor}
            ]
            assert len(parts) >= 2, factor
            assert sum(m.n for m in parts) == 24


def test_examples_show_the_quad_and_what_is_rolled_out():
    data = few()
    trials = asked(SUITE.trials(data), "presence", "occluded")[:1]
    batch = Batch(tuple(trials), clips_of(data, trials), 0)
    scorer = QUIET.scorer(data, SETTING)
    shown = scorer.examples(Surprised(constant), batch)[trials[0].id]
    stop = int(trials[0].factors["stop"])
    assert shown.shape == (min(stop + 6, 24), 64, 4 * 64, 3)
    a, p, one, two = np.split(shown, 4, axis=2)
    assert np.array_equal(np.concatenate([a[:stop], p[stop:]]), one)
    assert np.array_equal(np.concatenate([p[:stop], a[stop:]]), two)
    assert np.array_equal(a, data.load(trials[0].clips[:1])[0, : len(a)])
    rolled = scorer.examples(CopyLast(), batch)[trials[0].id]
    assert rolled.shape[2] == 5 * 64
    assert np.array_equal(rolled[-1, :, 4 * 64 :], rolled[stop - 1, :, :64])
    assert scorer.examples(Surprised(constant, min_context=24), batch) == {}
